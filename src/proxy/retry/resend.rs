//! The layer that sends once more what a dead pooled connection gave back.
//!
//! An idle connection may die in the moment in which it is taken from the pool. hyper then returns the request, of which
//! nothing was sent: sending it again is safe for every method and is no retry of the service, so it needs no policy and
//! costs no budget. It is an attempt of its own, since time passed and an endpoint was tried.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tower::Service;

use crate::exchange::{AttemptFault, Fault, Request, Response};

/// Sends once more what came back unsent.
#[derive(Clone, Debug)]
pub struct Resend<S> {
    inner: S,
}

// === impl Resend ===

impl<S> Resend<S> {
    /// Sends through `inner`.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Request> for Resend<S>
where
    S: Service<Request, Response = Response, Error = AttemptFault> + Clone,
{
    type Response = Response;
    type Error = Fault;
    type Future = ResendFuture<S, S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        ResendFuture {
            attempt: self.inner.call(request),
            again: Some(self.inner.clone()),
        }
    }
}

pin_project_lite::pin_project! {
    /// The attempt, and the one after it if it comes back unsent.
    pub struct ResendFuture<S, F> {
        #[pin]
        attempt: F,
        again: Option<S>,
    }
}

impl<S> Future for ResendFuture<S, S::Future>
where
    S: Service<Request, Response = Response, Error = AttemptFault>,
{
    type Output = Result<Response, Fault>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let failed = match ready!(this.attempt.as_mut().poll(cx)) {
                Ok(response) => return Poll::Ready(Ok(response)),
                Err(failed) => failed,
            };
            let (Some(request), Some(mut again)) = (failed.unsent, this.again.take()) else {
                return Poll::Ready(Err(failed.fault));
            };
            let exchange = request.exchange.clone();
            this.attempt.set(again.call(*request));
            exchange.note_resend();
        }
    }
}
