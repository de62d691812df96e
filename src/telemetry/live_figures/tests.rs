//! Of the live figures: buckets, rates, percentiles, and the hour.

use std::sync::Arc;

use super::*;
use crate::exchange::{Outcome, Phase};
use crate::telemetry::fixture::{batch, plan, record};

#[test]
fn a_bucket_holds_what_lies_within_its_bounds() {
    for micros in (1..20_000).chain([1_000_000, 59_999_999, 3_000_000_000]) {
        let lasted = Duration::from_micros(micros);
        let (from, to) = bounds(bucket(lasted));
        let millis = lasted.as_secs_f64() * 1e3;
        assert!(from <= millis && millis < to, "{millis} in {from}..{to}");
        assert!(to <= from * 1.25 + 1e-12);
    }
    assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
}

#[test]
fn tells_rates_and_percentiles_of_each_route() {
    let mut figures = LiveFigures::default();
    let plan = Arc::new(plan(&["checkout", "web"]));
    let mut records = Vec::new();
    for index in 0..100 {
        let mut one = record(Some(0));
        let millis = if index < 95 { 10 } else { 100 };
        one.phases = [(Phase::Wait, Duration::from_millis(millis))]
            .into_iter()
            .collect();
        if index % 10 == 0 {
            one.outcome = Outcome::ConnectionRefused;
        }
        records.push(one);
    }
    let mut unrouted = record(None);
    unrouted.outcome = Outcome::DestinationNotFound;
    records.extend([record(None), unrouted]);
    let batch = batch(&plan, records);
    figures.read(&batch);
    let last = batch.records.last().expect("one");
    let ended = batch.wall.unix(last.started + last.duration());
    let json: serde_json::Value =
        serde_json::from_slice(&figures.json(ended + Duration::from_secs(2))).expect("JSON");
    let routes = json["routes"].as_array().expect("a list");
    let names: Vec<_> = routes.iter().map(|route| &route["route"]).collect();
    assert_eq!(names, ["_unmatched", "checkout"]);
    let checkout = &routes[1];
    // The process is two seconds old; later it is ten seconds of many.
    assert_eq!(checkout["rate"], 50.0);
    assert_eq!(checkout["error_rate"], 5.0);
    assert_eq!(checkout["unrouted_rate"], 0.0);
    assert_eq!(routes[0]["rate"], 1.0);
    assert_eq!(routes[0]["unrouted_rate"], 0.5);
    let later: serde_json::Value =
        serde_json::from_slice(&figures.json(ended + Duration::from_secs(10))).expect("JSON");
    assert_eq!(later["routes"][1]["rate"], 10.0);
    let near = |value: &serde_json::Value, wanted: f64| {
        let value = value.as_f64().expect("a number");
        assert!((value / wanted - 1.0).abs() < 0.25, "{value} for {wanted}");
    };
    near(&checkout["p50_ms"], 10.0);
    near(&checkout["p99_ms"], 100.0);
    let sum = |list: &serde_json::Value| -> u64 {
        let list = list.as_array().expect("a list");
        list.iter().filter_map(serde_json::Value::as_u64).sum()
    };
    assert_eq!(sum(&checkout["requests"]), 100);
    assert_eq!(sum(&checkout["errors"]), 10);
    let later = figures.json(ended + Duration::from_secs(303));
    let later: serde_json::Value = serde_json::from_slice(&later).expect("JSON");
    assert_eq!(sum(&later["routes"][1]["requests"]), 0);
    assert_eq!(later["routes"][1]["p99_ms"], serde_json::Value::Null);
}

#[test]
fn the_hour_keeps_each_slot_with_its_failures_and_durations() {
    let mut figures = LiveFigures::default();
    let plan = Arc::new(plan(&["checkout", "web"]));
    let mut records: Vec<_> = (0..40).map(|_| record(Some(0))).collect();
    for (index, one) in records.iter_mut().enumerate() {
        one.phases = [(Phase::Wait, Duration::from_millis(30))]
            .into_iter()
            .collect();
        match index {
            0..4 => one.outcome = Outcome::ConnectionRefused,
            4..7 => one.status = 503,
            _ => {}
        }
    }
    records.push(record(Some(1)));
    let batch = batch(&plan, records);
    figures.read(&batch);
    let first = &batch.records[0];
    let ended = batch.wall.unix(first.started + first.duration());
    let asked = |after, route| -> serde_json::Value {
        let json = figures.history(ended + Duration::from_secs(after), route);
        serde_json::from_slice(&json).expect("JSON")
    };

    let soon = asked(0, None);
    assert_eq!(soon["routes"].as_array().map(Vec::len), Some(2));
    let checkout = &soon["routes"][0];
    assert_eq!(checkout["requests"].as_array().map(Vec::len), Some(361));
    assert_eq!(checkout["requests"][360], 40);
    assert_eq!(checkout["errors"][360], 7);
    assert_eq!(
        checkout["failures"]["connection_refused"][0],
        serde_json::json!([360, 4])
    );
    assert_eq!(
        checkout["failures"]["status_503"][0],
        serde_json::json!([360, 3])
    );
    assert_eq!(
        checkout["heat"],
        serde_json::Value::Null,
        "only of a route that is named"
    );
    let p50 = checkout["p50"][360].as_f64().expect("a number");
    assert!((p50 / 30.0 - 1.0).abs() < 0.25, "{p50}");
    assert_eq!(checkout["p50"][359], serde_json::Value::Null);

    let later = asked(3600, Some("checkout"));
    assert_eq!(later["routes"].as_array().map(Vec::len), Some(1));
    let checkout = &later["routes"][0];
    assert_eq!(
        checkout["requests"][0], 40,
        "an hour later it is the oldest slot"
    );
    let heat = checkout["heat"][0].as_array().expect("a column");
    let row = heat
        .iter()
        .position(|count| count == 40)
        .expect("all in one row");
    let bound = |at: usize| later["scale_ms"][at].as_f64().expect("a number");
    assert!(bound(row - 1) <= 30.0 && 30.0 < bound(row));
    assert_eq!(
        later["scale_ms"].as_array().map(Vec::len),
        Some(heat.len() - 1)
    );

    let gone = asked(3610, Some("checkout"));
    let requests = gone["routes"][0]["requests"].as_array().expect("a list");
    assert!(requests.iter().all(|count| count == 0));
    assert_eq!(gone["routes"][0]["failures"], serde_json::json!({}));
}

#[test]
fn the_map_counts_each_way_through_the_proxy_and_forgets_it_after_a_minute() {
    let mut figures = LiveFigures::default();
    let plan = Arc::new(plan(&["checkout", "web"]));
    let mut records: Vec<_> = (0..30).map(|_| record(Some(0))).collect();
    for one in records.iter_mut().take(10) {
        one.status = 503;
        if let Some(attempt) = &mut one.first {
            (attempt.status, attempt.endpoint) = (Some(503), 1);
        }
    }
    let mut unrouted = record(None);
    unrouted.outcome = Outcome::DestinationNotFound;
    records.extend([record(Some(1)), record(None), unrouted]);
    let batch = batch(&plan, records);
    figures.read(&batch);
    let last = batch.records.last().expect("one");
    let ended = batch.wall.unix(last.started + last.duration());
    let (seconds, parts) = figures.map(ended);
    assert!((1..=2).contains(&seconds), "{seconds}");
    let counted = |place: &Place| {
        let part = parts.iter().find(|it| it.place == *place);
        part.map(|it| (it.count, it.errors))
    };
    let text = str::to_owned;
    let listener = Place::Listener(text("public"));
    assert_eq!(counted(&listener), Some((33, 11)));
    assert_eq!(counted(&Place::Route(text("checkout"))), Some((30, 10)));
    let entered = Place::ListenerRoute(text("public"), text("_unmatched"));
    assert_eq!(counted(&entered), Some((2, 1)));
    let unrouted = parts.iter().filter(|it| it.unrouted > 0);
    let unrouted: Vec<&Place> = unrouted.map(|it| &it.place).collect();
    assert_eq!(
        unrouted,
        [&listener, &Place::Route(text("_unmatched")), &entered]
    );
    let upstream = plan.upstreams[0].name.as_str();
    let bad = plan.upstreams[0].endpoints[1].address.to_string();
    let at = Place::Endpoint(text(upstream), bad.clone());
    assert_eq!(counted(&at), Some((10, 10)));
    let way = Place::RouteEndpoint(text("checkout"), text(upstream), bad);
    assert_eq!(counted(&way), Some((10, 10)));
    assert!(parts.iter().all(|it| it.p99_ms >= it.p50_ms));

    // A reload carries it over by name; after a minute it is gone.
    let again = Arc::new((*plan).clone());
    let more = super::super::fixture::batch(&again, vec![record(Some(0))]);
    figures.read(&more);
    let (_, parts) = figures.map(ended);
    let route = parts
        .iter()
        .find(|it| it.place == Place::Route(text("checkout")));
    assert_eq!(route.map(|it| it.count), Some(31));
    let (_, parts) = figures.map(ended + Duration::from_secs(75));
    assert!(parts.is_empty(), "{parts:?}");
}
