//! Pages as messages, and what a page of a hundred thousand series costs in each format.

use std::sync::Arc;

use super::super::tally::Tally;
use super::super::*;
use crate::telemetry::fixture::{plan, record};

/// A series as messages carry it.
fn message(page: Page, family: &str) -> protobuf::Metric {
    let families = page.families();
    let found = families.into_iter().find(|it| it.name == family);
    found.expect("the family").metric.remove(0)
}

#[test]
fn messages_hold_the_same_samples_in_native_and_in_classic_buckets() {
    let catalogue = Catalogue::of(&crate::config::Metrics::default());
    let plan = Arc::new(plan(&["web"]));
    for worker in 0..2 {
        let mut tally = Tally::new(&catalogue, &plan, 1, worker);
        for millis in [0, 3, 12, 12, 900] {
            let mut kept = record(Some(0));
            kept.phases = std::iter::once((
                crate::exchange::Phase::Wait,
                std::time::Duration::from_millis(millis),
            ))
            .collect();
            if let Some(mark) = tally.count(&kept, 1_700_000_000_123, true) {
                mark.acknowledge();
            }
        }
    }
    let drawn = |page: Page| {
        let mut page = page;
        catalogue.draw(&mut page);
        page
    };
    let both = message(
        drawn(Page::new(Format::Protobuf)),
        family::REQUEST_DURATION.name,
    );
    assert_eq!(both.label.len(), 5);
    let histogram = both.histogram.expect("a histogram");
    assert_eq!(histogram.sample_count, 10);
    assert!(
        (histogram.sample_sum - 1.854).abs() < 1e-9,
        "{}",
        histogram.sample_sum
    );
    assert_eq!(
        histogram.bucket.last().map(|it| it.cumulative_count),
        Some(10)
    );
    assert_eq!((histogram.schema, histogram.zero_count), (Some(3), Some(2)));
    // 3 ms, 12 ms and 900 ms, each in the bucket ceil(8 log2 s).
    let mut index = 0;
    let spans = histogram.positive_span.iter().map(|span| {
        let first = index + span.offset;
        index = first + i32::try_from(span.length).expect("few");
        (first, span.length)
    });
    assert_eq!(spans.collect::<Vec<_>>(), [(-67, 1), (-51, 1), (-1, 1)]);
    assert_eq!(histogram.positive_delta, [2, 2, -2]);
    assert_eq!(histogram.exemplars.len(), 4);
    let exemplar = &histogram.exemplars[0];
    assert_eq!(exemplar.label[0].value.len(), 32);
    assert_eq!(
        exemplar.timestamp.map(|it| (it.seconds, it.nanos)),
        Some((1_700_000_000, 123_000_000))
    );

    let alone = drawn(Page::new(Format::Protobuf).without_classic());
    let alone = message(alone, family::REQUEST_DURATION.name)
        .histogram
        .expect("a histogram");
    assert!(alone.bucket.is_empty() && alone.positive_span.len() == 3);
    let phases = drawn(Page::new(Format::Protobuf).without_classic());
    let phases = message(phases, family::PHASE_DURATION.name)
        .histogram
        .expect("a histogram");
    assert!(phases.schema.is_none() && !phases.bucket.is_empty());
    let text = drawn(Page::new(Format::Text).without_classic()).finish();
    assert!(text.contains("http_server_request_duration_seconds_bucket"));
}

/// Run with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_scrape_of_a_hundred_thousand_series() {
    let catalogue = Catalogue::of(&crate::config::Metrics::default());
    let names: Vec<String> = (0..700).map(|index| format!("route-{index}")).collect();
    let plan = Arc::new(plan(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    for worker in 0..2 {
        let mut tally = Tally::new(&catalogue, &plan, 1, worker);
        for (route, status) in (0..700).flat_map(|route| [(route, 200), (route, 404)]) {
            let mut record = record(Some(route));
            record.status = status;
            let _ = tally.count(&record, 0, false);
        }
    }
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        for _ in 0..5 {
            let started = std::time::Instant::now();
            let mut page = Page::new(format);
            catalogue.draw(&mut page);
            let bytes = page.bytes();
            let took = started.elapsed();
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            println!("{format:?}: {took:?}, {lines} lines, {} bytes", bytes.len());
        }
    }
}
