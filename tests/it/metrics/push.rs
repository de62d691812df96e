//! Metrics that are pushed: the same figures as on the page, over both wires, with books that add up.

use super::super::rig::{Collector, Config, Mode, Proxy, Upstream, get};

const DURATION: &str = "http.server.request.duration";

fn books(proxy: &Proxy, state: &str) -> f64 {
    let labels = [("signal", "metrics"), ("state", state)];
    let metrics = proxy.metrics();
    metrics.sum("sightglass_telemetry_items_total", &labels)
}

fn config(upstream: &Upstream, collector: &Collector, protocol: &str, more: &str) -> Config {
    let (traces, metrics) = (Collector::url(collector), Collector::url(collector));
    Config::new(upstream.address())
        .telemetry("service_name: pushing")
        .telemetry(&format!("traces: {{otlp: {{endpoint: \"{traces}\", protocol: {protocol}}}}}"))
        .telemetry(&format!(
            "metrics: {{{more}otlp: {{endpoint: \"{metrics}\", protocol: {protocol}, interval: 1s}}}}"
        ))
}

#[test]
fn what_is_pushed_is_what_the_page_says_over_both_wires() {
    for (protocol, more) in [("grpc", ""), ("http", "classic_buckets: false, ")] {
        let (upstream, collector) = (Upstream::ok("hello"), Collector::start());
        let mut proxy = Proxy::start(config(&upstream, &collector, protocol, more));
        for _ in 0..7 {
            assert_eq!(get(proxy.public(), "/").status, 200);
        }
        let of = |name: &str| {
            let mut points = collector.points();
            points.retain(|point| point.name == name);
            points
        };
        proxy.wait_until("all seven are pushed", || {
            of(DURATION).last().is_some_and(|point| point.value == 7.0)
        });
        let page = proxy.metrics();
        let point = of(DURATION).pop().expect("it is there");
        let sum = page.sum("http_server_request_duration_seconds_sum", &[]);
        assert!((point.sum - sum).abs() < 1e-9, "{} and {sum}", point.sum);
        assert_eq!(point.buckets.1, 7, "its buckets add up");
        assert_eq!(point.is_exponential, !more.is_empty());
        assert_eq!((&*point.unit, &*point.service), ("s", "pushing"));
        assert!(point.started > 0 && point.started < point.time);
        let wanted = [
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("http.route", "/"),
            ("outcome", "served"),
            ("route", "web"),
        ];
        let wanted = wanted.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(point.attributes, wanted.into());
        proxy.wait_until("an exemplar is pushed, and its trace is there", || {
            let points = of(DURATION);
            let traces = points.iter().flat_map(|point| &point.exemplars);
            traces
                .clone()
                .any(|trace| !collector.trace(trace).is_empty())
        });
        for name in [
            "sightglass.phase_duration",
            "http.server.response.body.size",
            "sightglass.endpoint_requests",
            "sightglass.config_generation",
            "process.cpu",
        ] {
            assert!(!of(name).is_empty(), "{name} is pushed");
        }
        // The last words: what came after the last push is told at the end.
        assert_eq!(get(proxy.public(), "/").status, 200);
        proxy.stop();
        assert_eq!(of(DURATION).last().map(|point| point.value), Some(8.0));
    }
}

#[test]
fn the_books_of_metrics_add_up_while_the_collector_refuses_and_rejects() {
    let (upstream, collector) = (Upstream::ok("hello"), Collector::start());
    let proxy = Proxy::start(config(&upstream, &collector, "grpc", ""));
    assert_eq!(get(proxy.public(), "/").status, 200);
    proxy.wait_until("something is exported", || books(&proxy, "exported") > 0.0);
    let dropped = |reason: &str| {
        let labels = [
            ("signal", "metrics"),
            ("state", "dropped"),
            ("reason", reason),
        ];
        proxy
            .metrics()
            .sum("sightglass_telemetry_items_total", &labels)
    };
    collector.set(Mode::RejectHalf);
    proxy.wait_until("half is rejected", || dropped("rejected") > 0.0);
    collector.set(Mode::RefuseForGood);
    proxy.wait_until("all is refused", || dropped("export_failed") > 0.0);
    assert_eq!(get(proxy.public(), "/").status, 200);
    collector.set(Mode::Accept);
    let before = collector.points().len();
    proxy.wait_until("it has come back", || collector.points().len() > before);
    let last = collector.points();
    let last = last.iter().rfind(|point| point.name == DURATION);
    assert_eq!(
        last.map(|point| point.value),
        Some(2.0),
        "no figure is lost"
    );
    let metrics = proxy.metrics();
    let items = |state| {
        let labels = [("signal", "metrics"), ("state", state)];
        metrics.sum("sightglass_telemetry_items_total", &labels)
    };
    let queued = metrics.sum(
        "sightglass_telemetry_queued_items",
        &[("signal", "metrics")],
    );
    assert_eq!(
        items("created"),
        items("exported") + items("dropped") + queued
    );
    assert!(collector.points().len() as f64 <= items("exported") + 2_000.0);
    proxy.finish();
}
