//! The layer that lets a request become a tunnel, or refuses that.
//!
//! It stands right below `Route`, since a route says which tunnels it allows, and above the limits: what is refused here
//! costs no allowance and no permit. `Sanitize` has noted what the client asks for and taken the fields that say it;
//! `Forward` agrees on it with the upstream, in the upstream's protocol; on the way back this layer says so in the
//! client's. From then on the route's total does not apply: a tunnel has no last byte to be late.
//!
//! A request that asks for nothing pays one look at a cell.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use tower::Service;
use tracing::trace;

use super::refused::OrRefused;
use crate::config::Tunnels;
use crate::exchange::{
    Exchange, Fault, Outcome, Protocol, Request, Response, ResponseBody, Serve, TunnelKind,
    websocket,
};

/// Lets requests become the tunnels that a route allows.
#[derive(Clone, Debug)]
pub struct Upgrade<S> {
    inner: S,
    allowed: Tunnels,
}

/// A tunnel that was asked for and may be had.
struct Wanted {
    exchange: Exchange,
    /// The client's stream, on HTTP/2.
    client: Option<OnUpgrade>,
    /// The client's `Sec-WebSocket-Key`, on HTTP/1.1.
    key: Option<HeaderValue>,
}

// === impl Upgrade ===

impl<S> Upgrade<S> {
    /// Allows these.
    #[must_use]
    pub fn new(inner: S, allowed: Tunnels) -> Self {
        Self { inner, allowed }
    }

    /// Takes what the way back needs out of a request.
    #[cold]
    fn want(&self, kind: TunnelKind, request: &mut Request) -> Result<Box<Wanted>, Fault> {
        match kind {
            TunnelKind::WebSocket if !self.allowed.websocket => {
                return Err(Fault::new(
                    Outcome::HttpRequestDenied,
                    "the route allows no WebSockets",
                ));
            }
            TunnelKind::Connect if !self.allowed.connect => {
                return Err(Fault::new(
                    Outcome::HttpRequestDenied,
                    "the route does not take CONNECT",
                )
                .with_status(405));
            }
            _ => {}
        }
        let Request { head, exchange, .. } = request;
        // Whatever is left in there would go upstream with the request.
        let mut extensions = std::mem::take(&mut head.extensions);
        let is_stream = exchange.protocol() == Protocol::Http2;
        // HTTP/2 has no use for a key, so one that comes there is not to be answered, nor passed on.
        let key = if is_stream {
            head.headers.remove(header::SEC_WEBSOCKET_KEY);
            None
        } else {
            head.headers.get(header::SEC_WEBSOCKET_KEY).cloned()
        };
        Ok(Box::new(Wanted {
            exchange: exchange.clone(),
            client: extensions.remove().filter(|_| is_stream),
            key,
        }))
    }
}

// === impl Wanted ===

impl Wanted {
    /// What the upstream says, in the words of the client's protocol.
    fn answer(self, mut response: Response) -> Result<Response, Fault> {
        let is_stream = self.exchange.protocol() == Protocol::Http2;
        let ResponseBody::Tunnel(tunnel) = response.body_mut() else {
            if is_stream && response.status().is_success() {
                return Err(Fault::new(
                    Outcome::HttpProtocolError,
                    "the upstream answered instead of switching, which HTTP/2 has no status for",
                ));
            }
            return Ok(response);
        };
        let kind = tunnel.kind();
        tunnel.set_client(self.client);
        self.exchange.note_tunnel(kind);
        if is_stream || kind == TunnelKind::Connect {
            *response.status_mut() = StatusCode::OK;
        } else {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            if let Some(key) = &self.key {
                let accept = websocket::accept(key);
                let headers = response.headers_mut();
                headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
            }
        }
        Ok(response)
    }
}

impl<S: Serve> Service<Request> for Upgrade<S> {
    type Response = Response;
    type Error = Fault;
    type Future = UpgradeFuture<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let wish = request.exchange.wish();
        if let Some(kind) = &wish {
            trace!(?kind, "the client asks for a tunnel");
        }
        let (inner, wanted) = match wish.map(|kind| self.want(kind, &mut request)) {
            None => (OrRefused::passed(self.inner.call(request)), None),
            Some(Ok(wanted)) => (OrRefused::passed(self.inner.call(request)), Some(wanted)),
            Some(Err(fault)) => (OrRefused::refused(fault), None),
        };
        UpgradeFuture { inner, wanted }
    }
}

pin_project_lite::pin_project! {
    /// The response; where a tunnel was asked for, as the client's protocol has it.
    pub struct UpgradeFuture<F> {
        #[pin]
        inner: OrRefused<F>,
        wanted: Option<Box<Wanted>>,
    }
}

impl<F: Future<Output = Result<Response, Fault>>> Future for UpgradeFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        Poll::Ready(match (result, this.wanted.take()) {
            (Ok(response), Some(wanted)) => wanted.answer(response),
            (result, _) => result,
        })
    }
}
