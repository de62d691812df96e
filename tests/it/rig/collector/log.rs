//! A log as tests want to read it: flat, ids in hex, attributes as JSON values.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::Value;

use super::span::{Attributes, attributes, hex, json};

#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) event_name: String,
    /// Nanoseconds since the epoch.
    pub(crate) time: u64,
    pub(crate) severity: i32,
    pub(crate) severity_text: String,
    pub(crate) body: Value,
    pub(crate) attributes: Attributes,
    /// 32 hex digits; empty where it belongs to no trace.
    pub(crate) trace_id: String,
    /// 16 hex digits; empty where it belongs to no span.
    pub(crate) span_id: String,
    /// The attributes of the resource it came with.
    pub(crate) resource: Attributes,
    /// The instrumentation scope it came with.
    pub(crate) scope: String,
}

/// Every log of an export.
pub(super) fn flatten(request: ExportLogsServiceRequest) -> Vec<Log> {
    let mut logs = Vec::new();
    for group in request.resource_logs {
        let resource = attributes(group.resource.unwrap_or_default().attributes);
        for scoped in group.scope_logs {
            let scope = scoped.scope.map(|scope| scope.name).unwrap_or_default();
            let records = scoped.log_records.into_iter();
            logs.extend(records.map(|record| flat(record, &resource, &scope)));
        }
    }
    logs
}

fn flat(record: LogRecord, resource: &Attributes, scope: &str) -> Log {
    Log {
        event_name: record.event_name,
        time: record.time_unix_nano,
        severity: record.severity_number,
        severity_text: record.severity_text,
        body: json(record.body.unwrap_or_default()),
        attributes: attributes(record.attributes),
        trace_id: hex(&record.trace_id),
        span_id: hex(&record.span_id),
        resource: resource.clone(),
        scope: scope.to_owned(),
    }
}
