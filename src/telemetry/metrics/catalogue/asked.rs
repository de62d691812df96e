//! What others in the process ask of counts: a page that shows endpoints, the verdict on listeners. Nothing is on the page
//! of metrics for having been asked for.

use std::sync::Arc;

use super::Catalogue;
use crate::config::Name;
use crate::telemetry::label;
use crate::telemetry::metrics::family;

/// What a listener has refused, and what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Connections that came when its limit was reached.
    pub by_limit: u64,
    /// Connections of clients that had as many as each may.
    pub by_client_limit: u64,
    /// Connections that are open now.
    pub open: u64,
}

impl Catalogue {
    /// How many attempts at an endpoint have ended, by outcome; those outcomes that were seen.
    #[must_use]
    pub fn endpoint_requests(&self, upstream: &Name, endpoint: &str) -> Vec<(String, u64)> {
        let family = &family::ENDPOINT_REQUESTS;
        let [upstream_label, endpoint_label, outcome_label] = [0, 1, 2].map(|at| family.labels[at]);
        let mut start = label::pairs([
            (upstream_label, upstream.as_str()),
            (endpoint_label, endpoint),
            (outcome_label, ""),
        ]);
        start.pop(); // the quote after the outcome that is not there
        let series = self.lock();
        let from = (family.name, Arc::from(&*start));
        series
            .counters
            .range(from..)
            .map_while(|((name, labels), entry)| {
                let outcome = labels
                    .strip_prefix(&*start)
                    .filter(|_| *name == family.name)?;
                let sum = entry.cells.iter().map(|(_, cell)| cell.get()).sum();
                Some((outcome.trim_end_matches('"').to_owned(), sum))
            })
            .collect()
    }

    /// What this listener has refused since the process began.
    #[must_use]
    pub fn refused(&self, listener: &Name) -> Refused {
        let [listener_label, reason_label] = [0, 1].map(|at| family::CONNECTION_ERRORS.labels[at]);
        let series = self.lock();
        let count = |reason| {
            let pairs = [(listener_label, listener.as_str()), (reason_label, reason)];
            let key = (
                family::CONNECTION_ERRORS.name,
                Arc::from(label::pairs(pairs)),
            );
            let entry = series.counters.get(&key);
            entry.map_or(0, |it| it.cells.iter().map(|(_, cell)| cell.get()).sum())
        };
        let pairs = [(listener_label, listener.as_str())];
        let key = (
            family::ACTIVE_CONNECTIONS.name,
            Arc::from(label::pairs(pairs)),
        );
        let open = series.gauges.get(&key);
        let open = open.map_or(0, |it| it.cells.iter().map(|(_, cell)| cell.get()).sum());
        Refused {
            by_limit: count("limit"),
            by_client_limit: count("client_limit"),
            open: u64::try_from(open).unwrap_or_default(),
        }
    }
}
