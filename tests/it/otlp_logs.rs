//! The access log and events as OTLP logs: from the same record as line and span, counted like these, and never in a
//! request's way.

use super::rig::{Client, Collector, Config, Mode, Proxy, Upstream, get, reply};

/// Runs it with short batches, so that tests need not wait for them.
fn start(config: impl ToString) -> Proxy {
    Proxy::start_with(config, |command| {
        command.env("OTEL_BLRP_SCHEDULE_DELAY", "20");
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
        command.env("OTEL_RESOURCE_ATTRIBUTES", "team=shop");
    })
}

fn logs_to(collector: &Collector, protocol: &str) -> String {
    let url = collector.url();
    format!("logs: {{otlp: {{endpoint: \"{url}\", protocol: {protocol}}}}}")
}

/// The books of this signal: created, exported, dropped, queued.
fn books(proxy: &Proxy) -> [f64; 4] {
    let metrics = proxy.metrics();
    let items = |state| {
        let labels = [("signal", "otlp_logs"), ("state", state)];
        metrics.sum("sightglass_telemetry_items_total", &labels)
    };
    let queued = metrics.sum(
        "sightglass_telemetry_queued_items",
        &[("signal", "otlp_logs")],
    );
    [
        items("created"),
        items("exported"),
        items("dropped"),
        queued,
    ]
}

#[test]
fn a_log_its_line_and_its_span_tell_the_same_over_both_protocols() {
    for protocol in ["grpc", "http"] {
        let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
        let config = Config::new(upstream.address())
            .traces(collector.address())
            .telemetry(&logs_to(&collector, protocol));
        let proxy = start(config);
        assert_eq!(get(proxy.public(), "/cart?x=1&token=hush").status, 200);
        let line = proxy.wait_log_lines(1).remove(0);
        proxy.wait_until("the log and the span", || {
            !collector.exchange_logs().is_empty() && !collector.exchanges().is_empty()
        });
        let (log, span) = (
            collector.exchange_logs().remove(0),
            collector.exchanges().remove(0),
        );
        assert_eq!(line["trace_id"], log.trace_id.as_str());
        assert_eq!(
            (&log.trace_id, &log.span_id),
            (&span.trace_id, &span.span_id)
        );
        assert_eq!(log.time, span.start, "one clock for both");
        assert_eq!((log.severity, log.severity_text.as_str()), (9, "INFO"));
        for (key, value) in &span.attributes {
            if !key.starts_with("sightglass.sampling.") {
                assert_eq!(log.attributes.get(key), Some(value), "{protocol}: {key}");
            }
        }
        assert_eq!(log.attributes["url.query"], "x=1&token=REDACTED");
        assert_eq!(log.attributes["http.response.body.size"], 5);
        assert_eq!(log.attributes["sightglass.upstream"], "web");
        let duration = log.attributes["sightglass.duration"]
            .as_f64()
            .expect("seconds");
        let told = line["duration_ms"].as_f64().expect("milliseconds");
        assert!((duration * 1e3 - told).abs() < 0.002, "{duration} {told}");
        let body = log.body.as_str().expect("a line");
        assert!(body.contains(" 200 GET test/cart "), "{body}");
        assert_eq!(
            (&log.resource["team"], log.scope.as_str()),
            (&"shop".into(), "sightglass")
        );
        assert_eq!(log.resource, span.resource);
        proxy.finish_traced(&collector);
    }
}

#[test]
fn events_come_with_their_names_and_failures_with_their_gravity() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address()).telemetry(&logs_to(&collector, "grpc"));
    let proxy = start(config);
    upstream.shut();
    assert_eq!(get(proxy.public(), "/").status, 502);
    proxy.signal("HUP");
    proxy.wait_until("the exchange and the reload", || {
        let logs = collector.logs();
        let has = |name: &str| logs.iter().any(|log| log.event_name == name);
        has("sightglass.exchange") && has("sightglass.reloaded")
    });
    let failed = collector.exchange_logs().remove(0);
    assert_eq!(
        (failed.severity, failed.severity_text.as_str()),
        (17, "ERROR")
    );
    assert_eq!(
        failed.attributes["sightglass.outcome"],
        "connection_refused"
    );
    assert_eq!(failed.attributes["sightglass.side"], "upstream");
    let logs = collector.logs();
    let reloaded = logs
        .iter()
        .find(|log| log.event_name == "sightglass.reloaded");
    let reloaded = reloaded.expect("it has come");
    assert_eq!(reloaded.body, "configuration in force");
    assert_eq!(reloaded.attributes["generation"], 2);
    assert_eq!((reloaded.severity, reloaded.trace_id.as_str()), (9, ""));
    assert!(
        logs.iter().all(|log| !log.event_name.is_empty()),
        "{logs:#?}"
    );
    proxy.finish();
}

#[test]
fn a_collector_that_is_gone_slow_or_refuses_costs_counted_logs() {
    let (collector, upstream) = (
        Collector::start(),
        Upstream::answering(|_| reply(200, &[], "hello")),
    );
    let config = Config::new(upstream.address())
        .access_log("access_log: {output: off}")
        .telemetry(&logs_to(&collector, "http"));
    let proxy = start(config);
    let mut client = Client::connect(proxy.public());
    let mut ask = |count: usize| {
        for _ in 0..count {
            client.request("GET", "/", &[], b"");
            assert_eq!(client.read_response().status, 200);
        }
    };
    let settled = |what: &str| {
        proxy.wait_until(what, || {
            let [created, exported, dropped, queued] = books(&proxy);
            created == exported + dropped && queued == 0.0
        });
        books(&proxy)
    };
    ask(10);
    proxy.wait_until("ten exchanges", || collector.exchange_logs().len() == 10);
    collector.set(Mode::RejectHalf);
    ask(20);
    proxy.wait_until("all have been read", || books(&proxy)[0] >= 30.0);
    settled("a partial success is counted");
    assert!(collector.rejected_spans() > 0);
    let reason = [("signal", "otlp_logs"), ("reason", "rejected")];
    let metrics = proxy.metrics();
    let rejected = metrics.sum("sightglass_telemetry_items_total", &reason);
    assert_eq!(rejected, collector.rejected_spans() as f64);
    proxy.wait_stderr("the collector refused logs");

    collector.set(Mode::RefuseForGood);
    ask(20);
    proxy.wait_until("all of them are refused", || {
        collector.refused_spans() >= 20
    });
    proxy.wait_stderr("the collector takes no logs");
    collector.set(Mode::Accept);
    ask(1);
    proxy.wait_stderr("the collector takes logs again");
    let [created, exported, dropped, _] = settled("it has come back");
    assert_eq!(
        exported,
        collector.logs().len() as f64,
        "exported is what was acknowledged"
    );
    assert!(dropped >= 20.0 && created >= 51.0);

    collector.set(Mode::Stall);
    ask(20);
    proxy.wait_until("it stalls", || collector.stalled_exports() > 0);
    ask(20);
    let [created, exported, dropped, queued] = books(&proxy);
    assert_eq!(created, exported + dropped + queued);
    collector.stop();
    proxy.finish();
}

#[test]
fn none_goes_out_where_nobody_asked() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let url = collector.url();
    let proxy = Proxy::start_with(Config::new(upstream.address()), |command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    });
    assert_eq!(get(proxy.public(), "/").status, 200);
    proxy.wait_until("its span", || !collector.exchanges().is_empty());
    assert_eq!(books(&proxy), [0.0; 4]);
    assert!(collector.logs().is_empty());
    proxy.finish_traced(&collector);
}
