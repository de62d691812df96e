//! A span as tests want to read it: flat, ids in hex, attributes as JSON values.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as wire;
use serde_json::Value;

/// Attributes by key.
pub(crate) type Attributes = BTreeMap<String, Value>;

#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// 32 hex digits.
    pub(crate) trace_id: String,
    /// 16 hex digits.
    pub(crate) span_id: String,
    /// 16 hex digits; empty for a root.
    pub(crate) parent_span_id: String,
    /// Nanoseconds since the epoch.
    pub(crate) start: u64,
    /// Nanoseconds since the epoch.
    pub(crate) end: u64,
    pub(crate) attributes: Attributes,
    pub(crate) status: SpanStatus,
    pub(crate) status_message: String,
    pub(crate) events: Vec<SpanEvent>,
    pub(crate) links: Vec<Link>,
    pub(crate) trace_state: String,
    /// The W3C flags in the low byte, and OTLP's own above it.
    pub(crate) flags: u32,
    /// The attributes of the resource it came with: `service.name` and its kin.
    pub(crate) resource: Attributes,
    /// The instrumentation scope it came with.
    pub(crate) scope: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanStatus {
    Unset,
    Ok,
    Error,
}

#[derive(Clone, Debug)]
pub(crate) struct SpanEvent {
    pub(crate) name: String,
    /// Nanoseconds since the epoch.
    pub(crate) time: u64,
    pub(crate) attributes: Attributes,
}

#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) trace_state: String,
    pub(crate) attributes: Attributes,
}

// === impl Span ===

impl Span {
    /// An attribute that is text; none where it is missing or of another type.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).and_then(Value::as_str)
    }

    /// An attribute that is an integer; none where it is missing or of another type.
    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        self.attributes.get(key).and_then(Value::as_i64)
    }

    pub(crate) fn event_names(&self) -> Vec<&str> {
        self.events
            .iter()
            .map(|event| event.name.as_str())
            .collect()
    }
}

/// Every span of an export.
pub(super) fn flatten(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let resource = attributes(
            group
                .resource
                .map(|resource| resource.attributes)
                .unwrap_or_default(),
        );
        for scoped in group.scope_spans {
            let scope = scoped.scope.map(|scope| scope.name).unwrap_or_default();
            spans.extend(
                scoped
                    .spans
                    .into_iter()
                    .map(|span| flat(span, &resource, &scope)),
            );
        }
    }
    spans
}

fn flat(span: wire::Span, resource: &Attributes, scope: &str) -> Span {
    let kind = match span.kind() {
        wire::span::SpanKind::Unspecified => Kind::Unspecified,
        wire::span::SpanKind::Internal => Kind::Internal,
        wire::span::SpanKind::Server => Kind::Server,
        wire::span::SpanKind::Client => Kind::Client,
        wire::span::SpanKind::Producer => Kind::Producer,
        wire::span::SpanKind::Consumer => Kind::Consumer,
    };
    let status = span.status.unwrap_or_default();
    let event = |event: wire::span::Event| SpanEvent {
        name: event.name,
        time: event.time_unix_nano,
        attributes: attributes(event.attributes),
    };
    let link = |link: wire::span::Link| Link {
        trace_id: hex(&link.trace_id),
        span_id: hex(&link.span_id),
        trace_state: link.trace_state,
        attributes: attributes(link.attributes),
    };
    Span {
        name: span.name,
        kind,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_span_id: hex(&span.parent_span_id),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        attributes: attributes(span.attributes),
        status: match status.code() {
            wire::status::StatusCode::Unset => SpanStatus::Unset,
            wire::status::StatusCode::Ok => SpanStatus::Ok,
            wire::status::StatusCode::Error => SpanStatus::Error,
        },
        status_message: status.message,
        events: span.events.into_iter().map(event).collect(),
        links: span.links.into_iter().map(link).collect(),
        trace_state: span.trace_state,
        flags: span.flags,
        resource: resource.clone(),
        scope: scope.to_owned(),
    }
}

pub(super) fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    pairs
        .into_iter()
        .map(|pair| (pair.key, json(pair.value.unwrap_or_default())))
        .collect()
}

pub(super) fn json(value: AnyValue) -> Value {
    match value.value {
        None => Value::Null,
        Some(any_value::Value::StringValue(text)) => text.into(),
        Some(any_value::Value::BoolValue(is)) => is.into(),
        Some(any_value::Value::IntValue(number)) => number.into(),
        Some(any_value::Value::DoubleValue(number)) => number.into(),
        Some(any_value::Value::ArrayValue(list)) => list.values.into_iter().map(json).collect(),
        Some(any_value::Value::KvlistValue(list)) => {
            Value::Object(attributes(list.values).into_iter().collect())
        }
        Some(any_value::Value::BytesValue(bytes)) => hex(&bytes).into(),
        Some(other) => format!("{other:?}").into(),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
