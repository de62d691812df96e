//! The main job with real partners: nginx behind the proxy, many clients in front of it, Jaeger and Prometheus beside it,
//! and every request found everywhere.

use std::collections::{HashMap, HashSet};
use std::sync::Barrier;

use serde_json::Value;

use super::rig::partner::{Jaeger, Nginx, Prometheus, check_metrics};
use super::rig::{Client, Config, Http2Client, Metrics, Proxy, Relay, get, get_with, wait_until};

const THREADS: usize = 8;
/// Of each thread, in each of three acts: before, during and after the outage.
const EACH: usize = 84;
const TOTAL: usize = THREADS * EACH * 3;

/// One thread's way to send requests.
enum Sender {
    KeepAlive(Box<Client>),
    Afresh,
    Http2(Box<Http2Client>),
}

// === impl Sender ===

impl Sender {
    fn new(proxy: &Proxy, thread: usize) -> Self {
        match thread % 3 {
            0 => Self::KeepAlive(Box::new(Client::connect(proxy.public()))),
            1 => Self::Afresh,
            _ => Self::Http2(Box::new(Http2Client::connect(proxy.public()))),
        }
    }

    fn send(&mut self, proxy: &Proxy, path: &str, id: &str) -> u16 {
        let headers = [("x-request-id", id)];
        match self {
            Self::KeepAlive(client) => {
                client.request("GET", path, &headers, b"");
                client.read_response().status
            }
            Self::Afresh => get_with(proxy.public(), path, &headers).status,
            Self::Http2(client) => {
                let answer = client.request("GET", path, &headers, b"", &[]);
                answer.expect("an answer").status.as_u16()
            }
        }
    }
}

/// What the books say of spans.
fn spans(metrics: &Metrics, state: &str) -> f64 {
    let labels = [("signal", "spans"), ("state", state)];
    metrics.sum("sightglass_telemetry_items_total", &labels)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The span's parent, as Jaeger tells it; empty for a root.
fn parent(span: &Value) -> &str {
    let references = span["references"].as_array();
    references
        .into_iter()
        .flatten()
        .find(|reference| reference["refType"] == "CHILD_OF")
        .map_or("", |reference| text(reference, "spanID"))
}

/// Sends everything in three acts; between the first and the second the wire is cut, and mended before the third.
fn play(proxy: &Proxy, relay: &Relay) {
    let act = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let act = &act;
            scope.spawn(move || {
                let mut sender = Sender::new(proxy, thread);
                for number in 0..EACH * 3 {
                    if number > 0 && number % EACH == 0 {
                        act.wait();
                        act.wait();
                    }
                    let (path, status) = match number % 20 {
                        0 => ("/64k", 200),
                        1 => ("/not-there", 404),
                        _ => ("/small", 200),
                    };
                    let id = format!("id-{thread}-{number}");
                    assert_eq!(sender.send(proxy, path, &id), status, "{id}");
                }
            });
        }
        act.wait();
        relay.cut();
        act.wait();
        act.wait();
        // The outage lasts until it has cost something.
        wait_until("spans are lost", || {
            spans(&proxy.metrics(), "dropped") > 0.0
        });
        relay.mend();
        act.wait();
    });
}

#[test]
fn each_request_is_found_once_everywhere_through_an_outage_of_the_collector() {
    let (Some(nginx), Some(jaeger)) = (Nginx::start(), Jaeger::start()) else {
        return;
    };
    let relay = Relay::to(jaeger.grpc());
    let config = Config::new(nginx.address())
        .telemetry("service_name: edge")
        .traces(relay.address());
    let proxy = Proxy::start_with(config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
        command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "300");
    });
    play(&proxy, &relay);

    let lines = proxy.wait_log_lines(TOTAL);
    let logged = by_request(&lines);
    assert!(lines.iter().all(|line| line["outcome"] == "served"));
    let attempts = attempts_at(&nginx, &logged);
    check_counts(&proxy, &lines);
    check_recorder(&proxy, &logged);
    check_traces(&proxy, &jaeger, &lines, &attempts);
    proxy.wait_stderr("the collector takes no spans");
    proxy.finish();
}

/// The lines of the log by their request's id: each request has one.
fn by_request(lines: &[Value]) -> HashMap<&str, &Value> {
    let logged: HashMap<&str, &Value> = lines
        .iter()
        .map(|line| (text(line, "request_id"), line))
        .collect();
    assert_eq!(logged.len(), TOTAL);
    logged
}

/// By trace, the span that nginx saw as its caller: each request came once, in the trace that the log names.
fn attempts_at(nginx: &Nginx, logged: &HashMap<&str, &Value>) -> HashMap<String, String> {
    wait_until("nginx has written its log", || {
        nginx.log_lines().len() >= TOTAL
    });
    let served = nginx.log_lines();
    assert_eq!(served.len(), TOTAL);
    let mut attempts = HashMap::new();
    for line in &served {
        let words: Vec<&str> = line.split(' ').collect();
        let (id, traceparent) = (words[4], words[5]);
        let (trace, span) = (&traceparent[3..35], &traceparent[36..52]);
        assert_eq!(text(logged[id], "trace_id"), trace, "{id}");
        assert!(attempts.insert(trace.to_owned(), span.to_owned()).is_none());
    }
    attempts
}

/// The metrics count as many.
fn check_counts(proxy: &Proxy, lines: &[Value]) {
    let metrics = proxy.metrics();
    let count = "http_server_request_duration_seconds_count";
    let by = |label, value| metrics.sum(count, &[("route", "web"), (label, value)]);
    assert_eq!(by("outcome", "served"), TOTAL as f64);
    let missing = lines.iter().filter(|line| line["status"] == 404).count();
    assert!(missing > 0);
    assert_eq!(by("http_response_status_code", "404"), missing as f64);
    assert_eq!(
        metrics.sum("http_client_request_duration_seconds_count", &[]),
        TOTAL as f64
    );
    if let Some(said) = check_metrics(&proxy.get_admin("/metrics").text()) {
        assert_eq!(said, "");
    }
}

/// The recorder has the last thousand, each once.
fn check_recorder(proxy: &Proxy, logged: &HashMap<&str, &Value>) {
    let answer = proxy.get_admin("/api/v1/exchanges?limit=1000").json();
    let recorded: HashSet<&str> = answer["exchanges"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|exchange| text(exchange, "request_id"))
        .collect();
    assert_eq!(recorded.len(), 1_000);
    assert!(recorded.iter().all(|id| logged.contains_key(id)));
}

/// Nothing is lost but what is counted, and what Jaeger acknowledged it has: server above client, in the traces of the log
/// and of nginx.
fn check_traces(
    proxy: &Proxy,
    jaeger: &Jaeger,
    lines: &[Value],
    attempts: &HashMap<String, String>,
) {
    proxy.wait_until("all spans are settled", || {
        let queued = [("signal", "spans")];
        proxy
            .metrics()
            .sum("sightglass_telemetry_queued_items", &queued)
            == 0.0
    });
    let metrics = proxy.metrics();
    let [created, exported, dropped] =
        ["created", "exported", "dropped"].map(|state| spans(&metrics, state));
    let of_exchanges = 2.0 * TOTAL as f64;
    assert_eq!(created, exported + dropped);
    assert!(created >= of_exchanges);
    assert!(dropped > 0.0, "the outage has cost something");

    let own_work = created - of_exchanges;
    wait_until("Jaeger has all that it acknowledged", || {
        spans_in(jaeger, attempts).len() as f64 >= exported - own_work
    });
    let found = spans_in(jaeger, attempts);
    assert!(found.len() as f64 >= of_exchanges - dropped);
    let mut families = 0;
    for line in lines {
        let (trace, server) = (text(line, "trace_id"), text(line, "span_id"));
        let span = |id: &str| found.get(&(trace.to_owned(), id.to_owned()));
        if let Some(span) = span(server) {
            assert_eq!((parent(span), text(span, "operationName")), ("", "GET /"));
        }
        if let Some(span) = span(&attempts[trace]) {
            assert_eq!((parent(span), text(span, "operationName")), (server, "GET"));
            families += 1;
        }
    }
    assert!(families > TOTAL / 3, "{families} of {TOTAL}");
}

/// Jaeger's spans of these traces, by trace and span: a batch that was sent twice counts once.
fn spans_in(jaeger: &Jaeger, traces: &HashMap<String, String>) -> HashMap<(String, String), Value> {
    let mut found = HashMap::new();
    for trace in jaeger.traces("edge", 10_000) {
        if traces.contains_key(text(&trace, "traceID")) {
            for span in trace["spans"].as_array().expect("a list") {
                let key = ["traceID", "spanID"].map(|key| text(span, key).to_owned());
                found.insert(key.into(), span.clone());
            }
        }
    }
    found
}

#[test]
fn an_exemplar_in_prometheus_opens_its_trace_in_jaeger() {
    let (Some(nginx), Some(jaeger)) = (Nginx::start(), Jaeger::start()) else {
        return;
    };
    let config = Config::new(nginx.address())
        .telemetry("service_name: edge")
        .traces(jaeger.grpc());
    let proxy = Proxy::start_with(config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
    });
    for path in ["/small", "/64k", "/1m", "/not-there"] {
        get(proxy.public(), path);
    }
    let Some(prometheus) = Prometheus::start(proxy.admin()) else {
        return;
    };
    let exemplars = || prometheus.exemplars("http_server_request_duration_seconds_bucket");
    wait_until("Prometheus has exemplars", || !exemplars().is_empty());
    assert_eq!(prometheus.scrape_error().as_deref(), Some(""));
    let known: HashSet<String> = proxy
        .wait_log_lines(4)
        .iter()
        .map(|line| text(line, "trace_id").to_owned())
        .collect();
    for series in exemplars() {
        for exemplar in series["exemplars"].as_array().expect("a list") {
            let trace = text(&exemplar["labels"], "trace_id");
            assert!(known.contains(trace), "{trace}");
            let spans = jaeger.wait_for_spans(trace, 2);
            let span = text(&exemplar["labels"], "span_id");
            assert!(spans.iter().any(|known| text(known, "spanID") == span));
        }
    }
    let count = "sum(http_server_request_duration_seconds_count{outcome=\"served\"})";
    wait_until("all four are counted there", || {
        prometheus.value(count) == Some(4.0)
    });
    assert!(jaeger.services().contains(&"edge".to_owned()));
    proxy.finish();
}
