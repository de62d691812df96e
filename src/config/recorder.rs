//! `telemetry.recorder` and `telemetry.headers`: how much the flight recorder remembers, and which header fields of requests.

use std::path::PathBuf;

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ByteSize;
use super::notes::At;
use super::route_match::check_header_name;

/// The flight recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorder {
    /// How much memory it may take, 1 MiB to 16 GiB (default 64 MiB).
    pub memory: ByteSize,
    /// The folder that dumps are written to (default none: none is written).
    pub dump: Option<PathBuf>,
}

/// The least and the most memory.
const MEMORY: (ByteSize, ByteSize) = (ByteSize(1 << 20), ByteSize(16 << 30));
/// How many header fields may be kept.
const MOST_HEADERS: usize = 32;

impl Default for Recorder {
    fn default() -> Self {
        Self {
            memory: ByteSize(64 << 20),
            dump: None,
        }
    }
}

// === As written ===

/// The flight recorder: the last exchanges, the last failures, the slowest.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecorderWritten {
    /// How much memory it may take, 1MiB to 16GiB (default 64MiB).
    #[serde(default)]
    memory: Option<ByteSize>,
    /// The folder that dumps are written to (default none: none is written).
    #[serde(default)]
    dump: Option<PathBuf>,
}

// === Checks ===

impl RecorderWritten {
    /// Checks the section. What cannot be used is noted and has its default here.
    pub(super) fn check(&self, at: &At<'_>) -> Recorder {
        let default = Recorder::default();
        let (least, most) = MEMORY;
        let memory = self.memory.unwrap_or(default.memory);
        if !(least..=most).contains(&memory) {
            at.key("memory")
                .error(format!("{memory} is not between {least} and {most}"));
        }
        if self
            .dump
            .as_ref()
            .is_some_and(|dump| dump.as_os_str().is_empty())
        {
            at.key("dump").error("names no folder");
        }
        Recorder {
            memory,
            dump: self.dump.clone(),
        }
    }
}

/// Checks `telemetry.headers`, the names of request header fields that are kept.
pub(super) fn check_headers(names: &[String], at: &At<'_>) -> Vec<HeaderName> {
    let mut headers = Vec::new();
    for (position, name) in names.iter().enumerate() {
        let at = at.item(position);
        match check_header_name(name, &at) {
            Some(name) if headers.contains(&name) => at.error(format!("{name} is there twice")),
            Some(name) => headers.push(name),
            None => {}
        }
    }
    if headers.len() > MOST_HEADERS {
        at.error(format!(
            "{} header fields are more than the {MOST_HEADERS} that can be kept",
            headers.len()
        ));
    }
    headers
}
