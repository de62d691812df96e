//! An upstream as it runs: its endpoints, how one is picked, and the places for connections.

use std::sync::Arc;

use crate::config::{self, Name, Protocol};
use crate::telemetry::UpstreamMeters;

use super::Endpoint;
use super::balance::{self, Pick};
use super::places::Places;

/// An upstream as it runs. Shared by all workers.
#[derive(Debug)]
pub struct Upstream {
    /// Its place in the plan.
    pub index: u16,
    /// What was asked for.
    pub plan: config::Upstream,
    /// Its endpoints, in the plan's order.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// How one is picked.
    pub balance: Box<dyn Pick>,
    /// What is counted of it.
    pub meters: UpstreamMeters,
    /// Connections keep theirs from one configuration to the next, so the count goes on with them.
    pub(super) places: Arc<Places>,
}

// === impl Upstream ===

impl Upstream {
    /// An upstream with these endpoints, one for each of the plan's, in its order. Where it goes on from `before`, it
    /// counts the connections that are there.
    #[must_use]
    pub fn new(
        index: u16,
        plan: &config::Upstream,
        before: Option<&Self>,
        endpoints: Vec<Arc<Endpoint>>,
        meters: UpstreamMeters,
    ) -> Self {
        let places = before
            .filter(|before| before.plan.limits.connections == plan.limits.connections)
            .map_or_else(
                || Arc::new(Places::new(plan.limits.connections)),
                |before| Arc::clone(&before.places),
            );
        Self {
            index,
            plan: plan.clone(),
            balance: balance::of(plan.balance),
            places,
            endpoints,
            meters,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.plan.name
    }

    pub(super) fn note_opened(&self) {
        self.meters.opened.count();
    }

    /// Whether HTTP/2 is spoken to it.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        self.plan.protocol == Protocol::Http2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Catalogue;

    #[test]
    fn connections_of_before_count_under_the_same_limit() {
        let (plan, _) = config::from_arguments(&["127.0.0.1:1".to_owned()], None, None, None)
            .expect("an address");
        let mut plan = plan.upstreams.into_iter().next().expect("one upstream");
        let upstream = |plan: &config::Upstream, before: Option<&Upstream>| {
            let meters = Catalogue::new().upstream(&plan.name);
            Upstream::new(0, plan, before, Vec::new(), meters)
        };
        let first = upstream(&plan, None);
        let same = upstream(&plan, Some(&first));
        assert!(Arc::ptr_eq(&first.places, &same.places));
        plan.limits.connections += 1;
        let other = upstream(&plan, Some(&first));
        assert!(!Arc::ptr_eq(&first.places, &other.places));
    }
}
