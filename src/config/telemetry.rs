//! `telemetry`: what is told, to whom, and how much of it.

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::access_log::{AccessLog, AccessLogWritten};
use super::logs::{Logs, LogsWritten};
use super::notes::At;
use super::recorder::{self, Recorder, RecorderWritten};
use super::series::{Metrics, MetricsWritten};
use super::traces::{Traces, TracesWritten};

/// What is told, to whom, and how much of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// `service.name` (default: `OTEL_SERVICE_NAME`, else `sightglass`). `None` where the file is silent.
    pub service_name: Option<String>,
    /// The traces.
    pub traces: Traces,
    /// The access log.
    pub access_log: AccessLog,
    /// The flight recorder.
    pub recorder: Recorder,
    /// The header fields of requests that are kept: shown by the recorder, asked by filters (default none).
    pub headers: Vec<HeaderName>,
    /// The logs to a collector.
    pub logs: Logs,
    /// Whether latency histograms carry exemplars (default true).
    pub exemplars: bool,
    /// What else the metrics carry, how many series they may be, and to whom they are pushed.
    pub metrics: Metrics,
    /// Whether responses carry `Server-Timing` (default false).
    pub server_timing: bool,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            service_name: None,
            traces: Traces::default(),
            access_log: AccessLog::default(),
            recorder: Recorder::default(),
            headers: Vec::new(),
            logs: Logs::default(),
            exemplars: true,
            metrics: Metrics::default(),
            server_timing: false,
        }
    }
}

// === As written ===

/// What is told, to whom, and how much of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TelemetryWritten {
    /// The name by which traces know the proxy (default: `OTEL_SERVICE_NAME`, else sightglass).
    #[serde(default)]
    service_name: Option<String>,
    /// Which exchanges become traces, and where they go.
    #[serde(default)]
    traces: TracesWritten,
    /// The access log: one line an exchange.
    #[serde(default)]
    access_log: AccessLogWritten,
    /// The flight recorder: the last exchanges, the last failures, the slowest.
    #[serde(default)]
    recorder: RecorderWritten,
    /// The header fields of requests that are kept, at most 32 (default none).
    #[serde(default)]
    headers: Vec<String>,
    /// The access log and events, to a collector.
    #[serde(default)]
    logs: LogsWritten,
    /// What the metrics carry.
    #[serde(default)]
    metrics: MetricsWritten,
    /// Whether responses carry `Server-Timing` (default false).
    #[serde(default)]
    server_timing: Option<bool>,
}

// === Checks ===

impl TelemetryWritten {
    /// Checks the section. What cannot be used is noted and has its default here.
    pub(super) fn check(&self, at: &At<'_>) -> Telemetry {
        let default = Telemetry::default();
        if let Some(name) = &self.service_name
            && (name.trim().is_empty() || name.chars().any(char::is_control))
        {
            at.key("service_name").error("is no name");
        }
        let metrics = self.metrics.check(&at.key("metrics"));
        let mut headers = recorder::check_headers(&self.headers, &at.key("headers"));
        // What is a label must be kept.
        for (_, header) in &metrics.header_labels {
            if !headers.contains(header) {
                headers.push(header.clone());
            }
        }
        Telemetry {
            service_name: self.service_name.clone(),
            traces: self.traces.check(&at.key("traces")),
            access_log: self.access_log.check(&at.key("access_log")),
            recorder: self.recorder.check(&at.key("recorder")),
            headers,
            logs: self.logs.check(&at.key("logs")),
            exemplars: self.metrics.exemplars.unwrap_or(default.exemplars),
            metrics,
            server_timing: self.server_timing.unwrap_or(default.server_timing),
        }
    }
}
