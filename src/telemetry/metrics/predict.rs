//! How many series a configuration will come to, before it runs.
//!
//! No bound of any use is exact: a client chooses among ten methods and an upstream among all statuses. So it is said what
//! is usual, by the figures below, and what clients may say counts with as many values as it may have.

use super::family::{self, Family, Kind};
use crate::config::Plan;

/// How many series a configuration will come to; each bucket, sum and count of a histogram is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// By family, the largest first.
    pub families: Vec<(&'static str, u64)>,
    /// All of them.
    pub total: u64,
}

/// Methods that a route is asked with where it names none.
const METHODS: u64 = 3;

/// Pairs of status and outcome that a route or an upstream has.
const WAYS: u64 = 6;

/// Phases that happen.
const PHASES: u64 = 8;

/// More than this is said to be many: Prometheus takes some 4 KiB of memory for each.
pub const MANY: u64 = 50_000;

/// Predicts.
#[must_use]
pub fn series(plan: &Plan) -> Prediction {
    let metrics = &plan.telemetry.metrics;
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let (routes, upstreams) = (count(plan.routes.len()) + 1, count(plan.upstreams.len()));
    let endpoints: u64 = plan
        .upstreams
        .iter()
        .map(|it| count(it.endpoints.len()))
        .sum();
    let listeners = count(plan.listeners.len());
    let methods = plan
        .routes
        .iter()
        .map(|route| match route.matches.methods.len() {
            0 => METHODS,
            some => count(some),
        });
    let methods = methods.sum::<u64>() + METHODS;
    // Its values, _OTHER and none.
    let values = u64::from(metrics.max_values) + 2;
    let free = metrics
        .free_labels()
        .fold(1_u64, |all, _| all.saturating_mul(values));
    let is_a = |name: &str| matches!(name, "route" | "http_route");
    let sets = |family: &Family| -> u64 {
        if std::ptr::eq(family, &family::REQUEST_DURATION) {
            return methods.saturating_mul(WAYS).saturating_mul(free);
        }
        match family.labels {
            ["upstream", "endpoint"] => endpoints,
            ["upstream", "endpoint", ..] => endpoints * 2,
            ["route", "phase"] => routes * PHASES,
            ["route", "outcome"] => routes,
            ["upstream", "http_response_status_code", ..] => upstreams * WAYS,
            ["upstream", "state"] => upstreams * 2,
            ["upstream", ..] => upstreams,
            ["listener", ..] => listeners,
            labels if labels.iter().all(|label| is_a(label)) => routes,
            ["route", ..] => count(plan.routes.len()),
            _ => 4,
        }
    };
    let lines = |family: &Family| match family.kind {
        Kind::Histogram(buckets) => count(buckets.labels().len()) + 2,
        Kind::Counter | Kind::Gauge => 1,
    };
    let limit = u64::from(metrics.max_series);
    let predicted = |family: &&'static Family| {
        let all = sets(family).saturating_mul(lines(family));
        let is_bounded = std::ptr::eq(*family, &family::REQUEST_DURATION)
            || std::ptr::eq(*family, &family::CLIENT_DURATION);
        let all = if is_bounded { all.min(limit) } else { all };
        (family.name, all)
    };
    let mut families: Vec<_> = family::FAMILIES.iter().map(predicted).collect();
    families.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let total = families.iter().map(|(_, count)| count).sum();
    Prediction { families, total }
}

impl std::fmt::Display for Prediction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "about {} series", self.total)?;
        for (nth, (name, count)) in self.families.iter().take(3).enumerate() {
            let before = if nth == 0 { ": " } else { ", " };
            write!(f, "{before}{name} {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::fixture::plan;

    #[test]
    fn what_clients_may_say_multiplies_and_is_bounded() {
        let mut plan = plan(&["checkout", "web"]);
        let usual = series(&plan);
        assert_eq!(
            usual.families[0],
            ("http_server_request_duration_seconds", 3 * 3 * 6 * 21)
        );
        assert!(usual.total > 1_000 && usual.total < 5_000, "{usual}");
        plan.telemetry.metrics.host_label = true;
        plan.telemetry.metrics.max_values = 10;
        assert_eq!(series(&plan).families[0].1, 3 * 3 * 6 * 21 * 12);
        plan.telemetry.metrics.max_values = 10_000;
        assert_eq!(series(&plan).families[0].1, 100_000);
        assert!(series(&plan).total > MANY);
        let text = series(&plan).to_string();
        assert!(
            text.contains("series: http_server_request_duration_seconds 100000, "),
            "{text}"
        );
    }
}
