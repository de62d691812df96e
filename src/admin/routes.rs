//! `/api/v1/routes`: what each route did in the last minutes.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Sources;
use super::reply::{self, Reply};

/// The live figures of all routes.
pub(super) fn page(sources: &Sources) -> Reply {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    reply::json(sources.figures.json(now))
}
