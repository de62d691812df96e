//! What is kept: the head share, and the rules at the end.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::super::rig::{Client, Collector, Config, Proxy, Request, Script, Upstream, get, reply};
use super::{NO_EXEMPLARS, parts, start, traces};

#[test]
fn the_head_share_decides_for_us_and_for_the_services_behind_us() {
    let upstream = Upstream::ok("hello");
    for (share, least, most, weight) in [
        ("0%", 0, 0, 0.0),
        ("100%", 200, 200, 1.0),
        ("50%", 50, 150, 2.0),
    ] {
        let collector = Collector::start();
        let before = upstream.request_count();
        let sample = traces(&collector, "grpc", &format!(", sample: {share}"));
        let config = Config::new(upstream.address()).telemetry(&sample);
        let proxy = start(config.telemetry(NO_EXEMPLARS));
        let mut client = Client::connect(proxy.public());
        for _ in 0..200 {
            client.request("GET", "/", &[], b"");
            assert_eq!(client.read_response().status, 200);
        }
        let lines = proxy.wait_log_lines(200);
        proxy.finish();
        let requests = upstream.all_requests().split_off(before);
        let sampled: BTreeSet<String> = requests
            .iter()
            .map(|request| parts(request.headers.get("traceparent").unwrap_or_default()))
            .filter(|(_, _, flags)| flags == "03")
            .map(|(trace, ..)| trace)
            .collect();
        assert!(
            (least..=most).contains(&sampled.len()),
            "{share}: {}",
            sampled.len()
        );
        let spans = collector.exchanges();
        let exported = spans.iter().map(|span| span.trace_id.clone()).collect();
        assert_eq!(sampled, exported, "{share}");
        let logged = lines
            .iter()
            .filter(|line| line["sampled"] == true)
            .map(|line| line["trace_id"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(sampled, logged, "{share}");
        for span in spans {
            assert_eq!(span.text("sightglass.sampling.reason"), Some("head"));
            assert_eq!(span.attributes["sightglass.sampling.weight"], json!(weight));
        }
    }
}

#[test]
fn a_rule_keeps_what_the_share_would_not() {
    let collector = Collector::start();
    let script = || Script::new().read_head();
    let fast = script().send(reply(200, &[], ""));
    let upstream = Upstream::requests([
        fast.clone(),
        script().send(reply(500, &[], "")),
        script()
            .pause(Duration::from_millis(150))
            .send(reply(200, &[], "")),
        script().send(reply(503, &[], "")),
        fast,
    ]);
    let keep = ", sample: 0%, keep: {slower_than: 100ms}";
    let config = Config::new(upstream.address())
        .route("retry: {attempts: 2, when: [503]}")
        .telemetry(&traces(&collector, "grpc", keep))
        .telemetry(NO_EXEMPLARS);
    let proxy = start(config);
    let mut client = Client::connect(proxy.public());
    for status in [200, 500, 200, 200] {
        client.request("GET", "/", &[], b"");
        assert_eq!(client.read_response().status, status);
    }
    let lines = proxy.wait_log_lines(4);
    let kept: Vec<bool> = lines.iter().map(|line| line["sampled"] == true).collect();
    assert_eq!(kept, [false, true, true, true]);
    proxy.finish();
    let reasons: Vec<_> = collector
        .exchanges()
        .iter()
        .map(|span| span.text("sightglass.sampling.reason").map(str::to_owned))
        .collect();
    let wanted = ["error", "slow", "retried"].map(|reason| Some(reason.to_owned()));
    assert_eq!(reasons, wanted);
    // The head's word went upstream before anybody knew.
    let flags = |request: &Request| parts(request.headers.get("traceparent").unwrap_or_default()).2;
    let flags: BTreeSet<String> = upstream.all_requests().iter().map(flags).collect();
    assert_eq!(flags, BTreeSet::from(["02".to_owned()]));
}

#[test]
fn slow_is_what_is_slower_than_the_routes_own_live_percentile() {
    let collector = Collector::start();
    let upstream = Upstream::answering(|request| {
        if request.target == "/slow" {
            std::thread::sleep(Duration::from_millis(300));
        }
        reply(200, &[], "hello")
    });
    let config = Config::new(upstream.address())
        .route("traces: {slower_than: p99}")
        .telemetry(&traces(&collector, "grpc", ", sample: 0%"))
        .telemetry(NO_EXEMPLARS);
    let proxy = start(config);
    let mut client = Client::connect(proxy.public());
    let mut send = |count: usize| {
        for _ in 0..count {
            client.request("GET", "/", &[], b"");
            assert_eq!(client.read_response().status, 200);
        }
    };
    send(100);
    get(proxy.public(), "/slow");
    let lines = proxy.wait_log_lines(101);
    assert!(lines.iter().all(|line| line["sampled"] == false), "too few");
    send(900);
    proxy.wait_until("a slow one that is kept", || {
        get(proxy.public(), "/slow");
        !collector.exchanges().is_empty()
    });
    for span in collector.exchanges() {
        assert_eq!(span.text("sightglass.sampling.reason"), Some("slow"));
    }
    assert!(collector.exchanges().len() < 100, "about one in a hundred");
    proxy.finish();
}

#[test]
fn a_rule_that_is_off_keeps_nothing() {
    let (collector, upstream) = (Collector::start(), Upstream::status(500));
    let keep = ", sample: 0%, keep: {errors: false, retried: false}";
    let config = Config::new(upstream.address())
        .route("retry: {attempts: 2, when: [500]}")
        .telemetry(&traces(&collector, "grpc", keep))
        .telemetry(NO_EXEMPLARS);
    let proxy = start(config);
    assert_eq!(get(proxy.public(), "/").status, 500);
    assert_eq!(proxy.wait_log_lines(1)[0]["sampled"], false);
    proxy.finish();
    assert!(collector.exchanges().is_empty());
}

#[test]
fn nothing_is_kept_where_there_is_no_collector() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    assert_eq!(get(proxy.public(), "/").status, 200);
    assert_eq!(proxy.wait_log_lines(1)[0]["sampled"], false);
    let request = upstream.only_request();
    let (trace, ..) = parts(request.headers.get("traceparent").unwrap_or_default());
    assert_eq!(proxy.log_lines()[0]["trace_id"], trace);
    let spans = [("signal", "spans"), ("state", "created")];
    let created = proxy
        .metrics()
        .sum("sightglass_telemetry_items_total", &spans);
    assert_eq!(created, 0.0);
    proxy.finish();
}
