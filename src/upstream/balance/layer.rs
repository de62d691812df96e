//! The layer that gives an attempt its endpoint.
//!
//! It stands below `Retry`, so that each attempt picks anew, and avoids what the exchange has tried.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;
use tracing::trace;

use super::Candidates;
use crate::exchange::{
    AttemptFault, AttemptRequest, Exchange, Fault, Outcome, Phase, Request, Response, RetryClass,
    ServeAttempt,
};
use crate::upstream::{Endpoint, Upstream};

/// Picks the endpoint of each attempt.
#[derive(Clone)]
pub struct Balance<S> {
    inner: S,
    /// The upstreams among which the route's traffic is split, with the weight up to and with each.
    splits: Rc<[(Arc<Upstream>, u64)]>,
}

// === impl Balance ===

impl<S> Balance<S> {
    /// Picks among the endpoints of these upstreams, which share by weight.
    #[must_use]
    pub fn new(inner: S, splits: &[(Arc<Upstream>, u32)]) -> Self {
        let mut sum = 0;
        let splits = splits.iter().map(|(upstream, weight)| {
            sum += u64::from(*weight);
            (Arc::clone(upstream), sum)
        });
        Self {
            inner,
            splits: splits.collect(),
        }
    }

    /// The upstream of an exchange: drawn by weight with its span id as the lot, so that all of its attempts go to the
    /// same one.
    fn split(&self, exchange: &Exchange) -> Option<&Arc<Upstream>> {
        if let [(only, _)] = &*self.splits {
            return Some(only);
        }
        let lot = exchange.with_trace(|trace| u64::from_be_bytes(trace.span_id.0))?;
        let sum = self.splits.last()?.1;
        let ticket = u64::try_from((u128::from(lot) * u128::from(sum)) >> 64).ok()?;
        self.splits
            .iter()
            .find(|(_, upto)| ticket < *upto)
            .map(|(upstream, _)| upstream)
    }
}

/// The endpoint for the next attempt of this exchange.
fn pick<'a>(upstream: &'a Upstream, exchange: &Exchange) -> Option<(u16, &'a Endpoint)> {
    let mut candidates = Candidates::all(&upstream.endpoints);
    exchange.tried(upstream.index, |endpoint| {
        candidates.bar(usize::from(endpoint))
    });
    let picked = upstream.balance.pick(&candidates);
    trace!(
        upstream = %upstream.name(),
        by = upstream.plan.balance.as_str(),
        candidates = %candidates,
        picked = %address(upstream, picked),
        "an endpoint for the attempt"
    );
    let place = picked?;
    exchange.note_considered(candidates.considered());
    Some((u16::try_from(place).ok()?, upstream.endpoints.get(place)?))
}

fn address(upstream: &Upstream, picked: Option<usize>) -> String {
    let endpoint = picked.and_then(|place| upstream.endpoints.get(place));
    endpoint.map_or_else(|| "none".to_owned(), |it| it.address.to_string())
}

impl<S: ServeAttempt> Service<Request> for Balance<S> {
    type Response = Response;
    type Error = AttemptFault;
    type Future = BalanceFuture<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), AttemptFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let picked = self.split(&request.exchange).and_then(|upstream| {
            let (place, endpoint) = pick(upstream, &request.exchange)?;
            Some((upstream.index, place, endpoint.enter()))
        });
        match picked {
            Some((upstream, endpoint, load)) => BalanceFuture::Picked {
                inner: self.inner.call(AttemptRequest {
                    request,
                    upstream,
                    endpoint,
                    load,
                }),
            },
            None => {
                request.exchange.enter(Phase::Pick);
                BalanceFuture::None
            }
        }
    }
}

pin_project_lite::pin_project! {
    /// The attempt, or the lack of an endpoint for it.
    #[project = BalanceProjection]
    pub enum BalanceFuture<F> {
        /// The attempt at the picked endpoint.
        Picked { #[pin] inner: F },
        /// There was nothing to pick.
        None,
    }
}

impl<F: Future<Output = Result<Response, AttemptFault>>> Future for BalanceFuture<F> {
    type Output = F::Output;

    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            BalanceProjection::Picked { inner } => inner.poll(cx),
            BalanceProjection::None => Poll::Ready(Err(Fault::new(
                Outcome::DestinationUnavailable,
                "the upstream has no endpoint",
            )
            .retried_as(RetryClass::Never)
            .into())),
        }
    }
}
