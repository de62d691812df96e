//! Tests of `otlp_logs`.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::logs::{AnyValue, Severity};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

use super::maker::{EXCHANGE, LogMaker, of};
use super::queue::Item;
use super::*;
use crate::config::{Share, Telemetry};
use crate::exchange::Outcome;
use crate::telemetry::event::{Event, emit};
use crate::telemetry::fixture::{batch, plan, record, retried};
use crate::telemetry::ledger::{DropReason, Ledger, Signal};
use crate::telemetry::otlp::Batch as Sizes;
use crate::telemetry::reader::ReadRecords;

fn sink(max_queue: usize) -> (LogSink, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let sizes = Sizes {
        max_queue,
        max_batch: 100,
        delay: Duration::from_millis(1),
    };
    (LogSink::new(sizes, Arc::clone(&ledger)), ledger)
}

fn pulled(sink: &LogSink) -> Vec<Item> {
    let mut items = Vec::new();
    while sink.0.pull(&mut items) > 0 {}
    items
}

fn maker() -> LogMaker {
    LogMaker::new()
}

#[test]
fn an_exchange_is_told_from_its_record() {
    let (mut sink, ledger) = sink(100);
    let plan = Arc::new(plan(&["checkout"]));
    let told = retried(record(Some(0)));
    let (trace_id, span_id) = (told.trace.trace_id, told.trace.span_id);
    sink.read(&batch(&plan, vec![told]));
    let item = pulled(&sink).pop().expect("it waits");
    let log = maker().make(item);
    assert_eq!(log.event_name(), Some(EXCHANGE));
    assert_eq!(log.severity_number(), Some(Severity::Info));
    assert_eq!(log.severity_text(), Some("INFO"));
    let context = log.trace_context().expect("its trace");
    assert_eq!(context.trace_id.to_bytes(), trace_id.0);
    assert_eq!(context.span_id.to_bytes(), span_id.0);
    let Some(AnyValue::String(body)) = log.body() else {
        panic!("a line: {:?}", log.body());
    };
    let line = body.as_str();
    assert!(
        line.contains("200 GET shop.test:8080/cart") && line.contains("2 attempts"),
        "{line}"
    );
    assert!(!line.contains('\n'));
    let all: Vec<_> = log
        .attributes_iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    let get = |key| {
        all.iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| (*value).clone())
    };
    assert_eq!(get("http.response.status_code"), Some(AnyValue::Int(200)));
    assert_eq!(
        get("http.route"),
        Some(AnyValue::from("/checkout".to_owned()))
    );
    assert_eq!(get("http.response.body.size"), Some(AnyValue::Int(100)));
    assert_eq!(get("sightglass.attempts"), Some(AnyValue::Int(2)));
    assert_eq!(
        get("sightglass.endpoint"),
        Some(AnyValue::from("127.0.0.1:9002".to_owned()))
    );
    assert_eq!(get("sightglass.duration"), Some(AnyValue::Double(0.012)));
    assert_eq!(get("sightglass.sampling.reason"), None);
    let mut keys: Vec<_> = all.iter().map(|(key, _)| *key).collect();
    keys.sort_unstable();
    let count = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), count, "no key twice");
    assert_eq!(ledger.snapshot()[Signal::OtlpLogs as usize].queued, 1);
}

#[test]
fn the_outcome_says_how_grave_it_is() {
    for (status, outcome, wanted) in [
        (200, Outcome::Served, Severity::Info),
        (404, Outcome::Served, Severity::Info),
        (503, Outcome::Served, Severity::Error),
        (499, Outcome::ClientClosed, Severity::Warn),
        (429, Outcome::RateLimited, Severity::Warn),
        (502, Outcome::ConnectionRefused, Severity::Error),
        (500, Outcome::ProxyInternalError, Severity::Error),
    ] {
        let mut record = record(Some(0));
        (record.status, record.outcome) = (status, outcome);
        assert_eq!(of(&record), wanted, "{status} {outcome:?}");
    }
}

#[test]
fn the_access_logs_share_chooses_whatever_its_output_is() {
    let mut plan = plan(&["checkout"]);
    plan.telemetry = Telemetry {
        access_log: crate::config::AccessLog {
            output: crate::config::LogOutput::Off,
            sample: Share::NONE,
            ..Default::default()
        },
        ..Telemetry::default()
    };
    let collector = crate::config::Otlp {
        endpoint: "http://127.0.0.1:4317".to_owned(),
        protocol: crate::config::OtlpProtocol::Grpc,
    };
    plan.telemetry.logs.otlp = Some(collector);
    let mut failed = record(Some(0));
    failed.status = 500;
    let batch = batch(&Arc::new(plan), vec![record(Some(0)), failed]);
    assert_eq!(items(&batch), 1);
    let (mut sink, _) = sink(100);
    sink.read(&batch);
    assert_eq!(pulled(&sink).len(), 1);
}

#[test]
fn what_does_not_fit_is_counted() {
    let (mut sink, ledger) = sink(3);
    let plan = Arc::new(plan(&["checkout"]));
    sink.read(&batch(&plan, (0..5).map(|_| record(Some(0))).collect()));
    let balance = &ledger.snapshot()[Signal::OtlpLogs as usize];
    assert_eq!((balance.created, balance.queued), (5, 3));
    assert_eq!(balance.lost(DropReason::QueueFull), 2);
    sink.0.clear(DropReason::Shutdown);
    sink.read(&batch(&plan, vec![record(Some(0))]));
    let balance = &ledger.snapshot()[Signal::OtlpLogs as usize];
    assert_eq!((balance.queued, balance.lost(DropReason::Shutdown)), (0, 4));
}

#[test]
fn an_event_keeps_its_name_level_and_fields() {
    let (sink, _) = sink(100);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = Box::new(EventLayer::new(sink.clone()));
    tracing::subscriber::with_default(Registry::default().with(layer), || {
        emit(Event::LogRecovered { lost: 7 });
        emit(Event::ReloadFailed {
            why: "no such file".to_owned(),
        });
    });
    let mut maker = maker();
    let logs: Vec<_> = pulled(&sink)
        .into_iter()
        .map(|item| maker.make(item))
        .collect();
    let [recovered, failed] = &logs[..] else {
        panic!("{logs:?}");
    };
    assert_eq!(recovered.event_name(), Some("sightglass.log_recovered"));
    assert_eq!(recovered.severity_number(), Some(Severity::Info));
    let body = Some(AnyValue::from("the access log is written again".to_owned()));
    assert_eq!(recovered.body(), body.as_ref());
    let fields: Vec<_> = recovered.attributes_iter().collect();
    assert_eq!(fields, [&("lost".into(), AnyValue::Int(7))]);
    assert_eq!(failed.event_name(), Some("sightglass.reload_failed"));
    assert_eq!(failed.severity_number(), Some(Severity::Error));
}
