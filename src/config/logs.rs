//! `telemetry.logs`: the access log and events, to a collector.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Otlp;
use super::notes::At;
use super::traces::OtlpWritten;

/// The access log and events, to a collector, beside file and standard output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs {
    /// The collector (default none). No variable names one: exchanges go there only where the file says so.
    pub otlp: Option<Otlp>,
}

// === As written ===

/// The access log and events, to a collector.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsWritten {
    /// The collector (default none).
    #[serde(default)]
    otlp: Option<OtlpWritten>,
}

// === Checks ===

impl LogsWritten {
    /// Checks the section. What cannot be used is noted and has its default here.
    pub(super) fn check(&self, at: &At<'_>) -> Logs {
        let otlp = self.otlp.as_ref();
        Logs {
            otlp: otlp.and_then(|otlp| otlp.check(&at.key("otlp"))),
        }
    }
}
