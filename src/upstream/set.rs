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
    pub(super) places: Places,
}

// === impl Upstream ===

impl Upstream {
    /// An upstream with these endpoints, one for each of the plan's, in its order.
    #[must_use]
    pub fn new(
        index: u16,
        plan: &config::Upstream,
        endpoints: Vec<Arc<Endpoint>>,
        meters: UpstreamMeters,
    ) -> Self {
        Self {
            index,
            plan: plan.clone(),
            balance: balance::of(plan.balance),
            places: Places::new(plan.limits.connections),
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
