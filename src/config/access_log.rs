//! `telemetry.access_log`: where the log's lines go, how they look, and which are written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Share;
use super::notes::At;

/// The access log.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Where lines go (default stdout).
    pub output: LogOutput,
    /// How a line looks; `None` where the file is silent (coloured text on a terminal, else JSON).
    pub format: Option<LogFormat>,
    /// The share of the served below 500 that is written; failures always are (default all).
    pub sample: Share,
    /// Only what this filter takes is written; its text, which this room cannot read (default: everything).
    pub filter: Option<String>,
}

/// Where lines of the access log go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Nowhere.
    Off,
    /// Appended to this file, which SIGHUP opens anew.
    File(PathBuf),
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// One line of text.
    Text,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            output: LogOutput::Stdout,
            format: None,
            sample: Share::ALL,
            filter: None,
        }
    }
}

// === As written ===

/// The access log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessLogWritten {
    /// Where lines go: stdout (default), stderr, off or {file: PATH}.
    #[serde(default)]
    output: Option<LogOutputWritten>,
    /// How a line looks (default: coloured text on a terminal, else json).
    #[serde(default)]
    format: Option<LogFormatWritten>,
    /// The share of the served below 500 that is written; failures always are (default 100%).
    #[serde(default)]
    sample: Option<Share>,
    /// Only what this filter takes is written (default: everything).
    #[serde(default)]
    filter: Option<String>,
}

/// Where lines of the access log go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum LogOutputWritten {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Nowhere.
    Off,
    /// Appended to this file, which SIGHUP opens anew.
    File(PathBuf),
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum LogFormatWritten {
    /// One JSON object.
    Json,
    /// One line of text.
    Text,
}

// === Checks ===

impl AccessLogWritten {
    /// Checks the section. What cannot be used is noted and has its default here.
    pub(super) fn check(&self, at: &At<'_>) -> AccessLog {
        let output = match &self.output {
            None | Some(LogOutputWritten::Stdout) => LogOutput::Stdout,
            Some(LogOutputWritten::Stderr) => LogOutput::Stderr,
            Some(LogOutputWritten::Off) => LogOutput::Off,
            Some(LogOutputWritten::File(path)) => {
                if path.as_os_str().is_empty() {
                    at.key("output").key("file").error("names no file");
                }
                LogOutput::File(path.clone())
            }
        };
        AccessLog {
            output,
            format: self.format.map(|format| match format {
                LogFormatWritten::Json => LogFormat::Json,
                LogFormatWritten::Text => LogFormat::Text,
            }),
            sample: self.sample.unwrap_or(Share::ALL),
            filter: self.filter.clone(),
        }
    }
}
