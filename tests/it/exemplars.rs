//! Exemplars: each bucket's is a trace that was kept, and it is shown only once the collector has it.

use std::collections::BTreeSet;

use super::rig::partner::{Jaeger, Prometheus};
use super::rig::{Collector, Config, Mode, Proxy, Relay, Upstream, get, reply, wait_until};

/// Answers with the status that the path ends in: each is a series of its own, with slots of its own.
fn upstream() -> Upstream {
    Upstream::answering(|request| {
        let status = request.target.rsplit('/').next();
        reply(
            status.and_then(|it| it.parse().ok()).unwrap_or(200),
            &[],
            "hello",
        )
    })
}

/// Keeps nothing but what a rule or an exemplar asks for.
fn config(upstream: &Upstream, collector: impl std::fmt::Display) -> Config {
    Config::new(upstream.address()).telemetry(&format!(
        "traces: {{otlp: {{endpoint: \"http://{collector}\", protocol: grpc}}, sample: 0%}}"
    ))
}

fn start(config: impl ToString) -> Proxy {
    Proxy::start_with(config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    })
}

/// The same, with little patience for the collector.
fn start_impatient(config: impl ToString) -> Proxy {
    Proxy::start_with(config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
        command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "300");
    })
}

/// Trace and span of every exemplar on the page.
fn shown(proxy: &Proxy) -> BTreeSet<(String, String)> {
    let metrics = proxy.open_metrics();
    let exemplars = metrics.all().iter().filter_map(|sample| {
        let (labels, value) = sample.exemplar.as_ref()?;
        assert!(
            *value > 0.0 && sample.name.ends_with("_bucket"),
            "{sample:?}"
        );
        Some((labels["trace_id"].clone(), labels["span_id"].clone()))
    });
    exemplars.collect()
}

/// Registered statuses that may have a body: the others share one label.
const FIRST: &[u16] = &[
    200, 201, 202, 203, 207, 208, 226, 300, 301, 302, 303, 307, 308,
];
const SECOND: &[u16] = &[
    400, 401, 402, 403, 404, 405, 406, 409, 410, 411, 412, 413, 414, 415, 416,
];
const THIRD: &[u16] = &[421, 422, 423, 424, 426, 428, 429, 431, 451];

/// Asks for each of these statuses.
fn ask(proxy: &Proxy, statuses: &[u16]) {
    for &status in statuses {
        assert_eq!(get(proxy.public(), &format!("/{status}")).status, status);
    }
}

fn spans(proxy: &Proxy, state: &str) -> f64 {
    let labels = [("signal", "spans"), ("state", state)];
    proxy
        .metrics()
        .sum("sightglass_telemetry_items_total", &labels)
}

/// That each that is shown is in the collector.
fn none_dangles(proxy: &Proxy, collector: &Collector) {
    for (trace, span) in shown(proxy) {
        let is_there = collector.trace(&trace).iter().any(|it| it.span_id == span);
        assert!(
            is_there,
            "{trace} {span} is shown, and the collector has it not"
        );
    }
}

#[test]
fn an_exemplar_is_kept_whatever_the_share_and_once_a_bucket() {
    let (upstream, collector) = (upstream(), Collector::start());
    let proxy = start(config(&upstream, collector.address()));
    for _ in 0..40 {
        assert_eq!(get(proxy.public(), "/").status, 200);
    }
    proxy.wait_until("the exemplars", || !shown(&proxy).is_empty());
    none_dangles(&proxy, &collector);
    let lines = proxy.wait_log_lines(40);
    let kept = lines.iter().filter(|line| line["sampled"] == true).count();
    proxy.finish();
    let exchanges = collector.exchanges();
    assert_eq!(exchanges.len(), kept);
    // Both workers together take each of the buckets once: forty times the same cannot have seen more than a few.
    assert!((1..=20).contains(&kept), "{kept}");
    for span in exchanges {
        assert_eq!(span.text("sightglass.sampling.reason"), Some("exemplar"));
        assert_eq!(span.attributes["sightglass.sampling.weight"], 1.0);
    }
}

#[test]
fn it_is_shown_only_when_the_collector_has_acknowledged_it() {
    let (upstream, collector) = (upstream(), Collector::start());
    let proxy = start(config(&upstream, collector.address()));
    collector.set(Mode::Refuse);
    ask(&proxy, &FIRST[..5]);
    proxy.wait_until("a refusal", || collector.refused_spans() > 0);
    assert_eq!(shown(&proxy).len(), 0);
    collector.set(Mode::Accept);
    proxy.wait_until("the exemplars", || shown(&proxy).len() >= 5);
    none_dangles(&proxy, &collector);
    proxy.finish();
}

#[test]
fn of_a_batch_that_was_taken_in_part_none_is_shown() {
    let (upstream, collector) = (upstream(), Collector::start());
    collector.set(Mode::RejectHalf);
    let proxy = start(config(&upstream, collector.address()));
    ask(&proxy, FIRST);
    proxy.wait_until("all of them are settled", || {
        let created = spans(&proxy, "created");
        created >= 26.0 && created == spans(&proxy, "exported") + spans(&proxy, "dropped")
    });
    assert!(collector.rejected_spans() > 0);
    none_dangles(&proxy, &collector);
    proxy.finish();
}

#[test]
fn none_dangles_when_the_collector_dies_and_comes_back() {
    let (upstream, collector) = (upstream(), Collector::start());
    let proxy = start_impatient(config(&upstream, collector.address()));
    ask(&proxy, FIRST);
    proxy.wait_until("the exemplars", || shown(&proxy).len() >= FIRST.len());
    let before = shown(&proxy);
    collector.stop();
    ask(&proxy, SECOND);
    proxy.wait_until("spans that nobody took", || {
        spans(&proxy, "dropped") >= 30.0
    });
    assert_eq!(shown(&proxy), before, "what was lost is not shown");
    none_dangles(&proxy, &collector);
    collector.restart();
    ask(&proxy, THIRD);
    proxy.wait_until("new exemplars", || shown(&proxy).len() > before.len());
    none_dangles(&proxy, &collector);
    proxy.finish();
}

#[test]
fn none_is_kept_where_they_are_turned_off_or_nobody_collects() {
    let (upstream, collector) = (upstream(), Collector::start());
    let config = config(&upstream, collector.address());
    let proxy = start(config.telemetry("metrics: {exemplars: false}"));
    ask(&proxy, &FIRST[..3]);
    ask(&proxy, &[500, 501]);
    let lines = proxy.wait_log_lines(5);
    let kept = lines.iter().filter(|line| line["sampled"] == true).count();
    assert_eq!(kept, 2, "the failures");
    proxy.wait_until("the failures", || collector.exchanges().len() == 2);
    assert_eq!(shown(&proxy).len(), 0);
    proxy.finish();

    let proxy = start(Config::new(upstream.address()));
    ask(&proxy, &FIRST[..3]);
    proxy.wait_log_lines(3);
    assert_eq!(shown(&proxy).len(), 0);
    proxy.finish();
}

#[test]
fn every_exemplar_that_prometheus_stores_opens_in_jaeger_also_where_the_way_there_breaks() {
    let Some(jaeger) = Jaeger::start() else {
        return;
    };
    let (upstream, relay) = (upstream(), Relay::to(jaeger.grpc()));
    let proxy = start_impatient(config(&upstream, relay.address()));
    let Some(prometheus) = Prometheus::start(proxy.admin()) else {
        return;
    };
    let stored = || -> BTreeSet<(String, String)> {
        let queries = [
            "http_server_request_duration_seconds_bucket",
            "http_client_request_duration_seconds_bucket",
        ];
        let series = queries.iter().flat_map(|query| prometheus.exemplars(query));
        let exemplars =
            series.flat_map(|series| series["exemplars"].as_array().cloned().unwrap_or_default());
        let text = |exemplar: &serde_json::Value, label: &str| {
            let text = exemplar["labels"][label].as_str();
            text.expect("an id").to_owned()
        };
        exemplars
            .map(|it| (text(&it, "trace_id"), text(&it, "span_id")))
            .collect()
    };
    let count = "sum(http_server_request_duration_seconds_count)";
    let has_scraped = |total: f64| {
        wait_until("Prometheus has counted all", || {
            prometheus.value(count) == Some(total)
        });
    };
    ask(&proxy, FIRST);
    wait_until("Prometheus has exemplars", || stored().len() >= FIRST.len());
    has_scraped(13.0);

    relay.cut();
    ask(&proxy, SECOND);
    proxy.wait_until("spans that nobody took", || {
        spans(&proxy, "dropped") >= 30.0
    });
    has_scraped(28.0);
    let before = stored();

    relay.mend();
    ask(&proxy, THIRD);
    wait_until("Prometheus has new exemplars", || {
        stored().len() >= before.len() + THIRD.len()
    });
    has_scraped(37.0);
    let all = stored();
    for (trace, span) in &all {
        let spans = jaeger.wait_for_spans(trace, 1);
        let is_there = spans.iter().any(|it| it["spanID"] == span.as_str());
        assert!(is_there, "{trace} {span}");
    }
    eprintln!("{} exemplars, each in Jaeger", all.len());
    proxy.finish();
}
