//! `POST /api/v1/recorder/dump`: the flight recorder, written to a file now.

use std::net::IpAddr;

use http::StatusCode;
use serde_json::{Value, json};

use super::Sources;
use super::reply::{self, Reply};
use crate::telemetry::recorder::DumpError;

/// Writes a dump and names its file. Who asked is in the event and in the file.
pub(super) fn dump(sources: &Sources, who: IpAddr) -> Reply {
    let result = sources.recorder.dump_now(&format!("asked for by {who}"));
    match result {
        Ok(dumped) => reply::value(&json!({
            "file": dumped.file.display().to_string(),
            "exchanges": dumped.exchanges,
        })),
        Err(error) => {
            let status = match error {
                DumpError::NoFolder | DumpError::Busy => StatusCode::CONFLICT,
                DumpError::Write { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            };
            reply::problem(status, error.to_string(), Value::Null)
        }
    }
}
