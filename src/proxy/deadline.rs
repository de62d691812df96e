//! The two layers that end what takes too long: [`Deadline`] around the whole, [`AttemptTimeout`] around an attempt.
//!
//! Neither owns a timer. They say on the exchange when its time is up, and the worker's sweep wakes it then; a timer a
//! request would cost more than all layers together. `Deadline` stands above `Retry`: it is absolute, from the first
//! byte of the request, over all attempts, the pauses between and both bodies. `AttemptTimeout` stands below
//! `ObserveAttempt`, so that a timed-out attempt is seen as one.
//!
//! A gRPC call may bring a time of its own, `grpc-timeout`: the shorter of it and the route's total counts, and each
//! attempt is told what is left of it, so that no service works on what nobody waits for. Nothing of this is looked at
//! for other requests.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use tower::Service;
use tracing::trace;

use super::grpc_timeout::{self, GRPC_TIMEOUT};
use super::refused::OrRefused;
use crate::exchange::{
    AttemptFault, AttemptRequest, Exchange, Fault, Outcome, Request, Response, RetryClass, Serve,
    ServeAttempt, Timeout,
};

/// Ends an exchange when the route's total is up, or that of a gRPC call's caller.
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
    total: Option<Duration>,
}

/// Ends an attempt when its own time, or that of the response head, is up.
#[derive(Clone, Debug)]
pub struct AttemptTimeout<S> {
    inner: S,
    limit: Option<Duration>,
}

// === impl Deadline ===

impl<S> Deadline<S> {
    /// Ends exchanges `total` after their first byte; `None` never.
    #[must_use]
    pub fn new(inner: S, total: Option<Duration>) -> Self {
        Self { inner, total }
    }
}

impl<S: Serve> Service<Request> for Deadline<S> {
    type Response = Response;
    type Error = Fault;
    type Future = OrRefused<DeadlineFuture<S::Future>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut total = self.total;
        if request.exchange.is_grpc() {
            total = match of_call(&request.head.headers, total) {
                Ok(total) => total,
                Err(fault) => return OrRefused::refused(fault),
            };
        }
        let exchange = total.map(|total| {
            trace!(?total, "the time for all of it, from its first byte");
            request.exchange.set_total(total);
            request.exchange.clone()
        });
        OrRefused::passed(DeadlineFuture {
            inner: self.inner.call(request),
            exchange,
        })
    }
}

/// The whole time of a call: the shorter of the caller's and the route's.
fn of_call(headers: &HeaderMap, total: Option<Duration>) -> Result<Option<Duration>, Fault> {
    let mut values = headers.get_all(GRPC_TIMEOUT).iter();
    let Some(value) = values.next() else {
        return Ok(total);
    };
    let unreadable = Fault::new(
        Outcome::HttpRequestError,
        "the call's grpc-timeout cannot be read",
    );
    let timeout = grpc_timeout::parse(value.as_bytes()).ok_or(unreadable)?;
    if values.next().is_some() {
        return Err(unreadable);
    }
    if timeout.is_zero() {
        return Err(time_is_up());
    }
    Ok(Some(total.map_or(timeout, |total| total.min(timeout))))
}

/// The end of what took too long as a whole.
fn time_is_up() -> Fault {
    Fault::new(
        Outcome::HttpResponseTimeout,
        "the exchange's whole time was up",
    )
}

pin_project_lite::pin_project! {
    /// The response, if it comes in time.
    pub struct DeadlineFuture<F> {
        #[pin]
        inner: F,
        exchange: Option<Exchange>,
    }
}

impl<F: Future<Output = Result<Response, Fault>>> Future for DeadlineFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some(exchange) = this.exchange
            && exchange.expired() == Some(Timeout::Total)
        {
            let fault = time_is_up();
            exchange.end_attempt(fault.outcome());
            return Poll::Ready(Err(fault));
        }
        this.inner.poll(cx)
    }
}

// === impl AttemptTimeout ===

impl<S> AttemptTimeout<S> {
    /// Ends attempts after `limit`; `None` leaves them the route's time to a response head.
    #[must_use]
    pub fn new(inner: S, limit: Option<Duration>) -> Self {
        Self { inner, limit }
    }
}

impl<S: ServeAttempt> Service<AttemptRequest> for AttemptTimeout<S> {
    type Response = Response;
    type Error = AttemptFault;
    type Future = AttemptTimeoutFuture<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), AttemptFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut attempt: AttemptRequest) -> Self::Future {
        let exchange = attempt.request.exchange.clone();
        if exchange.is_grpc()
            && let Some(left) = exchange.left()
        {
            let headers = &mut attempt.request.head.headers;
            headers.insert(
                GRPC_TIMEOUT,
                grpc_timeout::value(left.max(Duration::from_nanos(1))),
            );
        }
        if let Some(limit) = self.limit {
            trace!(?limit, "the time for this attempt");
            exchange.set_attempt_limit(self.limit);
        }
        AttemptTimeoutFuture {
            inner: self.inner.call(attempt),
            exchange,
        }
    }
}

pin_project_lite::pin_project! {
    /// The response head, if it comes in time.
    pub struct AttemptTimeoutFuture<F> {
        #[pin]
        inner: F,
        exchange: Exchange,
    }
}

impl<F: Future<Output = Result<Response, AttemptFault>>> Future for AttemptTimeoutFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let timed_out = |detail| {
            Fault::new(Outcome::HttpResponseTimeout, detail).retried_as(RetryClass::Timeout)
        };
        let fault = match this.exchange.expired() {
            Some(Timeout::Attempt) => timed_out("the attempt's time was up before a response head"),
            Some(Timeout::Head) => timed_out("the upstream's response head did not come in time"),
            // The task that polls the body is the connection's, which nothing wakes: the exchange itself must end.
            Some(Timeout::ClientBody) => Fault::new(
                Outcome::HttpRequestError,
                "the client paused too long in its body",
            )
            .with_status(408),
            _ => {
                let result = std::task::ready!(this.inner.poll(cx));
                this.exchange.set_attempt_limit(None);
                return Poll::Ready(result);
            }
        };
        this.exchange.set_attempt_limit(None);
        Poll::Ready(Err(fault.into()))
    }
}
