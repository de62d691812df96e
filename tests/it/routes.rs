//! Which route takes a request, what it makes of it, and that matched, logged and forwarded are one and the same.

use std::net::SocketAddr;

use serde_json::Value;

use super::rig::{Client, Config, Http2Client, Proxy, Response, Upstream, get, get_with};

/// A file with these routes, each of which marks its answers, in front of one upstream.
fn marked(upstream: SocketAddr, routes: &[(&str, &str)]) -> String {
    let mut text = String::from(
        "listeners: [{name: public, address: \"127.0.0.1:0\"}]\nadmin: {address: \"127.0.0.1:0\"}\nroutes:\n",
    );
    for (name, conditions) in routes {
        text.push_str(&format!(
            "  - {{name: {name}, match: {{{conditions}}}, upstream: echo, \
             response_headers: {{set: {{x-route: {name}}}}}}}\n"
        ));
    }
    text.push_str(&format!(
        "upstreams: [{{name: echo, endpoints: [{{address: \"{upstream}\"}}]}}]\n\
         telemetry:\n  access_log: {{output: stdout, format: json, sample: 100%}}\nruntime: {{workers: 2}}\n"
    ));
    text
}

/// The target, a header field and the like, as the echo upstream saw them.
fn echoed(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

fn field<'a>(echo: &'a Value, name: &str) -> Vec<&'a str> {
    let pairs = echo["headers"].as_array().expect("the echo lists fields");
    let named = pairs.iter().filter(|pair| pair[0] == name);
    named.filter_map(|pair| pair[1].as_str()).collect()
}

const ROUTES: &[(&str, &str)] = &[
    ("any", "path: {prefix: /}"),
    ("exact-host", "hosts: [shop.test], path: {prefix: /}"),
    ("wild", "hosts: [\"*.shop.test\"], path: {prefix: /}"),
    (
        "wild-long",
        "hosts: [\"*.eu.shop.test\"], path: {prefix: /}",
    ),
    (
        "wild-deep",
        "hosts: [\"*.shop.test\"], path: {exact: /deep}",
    ),
    ("exact-path", "path: {exact: /a/b}"),
    ("short", "path: {prefix: /a}"),
    ("long", "path: {prefix: /a/b}"),
    ("method", "path: {prefix: /a}, methods: [POST, PUT]"),
    (
        "header",
        "path: {prefix: /a}, methods: [GET, POST], headers: {x-tier: gold}",
    ),
    (
        "query",
        "path: {prefix: /a}, methods: [GET, HEAD], query: {v: \"2\"}",
    ),
    (
        "regex",
        "hosts: [regex.test], path: {regex: \"^/v[0-9]+/\"}",
    ),
    ("regex-prefix", "hosts: [regex.test], path: {prefix: /v2}"),
];

/// Host, method, target, fields, and the route that takes it.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

const CASES: &[Case] = &[
    ("other.test", "GET", "/", &[], "any"),
    ("shop.test", "GET", "/", &[], "exact-host"),
    ("SHOP.test.:8080", "GET", "/", &[], "exact-host"),
    ("x.shop.test", "GET", "/", &[], "wild"),
    ("y.x.shop.test", "GET", "/", &[], "wild"),
    ("x.eu.shop.test", "GET", "/", &[], "wild-long"),
    ("eu.shop.test", "GET", "/", &[], "wild"),
    ("x.eu.shop.test", "GET", "/deep", &[], "wild-long"),
    ("x.shop.test", "GET", "/deep", &[], "wild-deep"),
    ("myshop.test", "GET", "/", &[], "any"),
    // A host decides before any path: /a/b of another host is not reached.
    ("shop.test", "GET", "/a/b", &[], "exact-host"),
    ("other.test", "GET", "/a/b", &[], "exact-path"),
    ("other.test", "GET", "/a/b?x=1", &[], "exact-path"),
    ("other.test", "GET", "/a/b/", &[], "long"),
    ("other.test", "GET", "/a/b/c", &[], "long"),
    ("other.test", "GET", "/a/bc", &[], "short"),
    ("other.test", "GET", "/a", &[], "short"),
    ("other.test", "GET", "/ab", &[], "any"),
    ("other.test", "POST", "/a/x", &[], "method"),
    ("other.test", "PATCH", "/a/x", &[], "short"),
    ("other.test", "GET", "/a/x", &[("x-tier", "gold")], "header"),
    (
        "other.test",
        "GET",
        "/a/x",
        &[("x-tier", "golden")],
        "short",
    ),
    (
        "other.test",
        "PATCH",
        "/a/x",
        &[("x-tier", "gold")],
        "short",
    ),
    (
        "other.test",
        "POST",
        "/a/x",
        &[("x-tier", "gold")],
        "header",
    ),
    ("other.test", "GET", "/a/x?v=2", &[], "query"),
    ("other.test", "GET", "/a/x?w=1&v=%32", &[], "query"),
    ("other.test", "GET", "/a/x?v=22", &[], "short"),
    (
        "other.test",
        "GET",
        "/a/x?v=2",
        &[("x-tier", "gold")],
        "header",
    ),
    ("regex.test", "GET", "/v7/x", &[], "regex"),
    ("regex.test", "GET", "/v2/x", &[], "regex-prefix"),
    ("regex.test", "GET", "/vx/x", &[], "any"),
];

#[test]
fn the_most_specific_route_wins_wherever_it_stands() {
    let upstream = Upstream::echo();
    let mut backwards = ROUTES.to_vec();
    backwards.reverse();
    for routes in [ROUTES, &backwards] {
        let proxy = Proxy::start(marked(upstream.address(), routes));
        let mut client = Client::connect(proxy.public());
        for (host, method, target, fields, expected) in CASES {
            let mut fields = fields.to_vec();
            fields.push(("host", host));
            client.request(method, target, &fields, "");
            let response = client.read_response_to(method);
            assert_eq!(
                response.header("x-route"),
                Some(*expected),
                "{method} {host} {target} {fields:?}"
            );
        }
        let lines = proxy.wait_log_lines(CASES.len());
        for ((.., expected), line) in CASES.iter().zip(lines) {
            assert_eq!(line["route"], *expected);
        }
        proxy.finish();
    }
}

#[test]
fn http2_requests_are_routed_alike() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start(marked(upstream.address(), ROUTES));
    let client = Http2Client::connect(proxy.public());
    for (host, method, target, fields, expected) in CASES {
        let mut fields = fields.to_vec();
        fields.push(("host", host));
        let response = client.request(method, target, &fields, b"", &[]);
        let response = response.expect("it is answered");
        assert_eq!(
            response.header("x-route"),
            Some(*expected),
            "{method} {host} {target} {fields:?}"
        );
    }
    drop(client);
    proxy.finish();
}

#[test]
fn metrics_name_the_route_and_the_pattern_of_its_path() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start(marked(upstream.address(), ROUTES));
    for (host, target) in [
        ("a.test", "/a/b"),
        ("a.test", "/a/b/c"),
        ("regex.test", "/v1/x"),
    ] {
        get_with(proxy.public(), target, &[("host", host)]);
    }
    let count = |route, pattern| {
        let labels = [
            ("route", route),
            ("http_route", pattern),
            ("http_request_method", "GET"),
            ("http_response_status_code", "200"),
            ("outcome", "served"),
        ];
        let metrics = proxy.metrics();
        metrics.sum("http_server_request_duration_seconds_count", &labels)
    };
    proxy.wait_until("each is counted under its route", || {
        count("exact-path", "/a/b") == 1.0
            && count("long", "/a/b") == 1.0
            && count("regex", "^/v[0-9]+/") == 1.0
    });
    proxy.finish();
}

#[test]
fn what_no_route_takes_is_404_and_counted_as_unmatched() {
    let upstream = Upstream::echo();
    let routes = [
        ("shop", "hosts: [shop.test], path: {prefix: /api}"),
        ("post", "path: {exact: /only-post}, methods: [POST]"),
    ];
    let proxy = Proxy::start(marked(upstream.address(), &routes));
    let asked = [
        ("other.test", "/api"),
        ("shop.test", "/"),
        ("shop.test", "/apis"),
        ("shop.test", "/only-post"),
    ];
    for (host, target) in asked {
        let response = get_with(proxy.public(), target, &[("host", host)]);
        assert_eq!(response.status, 404, "{host}{target}");
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
        let status = response.header("proxy-status").unwrap_or_default();
        assert!(status.contains("error=destination_not_found"), "{status}");
        let problem = response.json();
        assert_eq!(problem["outcome"], "destination_not_found");
        assert_eq!(problem["status"], 404);
        assert_eq!(
            response.header("x-request-id"),
            problem["trace_id"].as_str()
        );
        assert!(!response.text().contains("shop"), "{}", response.text());
    }
    assert_eq!(upstream.request_count(), 0);
    for line in proxy.wait_log_lines(asked.len()) {
        assert_eq!(line["outcome"], "destination_not_found");
        assert_eq!(line["side"], "proxy");
        assert_eq!(line["status"], 404);
        assert!(line.get("upstream").is_none(), "{line}");
    }
    let labels = [
        ("route", "_unmatched"),
        ("outcome", "destination_not_found"),
        ("http_response_status_code", "404"),
    ];
    let count = || {
        let metrics = proxy.metrics();
        metrics.sum("http_server_request_duration_seconds_count", &labels)
    };
    proxy.wait_until("they are counted", || count() == asked.len() as f64);
    proxy.finish();
}

#[test]
fn one_path_is_matched_logged_and_forwarded() {
    let upstream = Upstream::echo();
    let routes = [
        ("admin", "path: {prefix: /admin}"),
        ("any", "path: {prefix: /}"),
    ];
    let proxy = Proxy::start(marked(upstream.address(), &routes));
    let cases = [
        ("/admin/x", "/admin/x", "", "admin"),
        ("/public/../admin/x", "/admin/x", "", "admin"),
        (
            "/public/%2e%2E/admin/x?q=../%41",
            "/admin/x",
            "q=../%41",
            "admin",
        ),
        ("//admin/x", "/admin/x", "", "admin"),
        ("/./admin/./x", "/admin/x", "", "admin"),
        ("/%61dmin/%78", "/admin/x", "", "admin"),
        ("/admin%2fx", "/admin%2Fx", "", "any"),
        ("/Admin", "/Admin", "", "any"),
        ("/admin/..", "/", "", "any"),
        ("/%c3%a9%7e?a=%7e", "/%C3%A9~", "a=%7e", "any"),
        ("/a;v=1/b", "/a;v=1/b", "", "any"),
        ("/%252e%252e/admin", "/%252e%252e/admin", "", "any"),
    ];
    for (target, path, query, route) in cases {
        let response = get(proxy.public(), target);
        assert_eq!(response.header("x-route"), Some(route), "{target}");
        let forwarded = if query.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{query}")
        };
        assert_eq!(echoed(&response)["target"], forwarded.as_str(), "{target}");
    }
    let lines = proxy.wait_log_lines(cases.len());
    for ((target, path, query, route), line) in cases.iter().zip(lines) {
        assert_eq!(line["path"], *path, "{target}");
        assert_eq!(
            line["query"].as_str().unwrap_or_default(),
            *query,
            "{target}"
        );
        assert_eq!(line["route"], *route, "{target}");
    }
    for junk in [
        "/..",
        "/a/../../b",
        "/%00",
        "/%",
        "/%4",
        "/a%2f..%2fb/..%2f",
        "/..;x/admin",
        "/%5c../admin",
    ] {
        let response = get(proxy.public(), junk);
        assert_eq!(response.status, 400, "{junk}");
        assert_eq!(response.json()["outcome"], "http_request_error", "{junk}");
    }
    assert_eq!(upstream.request_count(), cases.len());
    proxy.finish();
}

#[test]
fn a_rewrite_changes_what_goes_up_and_not_what_is_logged() {
    let upstream = Upstream::echo();
    let config = Config::new(upstream.address()).more_routes(
        "
        - {name: strip, match: {path: {prefix: /strip/it}}, upstream: web, rewrite: {strip_prefix: /strip}}
        - {name: strip-all, match: {path: {prefix: /gone}}, upstream: web, rewrite: {strip_prefix: /gone}}
        - {name: put, match: {path: {prefix: /old/}}, upstream: web, rewrite: {prefix: /new/v2}}
        - {name: host, match: {path: {prefix: /host}}, upstream: web, rewrite: {host: internal.test}}
        ",
    );
    let proxy = Proxy::start(config);
    let cases = [
        ("/strip/it/now?a=1", "/it/now?a=1", "test"),
        ("/strip/it", "/it", "test"),
        ("/strip", "/strip", "test"),
        ("/gone", "/", "test"),
        ("/gone?a", "/?a", "test"),
        ("/gone/x", "/x", "test"),
        ("/old/x", "/new/v2/x", "test"),
        ("/host/x", "/host/x", "internal.test"),
    ];
    for (target, forwarded, host) in cases {
        let echo = echoed(&get(proxy.public(), target));
        assert_eq!(echo["target"], forwarded, "{target}");
        assert_eq!(field(&echo, "host"), [host], "{target}");
        assert_eq!(field(&echo, "x-forwarded-host"), ["test"], "{target}");
    }
    for ((target, ..), line) in cases.iter().zip(proxy.wait_log_lines(cases.len())) {
        let path = target.split('?').next().unwrap_or_default();
        assert_eq!(line["path"], path);
        assert_eq!(line["host"], "test");
    }
    proxy.finish();
}

#[test]
fn header_fields_are_edited_both_ways() {
    let upstream = Upstream::answering(|request| {
        let mut bytes = format!(
            "HTTP/1.1 200 OK\r\nserver: secret/1.0\r\nx-kept: yes\r\nx-twice: 1\r\nx-twice: 2\r\n\
             x-set: upstream\r\ncontent-length: {}\r\n\r\n",
            request.raw_head.len()
        )
        .into_bytes();
        bytes.extend_from_slice(&request.raw_head);
        bytes
    });
    let config = Config::new(upstream.address())
        .route("request_headers: {set: {x-team: shop, x-forwarded-proto: https}, remove: [x-internal, via]}")
        .route("response_headers: {set: {x-served-by: sightglass, x-set: proxy}, remove: [server, x-twice]}");
    let proxy = Proxy::start(config);
    let fields = [
        ("x-team", "forged"),
        ("x-team", "again"),
        ("x-internal", "1"),
        ("x-internal", "2"),
        ("x-other", "kept"),
    ];
    let response = get_with(proxy.public(), "/", &fields);
    let seen = upstream.only_request().headers;
    assert_eq!(seen.all("x-team"), ["shop"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.all("x-other"), ["kept"]);
    assert!(
        !seen.contains("x-internal") && !seen.contains("via"),
        "{seen:?}"
    );
    assert_eq!(response.headers.all("x-served-by"), ["sightglass"]);
    assert_eq!(response.headers.all("x-set"), ["proxy"]);
    assert_eq!(response.headers.all("x-kept"), ["yes"]);
    assert!(!response.headers.contains("server") && !response.headers.contains("x-twice"));
    proxy.finish();
}

#[test]
fn a_split_shares_the_traffic_by_weight() {
    let (old, new) = (Upstream::ok("old"), Upstream::ok("new"));
    let config = Config::new(old.address())
        .more_upstreams(&format!(
            "- {{name: next, endpoints: [{{address: \"{}\"}}]}}",
            new.address()
        ))
        .more_routes(
            "- {name: canary, match: {path: {prefix: /canary}}, \
             split: [{upstream: web, weight: 9}, {upstream: next, weight: 1}]}",
        );
    let proxy = Proxy::start(config);
    let mut client = Client::connect(proxy.public());
    const REQUESTS: usize = 400;
    for _ in 0..REQUESTS {
        client.request("GET", "/canary", &[], "");
        assert_eq!(client.read_response().status, 200);
    }
    let share = new.request_count();
    // 40 are due, with a standard deviation of 6.
    assert!((10..=75).contains(&share), "{share} of {REQUESTS}");
    assert_eq!(old.request_count() + share, REQUESTS);
    let lines = proxy.wait_log_lines(REQUESTS);
    let logged = lines.iter().filter(|line| line["upstream"] == "next");
    assert_eq!(logged.count(), share);
    proxy.finish();
}
