//! `slo`: what a route promises, over which window.
//!
//! Objectives are shares below 100 %: what is missing to 100 % is the error budget, and a route without one could only be
//! in breach. What counts against them is said in `telemetry/slo/judge.rs`, not here: a file cannot change it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::notes::At;
use super::ranges::check_time;
use super::{DurationWritten, Share};

/// What a route promises. It has at least one of the two objectives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slo {
    /// The share of exchanges that do not fail, above 0 and below 1.
    pub availability: Option<Share>,
    /// The share of good exchanges that are fast.
    pub latency: Option<LatencyObjective>,
    /// Over how long the error budget is counted, 1 to 90 days (default 30 days).
    pub window: Duration,
}

/// How many of the good exchanges are how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencyObjective {
    /// What still is fast; more than nothing, at most a day.
    pub within: Duration,
    /// The share of good exchanges that are, above 0 and below 1.
    pub share: Share,
}

/// The burn rate at which the fastest alert fires: 2 % of a budget of 30 days in one hour ("The Site Reliability
/// Workbook", chapter 5).
pub const FAST_BURN: f64 = 14.4;

// === As written ===

/// What the route promises: availability, latency, or both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SloWritten {
    /// The share of exchanges that do not fail, below 100%.
    #[serde(default)]
    availability: Option<Share>,
    /// The share of good exchanges that are fast.
    #[serde(default)]
    latency: Option<LatencyWritten>,
    /// Over how long the error budget is counted, 1d to 90d (default 30d).
    #[serde(default)]
    window: Option<DurationWritten>,
}

/// How many of the good exchanges are how fast.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LatencyWritten {
    /// What still is fast.
    within: DurationWritten,
    /// The share of good exchanges that are, below 100%.
    #[serde(rename = "for")]
    share: Share,
}

// === Checks ===

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The window where none is written.
const WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);

impl SloWritten {
    /// Checks the section; `None` when nothing of it can be used, which was noted then.
    pub(super) fn check(&self, at: &At<'_>) -> Option<Slo> {
        let availability = self
            .availability
            .and_then(|share| check_objective(share, &at.key("availability")));
        let latency = self
            .latency
            .as_ref()
            .and_then(|latency| latency.check(&at.key("latency")));
        if self.availability.is_none() && self.latency.is_none() && at.is_whole() {
            at.error_hint(
                "nothing is promised",
                "such as {availability: 99.9%, latency: {within: 300ms, for: 99%}}",
            );
        }
        let window = check_window(self.window, &at.key("window"));
        (availability.is_some() || latency.is_some()).then_some(Slo {
            availability,
            latency,
            window,
        })
    }
}

impl LatencyWritten {
    fn check(&self, at: &At<'_>) -> Option<LatencyObjective> {
        let within = check_time(Some(self.within), &at.key("within"));
        let share = check_objective(self.share, &at.key("for"));
        Some(LatencyObjective {
            within: within?,
            share: share?,
        })
    }
}

/// A share that leaves a budget, and promises something.
fn check_objective(share: Share, at: &At<'_>) -> Option<Share> {
    let Share(objective) = share;
    if objective >= 1.0 {
        at.error_hint(
            format!("must be below 100%, is {share}"),
            "an objective leaves a budget: 99.9% is one failure in a thousand",
        );
        return None;
    }
    if objective <= 0.0 {
        at.error_hint(format!("must be more than 0%, is {share}"), "such as 99.9%");
        return None;
    }
    if FAST_BURN * (1.0 - objective) >= 1.0 {
        at.warn(
            format!("{share} is so little that the alert for a fast burn can never fire"),
            format!(
                "it needs {FAST_BURN} times the failures that are allowed: promise 94% or more"
            ),
        );
    }
    Some(share)
}

fn check_window(written: Option<DurationWritten>, at: &At<'_>) -> Duration {
    let Some(DurationWritten(window)) = written else {
        return WINDOW;
    };
    if !(DAY..=90 * DAY).contains(&window) {
        at.error(format!("must be 1d to 90d, is {}", DurationWritten(window)));
        return WINDOW;
    }
    window
}
