//! The plan: a whole configuration, checked.

use std::time::Duration;

use super::{Admin, Listener, Route, Telemetry, Upstream};

/// A whole configuration, checked: names are unique, references resolve, every value is in its range.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where clients come in; at least one.
    pub listeners: Vec<Listener>,
    /// Which requests go where.
    pub routes: Vec<Route>,
    /// Whom we call.
    pub upstreams: Vec<Upstream>,
    /// What is told.
    pub telemetry: Telemetry,
    /// The side port.
    pub admin: Admin,
    /// Threads and the end of the process.
    pub runtime: Runtime,
    /// A short hash of the text it came from: the label of `sightglass_config_info`.
    pub hash: String,
}

/// Threads and the end of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Worker threads, 1 to 256 (default: one per core).
    pub workers: usize,
    /// How the process ends.
    pub drain: Drain,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long readiness is down while connections are still served (default none).
    pub delay: Duration,
    /// When what is left is cut (default 30 s).
    pub deadline: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            deadline: Duration::from_secs(30),
        }
    }
}
