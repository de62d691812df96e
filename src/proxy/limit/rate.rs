//! The layer that refuses who asks too often.

use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use tokio::time::Instant;
use tower::Service;
use tracing::trace;

use super::{Allowances, Verdict};
use crate::exchange::{Fault, LimitNote, Outcome, Request, Response, Serve};
use crate::proxy::refused::OrRefused;
use crate::telemetry::Counter;

/// Refuses with 429 who asks too often. What the limit says is noted on the exchange; `Respond` tells it to the client
/// in `RateLimit` and `Retry-After`.
#[derive(Clone)]
pub struct RateLimit<S> {
    inner: S,
    limit: Option<(Arc<Allowances>, Counter)>,
}

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

// === impl RateLimit ===

impl<S> RateLimit<S> {
    /// Limits by these allowances, counting refusals; `None` lets everything through.
    #[must_use]
    pub fn new(inner: S, limit: Option<(Arc<Allowances>, Counter)>) -> Self {
        Self { inner, limit }
    }
}

impl<S: Serve> Service<Request> for RateLimit<S> {
    type Response = Response;
    type Error = Fault;
    type Future = OrRefused<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if let Some((allowances, refused)) = &self.limit {
            // One more than zero: zero is a fresh allowance's memory.
            let now = u64::try_from(EPOCH.elapsed().as_nanos())
                .unwrap_or(u64::MAX)
                .saturating_add(1);
            let limit = allowances.burst();
            match allowances.take(&request, now) {
                Verdict::Conforms { remaining, reset } => {
                    trace!(limit, remaining, whole_in = ?reset, "within the rate limit");
                    request.exchange.note_limit(LimitNote {
                        limit,
                        remaining,
                        reset,
                    });
                }
                Verdict::Exceeds { retry_after } => {
                    trace!(limit, next_in = ?retry_after, "over the rate limit");
                    refused.count();
                    request.exchange.note_limit(LimitNote {
                        limit,
                        remaining: 0,
                        reset: retry_after,
                    });
                    return OrRefused::refused(Fault::new(
                        Outcome::RateLimited,
                        "the route's rate limit is exceeded",
                    ));
                }
            }
        }
        OrRefused::passed(self.inner.call(request))
    }
}
