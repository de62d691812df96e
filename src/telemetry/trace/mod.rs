//! Traces: where an exchange stands in one, whether it is kept, and how it gets to the collector.
//!
//! ```text
//! request head ─ propagation::extract ─ place (head decision: HeadShare; Forcing) ─ inject, once an attempt
//! end          ─ KeepRules::keep, on the worker ─ Intake (weight, rate cap) ─ Sink::take ┐
//! own work     ─ own_work ──────────────────────────────────────────── Sink::take_own ┴─ queue ─ export (SpanMaker) ─ OTLP
//! ```
//!
//! [`Traces`] is what one plan says about them: pure data, made anew for each plan and shared by workers. The [`Sink`]
//! and the [`Exporter`](export::Exporter) live as long as the process.

mod cap;
pub mod environment;
pub mod export;
#[cfg(test)]
mod fixture;
mod force;
mod intake;
mod names;
pub mod pace;
pub mod propagation;
mod queue;
mod sampling;
mod span;
mod words;

use std::sync::Arc;

use http::HeaderMap;

pub use environment::Environment;
pub use intake::Intake;
pub use queue::{Sink, Standing};
pub use sampling::{HeadShare, KeepRules};
pub(super) use span::Facts;
pub use span::SpanMaker;
pub(super) use span::scope;

use self::force::Forcing;
use self::pace::LivePaces;
use crate::config::{self, Plan, Propagation};
use crate::exchange::TracePlace;
use crate::telemetry::desk::Keep;

/// What a plan, and the environment where it is silent, say about traces.
#[derive(Clone, Debug)]
pub struct Traces {
    head: HeadShare,
    forcing: Option<Arc<Forcing>>,
    paces: LivePaces,
    propagation: Propagation,
    /// The members of a baggage that become attributes.
    baggage: Arc<[Box<str>]>,
    is_enabled: bool,
}

// === impl Traces ===

impl Traces {
    /// What is said.
    #[must_use]
    pub fn new(traces: &config::Traces, environment: &Environment) -> Self {
        Self {
            head: environment.head(traces),
            forcing: traces.force.as_ref().map(Forcing::new).map(Arc::new),
            paces: LivePaces::default(),
            propagation: environment.propagation(traces),
            baggage: traces.baggage_attributes.as_slice().into(),
            is_enabled: environment.collector(traces).is_some(),
        }
    }

    /// Whether there is a collector.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// The head share.
    #[must_use]
    pub fn head(&self) -> &HeadShare {
        &self.head
    }

    /// The head share of a route that says one of its own.
    #[must_use]
    pub fn head_of(&self, route: &config::Route) -> Option<HeadShare> {
        route.traces.sample.map(|_| self.head.or_of(route))
    }

    /// Which context headers are read and written.
    #[must_use]
    pub fn propagation(&self) -> Propagation {
        self.propagation
    }

    /// Where an exchange with this request head stands. `follow` says whether its sender's context is followed. Takes
    /// baggage out that must not go upstream.
    #[must_use]
    pub fn place(&self, headers: &mut HeaderMap, follow: bool) -> TracePlace {
        propagation::limit_baggage(headers, &self.propagation, follow);
        let incoming = propagation::extract(headers, &self.propagation);
        let mut place = propagation::place(incoming, follow, &self.head);
        // What is still there is followed and bounded.
        place.baggage = propagation::pick_baggage(headers, &self.baggage);
        place
    }

    /// Takes out the baggage of somebody who is not followed.
    pub fn drop_baggage(&self, headers: &mut HeaderMap) {
        propagation::limit_baggage(headers, &self.propagation, false);
    }

    /// Takes the field out that asks for a trace, and says whether it may; once an exchange.
    #[must_use]
    pub fn is_forced(&self, headers: &mut HeaderMap, follow: bool) -> bool {
        self.forcing
            .as_ref()
            .is_some_and(|forcing| forcing.take(headers, follow))
    }

    /// The live percentiles that `slower_than: p99` goes by.
    #[must_use]
    pub fn paces(&self) -> &LivePaces {
        &self.paces
    }

    /// Says which exchanges of this plan are kept; `None` where there is no collector, and so none is.
    #[must_use]
    pub fn keep(&self, plan: &Plan) -> Option<Keep> {
        self.is_enabled.then(|| {
            let rules = KeepRules::new(plan, self.head, &self.paces);
            let keep: Keep = Box::new(move |record, is_exemplar| rules.keep(record, is_exemplar));
            keep
        })
    }
}
