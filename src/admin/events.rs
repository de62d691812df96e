//! `/api/v1/events`: what happened of late in the process, the newest first.

use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};

use super::Sources;
use super::reply::{self, Reply};
use crate::telemetry::happened::Told;

/// The events that are remembered.
pub(super) fn page(sources: &Sources) -> Reply {
    let (told, lost) = sources.happened.told();
    let events: Vec<Value> = told.iter().map(event).collect();
    reply::value(&json!({ "events": events, "lost": lost }))
}

fn event(told: &Told) -> Value {
    let at = told.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let fields: Map<String, Value> = told
        .fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    json!({
        "unix_seconds": at.as_secs_f64(),
        "event": told.name,
        "level": told.level.as_str().to_lowercase(),
        "message": told.message,
        "fields": fields,
    })
}
