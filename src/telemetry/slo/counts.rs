//! A worker's counters of one route's objectives.
//!
//! They are counted on the worker, with all other metrics, and not by a reader of records: a record that a full queue
//! drops is still counted. A route without objectives has none of this and pays one look at an option.

use std::time::Duration;

use super::judge::{self, Verdict};
use super::{AVAILABILITY, LATENCY};
use crate::config::Slo;
use crate::exchange::Record;
use crate::telemetry::metrics::Counter;

/// A worker's counters of one route's objectives.
#[derive(Debug)]
pub(in crate::telemetry) struct RouteCounts {
    within: Option<Duration>,
    availability: Option<Pair>,
    latency: Option<Pair>,
}

#[derive(Debug)]
struct Pair {
    good: Counter,
    bad: Counter,
}

// === impl RouteCounts ===

impl RouteCounts {
    /// The counters of these objectives; `counter` gives the one of an objective and a result.
    pub(in crate::telemetry) fn new(
        slo: &Slo,
        counter: impl Fn(&'static str, &'static str) -> Counter,
    ) -> Self {
        let pair = |objective| Pair {
            good: counter(objective, "good"),
            bad: counter(objective, "bad"),
        };
        Self {
            within: slo.latency.map(|latency| latency.within),
            availability: slo.availability.map(|_| pair(AVAILABILITY)),
            latency: slo.latency.map(|_| pair(LATENCY)),
        }
    }

    /// Counts an exchange. Only the worker whose counters these are may.
    pub(in crate::telemetry) fn count(&self, record: &Record) {
        if let Some(pair) = &self.availability {
            pair.count(judge::availability(record, self.within));
        }
        if let (Some(pair), Some(within)) = (&self.latency, self.within) {
            pair.count(judge::latency(record, within));
        }
    }
}

// === impl Pair ===

impl Pair {
    fn count(&self, verdict: Verdict) {
        match verdict {
            Verdict::Good => self.good.count_alone(),
            Verdict::Bad => self.bad.count_alone(),
            Verdict::NoEvent => {}
        }
    }
}
