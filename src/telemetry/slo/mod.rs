//! Objectives: what a route promises, how much of its error budget is left, and how fast it burns.
//!
//! ```text
//! judge    what an exchange is to an objective: good, bad, or no event
//! counts   a worker's counters of a route with objectives; counted where all metrics are, so that no full queue loses one
//! history  what the counters were, up to the budget's window ago
//! books    the objectives of the configuration in force: burn rates, budgets, the page, the metrics, the event
//! ```
//!
//! The counters are the one source: Prometheus scrapes them and is the authority, since it knows what was before this
//! process and beside it. The burn rates here are drawn from samples of the same counters, for whoever looks at the
//! process alone and for the flight recorder's dump, which cannot wait for an alert. A window that the process has not
//! lived through is null and raises nothing.

mod books;
mod counts;
mod history;
pub mod judge;

pub use books::{Burning, Objective, OnBurn, Slos, Standing, of_plan};
pub use history::Counts;
pub use judge::Verdict;

pub(in crate::telemetry) use counts::RouteCounts;

use std::time::Duration;

/// The windows over which burn rates are told: the label, and the length.
pub const WINDOWS: [(&str, Duration); 5] = [
    ("5m", Duration::from_secs(5 * 60)),
    ("30m", Duration::from_secs(30 * 60)),
    ("1h", Duration::from_secs(3600)),
    ("6h", Duration::from_secs(6 * 3600)),
    ("3d", Duration::from_secs(3 * 24 * 3600)),
];

/// So many events must have been in the longer window before a burn rate means anything.
pub const MIN_EVENTS: u64 = 20;

/// The `slo` label of an availability objective.
pub const AVAILABILITY: &str = "availability";

/// The `slo` label of a latency objective.
pub const LATENCY: &str = "latency";
