//! Spans, written from the record after the exchange has ended.
//!
//! One SERVER span an exchange and one CLIENT span an attempt, with the names of OpenTelemetry's stable HTTP conventions
//! and ours under `sightglass.`, straight into the bytes of OTLP. Live spans were measured and rejected for exchanges: 10
//! to 12 µs a request, as much when the sampler then drops them; so was the SDK's `SpanData`, which is cloned and
//! converted before it is sent. Nothing here decides what is kept.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;

use super::names::Names;
use super::words;
use crate::config::Plan;
use crate::exchange::{
    Attempt, KnownMethod, Outcome, PHASES, Phase, Record, SpanId, SpanRef, TracePlace, W3C_FLAGS,
};
use crate::telemetry::otlp::{Field, Message, Value};
use crate::telemetry::wall::Wall;

mod attributes;
mod facts;
mod status;

use attributes::Attributes;
pub(in crate::telemetry) use facts::Facts;
use status::{SpanStatus, client_status, server_status};

/// Writes spans from records; belongs to the one task that exports.
#[derive(Debug)]
pub struct SpanMaker {
    names: Option<Names>,
    /// The beginning of a request's `ResourceSpans`, and of the `ScopeSpans` in it.
    resource: Message,
    scope: Message,
    /// The spans so far, as fields of `ScopeSpans`.
    spans: Message,
    /// The span in hand, and what is nested in it.
    span: Message,
    nested: Message,
    attributes: Attributes,
}

/// The fields of OTLP's messages (`opentelemetry/proto/trace/v1/trace.proto`).
mod field {
    use super::Field;

    pub(super) const RESOURCE_SPANS: Field = 1;
    pub(super) const RESOURCE: Field = 1;
    pub(super) const RESOURCE_ATTRIBUTE: Field = 1;
    pub(super) const SCOPE_SPANS: Field = 2;
    pub(super) const SCOPE: Field = 1;
    pub(super) const SCOPE_NAME: Field = 1;
    pub(super) const SCOPE_VERSION: Field = 2;
    pub(super) const SPAN: Field = 2;

    pub(super) const TRACE_ID: Field = 1;
    pub(super) const SPAN_ID: Field = 2;
    pub(super) const TRACE_STATE: Field = 3;
    pub(super) const PARENT: Field = 4;
    pub(super) const NAME: Field = 5;
    pub(super) const KIND: Field = 6;
    pub(super) const STARTED: Field = 7;
    pub(super) const ENDED: Field = 8;
    pub(super) const ATTRIBUTE: Field = 9;
    pub(super) const EVENT: Field = 11;
    pub(super) const LINK: Field = 13;
    pub(super) const STATUS: Field = 15;
    pub(super) const FLAGS: Field = 16;

    pub(super) const EVENT_TIME: Field = 1;
    pub(super) const EVENT_NAME: Field = 2;
    pub(super) const EVENT_ATTRIBUTE: Field = 3;
    pub(super) const LINK_TRACE_ID: Field = 1;
    pub(super) const LINK_SPAN_ID: Field = 2;
    pub(super) const LINK_FLAGS: Field = 6;
    pub(super) const STATUS_MESSAGE: Field = 2;
    pub(super) const STATUS_CODE: Field = 3;
}

/// `SpanKind`.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
/// `SpanFlags`: whether the parent is on another machine is known, and it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

// === impl SpanMaker ===

impl SpanMaker {
    /// One that knows no plan yet, for spans of this resource.
    #[must_use]
    pub fn new(resource: &Resource) -> Self {
        Self {
            names: None,
            resource: resource_field(resource),
            scope: scope_field(),
            spans: Message::default(),
            span: Message::default(),
            nested: Message::default(),
            attributes: Attributes::default(),
        }
    }

    /// Adds the spans of a kept record, the exchange's first. `plan` is the one whose generation the record carries,
    /// `wall` what time of day its moments were, `weight` for how many exchanges it stands.
    pub fn make(&mut self, record: &Record, plan: &Arc<Plan>, wall: Wall, weight: f64) {
        if !self.names.as_ref().is_some_and(|names| names.are_of(plan)) {
            self.names = Some(Names::new(plan));
        }
        let Some(names) = self.names.take() else {
            return;
        };
        let started = nanos(wall.unix(record.started).as_nanos());
        self.attributes.begin(record);
        self.server(record, &names, weight, started);
        for (index, attempt) in record.attempts().enumerate() {
            let order = u32::try_from(index).unwrap_or(u32::MAX);
            self.client(record, &names, (order, attempt), started);
        }
        self.names = Some(names);
    }

    /// Whether there are spans to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// An `ExportTraceServiceRequest` of the spans that were made since the last.
    #[must_use]
    pub fn request(&mut self) -> Bytes {
        let scope_spans = self.scope.bytes().len() + self.spans.bytes().len();
        let mut scoped = Message::default(); // where the spans begin, so that they are copied once
        scoped.head(field::SCOPE_SPANS, scope_spans);
        let resource_spans = self.resource.bytes().len() + scoped.bytes().len() + scope_spans;
        let mut request = Message::with_capacity(resource_spans + 16);
        request.head(field::RESOURCE_SPANS, resource_spans);
        for part in [&self.resource, &scoped, &self.scope, &self.spans] {
            request.raw(part.bytes());
        }
        self.spans.clear();
        request.into_bytes().into()
    }

    fn server(&mut self, record: &Record, names: &Names, weight: f64, started: u64) {
        let ended = started.saturating_add(nanos(record.duration().as_nanos()));
        let place = &record.trace;
        self.begin(place, place.span_id, place.parent);
        let method = method_name(record.method);
        match names.route(record.route) {
            Some(route) => {
                let name = [method, " ", &route.pattern];
                self.span
                    .head(field::NAME, name.iter().map(|part| part.len()).sum());
                name.iter().for_each(|part| self.span.raw(part.as_bytes()));
            }
            None => self.span.field(field::NAME, method.as_bytes()),
        }
        self.span.varint(field::KIND, SERVER);
        self.span.fixed64(field::STARTED, started);
        self.span.fixed64(field::ENDED, ended);
        self.attributes
            .server(&mut self.span, record, names, weight);
        self.fault_event(record, ended);
        if let Some(foreign) = &place.link {
            self.link(foreign);
        }
        self.end(server_status(record), place, place.parent.is_some());
    }

    fn client(
        &mut self,
        record: &Record,
        names: &Names,
        (order, attempt): (u32, &Attempt),
        started: u64,
    ) {
        let at = |micros: u64| started.saturating_add(micros.saturating_mul(1000));
        let place = &record.trace;
        self.begin(place, attempt.span_id, Some(place.span_id));
        let method = method_name(record.method);
        self.span.field(field::NAME, method.as_bytes());
        self.span.varint(field::KIND, CLIENT);
        let began = at(u64::from(attempt.started_us));
        self.span.fixed64(field::STARTED, began);
        let lasted = nanos(attempt.lasted().as_nanos());
        self.span
            .fixed64(field::ENDED, began.saturating_add(lasted));
        self.attributes
            .client(&mut self.span, record, names, (order, attempt));
        self.phase_events(attempt, at);
        self.end(client_status(attempt), place, false);
    }

    /// The ids of a span.
    fn begin(&mut self, place: &TracePlace, id: SpanId, parent: Option<SpanId>) {
        self.span.clear();
        self.span.field(field::TRACE_ID, &place.trace_id.0);
        self.span.field(field::SPAN_ID, &id.0);
        if let Some(state) = &place.state {
            self.span.field(field::TRACE_STATE, state.as_bytes());
        }
        if let Some(parent) = parent {
            self.span.field(field::PARENT, &parent.0);
        }
    }

    /// The last of a span; then it stands among the others.
    fn end(&mut self, status: SpanStatus, place: &TracePlace, is_remote: bool) {
        if let SpanStatus::Error(message) = status {
            self.nested.clear();
            if !message.is_empty() {
                self.nested.field(field::STATUS_MESSAGE, message.as_bytes());
            }
            self.nested.varint(field::STATUS_CODE, 2);
            self.span.field(field::STATUS, self.nested.bytes());
        }
        let remote = if is_remote { IS_REMOTE } else { 0 };
        let flags = u32::from(place.flags & W3C_FLAGS) | HAS_IS_REMOTE | remote;
        self.span.fixed32(field::FLAGS, flags);
        self.spans.field(field::SPAN, self.span.bytes());
    }

    /// What exactly went wrong, where somebody noted it.
    fn fault_event(&mut self, record: &Record, at: u64) {
        if record.outcome == Outcome::Served || record.detail.is_empty() {
            return;
        }
        let event = &mut self.nested;
        event.clear();
        event.fixed64(field::EVENT_TIME, at);
        event.field(field::EVENT_NAME, words::FAULT.as_bytes());
        let outcome = record.outcome.as_str();
        event.attribute(field::EVENT_ATTRIBUTE, words::OUTCOME, Value::Text(outcome));
        event.attribute(
            field::EVENT_ATTRIBUTE,
            words::DETAIL,
            Value::Text(record.detail),
        );
        self.span.field(field::EVENT, self.nested.bytes());
    }

    /// One event a phase, at the time it was first entered.
    fn phase_events(&mut self, attempt: &Attempt, at: impl Fn(u64) -> u64) {
        let mut phases = [(Phase::Receive, 0); PHASES];
        let mut count = 0;
        for (slot, phase) in phases.iter_mut().zip(attempt.phases()) {
            *slot = phase;
            count += 1;
        }
        let phases = &mut phases[..count];
        phases.sort_by_key(|(_, micros)| *micros);
        for (phase, micros) in phases {
            self.nested.clear();
            self.nested
                .fixed64(field::EVENT_TIME, at(u64::from(*micros)));
            self.nested
                .field(field::EVENT_NAME, phase.as_str().as_bytes());
            self.span.field(field::EVENT, self.nested.bytes());
        }
    }

    fn link(&mut self, foreign: &SpanRef) {
        self.nested.clear();
        self.nested.field(field::LINK_TRACE_ID, &foreign.trace_id.0);
        self.nested.field(field::LINK_SPAN_ID, &foreign.span_id.0);
        let flags = u32::from(foreign.flags & W3C_FLAGS) | HAS_IS_REMOTE | IS_REMOTE;
        self.nested.fixed32(field::LINK_FLAGS, flags);
        self.span.field(field::LINK, self.nested.bytes());
    }
}

/// The scope of all our spans.
pub(in crate::telemetry) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("sightglass")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}

fn scope_field() -> Message {
    let (mut scope, mut field) = (Message::default(), Message::default());
    scope.field(field::SCOPE_NAME, b"sightglass");
    let version = env!("CARGO_PKG_VERSION");
    scope.field(field::SCOPE_VERSION, version.as_bytes());
    field.field(field::SCOPE, scope.bytes());
    field
}

fn resource_field(resource: &Resource) -> Message {
    let (mut all, mut field) = (Message::default(), Message::default());
    for (key, value) in resource {
        let (to, key) = (field::RESOURCE_ATTRIBUTE, key.as_str());
        match value {
            opentelemetry::Value::I64(number) => all.attribute(to, key, Value::Number(*number)),
            opentelemetry::Value::F64(number) => all.attribute(to, key, Value::Double(*number)),
            opentelemetry::Value::Bool(flag) => all.attribute(to, key, Value::Flag(*flag)),
            other => all.attribute(to, key, Value::Text(&other.as_str())),
        }
    }
    field.field(field::RESOURCE, all.bytes());
    field
}

fn method_name(method: KnownMethod) -> &'static str {
    match method {
        KnownMethod::Other => "HTTP",
        method => method.as_str(),
    }
}

/// Nanoseconds, as OTLP has them: enough until 2554.
fn nanos(nanos: u128) -> u64 {
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
