//! What the endpoints of the graph in force are like now, drawn at each scrape.
//!
//! Nothing is stored: an endpoint that the graph does not have any more is gone from the page at once. How many attempts
//! each has had is counted by the workers and stands in the catalogue.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Graph;
use crate::telemetry::metrics::family::{
    ENDPOINT_ACTIVE_REQUESTS, ENDPOINT_HEALTHY, ENDPOINT_LATENCY_EWMA, ENDPOINT_OUT,
    UPSTREAM_TLS_INSECURE,
};
use crate::telemetry::metrics::{Draw, Page};

/// Draws the endpoints of whatever graph is in force.
struct DrawEndpoints(Arc<ArcSwap<Graph>>);

/// What draws the endpoints of whatever graph is in force. The catalogue holds it weakly: whoever wants them on the page
/// keeps it.
#[must_use]
pub fn draw(graph: &Arc<ArcSwap<Graph>>) -> Arc<dyn Draw> {
    Arc::new(DrawEndpoints(Arc::clone(graph)))
}

// === impl DrawEndpoints ===

impl Draw for DrawEndpoints {
    fn draw(&self, page: &mut Page) {
        for upstream in &self.0.load().upstreams {
            let tls = upstream.plan.tls.as_ref();
            if tls.is_some_and(|tls| tls.insecure_skip_verify) {
                page.sample(&UPSTREAM_TLS_INSECURE, &[upstream.name().as_str()], 1.0);
            }
            for endpoint in &upstream.endpoints {
                let address = endpoint.address.to_string();
                let labels = [upstream.name().as_str(), &address];
                // Nobody asks endpoints for their health yet.
                page.sample(&ENDPOINT_HEALTHY, &labels, 1.0);
                let is_out = f64::from(u8::from(endpoint.holding.is_out()));
                page.sample(&ENDPOINT_OUT, &labels, is_out);
                let active = f64::from(endpoint.active());
                page.sample(&ENDPOINT_ACTIVE_REQUESTS, &labels, active);
                page.sample(&ENDPOINT_LATENCY_EWMA, &labels, endpoint.latency());
            }
        }
    }
}
