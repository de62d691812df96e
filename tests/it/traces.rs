//! Traces: spans as the contract has them, the context in and out, what is kept, and our own work.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use super::rig::{
    Client, Collector, Config, Http2Answer, Http2Client, Http2Upstream, Kind, Proxy, Script, Span,
    SpanStatus, Upstream, get, get_with, reply,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// The keys of every SERVER span.
const SERVER_KEYS: [&str; 14] = [
    "client.address",
    "http.request.method",
    "http.response.status_code",
    "network.peer.address",
    "network.peer.port",
    "network.protocol.version",
    "server.address",
    "server.port",
    "sightglass.config.generation",
    "sightglass.outcome",
    "sightglass.sampling.reason",
    "sightglass.sampling.weight",
    "url.path",
    "url.scheme",
];

/// The keys of every CLIENT span that had an answer.
const CLIENT_KEYS: [&str; 11] = [
    "http.request.method",
    "http.response.status_code",
    "network.peer.address",
    "network.peer.port",
    "network.protocol.version",
    "server.address",
    "server.port",
    "sightglass.attempt",
    "sightglass.connection.reused",
    "sightglass.upstream",
    "url.full",
];

/// Runs it with short batches, so that tests need not wait for them.
fn start(config: impl ToString) -> Proxy {
    start_with(config, &[])
}

fn start_with(config: impl ToString, variables: &[(&str, &str)]) -> Proxy {
    Proxy::start_with(config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
        command.envs(variables.iter().copied());
    })
}

/// Every trace to this collector, with more keys of `traces`.
fn traces(collector: &Collector, protocol: &str, more: &str) -> String {
    format!(
        "traces: {{otlp: {{endpoint: \"{}\", protocol: {protocol}}}{more}}}",
        collector.url()
    )
}

/// The only exchange that has come so far, with its attempts.
fn only_exchange(collector: &Collector, proxy: &Proxy) -> (Span, Vec<Span>) {
    proxy.wait_until("the exchange's span", || !collector.exchanges().is_empty());
    let exchanges = collector.exchanges();
    assert_eq!(exchanges.len(), 1, "{exchanges:#?}");
    (exchanges[0].clone(), collector.attempts())
}

fn keys(span: &Span) -> BTreeSet<&str> {
    span.attributes.keys().map(String::as_str).collect()
}

fn with<'a>(keys: &[&'a str], more: &[&'a str]) -> BTreeSet<&'a str> {
    keys.iter().chain(more).copied().collect()
}

/// Trace id, span id and flags of a valid `traceparent`.
fn parts(traceparent: &str) -> (String, String, String) {
    let parts: Vec<&str> = traceparent.split('-').collect();
    let [version, trace, span, flags] = parts[..] else {
        panic!("not a traceparent: {traceparent:?}");
    };
    assert_eq!((version, trace.len(), span.len()), ("00", 32, 16));
    (trace.to_owned(), span.to_owned(), flags.to_owned())
}

#[test]
fn an_exchange_is_a_server_span_and_each_attempt_a_client_span_over_both_protocols() {
    for protocol in ["grpc", "http"] {
        let collector = Collector::start();
        let script = || Script::new().read_head().read_body();
        let upstream = Upstream::requests([
            script().send(reply(503, &[], "no")),
            script().send(reply(200, &[], "yes")),
        ]);
        let config = Config::new(upstream.address())
            .route("retry: {attempts: 2, when: [503]}")
            .telemetry(&traces(&collector, protocol, ""))
            .telemetry("service_name: shop-edge");
        let proxy = start(config);
        let mut client = Client::connect(proxy.public());
        let path = "/a/b?x=1&token=hush";
        client.request(
            "GET",
            path,
            &[("host", "shop.test:8080"), ("user-agent", "rig/1")],
            b"",
        );
        assert_eq!(client.read_response().text(), "yes");
        let (server, clients) = only_exchange(&collector, &proxy);

        assert_eq!((server.name.as_str(), server.kind), ("GET /", Kind::Server));
        assert_eq!(server.parent_span_id, "");
        assert_eq!(server.status, SpanStatus::Unset);
        let more = [
            "http.route",
            "sightglass.route",
            "url.query",
            "user_agent.original",
        ];
        assert_eq!(keys(&server), with(&SERVER_KEYS, &more));
        for (key, value) in [
            ("http.request.method", json!("GET")),
            ("url.scheme", json!("http")),
            ("url.path", json!("/a/b")),
            ("url.query", json!("x=1&token=REDACTED")),
            ("server.address", json!("shop.test")),
            ("server.port", json!(8080)),
            ("client.address", json!("127.0.0.1")),
            ("network.peer.address", json!("127.0.0.1")),
            ("network.peer.port", json!(client.address().port())),
            ("network.protocol.version", json!("1.1")),
            ("user_agent.original", json!("rig/1")),
            ("http.route", json!("/")),
            ("sightglass.route", json!("web")),
            ("http.response.status_code", json!(200)),
            ("sightglass.outcome", json!("served")),
            ("sightglass.sampling.reason", json!("retried")),
            ("sightglass.sampling.weight", json!(1.0)),
            ("sightglass.config.generation", json!(1)),
        ] {
            assert_eq!(server.attributes[key], value, "{key}");
        }
        assert_eq!(server.resource["service.name"], "shop-edge");

        let [first, second] = &clients[..] else {
            panic!("two attempts: {clients:#?}");
        };
        assert_eq!(keys(first), with(&CLIENT_KEYS, &["error.type"]));
        assert_eq!(
            keys(second),
            with(&CLIENT_KEYS, &["http.request.resend_count"])
        );
        assert_eq!(
            (first.status, second.status),
            (SpanStatus::Error, SpanStatus::Unset)
        );
        let address = upstream.address();
        for (span, key, value) in [
            (first, "error.type", json!("503")),
            (first, "http.response.status_code", json!(503)),
            (first, "sightglass.attempt", json!(1)),
            (first, "sightglass.connection.reused", json!(false)),
            (second, "http.request.resend_count", json!(1)),
            (second, "http.response.status_code", json!(200)),
            (second, "sightglass.attempt", json!(2)),
        ] {
            assert_eq!(span.attributes[key], value, "{key}");
        }
        let seen = upstream.all_requests();
        for (span, request) in [first, second].into_iter().zip(&seen) {
            assert_eq!((span.name.as_str(), span.kind), ("GET", Kind::Client));
            assert_eq!(span.trace_id, server.trace_id);
            assert_eq!(span.parent_span_id, server.span_id);
            for (key, value) in [
                ("http.request.method", json!("GET")),
                ("server.address", json!("127.0.0.1")),
                ("server.port", json!(address.port())),
                ("network.peer.address", json!("127.0.0.1")),
                ("network.peer.port", json!(address.port())),
                (
                    "url.full",
                    json!(format!("http://{address}/a/b?x=1&token=REDACTED")),
                ),
                ("network.protocol.version", json!("1.1")),
                ("sightglass.upstream", json!("web")),
            ] {
                assert_eq!(span.attributes[key], value, "{key}");
            }
            let traceparent = request.headers.get("traceparent").unwrap_or_default();
            let (trace, parent, flags) = parts(traceparent);
            assert_eq!(
                (trace, parent),
                (span.trace_id.clone(), span.span_id.clone())
            );
            assert_eq!(flags, "03", "sampled, and our id is random");
            assert!(server.start <= span.start && span.end <= server.end);
        }
        assert!(first.end <= second.start);
        proxy.finish_traced(&collector);
    }
}

#[test]
fn the_phases_of_an_attempt_are_its_events_in_order() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let proxy = start(Config::new(upstream.address()).traces(collector.address()));
    let mut client = Client::connect(proxy.public());
    client.request("POST", "/", &[], "a body");
    assert_eq!(client.read_response().status, 200);
    let (_, attempts) = only_exchange(&collector, &proxy);
    let [attempt] = &attempts[..] else {
        panic!("one attempt: {attempts:#?}");
    };
    let names = attempt.event_names();
    for name in ["pick", "connect", "wait", "body_upstream"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let times: Vec<u64> = attempt.events.iter().map(|event| event.time).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(
        times
            .iter()
            .all(|time| (attempt.start..=attempt.end).contains(time))
    );
    proxy.finish_traced(&collector);
}

#[test]
fn an_error_is_one_where_the_contract_says_so() {
    struct Case {
        upstream: Upstream,
        status: u16,
        server: (SpanStatus, Option<&'static str>),
        client: (SpanStatus, Option<&'static str>),
    }
    let half = || {
        Upstream::script(
            Script::new()
                .read_head()
                .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
                .close(),
        )
    };
    let (unset, error) = (SpanStatus::Unset, SpanStatus::Error);
    let cases = [
        Case {
            upstream: Upstream::status(404),
            status: 404,
            server: (unset, None),
            client: (error, Some("404")),
        },
        Case {
            upstream: Upstream::status(500),
            status: 500,
            server: (error, Some("500")),
            client: (error, Some("500")),
        },
        Case {
            upstream: Upstream::refuse(),
            status: 502,
            server: (error, Some("connection_refused")),
            client: (error, Some("connection_refused")),
        },
        Case {
            upstream: half(),
            status: 200,
            server: (error, Some("http_response_incomplete")),
            client: (error, Some("http_response_incomplete")),
        },
    ];
    for case in cases {
        let collector = Collector::start();
        let proxy = start(Config::new(case.upstream.address()).traces(collector.address()));
        let mut client = Client::connect(proxy.public());
        client.request("GET", "/", &[], b"");
        let answer = client.try_read_response("GET");
        assert_eq!(answer.is_err(), case.status == 200, "{answer:?}");
        let (server, clients) = only_exchange(&collector, &proxy);
        let client = &clients[0];
        let said = |span: &Span| (span.status, span.text("error.type").map(str::to_owned));
        let wanted = |(status, text): (SpanStatus, Option<&str>)| (status, text.map(str::to_owned));
        assert_eq!(said(&server), wanted(case.server), "{}", case.status);
        assert_eq!(said(client), wanted(case.client), "{}", case.status);
        assert_eq!(
            server.integer("http.response.status_code"),
            Some(case.status.into())
        );
        if case.status == 502 {
            assert_eq!(client.integer("http.response.status_code"), None);
            assert_eq!(client.text("network.peer.address"), None);
            assert_eq!(server.event_names(), ["sightglass.fault"]);
        }
        proxy.finish_traced(&collector);
    }
}

#[test]
fn what_no_route_takes_has_a_span_of_its_method_alone() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address()).traces(collector.address());
    let config = config.to_string().replacen("prefix: /", "prefix: /only", 1);
    let proxy = start(config);
    assert_eq!(get(proxy.public(), "/else").status, 404);
    let (server, clients) = only_exchange(&collector, &proxy);
    assert_eq!(server.name, "GET");
    assert_eq!(
        keys(&server),
        with(&SERVER_KEYS, &["error.type"]),
        "no route, and no error of ours"
    );
    assert_eq!(server.text("error.type"), Some("destination_not_found"));
    assert_eq!((server.status, clients.len()), (SpanStatus::Unset, 0));
    proxy.finish_traced(&collector);
}

#[test]
fn a_method_that_nobody_registered_is_other_and_told_as_it_was() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("tea"));
    let proxy = start(Config::new(upstream.address()).traces(collector.address()));
    let mut client = Client::connect(proxy.public());
    client.request("BREW", "/pot", &[], b"");
    assert_eq!(client.read_response().status, 200);
    let (server, clients) = only_exchange(&collector, &proxy);
    assert_eq!(
        (server.name.as_str(), clients[0].name.as_str()),
        ("HTTP /", "HTTP")
    );
    for span in [&server, &clients[0]] {
        assert_eq!(span.text("http.request.method"), Some("_OTHER"));
    }
    assert_eq!(server.text("http.request.method_original"), Some("BREW"));
    proxy.finish_traced(&collector);
}

#[test]
fn http2_and_the_status_of_grpc_are_told_on_both_sides() {
    let collector = Collector::start();
    let upstream = Http2Upstream::answering(|_| {
        let mut answer = Http2Answer::new(200, &[("content-type", "application/grpc")], "");
        let status = http::HeaderValue::from_static("5");
        let name = http::HeaderName::from_static("grpc-status");
        answer.trailers = Some(http::HeaderMap::from_iter([(name, status)]));
        answer
    });
    let config = Config::new(upstream.address())
        .upstream("protocol: http2")
        .traces(collector.address());
    let proxy = start(config);
    let client = Http2Client::connect(proxy.public());
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let answer = client
        .request("POST", "/shop.Cart/Get", &headers, "x", &[])
        .expect("an answer");
    assert_eq!(answer.status, 200);
    let (server, clients) = only_exchange(&collector, &proxy);
    for span in [&server, &clients[0]] {
        assert_eq!(span.text("network.protocol.version"), Some("2"));
    }
    assert_eq!(server.integer("sightglass.grpc_status"), Some(5));
    proxy.finish_traced(&collector);
}

#[test]
fn a_followed_context_goes_on_with_its_state_and_baggage() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let proxy = start(Config::new(upstream.address()).traces(collector.address()));
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let mut client = Client::connect(proxy.public());
    client.request(
        "GET",
        "/",
        &[
            ("traceparent", &traceparent),
            ("tracestate", "b=2,a@x=1"),
            ("tracestate", "c=3"),
            ("baggage", "user=7;p=q"),
        ],
        b"",
    );
    assert_eq!(client.read_response().status, 200);
    let (server, clients) = only_exchange(&collector, &proxy);
    assert_eq!(
        (server.trace_id.as_str(), server.parent_span_id.as_str()),
        (TRACE, PARENT)
    );
    assert!(server.links.is_empty());
    assert_eq!(server.flags & 0xff, 1);
    let request = upstream.only_request();
    let (trace, parent, flags) = parts(request.headers.get("traceparent").unwrap_or_default());
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    assert_eq!(parent, clients[0].span_id);
    let state = request.headers.all("tracestate").join(",");
    assert_eq!(state, "b=2,a@x=1,c=3");
    assert_eq!(request.headers.get("baggage"), Some("user=7;p=q"));
    proxy.finish_traced(&collector);
}

#[test]
fn a_followed_parent_decides_what_is_sampled() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let proxy = start(Config::new(upstream.address()).traces(collector.address()));
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    assert_eq!(
        get_with(proxy.public(), "/", &[("traceparent", &unsampled)]).status,
        200
    );
    let request = upstream.only_request();
    let (trace, _, flags) = parts(request.headers.get("traceparent").unwrap_or_default());
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(
        (&line["sampled"], &line["trace_id"]),
        (&json!(false), &json!(TRACE))
    );
    proxy.finish();
    assert!(collector.exchanges().is_empty());
}

#[test]
fn a_foreign_context_is_a_link_and_goes_no_further() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address())
        .listener("trace_context: none")
        .traces(collector.address());
    let proxy = start(config);
    let traceparent = format!("00-{TRACE}-{PARENT}-00");
    let headers = [
        ("traceparent", traceparent.as_str()),
        ("tracestate", "a=1"),
        ("baggage", "user=7"),
    ];
    assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
    let (server, _) = only_exchange(&collector, &proxy);
    assert_ne!(server.trace_id, TRACE);
    assert_eq!(server.parent_span_id, "");
    let links: Vec<_> = server
        .links
        .iter()
        .map(|link| (link.trace_id.as_str(), link.span_id.as_str()))
        .collect();
    assert_eq!(links, [(TRACE, PARENT)]);
    let request = upstream.only_request();
    let (trace, ..) = parts(request.headers.get("traceparent").unwrap_or_default());
    assert_eq!(trace, server.trace_id);
    for field in ["tracestate", "baggage"] {
        assert!(!request.headers.contains(field), "{field}");
    }
    proxy.finish_traced(&collector);
}

#[test]
fn whose_context_is_followed_is_the_listeners_to_say() {
    let upstream = Upstream::ok("hello");
    let trusted = "\ntrusted_proxies: [127.0.0.0/8]";
    let from_outside = [("x-forwarded-for", "203.0.113.7")];
    for (keys, more, is_followed) in [
        ("trace_context: trusted", &[][..], false),
        (&format!("trace_context: trusted{trusted}"), &[], true),
        ("trace_context: private", &[], true),
        // A stranger's word on where it comes from counts for nothing.
        ("trace_context: private", &from_outside, true),
        ("trace_context: all", &[], true),
        ("trace_context: none", &[], false),
        (&format!("trace_context: none{trusted}"), &[], false),
    ] {
        let proxy = Proxy::start(Config::new(upstream.address()).listener(keys));
        let traceparent = format!("00-{TRACE}-{PARENT}-01");
        let headers = [&[("traceparent", traceparent.as_str())], more].concat();
        assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
        let line = &proxy.wait_log_lines(1)[0];
        assert_eq!(line["trace_id"] == TRACE, is_followed, "{keys}");
        proxy.finish();
    }
}

#[test]
fn a_context_that_is_not_valid_begins_a_new_trace() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let good = format!("00-{TRACE}-{PARENT}-01");
    let upper = good.to_uppercase();
    let all = |text: &str| vec![text.to_owned()];
    let cases: [(Vec<String>, bool); 15] = [
        (all(&good), true),
        // Versions to come are read as far as this one goes.
        (all(&format!("01-{TRACE}-{PARENT}-01")), true),
        (
            all(&format!("cc-{TRACE}-{PARENT}-01-what-comes-later")),
            true,
        ),
        (
            all(&format!("cc-{TRACE}-{PARENT}-01.what-comes-later")),
            false,
        ),
        (all(&format!("ff-{TRACE}-{PARENT}-01")), false),
        (all(&format!("{good}-more")), false),
        (all(&upper), false),
        (all(&format!("00-{}-{PARENT}-01", "0".repeat(32))), false),
        (all(&format!("00-{TRACE}-{}-01", "0".repeat(16))), false),
        (all(&format!("00-{TRACE}-{PARENT}-0x")), false),
        (all(&good[..54]), false),
        (all("nonsense"), false),
        (all(""), false),
        (all(&good.repeat(100)), false),
        (vec![good.clone(), good.clone()], false),
    ];
    for (number, (values, is_followed)) in cases.iter().enumerate() {
        let mut headers: Vec<(&str, &str)> = values
            .iter()
            .map(|value| ("traceparent", value.as_str()))
            .collect();
        headers.push(("tracestate", "a=1"));
        assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
        let request = &upstream.all_requests()[number];
        let sent = request.headers.all("traceparent");
        assert_eq!(sent.len(), 1, "{values:?}: {sent:?}");
        let (trace, parent, _) = parts(sent[0]);
        assert_eq!(trace == TRACE, *is_followed, "{values:?}");
        assert_ne!(parent, PARENT, "{values:?}");
        let state = request.headers.get("tracestate");
        assert_eq!(state, is_followed.then_some("a=1"), "{values:?}");
    }
    proxy.finish();
}

#[test]
fn a_state_that_is_not_valid_is_dropped_and_the_parent_followed() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|number| format!("k{number}=v")).collect();
        members.join(",")
    };
    let long = format!("a={}", "v".repeat(257));
    let (few, too_many) = (many(32), many(33));
    let large = many(32).replace("=v", &format!("={}", "v".repeat(256)));
    let cases = [
        ("a=1", true),
        (few.as_str(), true),
        ("1a-_*/@z=any thing", true),
        (too_many.as_str(), false),
        (large.as_str(), false),
        (long.as_str(), false),
        ("a=1,a=2", false),
        ("A=1", false),
        ("a", false),
        ("=1", false),
        ("a=b=c", false),
        ("", false),
    ];
    for (number, (state, is_passed_on)) in cases.iter().enumerate() {
        let headers = [("traceparent", traceparent.as_str()), ("tracestate", state)];
        assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
        let request = &upstream.all_requests()[number];
        let (trace, ..) = parts(request.headers.get("traceparent").unwrap_or_default());
        assert_eq!(trace, TRACE, "{state:?}");
        let sent = request.headers.get("tracestate");
        assert_eq!(sent, is_passed_on.then_some(*state), "{state:?}");
    }
    proxy.finish();
}

#[test]
fn what_propagation_does_not_name_is_left_alone() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address());
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [("traceparent", traceparent.as_str()), ("baggage", "user=7")];

    let only_context = traces(&collector, "grpc", ", propagation: [tracecontext]");
    let proxy = start(config.clone().telemetry(&only_context));
    assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
    let request = upstream.all_requests()[0].clone();
    assert!(!request.headers.contains("baggage"));
    proxy.finish();

    let only_baggage = traces(&collector, "grpc", ", propagation: [baggage]");
    let proxy = start(config.telemetry(&only_baggage));
    assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
    let request = upstream.all_requests()[1].clone();
    assert_eq!(request.headers.get("traceparent"), Some(&*traceparent));
    assert_eq!(request.headers.get("baggage"), Some("user=7"));
    let line = &proxy.wait_log_lines(1)[0];
    assert_ne!(line["trace_id"], TRACE);
    proxy.finish();
}

#[test]
fn baggage_that_is_too_large_is_dropped_whole() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let large = format!("a={}", "v".repeat(8192));
    for (baggage, is_passed_on) in [("a=1", true), (large.as_str(), false)] {
        let headers = [("traceparent", traceparent.as_str()), ("baggage", baggage)];
        assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
        let request = upstream.all_requests().pop().expect("a request");
        assert_eq!(request.headers.contains("baggage"), is_passed_on);
    }
    proxy.finish();
}

#[test]
fn the_head_share_decides_for_us_and_for_the_services_behind_us() {
    let upstream = Upstream::ok("hello");
    for (share, least, most, weight) in [
        ("0%", 0, 0, 0.0),
        ("100%", 200, 200, 1.0),
        ("50%", 50, 150, 2.0),
    ] {
        let collector = Collector::start();
        let before = upstream.request_count();
        let sample = traces(&collector, "grpc", &format!(", sample: {share}"));
        let proxy = start(Config::new(upstream.address()).telemetry(&sample));
        let mut client = Client::connect(proxy.public());
        for _ in 0..200 {
            client.request("GET", "/", &[], b"");
            assert_eq!(client.read_response().status, 200);
        }
        let lines = proxy.wait_log_lines(200);
        proxy.finish();
        let requests = upstream.all_requests().split_off(before);
        let sampled: BTreeSet<String> = requests
            .iter()
            .map(|request| parts(request.headers.get("traceparent").unwrap_or_default()))
            .filter(|(_, _, flags)| flags == "03")
            .map(|(trace, ..)| trace)
            .collect();
        assert!(
            (least..=most).contains(&sampled.len()),
            "{share}: {}",
            sampled.len()
        );
        let spans = collector.exchanges();
        let exported = spans.iter().map(|span| span.trace_id.clone()).collect();
        assert_eq!(sampled, exported, "{share}");
        let logged = lines
            .iter()
            .filter(|line| line["sampled"] == true)
            .map(|line| line["trace_id"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(sampled, logged, "{share}");
        for span in spans {
            assert_eq!(span.text("sightglass.sampling.reason"), Some("head"));
            assert_eq!(span.attributes["sightglass.sampling.weight"], json!(weight));
        }
    }
}

#[test]
fn a_rule_keeps_what_the_share_would_not() {
    let collector = Collector::start();
    let script = || Script::new().read_head();
    let fast = script().send(reply(200, &[], ""));
    let upstream = Upstream::requests([
        fast.clone(),
        script().send(reply(500, &[], "")),
        script()
            .pause(Duration::from_millis(150))
            .send(reply(200, &[], "")),
        script().send(reply(503, &[], "")),
        fast,
    ]);
    let keep = ", sample: 0%, keep: {slower_than: 100ms}";
    let config = Config::new(upstream.address())
        .route("retry: {attempts: 2, when: [503]}")
        .telemetry(&traces(&collector, "grpc", keep));
    let proxy = start(config);
    let mut client = Client::connect(proxy.public());
    for status in [200, 500, 200, 200] {
        client.request("GET", "/", &[], b"");
        assert_eq!(client.read_response().status, status);
    }
    let lines = proxy.wait_log_lines(4);
    let kept: Vec<bool> = lines.iter().map(|line| line["sampled"] == true).collect();
    assert_eq!(kept, [false, true, true, true]);
    proxy.finish();
    let reasons: Vec<_> = collector
        .exchanges()
        .iter()
        .map(|span| span.text("sightglass.sampling.reason").map(str::to_owned))
        .collect();
    let wanted = ["error", "slow", "retried"].map(|reason| Some(reason.to_owned()));
    assert_eq!(reasons, wanted);
    // The head's word went upstream before anybody knew.
    let flags = |request: &super::rig::Request| {
        parts(request.headers.get("traceparent").unwrap_or_default()).2
    };
    let flags: BTreeSet<String> = upstream.all_requests().iter().map(flags).collect();
    assert_eq!(flags, BTreeSet::from(["02".to_owned()]));
}

#[test]
fn a_rule_that_is_off_keeps_nothing() {
    let (collector, upstream) = (Collector::start(), Upstream::status(500));
    let keep = ", sample: 0%, keep: {errors: false, retried: false}";
    let config = Config::new(upstream.address())
        .route("retry: {attempts: 2, when: [500]}")
        .telemetry(&traces(&collector, "grpc", keep));
    let proxy = start(config);
    assert_eq!(get(proxy.public(), "/").status, 500);
    assert_eq!(proxy.wait_log_lines(1)[0]["sampled"], false);
    proxy.finish();
    assert!(collector.exchanges().is_empty());
}

#[test]
fn the_standard_variables_speak_where_the_file_is_silent() {
    let upstream = Upstream::ok("hello");
    for (protocol, endpoint) in [
        ("grpc", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ] {
        let collector = Collector::start();
        let variables = [
            (endpoint, &*collector.url()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "x-tenant=blue,authorization=Bearer%20abc",
            ),
            ("OTEL_SERVICE_NAME", "from-outside"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "deployment.environment.name=test,team=a%20b",
            ),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "nonsense"),
        ];
        let proxy = start_with(Config::new(upstream.address()), &variables);
        assert_eq!(get(proxy.public(), "/").status, 200);
        let (server, _) = only_exchange(&collector, &proxy);
        for (key, value) in [
            ("service.name", "from-outside"),
            ("deployment.environment.name", "test"),
            ("team", "a b"),
            ("service.version", env!("CARGO_PKG_VERSION")),
        ] {
            assert_eq!(server.resource[key], value, "{protocol}: {key}");
        }
        let headers = collector.last_headers();
        for (name, value) in [("x-tenant", "blue"), ("authorization", "Bearer abc")] {
            let field = (name.to_owned(), value.to_owned());
            assert!(headers.contains(&field), "{protocol}: {headers:?}");
        }
        assert!(
            proxy.stderr().contains("OTEL_BSP_MAX_QUEUE_SIZE"),
            "what cannot be read is said: {}",
            proxy.stderr()
        );
        assert!(!proxy.stderr().contains("Bearer"));
        proxy.finish_traced(&collector);
    }
}

#[test]
fn the_file_has_the_last_word_over_the_variables() {
    let (ours, theirs, upstream) = (
        Collector::start(),
        Collector::start(),
        Upstream::ok("hello"),
    );
    let config = Config::new(upstream.address())
        .telemetry("service_name: from-the-file")
        .traces(ours.address());
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*theirs.url()),
        ("OTEL_SERVICE_NAME", "from-outside"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ];
    let proxy = start_with(config, &variables);
    assert_eq!(get(proxy.public(), "/").status, 200);
    let (server, _) = only_exchange(&ours, &proxy);
    assert_eq!(server.resource["service.name"], "from-the-file");
    proxy.finish_traced(&ours);
    assert_eq!(theirs.exports(), 0);
}

#[test]
fn a_sampler_from_the_variables_decides_where_the_file_has_no_share() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    for (sampler, parent_flag, is_kept) in [
        ("always_off", "01", false),
        ("parentbased_always_off", "01", true),
        ("parentbased_always_on", "00", false),
        ("always_on", "00", true),
    ] {
        let config = Config::new(upstream.address()).telemetry(&traces(&collector, "grpc", ""));
        let proxy = start_with(config, &[("OTEL_TRACES_SAMPLER", sampler)]);
        let traceparent = format!("00-{TRACE}-{PARENT}-{parent_flag}");
        let headers = [("traceparent", traceparent.as_str())];
        assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
        let line = &proxy.wait_log_lines(1)[0];
        assert_eq!(line["sampled"], is_kept, "{sampler}");
        proxy.finish();
    }
}

#[test]
fn the_proxys_own_work_is_traced_too() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address()).traces(collector.address());
    let proxy = start(&config);
    let own = |name: &str| -> Option<Span> {
        let spans = collector.spans();
        spans.iter().find(|span| span.name == name).cloned()
    };
    let wait = |name: &str| {
        proxy.wait_until(&format!("the span {name:?}"), || own(name).is_some());
        own(name).expect("it is there")
    };
    let start = wait("start");
    assert_eq!(start.kind, Kind::Internal);
    assert_eq!(start.parent_span_id, "");
    assert_eq!(start.event_names(), ["ready"]);

    assert_eq!(proxy.get_admin("/api/v1/upstreams").status, 200);
    let call = wait("GET /api/v1/upstreams");
    assert_eq!(call.kind, Kind::Server);
    assert_eq!(call.text("http.route"), Some("/api/v1/upstreams"));

    proxy.signal("HUP");
    let reload = wait("reload");
    assert_eq!(reload.status, SpanStatus::Unset);
    proxy.write_config("nonsense: true");
    proxy.signal("HUP");
    proxy.wait_until("a reload that failed", || {
        let spans = collector.spans();
        spans
            .iter()
            .any(|span| span.name == "reload" && span.status == SpanStatus::Error)
    });

    // What a scraper or our own page asks all the time would bury the rest.
    assert_eq!(proxy.get_admin("/metrics").status, 200);
    let poll = [
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-site", "same-origin"),
    ];
    assert_eq!(proxy.get_admin_with("/api/v1/routes", &poll).status, 200);
    proxy.finish();
    assert!(own("drain").is_some(), "the end is a span as well");
    let names: BTreeSet<String> = collector
        .spans()
        .into_iter()
        .map(|span| span.name)
        .collect();
    let wanted = ["GET /api/v1/upstreams", "drain", "reload", "start"];
    assert_eq!(names, wanted.map(str::to_owned).into());
}

#[test]
fn nothing_is_kept_where_there_is_no_collector() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let address: SocketAddr = proxy.public();
    assert_eq!(get(address, "/").status, 200);
    assert_eq!(proxy.wait_log_lines(1)[0]["sampled"], false);
    let request = upstream.only_request();
    let (trace, ..) = parts(request.headers.get("traceparent").unwrap_or_default());
    assert_eq!(proxy.log_lines()[0]["trace_id"], trace);
    let spans = [("signal", "spans"), ("state", "created")];
    let created = proxy
        .metrics()
        .sum("sightglass_telemetry_items_total", &spans);
    assert_eq!(created, 0.0);
    proxy.finish();
}
