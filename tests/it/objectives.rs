//! What a route promises, and how it stands: counters, gauges, `/api/v1/slo`.

use serde_json::{Value, json};

use super::rig::{Config, Metrics, Proxy, Upstream, get, reply};

const SLO: &str = "slo: {availability: 99.9%, latency: {within: 5s, for: 99%}}";

fn events(metrics: &Metrics, slo: &str, result: &str) -> Option<f64> {
    let labels = [("route", "web"), ("slo", slo), ("result", result)];
    metrics.get("sightglass_slo_events_total", &labels)
}

#[test]
fn counts_what_kept_a_promise_and_what_did_not() {
    let upstream = Upstream::answering(|request| match request.target.as_str() {
        "/failing" => reply(503, &[], "no"),
        "/missing" => reply(404, &[], "not here"),
        _ => reply(200, &[], "hello"),
    });
    let without = Config::new(upstream.address())
        .more_routes("- {name: none, match: {path: {exact: /none}}, upstream: web}");
    let proxy = Proxy::start(without.clone().route(SLO));
    let begun = proxy.metrics();
    for (slo, result) in [("availability", "bad"), ("latency", "good")] {
        assert_eq!(
            events(&begun, slo, result),
            Some(0.0),
            "the first failure must be an increase"
        );
    }
    for path in ["/", "/", "/missing", "/failing", "/failing", "/none"] {
        get(proxy.public(), path);
    }
    proxy.wait_log_lines(6);
    let metrics = proxy.metrics();
    assert_eq!(events(&metrics, "availability", "good"), Some(3.0));
    assert_eq!(events(&metrics, "availability", "bad"), Some(2.0));
    assert_eq!(events(&metrics, "latency", "good"), Some(3.0));
    assert_eq!(events(&metrics, "latency", "bad"), Some(0.0));
    let of = |name: &str, slo| metrics.get(name, &[("route", "web"), ("slo", slo)]);
    assert_eq!(of("sightglass_slo_objective_ratio", "latency"), Some(0.99));
    let left = of(
        "sightglass_slo_error_budget_remaining_ratio",
        "availability",
    );
    assert!((left.expect("a budget") - (1.0 - 0.4 / 0.001)).abs() < 1e-6);
    assert_eq!(
        metrics.sum("sightglass_slo_burn_rate", &[]),
        0.0,
        "no window was lived through"
    );

    let page = proxy.get_admin("/api/v1/slo").json();
    let list = page["objectives"].as_array().expect("a list");
    let kinds: Vec<&Value> = list.iter().map(|one| &one["slo"]).collect();
    assert_eq!(kinds, ["availability", "latency"]);
    assert_eq!(list[0]["route"], "web");
    assert_eq!((&list[0]["good"], &list[0]["bad"]), (&json!(3), &json!(2)));
    assert_eq!(list[0]["windows"]["5m"], Value::Null);
    assert_eq!(list[0]["within_seconds"], Value::Null);
    assert_eq!(list[1]["within_seconds"], 5.0);
    assert_eq!(list[1]["window_seconds"], 30 * 24 * 3600);

    proxy.write_config(&without);
    proxy.signal("HUP");
    proxy.wait_until("the objectives are gone", || {
        let metrics = proxy.metrics();
        let promised = metrics.samples("sightglass_slo_objective_ratio", &[]);
        promised.is_empty()
    });
    // What was counted is scraped once more.
    let events = proxy.metrics().sum("sightglass_slo_events_total", &[]);
    assert!(events > 0.0, "{events}");
    let page = proxy.get_admin("/api/v1/slo").json();
    assert_eq!(page, json!({"objectives": []}));
    proxy.finish();
}
