//! `/api/v1/process`: which build runs under which configuration, since when, and where clients reach it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::reply::{self, Reply};
use super::{Readiness, Sources};

/// When the process began to serve, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    instant: Instant,
    unix_seconds: f64,
}

/// The process.
pub(super) fn page(sources: &Sources, since: Since, readiness: &Readiness) -> Reply {
    let (plan, generation) = sources.running.plan();
    let listeners: Vec<Value> = sources
        .listeners
        .iter()
        .map(|(name, address)| json!({ "listener": name.as_str(), "address": address.to_string() }))
        .collect();
    let routes: Vec<&str> = plan
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .collect();
    reply::value(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "since_unix_seconds": since.unix_seconds,
        "uptime_seconds": since.instant.elapsed().as_secs(),
        "ready": readiness.is_ready(),
        "reasons": readiness.why_not_ready(),
        "config_generation": generation,
        "config_hash": plan.hash,
        "listeners": listeners,
        "routes": routes,
        "links": {
            "trace": plan.admin.links.trace,
            "dashboard": plan.admin.links.dashboard,
        },
    }))
}

// === impl Since ===

impl Since {
    pub(super) fn now() -> Self {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            instant: Instant::now(),
            unix_seconds: unix.as_secs_f64(),
        }
    }
}
