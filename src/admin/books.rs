//! `/api/v1/telemetry`: the ledger, what became of everything that was to be told; and how many traces the rate cap shed,
//! by why they were to be kept.

use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};

use super::Sources;
use super::reply::{self, Reply};
use crate::telemetry::ledger::Balance;

/// The books of every signal.
pub(super) fn page(sources: &Sources) -> Reply {
    let signals: Vec<Value> = sources.ledger.snapshot().iter().map(signal).collect();
    let shed = sources.ledger.shed_traces();
    let shed = shed.filter(|(_, count)| *count > 0);
    let shed: Map<String, Value> = shed
        .map(|(reason, count)| (reason.as_str().to_owned(), json!(count)))
        .collect();
    reply::value(&json!({ "signals": signals, "traces_shed": shed }))
}

fn signal(balance: &Balance) -> Value {
    let dropped: Map<String, Value> = balance
        .dropped
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| (reason.as_str().to_owned(), json!(count)))
        .collect();
    let last_error = balance.last_error.as_ref().map(|error| {
        let at = error.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({ "at_unix_seconds": at.as_secs_f64(), "what": error.what })
    });
    json!({
        "signal": balance.signal.as_str(),
        "created": balance.created,
        "exported": balance.exported,
        "dropped": dropped,
        "queued": balance.queued,
        "last_error": last_error,
    })
}
