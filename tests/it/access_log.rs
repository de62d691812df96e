//! The access log: every field of the contract, in both formats; [`outputs`] has where it goes, and [`troubles`] what hostile
//! words, full disks and readers that do not read do to it.

mod outputs;
mod troubles;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::rig::{
    Client, Collector, Config, Gate, Http2Answer, Http2Client, Http2Upstream, Proxy, Script,
    Upstream, get, reply,
};

const PHASES: [&str; 12] = [
    "receive",
    "admit",
    "backoff",
    "pick",
    "dns",
    "connect",
    "tls",
    "send_client",
    "send_upstream",
    "wait",
    "body_upstream",
    "body_client",
];

fn keys(value: &Value) -> BTreeSet<&str> {
    let object = value.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

fn logs(proxy: &Proxy, state: &str) -> f64 {
    let labels = [("signal", "logs"), ("state", state)];
    let metrics = proxy.metrics();
    metrics.sum("sightglass_telemetry_items_total", &labels)
}

/// A proxy that has written one line, of an exchange that was retried and brought all that a line can tell.
struct Written {
    proxy: Proxy,
    collector: Collector,
    upstream: Upstream,
    client: Client,
    line: Value,
}

// === impl Written ===

impl Written {
    fn new() -> Self {
        let collector = Collector::start();
        let script = || Script::new().read_head().read_body();
        let upstream = Upstream::requests([
            script().send(reply(503, &[], "no")),
            script().send(reply(200, &[], "hello")),
        ]);
        let config = Config::new(upstream.address())
            .listener("trusted_proxies: [127.0.0.0/8]")
            .route("retry: {attempts: 2, when: [503]}")
            .traces(collector.address());
        let proxy = Proxy::start(config);
        let mut client = Client::connect(proxy.public());
        let headers = [
            ("host", "shop.test:81"),
            ("user-agent", "rig/1"),
            ("x-request-id", "mine-7"),
            ("x-forwarded-for", "203.0.113.9"),
        ];
        client.request("PUT", "/cart//a?x=1&token=hush", &headers, "a body");
        let answer = client.read_response();
        assert_eq!(
            (answer.status, answer.header("x-request-id")),
            (200, Some("mine-7"))
        );
        let line = proxy.wait_log_lines(1).remove(0);
        Self {
            proxy,
            collector,
            upstream,
            client,
            line,
        }
    }

    fn finish(self) {
        self.proxy.finish_traced(&self.collector);
    }
}

#[test]
fn a_line_has_every_field_of_the_contract() {
    let written = Written::new();
    let line = &written.line;
    let wanted = BTreeSet::from([
        "attempts",
        "bytes_in",
        "bytes_out",
        "client",
        "config_generation",
        "connection",
        "duration_ms",
        "endpoint",
        "host",
        "listener",
        "method",
        "outcome",
        "path",
        "peer",
        "phases_ms",
        "protocol",
        "query",
        "request_id",
        "route",
        "sampled",
        "scheme",
        "span_id",
        "status",
        "time",
        "trace_id",
        "upstream",
        "user_agent",
    ]);
    assert_eq!(keys(line), wanted, "{line:#}");
    for (key, value) in [
        ("request_id", json!("mine-7")),
        ("listener", json!("public")),
        ("route", json!("web")),
        ("upstream", json!("web")),
        ("endpoint", json!(written.upstream.address().to_string())),
        ("client", json!("203.0.113.9")),
        ("peer", json!(written.client.address().to_string())),
        ("method", json!("PUT")),
        ("scheme", json!("http")),
        ("host", json!("shop.test:81")),
        ("query", json!("x=1&token=REDACTED")),
        ("protocol", json!("HTTP/1.1")),
        ("status", json!(200)),
        ("outcome", json!("served")),
        ("bytes_in", json!(6)),
        ("bytes_out", json!(5)),
        ("user_agent", json!("rig/1")),
        ("sampled", json!(true)),
        ("config_generation", json!(1)),
    ] {
        assert_eq!(line[key], value, "{key}");
    }
    assert!(line["connection"].as_u64() > Some(0));
    let time = line["time"].as_str().unwrap_or_default();
    let shape: String = time
        .chars()
        .map(|it| if it.is_ascii_digit() { '9' } else { it })
        .collect();
    assert_eq!(shape, "9999-99-99T99:99:99.999Z");
    written.finish();
}

#[test]
fn a_line_tells_its_attempts_and_phases_that_add_up() {
    let written = Written::new();
    let line = &written.line;
    let attempts = line["attempts"].as_array().expect("a list");
    let told: Vec<_> = attempts
        .iter()
        .map(|it| (&it["endpoint"], &it["status"], &it["outcome"]))
        .collect();
    let endpoint = json!(written.upstream.address().to_string());
    let served = json!("served");
    assert_eq!(
        told,
        [
            (&endpoint, &json!(503), &served),
            (&endpoint, &json!(200), &served)
        ]
    );
    assert!(attempts.iter().all(|it| it["reused"].is_boolean()));

    let phases = line["phases_ms"].as_object().expect("an object");
    assert!(phases.keys().all(|phase| PHASES.contains(&phase.as_str())));
    for phase in ["receive", "admit", "backoff", "wait"] {
        assert!(phases.contains_key(phase), "{phase}: {phases:?}");
    }
    let sum: f64 = phases.values().filter_map(Value::as_f64).sum();
    let whole = line["duration_ms"].as_f64().expect("a number");
    assert!(
        (sum - whole).abs() < 0.001 * PHASES.len() as f64,
        "{sum} {whole}"
    );
    let within: f64 = attempts
        .iter()
        .filter_map(|it| it["duration_ms"].as_f64())
        .sum();
    assert!(within <= whole, "{within} of {whole}");
    written.finish();
}

#[test]
fn a_line_and_its_span_tell_the_same() {
    let written = Written::new();
    let (line, collector) = (&written.line, &written.collector);
    written
        .proxy
        .wait_until("its span", || !collector.exchanges().is_empty());
    let span = &collector.exchanges()[0];
    assert_eq!(line["trace_id"], span.trace_id.as_str());
    assert_eq!(line["span_id"], span.span_id.as_str());
    assert_eq!(line["path"].as_str(), span.text("url.path"));
    let time = line["time"].as_str().unwrap_or_default();
    let millis: u64 = time[20..23].parse().expect("milliseconds");
    assert_eq!(span.start / 1_000_000 % 1_000, millis, "one clock for both");
    written.finish();
}

#[test]
fn what_does_not_apply_is_left_out() {
    let upstream = Upstream::ok("hello");
    let config = Config::new(upstream.address()).listener("request_id: false");
    let proxy = Proxy::start(config.to_string().replacen("prefix: /", "prefix: /only", 1));
    assert_eq!(get(proxy.public(), "/else").status, 404);
    let line = proxy.wait_log_lines(1).remove(0);
    for key in [
        "route",
        "upstream",
        "endpoint",
        "attempts",
        "query",
        "user_agent",
        "request_id",
        "tls",
        "grpc_status",
    ] {
        assert!(line.get(key).is_none(), "{key}: {line:#}");
    }
    assert_eq!(line["outcome"], "destination_not_found");
    assert_eq!(line["side"], "proxy");
    proxy.finish();
}

#[test]
fn a_failure_says_whose_it_is_and_a_leaving_client_is_499() {
    let gate = Gate::new();
    let stalled = Upstream::script(Script::new().read_head().wait(&gate));
    let proxy = Proxy::start(Config::new(stalled.address()));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], b"");
    proxy.wait_until("it is at the upstream", || gate.waiting() == 1);
    drop(client);
    let line = proxy.wait_log_lines(1).remove(0);
    assert_eq!(line["status"], 499);
    assert_eq!(
        (&line["outcome"], &line["side"]),
        (&json!("client_closed"), &json!("client"))
    );
    assert_eq!(line["attempts"][0]["outcome"], "client_closed");
    assert!(line["attempts"][0].get("status").is_none());
    gate.open();
    stalled.shut();
    assert_eq!(get(proxy.public(), "/").status, 502);
    let line = proxy.wait_log_lines(2).remove(1);
    assert_eq!(
        (&line["outcome"], &line["side"]),
        (&json!("connection_refused"), &json!("upstream"))
    );
    proxy.finish();
}

#[test]
fn a_stream_that_its_client_resets_is_499_as_well() {
    let gate = Gate::new();
    let stalled = Upstream::script(Script::new().read_head().wait(&gate));
    let proxy = Proxy::start(Config::new(stalled.address()));
    let client = Http2Client::connect(proxy.public());
    let mut stream = client.open("GET", "/", &[]).expect("a stream");
    proxy.wait_until("it is at the upstream", || gate.waiting() == 1);
    stream.reset(h2::Reason::CANCEL);
    let line = proxy.wait_log_lines(1).remove(0);
    assert_eq!(
        (&line["status"], &line["protocol"]),
        (&json!(499), &json!("HTTP/2"))
    );
    assert_eq!(line["outcome"], "client_closed");
    gate.open();
    proxy.finish();
}

#[test]
fn http2_and_grpc_are_told_as_what_they_are() {
    let upstream = Http2Upstream::answering(|_| {
        let fields = [("content-type", "application/grpc")];
        let mut answer = Http2Answer::new(200, &fields, "");
        let name = http::HeaderName::from_static("grpc-status");
        let status = http::HeaderValue::from_static("14");
        answer.trailers = Some(http::HeaderMap::from_iter([(name, status)]));
        answer
    });
    let proxy = Proxy::start(Config::new(upstream.address()).upstream("protocol: http2"));
    let client = Http2Client::connect(proxy.public());
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let answer = client.request("POST", "/shop.Cart/Get", &headers, "x", &[]);
    assert_eq!(answer.expect("an answer").status, 200);
    let line = proxy.wait_log_lines(1).remove(0);
    assert_eq!(
        (&line["protocol"], &line["grpc_status"]),
        (&json!("HTTP/2"), &json!(14))
    );
    assert_eq!(
        (&line["bytes_in"], &line["path"]),
        (&json!(1), &json!("/shop.Cart/Get"))
    );
    proxy.finish();
}

#[test]
fn of_the_served_a_share_is_written_and_of_failures_all() {
    let upstream = Upstream::answering(|request| match request.target.as_str() {
        "/500" => reply(500, &[], ""),
        "/404" => reply(404, &[], ""),
        _ => reply(200, &[], "hello"),
    });
    for (share, least, most) in [("0%", 0, 0), ("50%", 60, 140)] {
        let config = Config::new(upstream.address()).access_log(&format!(
            "access_log: {{output: stdout, format: json, sample: {share}}}"
        ));
        let proxy = Proxy::start(config);
        let mut client = Client::connect(proxy.public());
        for number in 0..200 {
            let path = if number % 10 == 0 { "/404" } else { "/200" };
            client.request("GET", path, &[], b"");
            client.read_response();
        }
        for _ in 0..20 {
            client.request("GET", "/500", &[], b"");
            assert_eq!(client.read_response().status, 500);
        }
        proxy.wait_until("all have been read", || {
            let labels = [("signal", "records"), ("state", "exported")];
            let metrics = proxy.metrics();
            let read = metrics.sum("sightglass_telemetry_items_total", &labels);
            read == 220.0 && logs(&proxy, "created") == logs(&proxy, "exported")
        });
        proxy.wait_until("all are written", || {
            proxy.stdout().lines().count() as f64 == logs(&proxy, "exported")
        });
        let lines = proxy.log_lines();
        let failed = lines.iter().filter(|line| line["status"] == 500).count();
        assert_eq!(failed, 20, "{share}");
        assert!(
            (least..=most).contains(&(lines.len() - failed)),
            "{share}: {}",
            lines.len()
        );
        proxy.finish();
    }
}

#[test]
fn the_status_of_a_grpc_answer_without_a_body_stands_in_its_head() {
    let fields = [("content-type", "application/grpc"), ("grpc-status", "5")];
    let upstream = Upstream::answering(move |_| reply(200, &fields, ""));
    let proxy = Proxy::start(Config::new(upstream.address()));
    assert_eq!(get(proxy.public(), "/").status, 200);
    assert_eq!(proxy.wait_log_lines(1)[0]["grpc_status"], 5);
    proxy.finish();
}
