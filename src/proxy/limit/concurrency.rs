//! The layer that refuses what is too many at once.
//!
//! tower's own frees its permit when the response head is there; a body may last for minutes. Here the exchange holds
//! the permit until it ends, also when its client goes away.

use std::task::{Context, Poll};

use tower::Service;
use tracing::trace;

use crate::exchange::{Fault, Gauge, Outcome, Request, Response, Serve};
use crate::proxy::refused::OrRefused;
use crate::telemetry::Counter;

/// Refuses with 503 what is too many at once on a route, counted over all workers.
#[derive(Clone)]
pub struct Concurrency<S> {
    inner: S,
    limit: Option<Limit>,
}

/// The limit of a route.
#[derive(Clone)]
struct Limit {
    live: Gauge,
    most: i64,
    refused: Counter,
}

// === impl Concurrency ===

impl<S> Concurrency<S> {
    /// Lets `limit` exchanges live at once, counted by a gauge that all workers share; `None` lets all.
    #[must_use]
    pub fn new(inner: S, limit: Option<(u32, Gauge, Counter)>) -> Self {
        let limit = limit.map(|(most, live, refused)| Limit {
            live,
            most: i64::from(most),
            refused,
        });
        Self { inner, limit }
    }
}

impl<S: Serve> Service<Request> for Concurrency<S> {
    type Response = Response;
    type Error = Fault;
    type Future = OrRefused<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if let Some(limit) = &self.limit {
            let entered = limit.live.enter_below(limit.most);
            let number = |it: i64| u32::try_from(it).unwrap_or(u32::MAX);
            // What others do meanwhile may show: it says how full the route was, to one or two.
            let live = number(limit.live.get());
            request.exchange.note_concurrency(live, number(limit.most));
            trace!(
                live,
                most = limit.most,
                is_let_in = entered.is_some(),
                "exchanges on the route"
            );
            match entered {
                Some(permit) => request.exchange.hold(permit),
                None => {
                    limit.refused.count();
                    return OrRefused::refused(Fault::new(
                        Outcome::Overloaded,
                        "the route's concurrency limit is reached",
                    ));
                }
            }
        }
        OrRefused::passed(self.inner.call(request))
    }
}
