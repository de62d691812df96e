//! The layer that sends once more what a connection gave back untouched.
//!
//! An idle connection may die in the moment in which it is taken from the pool: hyper then returns the request, of which
//! nothing was sent. Or an HTTP/2 upstream says that it has not looked at a stream. To send it again is safe for every
//! method and is no retry of the service, so it needs no policy and costs no budget. It is an attempt of its own, since
//! time passed and an endpoint was tried. What is left of a pool may have died together, so it goes out up to three times
//! more; who gives back all of them is not well.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tower::Service;
use tracing::trace;

use crate::exchange::{AttemptFault, Fault, Request, Response};

/// How often what came back is sent again.
const TIMES: u8 = 3;

/// Sends again what came back unsent.
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
            again: self.inner.clone(),
            left: TIMES,
        }
    }
}

pin_project_lite::pin_project! {
    /// The attempt, and those after it as long as it comes back unsent.
    pub struct ResendFuture<S, F> {
        #[pin]
        attempt: F,
        again: S,
        left: u8,
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
            let Some(request) = failed.unsent.filter(|_| *this.left > 0) else {
                return Poll::Ready(Err(failed.fault));
            };
            *this.left -= 1;
            trace!("the connection gave it back untouched: it goes out again");
            let exchange = request.exchange.clone();
            let next = this.again.call(*request);
            this.attempt.set(next);
            exchange.note_resend();
        }
    }
}
