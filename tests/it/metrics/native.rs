//! Native histograms: the real Prometheus asks for messages, reads quantiles out of them, and keeps their exemplars.

use std::time::Duration;

use super::super::rig::partner::Prometheus;
use super::super::rig::{Collector, Config, Proxy, Script, Upstream, get, reply};

const PROTOBUF: [(&str, &str); 1] = [(
    "accept",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
)];

const QUANTILE: &str = "histogram_quantile(0.5, sum(http_server_request_duration_seconds))";

/// An upstream that takes 60 ms.
fn slow() -> Upstream {
    let pause = Duration::from_millis(60);
    Upstream::script(
        Script::new()
            .read_head()
            .pause(pause)
            .send(reply(200, &[], "hello")),
    )
}

#[test]
fn prometheus_reads_quantiles_out_of_native_histograms_and_keeps_exemplars() {
    let (upstream, collector) = (slow(), Collector::start());
    let proxy = Proxy::start(Config::new(upstream.address()).traces(collector.address()));
    let Some(prometheus) = Prometheus::start_native(proxy.admin()) else {
        return proxy.finish_traced(&collector);
    };
    for _ in 0..20 {
        assert_eq!(get(proxy.public(), "/").status, 200);
    }
    proxy.wait_until("the median is known", || {
        assert!(
            prometheus
                .scrape_error()
                .is_none_or(|error| error.is_empty())
        );
        let count = "histogram_count(sum(http_server_request_duration_seconds))";
        prometheus.value(count) == Some(20.0)
    });
    // A bucket is 9 % wide; the classic one that it lies in reaches from 50 to 75 ms.
    let metrics = proxy.metrics();
    let name = "http_server_request_duration_seconds";
    let mean = metrics.sum(&format!("{name}_sum"), &[]) / 20.0;
    let median = prometheus.value(QUANTILE).expect("a quantile");
    assert!(
        (median / mean - 1.0).abs() < 0.2,
        "{median} where the mean is {mean}"
    );
    // What has no native buckets comes as it always did, and so does what is written as text.
    for series in [
        "sightglass_phase_duration_seconds_bucket{le=\"0.1\"}",
        "http_server_response_body_size_bytes_bucket{le=\"1.048576e+06\"}",
        "sightglass_config_generation",
        "process_cpu_seconds_total",
        "sightglass_worker_connections{worker=\"0\"}",
    ] {
        assert!(!prometheus.query(series).is_empty(), "{series} has come");
    }
    let overhead = "histogram_quantile(0.99, sum(sightglass_proxy_overhead_seconds))";
    let overhead = prometheus.value(overhead).expect("a quantile");
    assert!(overhead > 1e-6 && overhead < 0.03, "{overhead}");
    proxy.wait_until("an exemplar has come", || {
        let found = prometheus.exemplars(name);
        let labels = found.first().map(|it| it["exemplars"][0]["labels"].clone());
        labels.is_some_and(|labels| {
            let trace = labels["trace_id"].as_str().unwrap_or_default();
            !collector.trace(trace).is_empty()
        })
    });
    proxy.finish_traced(&collector);
}

#[test]
fn native_histograms_and_classic_buckets_can_be_turned_off() {
    let upstream = Upstream::ok("hello");
    let config = Config::new(upstream.address());
    let page = |config: Config| {
        let proxy = Proxy::start(config);
        assert_eq!(get(proxy.public(), "/").status, 200);
        proxy.wait_log_lines(1);
        let page = proxy.get_admin_with("/metrics", &PROTOBUF);
        let text = proxy.get_admin("/metrics").text();
        assert!(text.contains("http_server_request_duration_seconds_bucket"));
        proxy.finish();
        let kind = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        assert_eq!(page.header("content-type"), Some(kind));
        page.body.len()
    };
    let both = page(config.clone());
    let native = page(
        config
            .clone()
            .telemetry("metrics: {classic_buckets: false}"),
    );
    let classic = page(config.telemetry("metrics: {native_histograms: false}"));
    assert!(
        native < both && classic < both,
        "{native}, {classic} of {both} bytes"
    );
}
