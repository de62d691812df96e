//! Spans and metrics against the constants of OpenTelemetry's semantic conventions: names, types and requirement levels of
//! the stable HTTP conventions (1.23 and later), as `opentelemetry-semantic-conventions` has them. A constant that becomes
//! deprecated is a warning when this file is built, and so an error in CI.

use opentelemetry_semantic_conventions::{attribute, metric, resource};
use serde_json::Value;

use super::rig::{Collector, Config, Http2Client, Proxy, Script, Span, Upstream, get_with, reply};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Required,
    /// Required where it applies, or recommended: what decides is in the test.
    Applies,
}

use Level::{Applies, Required};

const TEXT: fn(&Value) -> bool = Value::is_string;
const INTEGER: fn(&Value) -> bool = Value::is_i64;

type Rule = (&'static str, fn(&Value) -> bool, Level);

/// HTTP server span.
const SERVER: [Rule; 16] = [
    (attribute::HTTP_REQUEST_METHOD, TEXT, Required),
    (attribute::URL_PATH, TEXT, Required),
    (attribute::URL_SCHEME, TEXT, Required),
    (attribute::ERROR_TYPE, TEXT, Applies),
    (attribute::HTTP_REQUEST_METHOD_ORIGINAL, TEXT, Applies),
    (attribute::HTTP_RESPONSE_STATUS_CODE, INTEGER, Applies),
    (attribute::HTTP_ROUTE, TEXT, Applies),
    (attribute::URL_QUERY, TEXT, Applies),
    (attribute::SERVER_ADDRESS, TEXT, Applies),
    (attribute::SERVER_PORT, INTEGER, Applies),
    (attribute::CLIENT_ADDRESS, TEXT, Applies),
    (attribute::NETWORK_PEER_ADDRESS, TEXT, Applies),
    (attribute::NETWORK_PEER_PORT, INTEGER, Applies),
    (attribute::NETWORK_PROTOCOL_VERSION, TEXT, Applies),
    (attribute::USER_AGENT_ORIGINAL, TEXT, Applies),
    (attribute::CLIENT_PORT, INTEGER, Applies),
];

/// HTTP client span.
const CLIENT: [Rule; 11] = [
    (attribute::HTTP_REQUEST_METHOD, TEXT, Required),
    (attribute::SERVER_ADDRESS, TEXT, Required),
    (attribute::SERVER_PORT, INTEGER, Required),
    (attribute::URL_FULL, TEXT, Required),
    (attribute::ERROR_TYPE, TEXT, Applies),
    (attribute::HTTP_REQUEST_METHOD_ORIGINAL, TEXT, Applies),
    (attribute::HTTP_RESPONSE_STATUS_CODE, INTEGER, Applies),
    (attribute::HTTP_REQUEST_RESEND_COUNT, INTEGER, Applies),
    (attribute::NETWORK_PEER_ADDRESS, TEXT, Applies),
    (attribute::NETWORK_PEER_PORT, INTEGER, Applies),
    (attribute::NETWORK_PROTOCOL_VERSION, TEXT, Applies),
];

fn check(span: &Span, rules: &[Rule]) {
    for (key, value) in &span.attributes {
        if key.starts_with("sightglass.") {
            continue;
        }
        let rule = rules.iter().find(|(name, ..)| name == key);
        let (_, is_type, _) =
            rule.unwrap_or_else(|| panic!("{key} is no attribute of {:?}", span.kind));
        assert!(is_type(value), "{key}: {value}");
    }
    for (key, _, level) in rules {
        let is_there = span.attributes.contains_key(*key);
        assert!(
            is_there || *level != Required,
            "{key} is required: {span:#?}"
        );
    }
    // Where they apply, by the text of the conventions.
    let has = |key: &str| span.attributes.contains_key(key);
    let method = span.text(attribute::HTTP_REQUEST_METHOD);
    assert_eq!(
        has(attribute::HTTP_REQUEST_METHOD_ORIGINAL),
        method == Some("_OTHER"),
        "{span:#?}"
    );
    assert!(has(attribute::SERVER_PORT) && has(attribute::SERVER_ADDRESS));
    let name = if method == Some("_OTHER") {
        "HTTP"
    } else {
        method.unwrap_or_default()
    };
    match span.text(attribute::HTTP_ROUTE) {
        Some(route) => assert_eq!(span.name, format!("{name} {route}")),
        None => assert_eq!(span.name, name),
    }
}

fn traced(upstream: &Upstream, collector: &Collector) -> Proxy {
    let config = Config::new(upstream.address())
        .route("retry: {attempts: 2, when: [503]}")
        .traces(collector.address());
    Proxy::start_with(config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
        command.env("K8S_POD_NAME", "edge-1");
    })
}

fn upstream() -> Upstream {
    Upstream::answering(|request| match request.target.as_str() {
        "/503" => reply(503, &[], ""),
        "/404" => reply(404, &[], ""),
        _ => reply(200, &[], "hello"),
    })
}

#[test]
fn every_span_keeps_to_the_stable_http_conventions() {
    let (collector, upstream) = (Collector::start(), upstream());
    let proxy = traced(&upstream, &collector);
    let agent = [("user-agent", "rig/1")];
    for (path, status) in [("/a?x=1", 200), ("/404", 404), ("/503", 503)] {
        assert_eq!(get_with(proxy.public(), path, &agent).status, status);
    }
    let mut client = super::rig::Client::connect(proxy.public());
    client.request("BREW", "/pot", &[], b"");
    assert_eq!(client.read_response().status, 200);
    let answer = Http2Client::connect(proxy.public()).request("GET", "/h2", &[], "", &[]);
    assert_eq!(answer.expect("an answer").status, 200);
    proxy.wait_until("all spans", || {
        collector.exchanges().len() == 5 && collector.attempts().len() == 6
    });
    collector
        .exchanges()
        .iter()
        .for_each(|span| check(span, &SERVER));
    collector
        .attempts()
        .iter()
        .for_each(|span| check(span, &CLIENT));
    // Each rule but one has been seen at work: a client's port is opt-in, and not told.
    for (rules, spans) in [
        (&SERVER[..], collector.exchanges()),
        (&CLIENT[..], collector.attempts()),
    ] {
        for (key, ..) in rules {
            let is_seen = spans.iter().any(|span| span.attributes.contains_key(*key));
            assert_eq!(is_seen, *key != attribute::CLIENT_PORT, "{key}");
        }
    }
    let resent = collector
        .attempts()
        .into_iter()
        .filter_map(|span| span.integer(attribute::HTTP_REQUEST_RESEND_COUNT));
    assert_eq!(resent.collect::<Vec<_>>(), [1]);
    upstream.shut();
    assert_eq!(get_with(proxy.public(), "/refused", &agent).status, 502);
    proxy.wait_until("its spans", || collector.exchanges().len() == 6);
    for (spans, rules) in [
        (collector.exchanges(), &SERVER[..]),
        (collector.attempts(), &CLIENT[..]),
    ] {
        let last = spans.last().expect("a span");
        check(last, rules);
        assert_eq!(last.text(attribute::ERROR_TYPE), Some("connection_refused"));
    }
    proxy.finish_traced(&collector);
}

#[test]
fn the_resource_says_who_and_where_we_are() {
    let (collector, upstream) = (Collector::start(), upstream());
    let proxy = traced(&upstream, &collector);
    assert_eq!(get_with(proxy.public(), "/", &[]).status, 200);
    proxy.wait_until("its span", || !collector.exchanges().is_empty());
    let told = collector.exchanges().remove(0).resource;
    for key in [
        resource::SERVICE_NAME,
        resource::SERVICE_VERSION,
        resource::SERVICE_INSTANCE_ID,
        resource::HOST_NAME,
        resource::OS_TYPE,
        resource::PROCESS_EXECUTABLE_NAME,
        resource::TELEMETRY_SDK_LANGUAGE,
        resource::TELEMETRY_SDK_NAME,
        resource::TELEMETRY_SDK_VERSION,
    ] {
        assert!(
            told[key].as_str().is_some_and(|text| !text.is_empty()),
            "{key}: {told:#?}"
        );
    }
    assert_eq!(told[resource::PROCESS_PID], proxy.pid());
    assert_eq!(told[resource::PROCESS_EXECUTABLE_NAME], "sightglass");
    assert_eq!(told[resource::K8S_POD_NAME], "edge-1");
    proxy.finish_traced(&collector);
}

/// A name of the conventions as Prometheus writes it, with its unit.
fn prometheus(name: &str, unit: &str) -> String {
    format!("{}{unit}", name.replace('.', "_"))
}

#[test]
fn the_http_metrics_have_the_conventions_names_units_and_labels() {
    let script = || Script::new().read_head().read_body();
    let upstream = Upstream::requests([script().send(reply(200, &[], "hello"))]);
    let proxy = Proxy::start(Config::new(upstream.address()));
    assert_eq!(get_with(proxy.public(), "/", &[]).status, 200);
    let page = || proxy.get_admin("/metrics").text();
    let of = |family: &str| -> Option<String> {
        page()
            .lines()
            .find(|line| line.starts_with(&format!("{family}{{")))
            .map(str::to_owned)
    };
    let count = |name, unit| format!("{}_count", prometheus(name, unit));
    let families = [
        (
            count(metric::HTTP_SERVER_REQUEST_DURATION, "_seconds"),
            &[
                attribute::HTTP_REQUEST_METHOD,
                attribute::HTTP_ROUTE,
                attribute::HTTP_RESPONSE_STATUS_CODE,
            ][..],
        ),
        (
            count(metric::HTTP_CLIENT_REQUEST_DURATION, "_seconds"),
            &[attribute::HTTP_RESPONSE_STATUS_CODE],
        ),
        (
            prometheus(metric::HTTP_SERVER_ACTIVE_REQUESTS, ""),
            &[attribute::HTTP_ROUTE],
        ),
        (
            count(metric::HTTP_SERVER_REQUEST_BODY_SIZE, "_bytes"),
            &[attribute::HTTP_ROUTE],
        ),
        (
            count(metric::HTTP_SERVER_RESPONSE_BODY_SIZE, "_bytes"),
            &[attribute::HTTP_ROUTE],
        ),
    ];
    for (family, labels) in families {
        proxy.wait_until(&family, || of(&family).is_some());
        let line = of(&family).expect("it is there");
        for label in labels {
            let label = format!("{}=\"", label.replace('.', "_"));
            assert!(line.contains(&label), "{label} in {line}");
        }
    }
    proxy.finish();
}
