//! `/api/v1/history`: what each route did in the last hour, in slots of ten seconds.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Sources;
use super::query::Parameters;
use super::reply::{self, Reply};

/// The last hour of all routes, or of one with how long its exchanges took.
pub(super) fn page(sources: &Sources, query: &str) -> Reply {
    let read = match Parameters::read(query, &["route"]) {
        Ok(read) => read,
        Err(bad) => return bad.into(),
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    reply::json(sources.figures.history(now, read.text("route")))
}
