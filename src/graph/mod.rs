//! The running graph: a plan with everything in it that lives.
//!
//! A [`Graph`] is immutable and stands behind one `ArcSwap`; a reload builds a whole new one and swaps once. It is shared
//! by all workers and holds no connection: each worker dresses it in a stack of its own ([`Graph::stack`]), over its own
//! pools. What a reload did not change is carried over: an endpoint keeps its load and latency, a limit its memory.

mod build;
mod draw;

pub use draw::draw;

// What a worker holds of it: the server knows these by the graph alone.
pub use crate::proxy::stack::{Front, FrontFuture};
pub use crate::upstream::Pools;

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::{self, Plan};
use crate::proxy::stack::{self, FrontParts, RouteParts};
use crate::telemetry::{Desk, ListenerMeters};
use crate::upstream::Upstream;

/// A plan with everything in it that lives.
#[derive(Debug)]
pub struct Graph {
    /// Which one it is, from 1 on.
    pub generation: u32,
    /// When it was built.
    pub since: SystemTime,
    /// What was asked for.
    pub plan: Arc<Plan>,
    /// Its upstreams, in the plan's order.
    pub upstreams: Vec<Arc<Upstream>>,
    listeners: Vec<ListenerMeters>,
    routes: Vec<RouteParts>,
    front: FrontParts,
}

// === impl Graph ===

impl Graph {
    /// A worker's own stack of it.
    #[must_use]
    pub fn stack(&self, desk: &Rc<Desk>, pools: &Pools) -> Front {
        stack::front(
            &self.plan,
            self.generation,
            &self.front,
            &self.routes,
            desk,
            pools,
        )
    }

    /// Tells a worker's desk under which plan exchanges run from now on, and by which rules they are kept.
    pub fn tell(&self, desk: &Desk) {
        let keep = self.front.traces.keep(&self.plan);
        desk.set_plan(&self.plan, self.generation, keep);
    }

    /// What workers share of the front.
    #[must_use]
    pub fn front(&self) -> &FrontParts {
        &self.front
    }

    /// Its listeners with their meters, in the plan's order.
    pub fn listeners(&self) -> impl Iterator<Item = (&config::Listener, &ListenerMeters)> {
        self.plan.listeners.iter().zip(&self.listeners)
    }

    /// Whether an endpoint of this number is in it.
    #[must_use]
    pub fn has_endpoint(&self, id: u64) -> bool {
        self.upstreams
            .iter()
            .any(|upstream| upstream.endpoints.iter().any(|endpoint| endpoint.id == id))
    }
}
