//! The layer that tries again.
//!
//! It stands above `Balance`, so that each attempt picks anew, and below `Deadline`, so that all attempts and the pauses
//! between them share one end. tower's own `Retry` copies the head of every request before the first attempt; this one
//! copies only where the route may retry this very request, and boxes its future only there.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tower::Service;
use tower::retry::budget::Budget;
use tracing::trace;

use super::backoff::pause;
use super::policy::Extent;
use super::replay::Replay;
use super::{Resend, RetryPolicy};
use crate::exchange::{
    Exchange, Fault, Outcome, Phase, Request, RequestBody, Response, RetryClass, ServeAttempt,
};
use crate::telemetry::{RouteMeters, label};
use crate::upstream::Balance;

/// Tries again what the route's policy says may be tried again.
#[derive(Clone)]
pub struct Retry<S> {
    inner: Resend<Balance<S>>,
    policy: Option<Rc<(RetryPolicy, RouteMeters)>>,
}

/// What is kept of a request that may be sent again.
struct Original {
    head: http::request::Parts,
    body: Kept,
    exchange: Exchange,
}

/// The body of a request that may be sent again.
enum Kept {
    /// There is none.
    Empty,
    /// As it is kept while the first attempt reads it.
    Replay(Replay),
    /// It is not kept.
    TooLarge,
}

// === impl Retry ===

impl<S> Retry<S> {
    /// Tries again by this policy; `None` never.
    #[must_use]
    pub fn new(inner: Resend<Balance<S>>, policy: Option<(RetryPolicy, RouteMeters)>) -> Self {
        Self {
            inner,
            policy: policy.map(Rc::new),
        }
    }
}

impl<S> Service<Request> for Retry<S>
where
    S: ServeAttempt + Clone + 'static,
{
    type Response = Response;
    type Error = Fault;
    type Future = RetryFuture<<Resend<Balance<S>> as Service<Request>>::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let policy = self.policy.as_ref();
        match policy.and_then(|policy| Some((policy, policy.0.covers(&request)?))) {
            Some((policy, extent)) => RetryFuture::Many {
                inner: Box::pin(attempts(
                    self.inner.clone(),
                    Rc::clone(policy),
                    extent,
                    request,
                )),
            },
            None => RetryFuture::One {
                inner: self.inner.call(request),
            },
        }
    }
}

/// All attempts of one exchange. Cancel safe: dropping it drops the attempt under way.
async fn attempts<S>(
    mut inner: Resend<Balance<S>>,
    policy: Rc<(RetryPolicy, RouteMeters)>,
    extent: Extent,
    request: Request,
) -> Result<Response, Fault>
where
    S: ServeAttempt + Clone + 'static,
{
    let (policy, meters) = &*policy;
    policy.budget.deposit();
    let (mut original, mut next) = Original::keep(request, policy.plan.max_replay.0);
    let mut number = 1;
    loop {
        let is_last = number >= policy.plan.attempts;
        let result = inner.call(next).await;
        let reason = match &result {
            Ok(response) if policy.retries_status(response.status(), extent) => {
                Reason::Status(response.status().as_u16())
            }
            Ok(response) => match policy.retries_grpc(response) {
                Some(status) => {
                    original.exchange.note_attempt_grpc_status(status);
                    Reason::Grpc(status)
                }
                None => return result,
            },
            Err(fault) if policy.retries_fault(fault, extent) => Reason::Fault(fault.retry()),
            Err(fault) => {
                trace!(
                    attempt = number,
                    outcome = fault.outcome().as_str(),
                    "failed in a way that is not retried"
                );
                return result;
            }
        };
        if is_last {
            trace!(attempt = number, reason = %reason.label(), "not retried: it was the last attempt");
            return result;
        }
        let Some(again) = original.again() else {
            trace!(attempt = number, reason = %reason.label(), "not retried: the request's body was not kept");
            return result;
        };
        if !policy.budget.withdraw() {
            trace!(attempt = number, reason = %reason.label(), "not retried: the budget is spent");
            meters.retry_budget_exhausted(&reason.label()).count();
            return result;
        }
        let exchange = &original.exchange;
        // An answer that is not given on is an attempt that was served; a fault has ended its attempt already.
        exchange.end_attempt(Outcome::Served);
        drop(result);
        exchange.enter(Phase::Backoff);
        exchange.clear_attempt_timeout();
        let pause = pause(policy.plan.backoff_base, policy.plan.backoff_max, number);
        trace!(attempt = number, reason = %reason.label(), ?pause, "will be tried again");
        tokio::time::sleep(pause).await;
        next = again;
        number += 1;
    }
}

/// Why an attempt is followed by another: the `reason` label.
enum Reason {
    Status(u16),
    Grpc(u8),
    Fault(RetryClass),
}

// === impl Reason ===

impl Reason {
    fn label(&self) -> String {
        match self {
            Self::Status(status) => status.to_string(),
            Self::Grpc(status) => label::grpc_retry_reason(*status).to_owned(),
            Self::Fault(RetryClass::ConnectFailure) => "connect_failure".to_owned(),
            Self::Fault(RetryClass::Reset) => "reset".to_owned(),
            Self::Fault(_) => "timeout".to_owned(),
        }
    }
}

// === impl Original ===

impl Original {
    /// Keeps what a second attempt needs; the answer's second part is the first attempt's request.
    fn keep(request: Request, max_replay: u64) -> (Self, Request) {
        let Request {
            head,
            body,
            exchange,
        } = request;
        let announced = http_body::Body::size_hint(&body).lower();
        let (kept, first) = if body.is_empty() {
            (Kept::Empty, RequestBody::Empty)
        } else if announced > max_replay {
            // It says itself that it will not fit: it is not wrapped, and there is no second attempt, not even where
            // nothing of it was read.
            (Kept::TooLarge, body)
        } else {
            let replay = Replay::new(body, max_replay, exchange.clone());
            let first = replay.body().unwrap_or(RequestBody::Empty);
            (Kept::Replay(replay), first)
        };
        let original = Self {
            head: head.clone(),
            body: kept,
            exchange: exchange.clone(),
        };
        (
            original,
            Request {
                head,
                body: first,
                exchange,
            },
        )
    }

    /// The request for the next attempt; `None` where its body is larger than what is kept.
    fn again(&mut self) -> Option<Request> {
        if self.exchange.body_error().is_some() {
            return None;
        }
        let body = match &self.body {
            Kept::Empty => RequestBody::Empty,
            Kept::Replay(replay) => replay.body()?,
            Kept::TooLarge => return None,
        };
        Some(Request {
            head: self.head.clone(),
            body,
            exchange: self.exchange.clone(),
        })
    }
}

// === impl RetryFuture ===

pin_project_lite::pin_project! {
    /// The attempt; or the attempts, boxed, since they hold a copy of the request.
    #[project = RetryProjection]
    pub enum RetryFuture<F> {
        One {
            #[pin]
            inner: F,
        },
        Many {
            inner: Pin<Box<dyn Future<Output = Result<Response, Fault>>>>,
        },
    }
}

impl<F: Future<Output = Result<Response, Fault>>> Future for RetryFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            RetryProjection::One { inner } => inner.poll(cx),
            RetryProjection::Many { inner } => inner.as_mut().poll(cx),
        }
    }
}
