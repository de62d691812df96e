//! What waits in the queue as log records of OpenTelemetry.

use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::{InstrumentationScope, TraceFlags, Value, trace};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use opentelemetry_semantic_conventions::attribute as semconv;
use tracing::Level;

use super::events::Told;
use super::queue::Item;
use crate::config::Plan;
use crate::exchange::{Outcome, Record, Side, W3C_FLAGS};
use crate::telemetry::log::TextWriter;
use crate::telemetry::trace::{Facts, scope};
use crate::telemetry::wall::Wall;

/// Makes log records; belongs to the one task that exports.
#[derive(Debug)]
pub(super) struct LogMaker {
    /// The only way to a record that the exporter takes; it has no processor and tells nobody.
    logger: SdkLogger,
    pub(super) scope: InstrumentationScope,
    facts: Facts,
    text: TextWriter,
    line: Vec<u8>,
}

/// The name of what is told of an exchange.
pub(super) const EXCHANGE: &str = "sightglass.exchange";
const DURATION: &str = "sightglass.duration";
const SIDE: &str = "sightglass.side";
const DETAIL: &str = "sightglass.detail";
const ATTEMPTS: &str = "sightglass.attempts";
const UPSTREAM: &str = "sightglass.upstream";
const ENDPOINT: &str = "sightglass.endpoint";
const REQUEST_ID: &str = "sightglass.request_id";

// === impl LogMaker ===

impl LogMaker {
    pub(super) fn new() -> Self {
        Self {
            logger: SdkLoggerProvider::builder().build().logger("sightglass"),
            scope: scope(),
            facts: Facts::default(),
            text: TextWriter::new(false),
            line: Vec::new(),
        }
    }

    pub(super) fn make(&mut self, item: Item) -> SdkLogRecord {
        match item {
            Item::Exchange(record, plan, wall) => self.exchange(&record, &plan, wall),
            Item::Event(told) => self.event(*told),
        }
    }

    fn exchange(&mut self, record: &Record, plan: &Arc<Plan>, wall: Wall) -> SdkLogRecord {
        let mut log = self.logger.create_log_record();
        let started = wall.time(record.started);
        log.set_event_name(EXCHANGE);
        log.set_timestamp(started);
        log.set_observed_timestamp(started + record.duration());
        severity(&mut log, of(record));
        log.set_trace_context(
            trace::TraceId::from_bytes(record.trace.trace_id.0),
            trace::SpanId::from_bytes(record.trace.span_id.0),
            Some(TraceFlags::new(record.trace.flags & W3C_FLAGS)),
        );
        self.line.clear();
        self.text.line(&mut self.line, plan, wall, record);
        let line = String::from_utf8_lossy(self.line.trim_ascii_end());
        log.set_body(AnyValue::from(line.into_owned()));
        for fact in self.facts.of(record, plan) {
            log.add_attribute(fact.key, value(fact.value));
        }
        log.add_attribute(DURATION, record.duration().as_secs_f64());
        log.add_attribute(semconv::HTTP_REQUEST_BODY_SIZE, count(record.bytes_in));
        log.add_attribute(semconv::HTTP_RESPONSE_BODY_SIZE, count(record.bytes_out));
        if let Some(side) = record.outcome.side() {
            log.add_attribute(SIDE, side.as_str());
        }
        if !record.detail.is_empty() {
            log.add_attribute(DETAIL, record.detail);
        }
        let request_id = record.text.words().request_id;
        if !request_id.is_empty() {
            log.add_attribute(REQUEST_ID, request_id.to_owned());
        }
        let attempts = record.attempts().count();
        log.add_attribute(ATTEMPTS, i64::try_from(attempts).unwrap_or(i64::MAX));
        if let Some(last) = record.attempts().last()
            && let Some(upstream) = plan.upstreams.get(usize::from(last.upstream))
        {
            log.add_attribute(UPSTREAM, upstream.name.as_str().to_owned());
            if let Some(endpoint) = upstream.endpoints.get(usize::from(last.endpoint)) {
                log.add_attribute(ENDPOINT, endpoint.address.to_string());
            }
        }
        log
    }

    fn event(&self, told: Told) -> SdkLogRecord {
        let mut log = self.logger.create_log_record();
        if let Some(name) = told.name {
            log.set_event_name(name);
        }
        log.set_timestamp(told.at);
        log.set_observed_timestamp(SystemTime::now());
        severity(
            &mut log,
            match told.level {
                Level::ERROR => Severity::Error,
                Level::WARN => Severity::Warn,
                Level::INFO => Severity::Info,
                Level::DEBUG => Severity::Debug,
                Level::TRACE => Severity::Trace,
            },
        );
        log.set_body(told.message.into());
        log.add_attributes(told.fields);
        log
    }
}

/// How grave the end of an exchange is: what the upstream or the proxy failed at is an error, what a client brought upon
/// itself or gave up a warning.
pub(super) fn of(record: &Record) -> Severity {
    let is_failed = record.is_error();
    match record.outcome.side() {
        _ if !is_failed => Severity::Info,
        Some(Side::Client) => Severity::Warn,
        _ if record.outcome == Outcome::RateLimited => Severity::Warn,
        _ => Severity::Error,
    }
}

fn severity(log: &mut SdkLogRecord, severity: Severity) {
    log.set_severity_number(severity);
    log.set_severity_text(severity.name());
}

fn value(value: Value) -> AnyValue {
    match value {
        Value::Bool(is) => is.into(),
        Value::I64(number) => number.into(),
        Value::F64(number) => number.into(),
        Value::String(text) => AnyValue::String(text),
        other => AnyValue::from(other.to_string()),
    }
}

fn count(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
