//! Exchanges that a running proxy has recorded: why each went its way, from the record and the plan it ran under.

use serde_json::{Value, json};

use super::super::command_line::{stderr, stdout};
use super::super::rig::{Config, Proxy, Upstream, get, get_with};
use super::lost;

const ROUTES: &str = "
  - {name: beta, match: {path: {prefix: /a}, headers: {x-beta: s3cret}}, upstream: web}
  - {name: tenant, match: {path: {prefix: /a}, headers: {x-tenant: gold}}, upstream: web}
  - {name: exact, match: {path: {exact: /a/b}}, upstream: web}
  - {name: posts, match: {path: {prefix: /a}, methods: [POST]}, upstream: web}";

fn config(upstream: &Upstream) -> Config {
    Config::new(upstream.address())
        .telemetry("headers: [x-tenant]")
        .more_routes(ROUTES)
}

/// The trace id of the one exchange of this path, and why it went its way.
fn told(proxy: &Proxy, path: &str) -> (String, Value) {
    let found = || {
        let all = proxy.get_admin("/api/v1/exchanges?limit=1000").json()["exchanges"].take();
        let mut all = all.as_array().expect("a list").iter();
        let one = all.find(|it| it["path"] == path)?;
        Some(one["trace_id"].as_str().expect("a text").to_owned())
    };
    proxy.wait_until(&format!("the exchange of {path}"), || found().is_some());
    let id = found().expect("it is there");
    let answer = proxy.get_admin(&format!("/api/v1/exchanges/{id}/explain"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    (id, answer.json())
}

#[test]
fn each_other_route_is_told_and_what_was_not_recorded_is_unknown() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(config(&upstream));
    get_with(proxy.public(), "/a/c?q=1", &[("x-tenant", "tin")]);
    let (id, it) = told(&proxy, "/a/c");
    assert_eq!(
        (&it["decided"], &it["route"], &it["generation"]),
        (&json!("route"), &json!("web"), &json!(1)),
        "{it}"
    );
    assert_eq!(lost(&it, "exact")["reason"], "path", "{it}");
    assert_eq!(lost(&it, "posts")["reason"], "method");
    assert_eq!(lost(&it, "tenant")["reason"], "header");
    let beta = lost(&it, "beta");
    assert_eq!(beta["reason"], "unknown");
    let detail = beta["detail"].as_str().expect("a text");
    assert!(
        detail.contains("unknown: header x-beta was not recorded")
            && detail.contains("so it was not met"),
        "{detail}"
    );
    assert!(!it.to_string().contains("s3cret"), "{it}");
    assert_eq!(
        it["attempts"][0]["endpoint"],
        upstream.address().to_string()
    );
    let admin = format!("http://{}", proxy.admin());
    let output = Proxy::output(&["trace", &id, "--admin", &admin]);
    let page = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for part in [
        "\nwhy this route\n",
        "  not beta: unknown: header x-beta was not recorded",
        "  not posts: the method GET is not POST",
        "\nwhy these endpoints\n",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // Where it took part, and where more routes would take it, that is told too.
    get_with(proxy.public(), "/a/b", &[("x-beta", "s3cret")]);
    let (_, it) = told(&proxy, "/a/b");
    assert_eq!(it["route"], "exact", "{it}");
    assert_eq!(lost(&it, "web")["reason"], "less_specific");
    let detail = lost(&it, "beta")["detail"].as_str().expect("a text");
    assert!(
        detail.contains("exact would win all the same: it names the path more exactly"),
        "{detail}"
    );
    proxy.finish();
}

#[test]
fn it_is_judged_by_the_configuration_that_it_ran_under() {
    let upstream = Upstream::ok("hello");
    let before = config(&upstream);
    let proxy = Proxy::start(before.clone());
    get(proxy.public(), "/a/b");
    let (_, first) = told(&proxy, "/a/b");
    let text = before.to_string().replace("exact: /a/b", "exact: /z");
    proxy.write_config(&text);
    proxy.signal("HUP");
    proxy.wait_stderr("configuration in force");
    get(proxy.public(), "/z");
    let (_, second) = told(&proxy, "/z");
    assert_eq!(
        (&second["generation"], &second["route"]),
        (&json!(2), &json!("exact"))
    );
    let (_, mut again) = told(&proxy, "/a/b");
    assert_eq!(again["generation_in_force"], 2);
    again["generation_in_force"] = json!(1);
    assert_eq!(again, first, "the same answer as before the reload");
    proxy.finish();
}

#[test]
fn what_was_refused_before_routes_were_looked_at_is_no_route_s_loss() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(config(&upstream));
    get(proxy.public(), "/../x");
    proxy.wait_until("it is recorded", || {
        let all = proxy.get_admin("/api/v1/exchanges").json();
        all["exchanges"].as_array().is_some_and(|it| it.len() == 1)
    });
    let all = proxy.get_admin("/api/v1/exchanges").json();
    let id = all["exchanges"][0]["trace_id"]
        .as_str()
        .expect("a text")
        .to_owned();
    let path = format!("/api/v1/exchanges/{id}/explain");
    let it = proxy.get_admin(&path).json();
    assert_eq!(
        (&it["decided"], &it["others"]),
        (&json!("before_routes"), &json!([])),
        "{it}"
    );
    for (path, status) in [
        (format!("/api/v1/exchanges/{}/explain", "0".repeat(32)), 404),
        ("/api/v1/exchanges/nonsense/explain".to_owned(), 404),
        (format!("{path}/more"), 404),
    ] {
        assert_eq!(proxy.get_admin(&path).status, status, "{path}");
    }
    proxy.finish();
}
