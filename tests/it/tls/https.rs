//! Everybody over to TLS: the redirect of a listener in clear text, and what browsers are told.

use super::super::rig::{
    Authority, Client, Config, Http2Client, Proxy, TlsCaller, Upstream, get, get_with, reply,
};
use super::config;

#[test]
fn a_listener_in_clear_text_sends_every_request_to_https() {
    let upstream = Upstream::ok("hello");
    for (port, suffix) in [(443, ""), (8443, ":8443")] {
        let proxy = Proxy::start(
            Config::new(upstream.address()).listener(&format!("redirect_to_https: {port}")),
        );
        let response = get_with(
            proxy.public(),
            "/a/../b%2f?x=1&y",
            &[("host", "Shop.test:8080")],
        );
        assert_eq!(response.status, 308);
        let location = format!("https://Shop.test{suffix}/b%2F?x=1&y");
        assert_eq!(response.header("location"), Some(&*location));

        let mut client = Client::connect(proxy.public());
        client.request("POST", "/form", &[("host", "[::1]:80")], "body");
        let response = client.read_response();
        assert_eq!(response.status, 308);
        let location = format!("https://[::1]{suffix}/form");
        assert_eq!(response.header("location"), Some(&*location));

        let response = Http2Client::connect(proxy.public()).get("/h2");
        assert_eq!(response.status, 308);

        // It is an exchange like any other: the proxy's own answer, and no fault.
        let lines = proxy.wait_log_lines(3);
        for line in &lines {
            assert_eq!(
                (&line["outcome"], &line["status"]),
                (&"served".into(), &308.into())
            );
            assert!(line.get("attempts").is_none() && line.get("route").is_none());
        }
        let labels = [("route", "_unmatched"), ("outcome", "served")];
        let counted = "http_server_request_duration_seconds_count";
        assert_eq!(proxy.metrics().sum(counted, &labels), 3.0);
        proxy.finish();
    }
    assert_eq!(upstream.request_count(), 0);
}

#[test]
fn a_request_that_cannot_be_taken_is_not_redirected_either() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).listener("redirect_to_https: 443"));
    let mut client = Client::connect(proxy.public());
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.read_response().status, 400);
    proxy.finish();
}

#[test]
fn browsers_are_told_to_come_over_tls_in_every_response_of_that_listener() {
    let authority = Authority::new();
    let upstream = Upstream::answering(|request| match request.target.as_str() {
        "/own" => reply(
            200,
            &[("strict-transport-security", "max-age=1; includeSubDomains")],
            "own",
        ),
        _ => reply(200, &[], "hello"),
    });
    let server = authority.server(&["shop.test"]);
    let config = config(&upstream, &[&server], "hsts: 365d").more_routes(
        "- {name: gone, match: {path: {exact: /gone}}, upstream: web, rate_limit: {rate: 1/h, burst: 1}}",
    );
    let proxy = Proxy::start(config);
    let way = TlsCaller::new(&authority, "shop.test").to(proxy.public());
    let told = |path: &str| {
        let response = get(way.address(), path);
        let told = response.headers.all("strict-transport-security").join("|");
        (response.status, told)
    };
    assert_eq!(told("/"), (200, "max-age=31536000".to_owned()));
    assert_eq!(
        told("/own"),
        (200, "max-age=1; includeSubDomains".to_owned())
    );
    assert_eq!(told("/gone").0, 200);
    assert_eq!(told("/gone"), (429, "max-age=31536000".to_owned()));
    proxy.finish();
}
