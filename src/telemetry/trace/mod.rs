//! Traces: where an exchange stands in one, whether it is kept, and how it gets to the collector.
//!
//! ```text
//! request head ─ propagation::extract ─ place (head decision: HeadShare) ─ inject, once an attempt
//! end          ─ KeepRules::keep ─ Sink::take ┐
//! own work     ─ own_work ─────── Sink::take_own ┴─ queue ─ export (SpanMaker) ─ OTLP
//! ```
//!
//! [`Traces`] is what one plan says about them: pure data, made anew for each plan and shared by workers. The [`Sink`]
//! and the [`Exporter`](export::Exporter) live as long as the process.

pub mod environment;
pub mod export;
#[cfg(test)]
mod fixture;
mod names;
pub mod propagation;
mod queue;
mod rejected;
mod sampling;
mod span;
mod words;

use http::HeaderMap;

pub use environment::Environment;
pub use queue::Sink;
pub(super) use rejected::{OTLP_TARGET, RejectedLayer};
pub use sampling::{HeadShare, KeepRules};
pub use span::SpanMaker;
pub(super) use span::scope;

use crate::config::{self, Propagation};
use crate::exchange::{KeepReason, Record, SpanId, TracePlace};

/// What a plan, and the environment where it is silent, say about traces.
#[derive(Clone, Copy, Debug)]
pub struct Traces {
    head: HeadShare,
    rules: KeepRules,
    propagation: Propagation,
    is_enabled: bool,
}

// === impl Traces ===

impl Traces {
    /// What is said.
    #[must_use]
    pub fn new(traces: &config::Traces, environment: &Environment) -> Self {
        Self {
            head: environment.head(traces),
            rules: KeepRules::new(traces.keep),
            propagation: traces.propagation,
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

    /// Where an exchange with this request head stands. `follow` says whether its sender's context is followed.
    #[must_use]
    pub fn place(&self, headers: &HeaderMap, follow: bool) -> TracePlace {
        let incoming = match self.propagation.tracecontext {
            true => propagation::extract(headers),
            false => propagation::Incoming::default(),
        };
        propagation::place(incoming, follow, &self.head)
    }

    /// Takes baggage out that must not go upstream; once an exchange.
    pub fn limit_baggage(&self, headers: &mut HeaderMap, follow: bool) {
        propagation::limit_baggage(headers, follow && self.propagation.baggage);
    }

    /// Writes the context that goes upstream; once an attempt, whose span is `span_id`.
    pub fn inject(&self, place: &TracePlace, span_id: SpanId, headers: &mut HeaderMap) {
        if self.propagation.tracecontext {
            propagation::inject(place, span_id, headers);
        }
    }

    /// Why this exchange is kept, if it is; never where there is no collector.
    #[must_use]
    pub fn keep(&self, record: &Record) -> Option<KeepReason> {
        if self.is_enabled {
            self.rules.keep(record)
        } else {
            None
        }
    }
}
