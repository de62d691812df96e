//! An upstream as it runs: its endpoints, how one is picked, and the places for connections.

use std::sync::Arc;

use crate::config::{self, Name};
use crate::telemetry::UpstreamMeters;
use crate::tls::ClientTls;

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
    /// What its connections are encrypted with, if they are.
    pub tls: Option<Arc<ClientTls>>,
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
        tls: Option<Arc<ClientTls>>,
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
            tls,
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

    /// Whether the connections of `before` serve it too.
    #[must_use]
    pub fn goes_on_from(
        plan: &config::Upstream,
        tls: Option<&Arc<ClientTls>>,
        before: &Self,
    ) -> bool {
        let is_same_tls = match (tls, &before.tls) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        let old = &before.plan;
        is_same_tls && old.protocol == plan.protocol && old.proxy_protocol == plan.proxy_protocol
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
            Upstream::new(0, plan, before, Vec::new(), None, meters)
        };
        let first = upstream(&plan, None);
        let same = upstream(&plan, Some(&first));
        assert!(Arc::ptr_eq(&first.places, &same.places));
        plan.limits.connections += 1;
        let other = upstream(&plan, Some(&first));
        assert!(!Arc::ptr_eq(&first.places, &other.places));
    }
}
