//! Traces: where an exchange stands in one, whether it is kept, and how it gets to the collector.

pub mod environment;
#[cfg(test)]
mod fixture;
mod names;
pub mod propagation;
mod sampling;
mod span;
mod words;

pub use environment::Environment;
pub use sampling::{HeadShare, KeepRules};
pub use span::{Anchor, SpanMaker};

/// How exchanges find their place in a trace: what `Sanitize` asks.
#[derive(Clone, Copy, Debug)]
pub struct PlaceTrace {
    /// The head decision of traces that begin here.
    pub head: HeadShare,
    /// Which context fields are read.
    pub propagation: crate::config::Propagation,
}

impl PlaceTrace {
    /// The place of a request with these fields. Where its context is not followed (`follow`), the trace begins here and
    /// the foreign one is kept as a link; baggage is dropped with it.
    pub fn place(
        &self,
        headers: &mut http::HeaderMap,
        follow: bool,
    ) -> crate::exchange::TracePlace {
        propagation::limit_baggage(headers, follow && self.propagation.baggage);
        let incoming = if self.propagation.tracecontext {
            propagation::extract(headers)
        } else {
            propagation::Incoming::default()
        };
        propagation::place(incoming, follow, &self.head)
    }
}
