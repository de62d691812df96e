//! Where a look comes in, and what it does not get past.

use serde_json::json;

use super::super::rig::{Authority, Config, Proxy, Upstream};
use super::{JSON, XRAY, look, steps};

#[test]
fn what_the_routes_and_limits_refuse_is_refused_and_seen() {
    let upstream = Upstream::ok("hello");
    let config = Config::new(upstream.address())
        .route("rate_limit: {rate: 1/m, burst: 1, key: all}")
        .to_string()
        .replace("{path: {prefix: /}}", "{path: {prefix: /api}}");
    let proxy = Proxy::start(config);
    let told = look(&proxy, "/elsewhere", json!({}));
    assert_eq!(
        (&told["status"], &told["exchange"]["outcome"]),
        (&json!(404), &json!("destination_not_found"))
    );
    assert!(steps(&told, true).contains(&"proxy::route: no route takes it".to_owned()));
    assert_eq!(look(&proxy, "/api", json!({}))["status"], 200);
    let told = look(&proxy, "/api", json!({}));
    assert_eq!(told["status"], 429, "the look pays like any other");
    assert!(steps(&told, true).contains(&"proxy::limit::rate: over the rate limit".to_owned()));
    assert_eq!(upstream.request_count(), 1);
    proxy.finish();
}

#[test]
fn a_listener_with_tls_and_http2_alone_is_looked_through_from_behind_both() {
    let authority = Authority::new();
    let identity = authority.server(&["shop.test"]);
    let upstream = Upstream::ok("hello");
    let tls = format!("tls: {{certificates: [{}]}}", identity.yaml());
    let config = Config::new(upstream.address())
        .listener("protocols: [http2]")
        .listener("proxy_protocol: required")
        .listener(&tls);
    let proxy = Proxy::start(config);
    let asked = json!({"url": format!("https://shop.test:{}/", proxy.public().port())});
    let answer = proxy.call_admin(XRAY, &[JSON], &asked.to_string());
    let told = answer.json();
    assert_eq!(
        (answer.status, &told["status"]),
        (200, &json!(200)),
        "{told:#}"
    );
    assert_eq!(told["exchange"]["scheme"], "https");
    let request = upstream.only_request();
    assert_eq!(request.headers.get("x-forwarded-proto"), Some("https"));
    assert_eq!(
        request
            .headers
            .get("host")
            .map(|it| it.starts_with("shop.test")),
        Some(true)
    );
    proxy.finish();
}

#[test]
fn a_listener_that_requires_a_certificate_is_not_gone_around() {
    let authority = Authority::new();
    let identity = authority.server(&["shop.test"]);
    let upstream = Upstream::ok("hello");
    let tls = |mode: &str| {
        let ca = authority.ca();
        let (certificates, ca) = (identity.yaml(), ca.display());
        format!(
            "tls: {{certificates: [{certificates}], client_auth: {{ca: \"{ca}\", mode: {mode}}}}}"
        )
    };
    for (mode, status) in [("required", 400), ("optional", 200)] {
        let proxy = Proxy::start(Config::new(upstream.address()).listener(&tls(mode)));
        let asked = json!({"url": format!("https://shop.test:{}/", proxy.public().port())});
        let answer = proxy.call_admin(XRAY, &[JSON], &asked.to_string());
        assert_eq!(answer.status, status, "{mode}: {}", answer.text());
        let is_told = answer.text().contains("requires a client's certificate");
        assert_eq!(is_told, mode == "required", "{}", answer.text());
        proxy.finish();
    }
    assert_eq!(upstream.request_count(), 1);
}

#[test]
fn nonsense_is_told_and_strangers_and_other_pages_may_not() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    for (body, why) in [
        (json!({"url": "shop.test/cart"}), "is no URL"),
        (
            json!({"url": "https://127.0.0.1/"}),
            "no listener takes that in; there are public (http, port",
        ),
        (
            json!({"url": "http://a/", "listener": "nobody"}),
            "no listener takes that in",
        ),
        (
            json!({"url": "http://a/", "headers": ["upgrade: websocket"]}),
            "a tunnel",
        ),
        (
            json!({"url": "http://a/", "timeout": "1h"}),
            "timeout has to be",
        ),
        (
            json!({"url": "http://a/", "hosts": 3}),
            "unknown field `hosts`",
        ),
        (json!({}), "missing field `url`"),
    ] {
        let answer = proxy.call_admin(XRAY, &[JSON], &body.to_string());
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains(why), "{body}: {}", answer.text());
    }
    let good = json!({"url": format!("http://{}/", proxy.public())}).to_string();
    let foreign = [JSON, ("origin", "http://evil.test")];
    assert_eq!(proxy.call_admin(XRAY, &foreign, &good).status, 403);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(proxy.call_admin(XRAY, &form, &good).status, 403);
    assert_eq!(proxy.get_admin(XRAY.1).status, 405);
    assert_eq!(upstream.request_count(), 0, "none of it went anywhere");
    proxy.finish();
}
