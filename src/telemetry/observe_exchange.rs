//! The outermost layer: an exchange begins and ends here.
//!
//! It stands above everything, so that it sees refusals, faults, panics and clients that go away. It decides nothing:
//! without it the same bytes would pass.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{HeaderName, Version};
use tower::Service;
use tracing::trace;

use super::{Desk, ObservedBody};
use crate::exchange::{
    Arrival, Cut, Exchange, Headers, Outcome, Protocol, Request, RequestBody, Response,
};

/// Opens an exchange for each request, and sees to it that it ends exactly once.
#[derive(Clone, Debug)]
pub struct ObserveExchange<S> {
    inner: S,
    desk: Rc<Desk>,
    generation: u32,
    /// The header fields that are kept; mostly none.
    headers: Rc<[HeaderName]>,
}

// === impl ObserveExchange ===

impl<S> ObserveExchange<S> {
    /// Observes `inner`, which runs under this generation of the configuration, and hands records to `desk`; of
    /// requests it keeps these header fields, as they came.
    #[must_use]
    pub fn new(inner: S, desk: Rc<Desk>, generation: u32, headers: Rc<[HeaderName]>) -> Self {
        Self {
            inner,
            desk,
            generation,
            headers,
        }
    }
}

impl<S> Service<Arrival> for ObserveExchange<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = http::Response<ObservedBody>;
    type Error = Infallible;
    type Future = ObserveExchangeFuture<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, arrival: Arrival) -> Self::Future {
        let (head, body) = arrival.request.into_parts();
        let protocol = match head.version {
            Version::HTTP_2 => Protocol::Http2,
            Version::HTTP_10 | Version::HTTP_09 => Protocol::Http10,
            _ => Protocol::Http11,
        };
        let exchange = Exchange::open(&arrival.connection, &head.method, protocol, self.generation);
        if !self.headers.is_empty()
            && let Some(headers) = Headers::of(&self.headers, &head.headers)
        {
            exchange.note_headers(headers);
        }
        let open = Open {
            exchange: exchange.clone(),
            desk: Some(self.desk.clone()),
        };
        let body = RequestBody::from_client(body, &exchange);
        ObserveExchangeFuture {
            inner: self.inner.call(Request {
                head,
                body,
                exchange,
            }),
            open,
        }
    }
}

pin_project_lite::pin_project! {
    /// The response; until it is there, dropping this is the client going away.
    pub struct ObserveExchangeFuture<F> {
        #[pin]
        inner: F,
        open: Open,
    }
}

impl<F> Future for ObserveExchangeFuture<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<http::Response<ObservedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.open.exchange.woken_by(cx.waker());
        let Ok(response) = ready!(this.inner.poll(cx));
        Poll::Ready(Ok(super::observe_body::observe(response, this.open.take())))
    }
}

/// An exchange that has not ended. Dropping it ends it: the client went away.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) exchange: Exchange,
    /// `None` once it has ended, or was handed on.
    desk: Option<Rc<Desk>>,
}

// === impl Open ===

impl Open {
    /// Hands it on.
    pub(super) fn take(&mut self) -> Self {
        Self {
            exchange: self.exchange.clone(),
            desk: self.desk.take(),
        }
    }

    /// Ends it.
    pub(super) fn end(&mut self, outcome: Outcome) {
        if let Some(desk) = self.desk.take()
            && let Some(record) = self.exchange.finish(outcome)
        {
            trace!(
                outcome = record.outcome.as_str(),
                status = record.status,
                bytes_in = record.bytes_in,
                bytes_out = record.bytes_out,
                "the exchange is over"
            );
            desk.take(record);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.exchange.connection().is_cut() == Some(Cut::Now) {
            self.exchange
                .note_detail("the process ended before the exchange");
            self.end(Outcome::ProxyInternalError);
        } else {
            self.end(Outcome::ClientClosed);
        }
    }
}
