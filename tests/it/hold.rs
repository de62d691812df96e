//! Endpoints that are taken out of a running proxy, and come back by themselves.

use serde_json::{Value, json};

use super::command_line::{stderr, stdout};
use super::rig::{Config, Proxy, Upstream, get};

/// Two endpoints, and the path of each one's page.
fn two() -> (Proxy, [Upstream; 2], [String; 2]) {
    let upstreams = [Upstream::ok("one"), Upstream::ok("two")];
    let config = Config::new(upstreams[0].address()).upstream("balance: round_robin");
    let proxy = Proxy::start(config.endpoint(upstreams[1].address()));
    let name = proxy.get_admin("/api/v1/upstreams").json()["upstreams"][0]["upstream"].clone();
    let name = name.as_str().expect("a name").to_owned();
    let paths = [0, 1].map(|at: usize| {
        format!(
            "/api/v1/upstreams/{name}/endpoints/{}",
            upstreams[at].address()
        )
    });
    (proxy, upstreams, paths)
}

/// The status and the JSON that a call is answered with.
fn put(proxy: &Proxy, path: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
    let headers = [&[("content-type", "application/json")], headers].concat();
    let answer = proxy.call_admin(("PUT", path), &headers, &body.to_string());
    (answer.status, answer.json())
}

fn send(proxy: &Proxy, count: usize) {
    for _ in 0..count {
        assert_eq!(get(proxy.public(), "/").status, 200);
    }
}

#[test]
fn traffic_goes_elsewhere_at_once_and_comes_back_by_itself() {
    let (proxy, upstreams, paths) = two();
    send(&proxy, 4);
    assert!(upstreams.iter().all(|it| it.request_count() == 2));
    let (status, told) = put(
        &proxy,
        &paths[1],
        &json!({"state": "drain", "for": "1s"}),
        &[],
    );
    assert_eq!((status, &told["state"]), (200, &json!("drain")), "{told}");
    assert!(
        told["until_unix_seconds"].is_f64() && told["who"] == "127.0.0.1",
        "{told}"
    );
    let before = upstreams[1].request_count();
    send(&proxy, 6);
    assert_eq!(upstreams[1].request_count(), before, "not one more");
    proxy.wait_stderr("endpoint taken out");
    proxy.wait_until("it is back", || {
        send(&proxy, 1);
        upstreams[1].request_count() > before
    });
    proxy.wait_stderr("endpoint takes attempts again");
    let shown = proxy.get_admin("/api/v1/upstreams").json();
    let endpoint = &shown["upstreams"][0]["endpoints"][1];
    assert_eq!(
        (&endpoint["state"], &endpoint["who"]),
        (&json!("ready"), &Value::Null)
    );
    proxy.finish();
}

#[test]
fn it_is_shown_on_every_view_and_a_reload_keeps_it() {
    let (proxy, upstreams, paths) = two();
    put(
        &proxy,
        &paths[1],
        &json!({"state": "off", "for": "10m"}),
        &[],
    );
    let address = upstreams[1].address().to_string();
    let is_out = |wanted: f64| {
        let labels = [("endpoint", &*address)];
        assert_eq!(
            proxy.metrics().sum("sightglass_endpoint_out", &labels),
            wanted
        );
    };
    is_out(1.0);
    // Another weight makes another endpoint of it; somebody's wish outlives that.
    let heavier = Config::new(upstreams[0].address())
        .upstream("balance: round_robin")
        .endpoint(upstreams[1].address())
        .to_string()
        .replacen(
            &format!("{{address: \"{address}\"}}"),
            &format!("{{address: \"{address}\", weight: 3}}"),
            1,
        );
    proxy.write_config(&heavier);
    proxy.signal("HUP");
    proxy.wait_stderr("configuration in force");
    is_out(1.0);
    let before = upstreams[1].request_count();
    send(&proxy, 8);
    assert_eq!(upstreams[1].request_count(), before);
    let (status, told) = put(&proxy, &paths[1], &json!({"state": "ready"}), &[]);
    assert_eq!((status, &told["state"]), (200, &json!("ready")));
    is_out(0.0);
    send(&proxy, 8);
    assert!(upstreams[1].request_count() > before);
    proxy.finish();
}

#[test]
fn the_last_one_stays_and_what_makes_no_sense_is_refused() {
    let (proxy, _upstreams, paths) = two();
    assert_eq!(
        put(
            &proxy,
            &paths[0],
            &json!({"state": "off", "for": "1h"}),
            &[]
        )
        .0,
        200
    );
    let (status, told) = put(
        &proxy,
        &paths[1],
        &json!({"state": "drain", "for": "1h"}),
        &[],
    );
    assert_eq!(status, 409, "{told}");
    assert!(
        told["detail"]
            .as_str()
            .is_some_and(|it| it.contains("the last endpoint")),
        "{told}"
    );
    send(&proxy, 4);
    // Who is out may be changed, for it leaves nobody behind.
    assert_eq!(
        put(
            &proxy,
            &paths[0],
            &json!({"state": "drain", "for": "2h"}),
            &[]
        )
        .0,
        200
    );

    for (body, word) in [
        (json!({"state": "down", "for": "1m"}), "ready, drain or off"),
        (json!({"state": "off"}), "for is missing"),
        (json!({"state": "off", "for": "0s"}), "1s to 24h"),
        (json!({"state": "off", "for": "25h"}), "1s to 24h"),
        (json!({"state": "off", "for": "long"}), "for: "),
        (json!({"state": "ready", "for": "1m"}), "for: "),
        (
            json!({"state": "off", "for": "1m", "why": "x"}),
            "unknown field",
        ),
    ] {
        let (status, told) = put(&proxy, &paths[1], &body, &[]);
        assert_eq!(status, 400, "{body} {told}");
        assert!(
            told["detail"].as_str().is_some_and(|it| it.contains(word)),
            "{word}: {told}"
        );
    }
    let off = json!({"state": "off", "for": "1m"});
    for path in [
        "/api/v1/upstreams/nobody/endpoints/127.0.0.1:1",
        &format!("{}0", paths[0]),
    ] {
        let (status, told) = put(&proxy, path, &off, &[]);
        assert_eq!(status, 404, "{path} {told}");
        assert!(told["upstreams"].is_object(), "what there is: {told}");
    }
    assert_eq!(proxy.get_admin(&paths[0]).status, 405);
    // A page of another origin, and a form, can make a browser send it; neither is done.
    assert_eq!(
        put(&proxy, &paths[0], &off, &[("origin", "http://evil.test")]).0,
        403
    );
    assert_eq!(
        put(&proxy, &paths[0], &off, &[("sec-fetch-site", "cross-site")]).0,
        403
    );
    proxy.finish();
}

#[test]
fn the_terminal_does_it_too() {
    let (proxy, upstreams, _) = two();
    let (admin, address) = (
        format!("http://{}", proxy.admin()),
        upstreams[1].address().to_string(),
    );
    let name = proxy.get_admin("/api/v1/upstreams").json()["upstreams"][0]["upstream"].clone();
    let name = name.as_str().expect("a name");
    let endpoint = |words: &[&str]| {
        Proxy::output(&[&["endpoint", name, &address], words, &["--admin", &admin]].concat())
    };
    let output = endpoint(&["drain", "--for", "5m"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("takes no new attempts (drain) for 5m"),
        "{}",
        stdout(&output)
    );
    let shown = proxy.get_admin("/api/v1/upstreams").json();
    assert_eq!(shown["upstreams"][0]["endpoints"][1]["state"], "drain");
    assert_eq!(endpoint(&["ready"]).status.code(), Some(0));
    let shown = proxy.get_admin("/api/v1/upstreams").json();
    assert_eq!(shown["upstreams"][0]["endpoints"][1]["state"], "ready");
    let output = endpoint(&["off", "--for", "3d"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("1s to 24h"), "{}", stderr(&output));
    proxy.finish();
}
