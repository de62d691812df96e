//! Spans to the letter of the contract: names, kinds, parents, attributes, status, events.

use std::time::Duration;

use serde_json::json;

use super::super::rig::{
    Client, Collector, Config, Http2Answer, Http2Client, Http2Upstream, Kind, Proxy, Script, Span,
    SpanStatus, Upstream, get, reply,
};
use super::{keys, only_exchange, parts, start, traces, with};

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

/// An exchange that was answered at the second attempt, and the spans of it.
struct Retried {
    proxy: Proxy,
    collector: Collector,
    upstream: Upstream,
    client: Client,
    server: Span,
    attempts: Vec<Span>,
}

// === impl Retried ===

impl Retried {
    fn new(protocol: &str) -> Self {
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
        let (server, attempts) = only_exchange(&collector, &proxy);
        Self {
            proxy,
            collector,
            upstream,
            client,
            server,
            attempts,
        }
    }

    fn finish(self) {
        self.proxy.finish_traced(&self.collector);
    }
}

#[test]
fn an_exchange_is_a_server_span_over_both_protocols() {
    for protocol in ["grpc", "http"] {
        let retried = Retried::new(protocol);
        let server = &retried.server;
        assert_eq!((server.name.as_str(), server.kind), ("GET /", Kind::Server));
        assert_eq!(server.parent_span_id, "");
        assert_eq!(server.status, SpanStatus::Unset);
        let more = [
            "http.route",
            "sightglass.route",
            "url.query",
            "user_agent.original",
        ];
        assert_eq!(keys(server), with(&SERVER_KEYS, &more));
        for (key, value) in [
            ("http.request.method", json!("GET")),
            ("url.scheme", json!("http")),
            ("url.path", json!("/a/b")),
            ("url.query", json!("x=1&token=REDACTED")),
            ("server.address", json!("shop.test")),
            ("server.port", json!(8080)),
            ("client.address", json!("127.0.0.1")),
            ("network.peer.address", json!("127.0.0.1")),
            ("network.peer.port", json!(retried.client.address().port())),
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
        retried.finish();
    }
}

#[test]
fn an_attempt_is_a_client_span_below_it_over_both_protocols() {
    for protocol in ["grpc", "http"] {
        let retried = Retried::new(protocol);
        let server = &retried.server;
        let [first, second] = &retried.attempts[..] else {
            panic!("two attempts: {:#?}", retried.attempts);
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
        let address = retried.upstream.address();
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
        let seen = retried.upstream.all_requests();
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
        retried.finish();
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
fn a_client_span_lasts_until_the_last_byte_of_the_body() {
    let pause = Duration::from_millis(150);
    let script = Script::new()
        .read_head()
        .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na")
        .pause(pause)
        .send("b");
    let (collector, upstream) = (Collector::start(), Upstream::script(script));
    let proxy = start(Config::new(upstream.address()).traces(collector.address()));
    assert_eq!(get(proxy.public(), "/").text(), "ab");
    let (server, attempts) = only_exchange(&collector, &proxy);
    let attempt = &attempts[0];
    let body = attempt
        .events
        .iter()
        .find(|event| event.name == "body_upstream")
        .expect("the body's phase");
    let after_head = Duration::from_nanos(attempt.end - body.time);
    assert!(after_head > pause / 2, "{after_head:?}");
    assert!(attempt.end <= server.end);
    proxy.finish_traced(&collector);
}
