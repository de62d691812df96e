//! A run in which everything happens that the metrics can tell, and the table of what they are to tell.

use super::super::rig::{
    Client, Collector, Config, Gate, Http2Client, Metrics, Proxy, Script, Upstream, get, get_with,
    post, reply,
};

/// The contract: each family that this issue can produce, with its labels.
pub(super) const FAMILIES: [(&str, &[&str]); 34] = [
    (
        "http_server_request_duration_seconds",
        &[
            "http_request_method",
            "http_response_status_code",
            "http_route",
            "outcome",
            "route",
        ],
    ),
    (
        "sightglass_grpc_requests_total",
        &["grpc_status", "http_route", "route"],
    ),
    ("sightglass_stream_duration_seconds", &["outcome", "route"]),
    ("http_server_active_requests", &["http_route", "route"]),
    (
        "http_server_request_body_size_bytes",
        &["http_route", "route"],
    ),
    (
        "http_server_response_body_size_bytes",
        &["http_route", "route"],
    ),
    (
        "http_client_request_duration_seconds",
        &["http_response_status_code", "outcome", "upstream"],
    ),
    ("sightglass_phase_duration_seconds", &["phase", "route"]),
    ("sightglass_proxy_overhead_seconds", &["route"]),
    ("sightglass_retries_total", &["reason", "route"]),
    (
        "sightglass_retry_budget_exhausted_total",
        &["reason", "route"],
    ),
    ("sightglass_rate_limited_total", &["limiter", "route"]),
    (
        "sightglass_overloaded_total",
        &["limiter", "route", "upstream"],
    ),
    ("sightglass_endpoint_healthy", &["endpoint", "upstream"]),
    ("sightglass_endpoint_out", &["endpoint", "upstream"]),
    (
        "sightglass_endpoint_active_requests",
        &["endpoint", "upstream"],
    ),
    (
        "sightglass_endpoint_latency_ewma_seconds",
        &["endpoint", "upstream"],
    ),
    (
        "sightglass_endpoint_requests_total",
        &["endpoint", "outcome", "upstream"],
    ),
    (
        "sightglass_endpoint_failures_total",
        &["endpoint", "upstream"],
    ),
    (
        "sightglass_upstream_active_connections",
        &["state", "upstream"],
    ),
    (
        "sightglass_upstream_connections_opened_total",
        &["upstream"],
    ),
    ("sightglass_active_connections", &["listener"]),
    ("sightglass_connections_total", &["listener"]),
    (
        "sightglass_connection_errors_total",
        &["listener", "reason"],
    ),
    ("sightglass_worker_connections", &["worker"]),
    ("sightglass_config_generation", &[]),
    ("sightglass_config_last_reload_success", &[]),
    ("sightglass_config_reloads_total", &["result"]),
    ("sightglass_config_info", &["hash"]),
    (
        "sightglass_telemetry_items_total",
        &["reason", "signal", "state"],
    ),
    ("sightglass_telemetry_queued_items", &["signal"]),
    ("sightglass_build_info", &["arch", "os", "version"]),
    ("process_cpu_seconds_total", &[]),
    ("process_resident_memory_bytes", &[]),
];

/// What the mixed run sends, the event stream aside, and how many of it end how.
pub(super) const SENT: [(&str, f64); 6] = [
    ("served", 16.0),
    ("destination_not_found", 3.0),
    ("connection_refused", 2.0),
    ("rate_limited", 2.0),
    ("overloaded", 1.0),
    ("client_closed", 1.0),
];

/// Everything that the proxy can do with a request, at least once.
pub(super) struct Mixed {
    pub(super) proxy: Proxy,
    pub(super) collector: Collector,
    /// Held so that they answer as long as the proxy runs.
    _upstreams: Vec<Upstream>,
}

// === impl Mixed ===

impl Mixed {
    pub(super) fn run() -> Self {
        let collector = Collector::start();
        let gate = Gate::new();
        let upstreams = upstreams(&gate);
        let config = config(&upstreams, &collector);
        let proxy = Proxy::start(&config);
        send(&proxy);
        crowd(&proxy, &gate);

        let mut nonsense = Client::connect(proxy.public());
        nonsense.send("NOT HTTP AT ALL\r\n\r\n");
        nonsense.read_to_end();
        proxy.write_config(&config);
        proxy.signal("HUP");
        for (name, label) in [
            ("sightglass_config_reloads_total", ("result", "success")),
            (
                "sightglass_connection_errors_total",
                ("reason", "malformed"),
            ),
        ] {
            proxy.wait_until(name, || proxy.metrics().sum(name, &[label]) == 1.0);
        }
        Self {
            proxy,
            collector,
            _upstreams: upstreams,
        }
    }

    pub(super) fn finish(self) {
        self.proxy.finish_traced(&self.collector);
    }
}

/// One for each name, in the order of [`NAMES`].
fn upstreams(gate: &Gate) -> Vec<Upstream> {
    let script = || Script::new().read_head().read_body();
    vec![
        Upstream::ok("hello"),
        Upstream::status(299),
        Upstream::refuse(),
        Upstream::requests([
            script().send(reply(503, &[], "")),
            script().send(reply(200, &[], "second")),
            script().send(reply(503, &[], "")),
        ]),
        Upstream::script(script().wait(gate).send(reply(200, &[], "late"))),
        Upstream::answering(|_| {
            reply(200, &[("content-type", "text/event-stream")], "data: x\n\n")
        }),
    ]
}

fn config(upstreams: &[Upstream], collector: &Collector) -> String {
    let more: String = std::iter::zip(NAMES, upstreams)
        .skip(1)
        .map(|(name, upstream)| {
            let address = upstream.address();
            format!("- {{name: {name}, endpoints: [{{address: {address}}}]}}\n")
        })
        .collect();
    let config = Config::new(upstreams[0].address())
        .listener("limits: {headers: 90}")
        .more_routes(ROUTES)
        .more_upstreams(&more)
        .traces(collector.address());
    // The route that the rig gives takes everything: here it shall leave something over.
    let everything = "match: {path: {prefix: /}}";
    config
        .to_string()
        .replacen(everything, "match: {path: {prefix: /good}}", 1)
}

/// Sends what is answered at once.
fn send(proxy: &Proxy) {
    let public = proxy.public();
    for (path, count, status) in [
        ("/good/secret-path?word=secret-query", 5, 200),
        ("/odd", 1, 299),
        ("/nowhere", 1, 404),
        ("/dead", 2, 502),
        ("/retried", 1, 200),
        ("/exhausted", 1, 503),
        ("/limited", 1, 200),
        ("/limited", 2, 429),
        ("/events", 2, 200),
    ] {
        for _ in 0..count {
            assert_eq!(get(public, path).status, status, "{path}");
        }
    }
    assert_eq!(post(public, "/good", "a body").status, 200);
    let http2 = Http2Client::connect(public);
    for _ in 0..3 {
        assert_eq!(http2.get("/good/two").status, 200);
    }
    let call = [("content-type", "application/grpc")];
    let missing = http2.request("POST", "/nowhere", &call, "", &[]);
    assert_eq!(
        missing.expect("an answer").header("grpc-status"),
        Some("12")
    );
    let mut client = Client::connect(public);
    let agent = [("user-agent", "secret-agent")];
    client.request("SECRETMETHOD", "/good", &agent, b"");
    assert_eq!(client.read_response().status, 200);
    let host = [("host", "secret.host")];
    assert_eq!(get_with(public, "/nowhere", &host).status, 404);
}

/// One that waits and goes away, and one for which there is no room meanwhile.
fn crowd(proxy: &Proxy, gate: &Gate) {
    let mut leaving = Client::connect(proxy.public());
    leaving.request("GET", "/crowded", &[], b"");
    proxy.wait_until("it is at the upstream", || gate.waiting() == 1);
    let metrics = proxy.metrics();
    let active = [("route", "crowded"), ("http_route", "/crowded")];
    assert_eq!(
        metrics.get("http_server_active_requests", &active),
        Some(1.0)
    );
    let active = [("upstream", "stalled")];
    assert_eq!(
        metrics.get("sightglass_endpoint_active_requests", &active),
        Some(1.0)
    );
    assert_eq!(get(proxy.public(), "/crowded").status, 503);
    drop(leaving);
    proxy.wait_until("the client's leaving is counted", || {
        ended(&proxy.metrics(), "client_closed") == 1.0
    });
    gate.open();
}

/// The upstreams; the first is the one that the rig's configuration has.
const NAMES: [&str; 6] = ["web", "odd", "dead", "failing", "stalled", "events"];

const ROUTES: &str = "
- {name: odd, match: {path: {exact: /odd}}, upstream: odd}
- {name: dead, match: {path: {exact: /dead}}, upstream: dead}
- {name: limited, match: {path: {exact: /limited}}, upstream: web, rate_limit: {rate: 1/m, burst: 1, key: all}}
- {name: crowded, match: {path: {exact: /crowded}}, upstream: stalled, concurrency: 1}
- {name: events, match: {path: {exact: /events}}, upstream: events}
- {name: retried, match: {path: {exact: /retried}}, upstream: failing, retry: {attempts: 2, when: [503]}}
- name: exhausted
  match: {path: {exact: /exhausted}}
  upstream: failing
  retry: {attempts: 2, when: [503], budget: {ratio: 0%, min_per_second: 0}}
";

pub(super) fn ended(metrics: &Metrics, outcome: &str) -> f64 {
    metrics.sum(
        "http_server_request_duration_seconds_count",
        &[("outcome", outcome)],
    )
}
