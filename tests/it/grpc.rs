//! gRPC: what goes through untouched, what the proxy answers itself, how long a call may take, which route takes it,
//! how it is counted, and when it is repeated.
//!
//! Clients and services here are scripted, so that each byte is known; [`partner`] has the same with real ones.

mod deadlines;
mod partner;
mod retries;

use super::rig::{
    Collector, Config, Http2Answer, Http2Client, Http2Ending, Http2Response, Http2Upstream, Kind,
    Proxy, SpanStatus, Upstream, wait_until,
};

/// A call's head, as every client of gRPC sends it.
const CALL: &[(&str, &str)] = &[("content-type", "application/grpc"), ("te", "trailers")];

/// A message of gRPC: a flag, its length, itself.
fn message(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a short text");
    [&[0][..], &length.to_be_bytes(), text.as_bytes()].concat()
}

/// An answer that ended with this status in its trailers.
fn answer(text: &str, status: &str) -> Http2Answer {
    Http2Answer::new(200, &[("content-type", "application/grpc")], message(text))
        .trailers(&[("grpc-status", status)])
}

/// An answer that is nothing but this status, in its head ("Trailers-Only").
fn refusal(status: &str) -> Http2Answer {
    let head = [
        ("content-type", "application/grpc"),
        ("grpc-status", status),
        ("grpc-message", "no%20more"),
    ];
    Http2Answer::new(200, &head, "")
}

/// A service that answers every call with OK.
fn service() -> Http2Upstream {
    Http2Upstream::answering(|_| answer("yes", "0"))
}

fn config(upstream: &Http2Upstream) -> Config {
    Config::new(upstream.address()).upstream("protocol: http2")
}

/// Calls with these fields besides those of every call.
fn call(proxy: &Proxy, path: &str, more: &[(&str, &str)]) -> Http2Response {
    let client = Http2Client::connect(proxy.public());
    let headers = [CALL, more].concat();
    client
        .request("POST", path, &headers, message("hello"), &[])
        .unwrap_or_else(|error| panic!("POST {path}: {error}"))
}

/// The status of a call: in the trailers, or in the head where there are none.
fn status(response: &Http2Response) -> String {
    let fields = response.trailers.as_ref().unwrap_or(&response.headers);
    let status = fields.get("grpc-status").map(|status| status.to_str());
    status.and_then(Result::ok).unwrap_or_default().to_owned()
}

/// A whole configuration of these routes, all to one upstream of HTTP/2.
fn routes(upstream: &Http2Upstream, routes: &str) -> String {
    format!(
        "listeners: [{{name: public, address: 127.0.0.1:0}}]\nroutes:\n{routes}\nupstreams:\n  - name: web\n    \
         protocol: http2\n    endpoints: [{{address: {}}}]\nadmin: {{address: 127.0.0.1:0}}\n\
         runtime: {{workers: 2}}\ntelemetry: {{access_log: {{output: stdout, format: json, sample: 100%}}}}\n",
        upstream.address()
    )
}

#[test]
fn a_call_goes_through_with_its_trailers_at_both_ends() {
    let upstream = Http2Upstream::answering(|_| {
        Http2Answer::new(
            200,
            &[("content-type", "application/grpc+proto")],
            message("yes"),
        )
        .trailers(&[
            ("grpc-status", "9"),
            ("grpc-message", "caf%C3%A9"),
            ("grpc-status-details-bin", "CAk="),
            ("x-trailer", "kept"),
        ])
    });
    let proxy = Proxy::start(config(&upstream));
    let client = Http2Client::connect(proxy.public());
    let head = [
        ("content-type", "application/grpc+proto"),
        ("te", "trailers"),
        ("x-blob-bin", "AAEC/w=="),
        ("grpc-encoding", "identity"),
    ];
    let response = client
        .request(
            "POST",
            "/shop.Checkout/Pay",
            &head,
            message("hello"),
            &[("x-last", "word")],
        )
        .expect("an answer");
    assert_eq!(
        (response.status.as_u16(), response.body.to_vec()),
        (200, message("yes"))
    );
    assert_eq!(
        response.header("content-type"),
        Some("application/grpc+proto")
    );
    let trailers = response.trailers.expect("trailers");
    for (name, value) in [
        ("grpc-status", "9"),
        ("grpc-message", "caf%C3%A9"),
        ("grpc-status-details-bin", "CAk="),
        ("x-trailer", "kept"),
    ] {
        assert_eq!(
            trailers.get(name).map(http::HeaderValue::as_bytes),
            Some(value.as_bytes())
        );
    }
    let seen = upstream.all_requests().remove(0);
    for (name, value) in head {
        assert_eq!(
            seen.headers.get(name).map(http::HeaderValue::as_bytes),
            Some(value.as_bytes())
        );
    }
    assert_eq!(
        seen.trailers.get("x-last").map(http::HeaderValue::as_bytes),
        Some(&b"word"[..])
    );
    assert!(
        !seen.headers.contains_key("grpc-timeout"),
        "nobody asked for one"
    );
    assert_eq!(proxy.wait_log_lines(1)[0]["grpc_status"], 9);
    proxy.finish();
}

#[test]
fn what_the_proxy_answers_itself_is_a_status_in_the_head_and_nothing_else() {
    let dead = Upstream::refuse();
    let upstream = service();
    let more = format!(
        "- {{name: dead, protocol: http2, endpoints: [{{address: {}}}]}}\n",
        dead.address()
    );
    let yaml = routes(
        &upstream,
        "  - {name: limited, match: {path: {prefix: /a.A}}, upstream: web, rate_limit: {rate: 1/m, burst: 1}}\n  \
         - {name: dead, match: {path: {prefix: /d.D}}, upstream: dead}\n  \
         - {name: small, match: {path: {prefix: /s.S}}, upstream: web, max_body: 1B}",
    )
    .replace("upstreams:\n", &format!("upstreams:\n  {more}"));
    let proxy = Proxy::start(yaml);
    assert_eq!(status(&call(&proxy, "/a.A/M", &[])), "0");
    for (path, code, outcome) in [
        ("/a.A/M", "8", "rate_limited"),
        ("/d.D/M", "14", "connection_refused"),
        ("/x.X/M", "12", "destination_not_found"),
        ("/s.S/M", "8", "http_request_error"),
    ] {
        let answer = call(&proxy, path, &[]);
        assert_eq!(answer.status.as_u16(), 200, "{path}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/grpc"),
            "{path}"
        );
        assert_eq!(answer.header("grpc-status"), Some(code), "{path}");
        assert!(
            answer
                .header("grpc-message")
                .is_some_and(|it| !it.is_empty()),
            "{path}"
        );
        assert!(
            answer.body.is_empty() && answer.trailers.is_none(),
            "{path}"
        );
        let proxy_status = answer.header("proxy-status").unwrap_or_default();
        assert!(proxy_status.contains("error="), "{path}: {proxy_status}");
        let counted = [("grpc_status", "OK")];
        assert_eq!(
            proxy
                .metrics()
                .sum("sightglass_grpc_requests_total", &counted),
            1.0
        );
        proxy.wait_until(outcome, || {
            proxy
                .log_lines()
                .iter()
                .any(|line| line["outcome"] == outcome)
        });
    }
    proxy.finish();
}

#[test]
fn what_is_no_call_is_answered_in_http() {
    let proxy = Proxy::start(Config::new(Upstream::refuse().address()));
    let client = Http2Client::connect(proxy.public());
    for (method, kind) in [
        ("POST", "application/grpc-web+proto"),
        ("POST", "application/json"),
        ("GET", "application/grpc"),
    ] {
        let answer = client
            .request(method, "/a.A/M", &[("content-type", kind)], "", &[])
            .expect("an answer");
        assert_eq!(answer.status.as_u16(), 502, "{method} {kind}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{kind}"
        );
        assert_eq!(answer.header("grpc-status"), None);
    }
    let lines = proxy.wait_log_lines(3);
    assert!(lines.iter().all(|line| line.get("grpc_status").is_none()));
    assert!(
        proxy
            .metrics()
            .samples("sightglass_grpc_requests_total", &[])
            .is_empty()
    );
    proxy.finish();
}

#[test]
fn an_answer_that_is_not_grpc_passes_through_and_counts_as_what_a_client_makes_of_it() {
    let upstream = Http2Upstream::answering(|request| {
        let status = request
            .path
            .trim_start_matches("/s/")
            .parse()
            .unwrap_or(500);
        Http2Answer::new(status, &[("content-type", "text/html")], "<p>no</p>")
    });
    let proxy = Proxy::start(config(&upstream));
    for (code, word) in [
        (400, "INTERNAL"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "UNIMPLEMENTED"),
        (503, "UNAVAILABLE"),
        (200, "UNKNOWN"),
    ] {
        let answer = call(&proxy, &format!("/s/{code}"), &[]);
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (code, &b"<p>no</p>"[..])
        );
        assert_eq!(answer.header("grpc-status"), None);
        proxy.wait_until(word, || {
            let labels = [("grpc_status", word), ("route", "web"), ("http_route", "/")];
            proxy
                .metrics()
                .sum("sightglass_grpc_requests_total", &labels)
                == 1.0
        });
    }
    proxy.finish();
}

#[test]
fn a_stream_that_breaks_off_ends_with_a_status() {
    let upstream = Http2Upstream::answering(|_| {
        answer("half", "0").ending(Http2Ending::ResetAfterBody(h2::Reason::INTERNAL_ERROR))
    });
    let proxy = Proxy::start(config(&upstream));
    let broken = call(&proxy, "/a.A/M", &[]);
    assert_eq!(
        (status(&broken), broken.body.to_vec()),
        ("14".to_owned(), message("half"))
    );
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "http_response_incomplete");
    assert_eq!(
        (&line["status"], &line["grpc_status"]),
        (&200.into(), &14.into())
    );
    proxy.finish();
}

#[test]
fn a_call_that_its_client_gives_up_is_cancelled() {
    let upstream = Http2Upstream::answering(|_| answer("some", "0").ending(Http2Ending::NeverEnds));
    let proxy = Proxy::start(config(&upstream));
    let client = Http2Client::connect(proxy.public());
    let mut stream = client.open("POST", "/a.A/M", CALL).expect("a stream");
    stream.send_last(message("hello"), &[]).expect("a body");
    stream.read_head().expect("a head");
    stream.reset(h2::Reason::CANCEL);
    wait_until("the service hears of it", || {
        let seen = upstream.all_requests();
        seen.first().is_some_and(|it| it.error.is_some())
    });
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(
        (&line["outcome"], &line["grpc_status"]),
        (&"client_closed".into(), &1.into())
    );
    proxy.finish();
}

const MATCHED: &str = "  - {name: pay, match: {grpc: {service: shop.Checkout, method: Pay}}, upstream: web}
  - {name: checkout, match: {grpc: {service: shop.Checkout}}, upstream: web}
  - {name: any-call, match: {grpc: {}}, upstream: web}
  - {name: gold, match: {grpc: {service: shop.Checkout, method: Pay}, headers: {x-tier: gold}}, upstream: web}
  - {name: page, match: {path: {exact: /shop.Checkout/Pay}}, upstream: web}";

/// Method, path, media type, tier; the route and its pattern, none where no route takes it.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Option<(&'static str, &'static str)>,
);

const CASES: &[Case] = &[
    (
        "POST",
        "/shop.Checkout/Pay",
        "application/grpc",
        "",
        Some(("pay", "/shop.Checkout/Pay")),
    ),
    (
        "POST",
        "/shop.Checkout/Pay",
        "application/grpc+proto",
        "gold",
        Some(("gold", "/shop.Checkout/Pay")),
    ),
    (
        "POST",
        "/shop.Checkout/Refund",
        "application/grpc",
        "",
        Some(("checkout", "/shop.Checkout")),
    ),
    (
        "POST",
        "/shop.CheckoutOther/Pay",
        "application/grpc",
        "",
        Some(("any-call", "/")),
    ),
    (
        "POST",
        "/shop.checkout/Pay",
        "application/grpc",
        "",
        Some(("any-call", "/")),
    ),
    // What is no call is none of theirs.
    (
        "POST",
        "/shop.Checkout/Pay",
        "application/json",
        "",
        Some(("page", "/shop.Checkout/Pay")),
    ),
    (
        "GET",
        "/shop.Checkout/Pay",
        "application/grpc",
        "",
        Some(("page", "/shop.Checkout/Pay")),
    ),
    (
        "POST",
        "/shop.Checkout/Refund",
        "application/grpc-web",
        "",
        None,
    ),
    ("POST", "/other", "text/plain", "", None),
];

#[test]
fn calls_are_routed_by_service_and_method() {
    let upstream = service();
    let proxy = Proxy::start(routes(&upstream, MATCHED));
    let client = Http2Client::connect(proxy.public());
    for (method, path, kind, tier, taken) in CASES {
        let head = [("content-type", *kind), ("x-tier", *tier)];
        let answer = client
            .request(method, path, &head, "x", &[])
            .expect("an answer");
        let expected = if taken.is_some() { 200 } else { 404 };
        assert_eq!(answer.status.as_u16(), expected, "{method} {path} {kind}");
    }
    let lines = proxy.wait_log_lines(CASES.len());
    let metrics = proxy.metrics();
    for (line, (method, path, kind, _, taken)) in lines.iter().zip(CASES) {
        let route = taken.map(|(route, _)| route);
        assert_eq!(line["route"].as_str(), route, "{method} {path} {kind}");
        if let Some((route, pattern)) = taken {
            let labels = [("route", *route), ("http_route", *pattern)];
            assert!(
                metrics.sum("http_server_request_duration_seconds_count", &labels) > 0.0,
                "{labels:?}"
            );
        }
    }
    let labels = [
        ("route", "pay"),
        ("http_route", "/shop.Checkout/Pay"),
        ("grpc_status", "OK"),
    ];
    assert_eq!(metrics.sum("sightglass_grpc_requests_total", &labels), 1.0);
    proxy.finish();
}

#[test]
fn spans_say_the_status_and_that_a_service_failed() {
    let upstream = Http2Upstream::answering(|request| answer("", &request.path[3..]));
    let collector = Collector::start();
    let proxy = Proxy::start(config(&upstream).traces(collector.address()));
    for (code, server, client) in [
        (0, None, None),
        (5, None, Some("NOT_FOUND")),
        (13, Some("INTERNAL"), Some("INTERNAL")),
    ] {
        assert_eq!(
            status(&call(&proxy, &format!("/s/{code}"), &[])),
            code.to_string()
        );
        let path = format!("/s/{code}");
        let of = |kind| {
            let mut found = None;
            wait_until("its span", || {
                let spans = collector.of_kind(kind);
                let is_it =
                    |span: &super::rig::Span| span.integer("sightglass.grpc_status") == Some(code);
                found = spans.into_iter().find(is_it);
                found.is_some()
            });
            found.expect("it was found")
        };
        for (kind, error) in [(Kind::Server, server), (Kind::Client, client)] {
            let span = of(kind);
            assert_eq!(span.text("error.type"), error, "{path} {kind:?}");
            let expected = if error.is_some() {
                SpanStatus::Error
            } else {
                SpanStatus::Unset
            };
            assert_eq!(span.status, expected, "{path} {kind:?}");
        }
    }
    proxy.finish_traced(&collector);
}
