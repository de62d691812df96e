//! Which request this is, who sent it, and whether it has been here before.

use serde_json::Value;

use super::super::rig::{Config, Headers, Proxy, Upstream, get, get_with};

/// The address of a client that only a trusted proxy can tell.
const FAR: &str = "203.0.113.7";

fn is_trace_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[test]
fn a_request_id_goes_up_and_back() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let longest = "~".repeat(128);
    for id in ["mine-1", longest.as_str()] {
        let response = get_with(proxy.public(), "/", &[("X-Request-ID", id)]);
        assert_eq!(response.headers.all("x-request-id"), [id]);
    }
    let seen = upstream.all_requests();
    assert_eq!(seen[0].headers.all("x-request-id"), ["mine-1"]);
    assert_eq!(seen[1].headers.all("x-request-id"), [longest.as_str()]);
    let lines = proxy.wait_log_lines(2);
    assert_eq!(lines[0]["request_id"], "mine-1");
    proxy.finish();
}

#[test]
fn without_a_valid_request_id_the_trace_id_serves() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let long = "x".repeat(129);
    let sent: [&[(&str, &str)]; 5] = [
        &[],
        &[("x-request-id", "")],
        &[("x-request-id", "two words")],
        &[("x-request-id", &long)],
        &[("x-request-id", "one"), ("x-request-id", "two")],
    ];
    for fields in sent {
        let response = get_with(proxy.public(), "/", fields);
        let ids = response.headers.all("x-request-id");
        assert!(ids.len() == 1 && is_trace_id(ids[0]), "{fields:?}: {ids:?}");
        let seen = upstream.all_requests().pop().expect("it came through");
        assert_eq!(seen.headers.all("x-request-id"), ids, "{fields:?}");
    }
    for (line, request) in proxy
        .wait_log_lines(sent.len())
        .iter()
        .zip(upstream.all_requests())
    {
        assert_eq!(line["request_id"], line["trace_id"]);
        assert_eq!(
            request.headers.get("x-request-id"),
            line["trace_id"].as_str()
        );
    }
    proxy.finish();
}

#[test]
fn errors_carry_the_request_id_too() {
    let dead = Upstream::refuse();
    let proxy = Proxy::start(Config::new(dead.address()));
    let response = get_with(proxy.public(), "/", &[("x-request-id", "mine")]);
    assert_eq!(response.status, 502);
    assert_eq!(response.headers.all("x-request-id"), ["mine"]);
    // Refused before it is routed.
    let response = get_with(proxy.public(), "/%zz", &[("x-request-id", "mine")]);
    assert_eq!(response.status, 400);
    assert_eq!(response.headers.all("x-request-id"), ["mine"]);
    let response = get(proxy.public(), "/%zz");
    assert_eq!(
        response.header("x-request-id"),
        response.json()["trace_id"].as_str()
    );
    proxy.finish();
}

#[test]
fn switched_off_a_request_id_is_a_field_like_any_other() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).listener("request_id: false"));
    let plain = get(proxy.public(), "/");
    let own = get_with(proxy.public(), "/", &[("x-request-id", "two words")]);
    assert!(!plain.headers.contains("x-request-id") && !own.headers.contains("x-request-id"));
    let seen = upstream.all_requests();
    assert!(!seen[0].headers.contains("x-request-id"));
    assert_eq!(seen[1].headers.all("x-request-id"), ["two words"]);
    let lines = proxy.wait_log_lines(2);
    assert!(lines[0].get("request_id").is_none(), "{}", lines[0]);
    proxy.finish();
}

/// What a peer says about the client, and what it may not.
const SAID: [(&str, &str); 8] = [
    ("x-forwarded-for", "198.51.100.1, 203.0.113.7, 127.0.0.9"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "shop.test"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-prefix", "/x"),
    ("x-real-ip", "198.51.100.1"),
    ("forwarded", "for=198.51.100.1;proto=https"),
    ("via", "1.1 cdn"),
];

fn check_via(seen: &Headers, before: &str) {
    let via = seen.all("via").join(", ");
    let own = via.strip_prefix(before).unwrap_or_else(|| panic!("{via}"));
    assert!(own.starts_with("1.1 sightglass"), "{via}");
}

#[test]
fn a_stranger_says_nothing_about_who_it_is() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    get_with(proxy.public(), "/", &SAID);
    let seen = upstream.only_request().headers;
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.all("x-forwarded-host"), ["test"]);
    assert_eq!(
        seen.all("forwarded"),
        ["for=127.0.0.1;host=test;proto=http"]
    );
    for name in ["x-forwarded-port", "x-forwarded-prefix", "x-real-ip"] {
        assert!(!seen.contains(name), "{name}: {seen:?}");
    }
    check_via(&seen, "1.1 cdn, ");
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["client"], "127.0.0.1");
    assert!(
        line["peer"]
            .as_str()
            .is_some_and(|peer| peer.starts_with("127.0.0.1:"))
    );
    proxy.finish();
}

#[test]
fn a_trusted_peer_is_believed_up_to_the_first_stranger() {
    let upstream = Upstream::ok("hello");
    let config = Config::new(upstream.address()).listener("trusted_proxies: [127.0.0.0/8]");
    let proxy = Proxy::start(config);
    get_with(proxy.public(), "/", &SAID);
    let seen = upstream.only_request().headers;
    assert_eq!(
        seen.all("x-forwarded-for"),
        ["198.51.100.1, 203.0.113.7, 127.0.0.9, 127.0.0.1"]
    );
    assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.all("x-forwarded-host"), ["shop.test"]);
    assert_eq!(
        seen.all("forwarded"),
        ["for=198.51.100.1;proto=https, for=127.0.0.1;host=test;proto=http"]
    );
    check_via(&seen, "1.1 cdn, ");
    assert_eq!(proxy.wait_log_lines(1)[0]["client"], FAR);
    proxy.finish();
}

#[test]
fn the_client_is_found_in_every_form_of_the_lists() {
    let upstream = Upstream::ok("hello");
    let config = Config::new(upstream.address())
        .listener("trusted_proxies: [127.0.0.0/8, \"2001:db8::/32\"]");
    let proxy = Proxy::start(config);
    let cases: [(&[(&str, &str)], &str); 8] = [
        (&[], "127.0.0.1"),
        (&[("x-forwarded-for", "203.0.113.7:4711")], FAR),
        (
            &[
                ("x-forwarded-for", "198.51.100.1"),
                ("x-forwarded-for", "203.0.113.7"),
            ],
            FAR,
        ),
        (&[("x-forwarded-for", "198.51.100.1, unknown")], "127.0.0.1"),
        (&[("x-forwarded-for", "203.0.113.7, 2001:db8::1")], FAR),
        (
            &[(
                "forwarded",
                "for=198.51.100.1, for=\"203.0.113.7:81\";proto=http",
            )],
            FAR,
        ),
        (&[("forwarded", "For=\"[2001:db9::7]\"")], "2001:db9::7"),
        (
            &[
                ("x-forwarded-for", "203.0.113.7"),
                ("forwarded", "for=198.51.100.1"),
            ],
            FAR,
        ),
    ];
    for (fields, _) in cases {
        get_with(proxy.public(), "/", fields);
    }
    let lines = proxy.wait_log_lines(cases.len());
    for ((fields, client), line) in cases.iter().zip(lines) {
        assert_eq!(line["client"], *client, "{fields:?}");
    }
    proxy.finish();
}

#[test]
fn a_request_that_comes_back_is_a_loop() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    get(proxy.public(), "/");
    let via = upstream
        .only_request()
        .headers
        .get("via")
        .map(str::to_owned);
    let via = via.expect("the proxy signs what it forwards");

    for back in [via.clone(), format!("1.0 a, {via}, 1.1 b")] {
        let response = get_with(proxy.public(), "/", &[("via", &back)]);
        assert_eq!(response.status, 502, "{back}");
        assert_eq!(response.json()["outcome"], "proxy_loop_detected");
        let status = response.header("proxy-status").unwrap_or_default();
        assert!(status.contains("error=proxy_loop_detected"), "{status}");
    }
    // Another sightglass in the chain is no loop.
    let (protocol, name) = via.split_once(' ').expect("protocol and name");
    let other = format!("{protocol} sightglass-00000000, {protocol} {name}x");
    assert_eq!(
        get_with(proxy.public(), "/", &[("via", &other)]).status,
        200
    );
    assert_eq!(upstream.request_count(), 2);
    let lines = proxy.wait_log_lines(4);
    let is_loop = |line: &&Value| line["outcome"] == "proxy_loop_detected";
    assert_eq!(lines.iter().filter(is_loop).count(), 2);
    proxy.finish();
}

#[test]
fn an_upstream_that_leads_back_here_is_found_out() {
    let elsewhere = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(elsewhere.address()));
    // The same file with itself as the upstream: the name in Via outlives a reload.
    proxy.write_config(Config::new(proxy.public()));
    proxy.signal("HUP");
    proxy.wait_until("the file is taken up", || {
        proxy.metrics().get("sightglass_config_generation", &[]) == Some(2.0)
    });
    let response = get(proxy.public(), "/");
    assert_eq!(response.status, 502);
    // The outer exchange was answered by the inner one, whose refusal it hands on.
    let outcomes: Vec<_> = proxy
        .wait_log_lines(2)
        .iter()
        .map(|line| line["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["served", "proxy_loop_detected"]);
    proxy.finish();
}
