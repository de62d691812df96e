//! The layer around one attempt: it begins and ends here, and its trace context goes upstream.
//!
//! It stands below `Balance`, since the endpoint must be known, and above `AttemptTimeout`, so that an attempt that is
//! given up is seen as one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tower::Service;
use tracing::trace;

use super::trace::{HeadShare, propagation};
use crate::config::Propagation;
use crate::exchange::{AttemptFault, AttemptRequest, Exchange, Response, ServeAttempt, SpanId};

/// Opens an attempt for each request that goes to an endpoint.
#[derive(Clone, Debug)]
pub struct ObserveAttempt<S> {
    inner: S,
    propagation: Propagation,
    /// The route's own, where it has one.
    head: Option<HeadShare>,
}

// === impl ObserveAttempt ===

impl<S> ObserveAttempt<S> {
    /// Observes `inner`; the trace context goes upstream in the families of `propagation`.
    #[must_use]
    pub fn new(inner: S, propagation: Propagation) -> Self {
        Self {
            inner,
            propagation,
            head: None,
        }
    }

    /// With the route's own head share, where it has one: the head decision was taken before the route was known.
    #[must_use]
    pub fn sampling(self, head: Option<HeadShare>) -> Self {
        Self { head, ..self }
    }
}

impl<S: ServeAttempt> Service<AttemptRequest> for ObserveAttempt<S> {
    type Response = Response;
    type Error = AttemptFault;
    type Future = ObserveAttemptFuture<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), AttemptFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut attempt: AttemptRequest) -> Self::Future {
        let exchange = attempt.request.exchange.clone();
        let span_id = SpanId::random();
        exchange.begin_attempt(attempt.upstream, attempt.endpoint, span_id);
        trace!(%span_id, "an attempt begins");
        if let Some(head) = &self.head {
            exchange.note_sampled(|place| {
                if place.is_forced || place.is_callers_decision() && head.follows_parents() {
                    place.is_sampled()
                } else {
                    head.takes(place.trace_id)
                }
            });
        }
        let headers = &mut attempt.request.head.headers;
        exchange
            .with_trace(|place| propagation::inject(place, span_id, &self.propagation, headers));
        ObserveAttemptFuture {
            inner: self.inner.call(attempt),
            exchange,
        }
    }
}

pin_project_lite::pin_project! {
    /// The attempt under way.
    pub struct ObserveAttemptFuture<F> {
        #[pin]
        inner: F,
        exchange: Exchange,
    }
}

impl<F: Future<Output = Result<Response, AttemptFault>>> Future for ObserveAttemptFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        match &result {
            Ok(response) => {
                let status = response.status().as_u16();
                trace!(
                    status,
                    fields = response.headers().len(),
                    "the upstream's head is there"
                );
                this.exchange.note_attempt_head(status);
            }
            Err(failed) => {
                let fault = &failed.fault;
                trace!(
                    outcome = fault.outcome().as_str(),
                    detail = fault.detail(),
                    "the attempt failed"
                );
                this.exchange.end_attempt(fault.outcome());
            }
        }
        Poll::Ready(result)
    }
}
