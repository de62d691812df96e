//! Proxy, Metrics and Config on a stand-in: a shell that says the ready line and an upstream that plays the admin port.

use std::net::SocketAddr;
use std::process::Command;

use super::super::{Collector, Config, Metrics, Proxy, Upstream, reply};

const EVEN: &str = r#"
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_count{route="web",outcome="served"} 2
http_server_request_duration_seconds_count{route="_unmatched",outcome="destination_not_found"} 1
http_server_active_requests{route="web"} 0
sightglass_telemetry_items_total{signal="log",state="created",reason=""} 3
sightglass_telemetry_items_total{signal="log",state="exported",reason=""} 2
sightglass_telemetry_items_total{signal="log",state="dropped",reason="queue_full"} 1
sightglass_telemetry_queued_items{signal="log"} 0
"#;

#[test]
fn a_proxy_is_found_by_its_ready_line_and_ends_on_the_law() {
    let admin = Upstream::answering(|_| reply(200, &[], EVEN));
    let proxy = stand_in(&admin, r#"echo '{"n":1}'; echo '{"n":2}'; echo '{"n":3}'"#);
    assert_eq!(proxy.public(), SocketAddr::from(([127, 0, 0, 1], 7)));
    assert_eq!(proxy.admin(), admin.address());
    assert_eq!(proxy.wait_log_lines(3)[1]["n"], 2);
    assert_eq!(
        proxy.metrics().sum(
            "http_server_request_duration_seconds_count",
            &[("route", "web")]
        ),
        2.0
    );
    assert!(proxy.stderr().contains("starting"));
    proxy.finish();
}

#[test]
#[should_panic(expected = "lines written by the end = exchanges finished")]
fn a_line_too_many_at_the_end_breaks_the_law() {
    let admin = Upstream::answering(|_| reply(200, &[], EVEN));
    let proxy = stand_in(
        &admin,
        r#"trap 'echo "{}"; exit 0' TERM; echo '{}'; echo '{}'; echo '{}'"#,
    );
    proxy.finish();
}

#[test]
#[should_panic(expected = "server spans = exchanges")]
fn a_line_without_a_span_breaks_the_law_of_traces() {
    let admin = Upstream::answering(|_| reply(200, &[], EVEN));
    let proxy = stand_in(&admin, "echo '{}'; echo '{}'; echo '{}'");
    proxy.finish_traced(&Collector::start());
}

#[test]
#[should_panic(expected = "address already in use")]
fn a_proxy_that_does_not_start_shows_what_it_said() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo address already in use >&2; exit 1"]);
    Proxy::adopt(command, "");
}

#[test]
fn the_binary_runs_to_its_end_and_gives_its_output() {
    assert!(Proxy::output(&["--help"]).status.success());
}

#[test]
fn a_page_of_metrics_is_read_with_escapes_and_exemplars() {
    let page = "# HELP a b\na_total 3\nb_bucket{le=\"+Inf\",p=\"x\\\"y,}\"} 4 # {trace_id=\"ab\"} 0.5 1.0\nc NaN\nd{} +Inf\n";
    let metrics = Metrics::parse(page);
    assert_eq!(metrics.get("a_total", &[]), Some(3.0));
    let bucket = metrics.samples("b_bucket", &[("p", "x\"y,}")])[0];
    assert_eq!(bucket.value, 4.0);
    let (labels, value) = bucket.exemplar.as_ref().expect("an exemplar");
    assert_eq!((labels["trace_id"].as_str(), *value), ("ab", 0.5));
    assert_eq!(metrics.get("d", &[]), Some(f64::INFINITY));
    assert_eq!(metrics.get("missing", &[]), None);
}

#[test]
fn keys_land_under_their_parents() {
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    let config = Config::new(address)
        .endpoint(SocketAddr::from(([127, 0, 0, 1], 10)))
        .route("retry:\n  attempts: 2\nmax_body: 1KiB")
        .more_routes("\n        - name: other\n          match: {path: {exact: /x}}\n          upstream: web\n")
        .traces(SocketAddr::from(([127, 0, 0, 1], 11)))
        .to_string();
    assert_eq!(
        config,
        "listeners:
  - name: public
    address: 127.0.0.1:0
routes:
  - name: web
    match: {path: {prefix: /}}
    upstream: web
    retry:
      attempts: 2
    max_body: 1KiB
  - name: other
    match: {path: {exact: /x}}
    upstream: web
upstreams:
  - name: web
    endpoints: [{address: 127.0.0.1:9}, {address: 127.0.0.1:10}]
telemetry:
  access_log: {output: stdout, format: json, sample: 100%}
  traces: {otlp: {endpoint: \"http://127.0.0.1:11\", protocol: grpc}, sample: 100%}
admin:
  address: 127.0.0.1:0
runtime:
  workers: 2
"
    );
}

/// A shell that gets ready, says `lines`, and ends with 0 on SIGTERM.
fn stand_in(admin: &Upstream, lines: &str) -> Proxy {
    let ready = format!(
        "echo starting >&2; echo 'sightglass ready: public=127.0.0.1:7 admin={}' >&2",
        admin.address()
    );
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!("trap 'exit 0' TERM; {lines}; {ready}; while :; do sleep 0.01; done"),
    ]);
    Proxy::adopt(command, Config::new(admin.address()))
}
