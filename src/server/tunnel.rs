//! Where a connection, or a stream, stops being HTTP.
//!
//! The stack has agreed on a tunnel when its answer holds one. On HTTP/1.1 it then takes the connection's place, in the
//! connection's own task: hyper gives back the socket and what it has read ahead. On HTTP/2 it is a task beside its
//! stream's, which hyper ends with the response head.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::Executor as _;
use hyper::server::conn::http1::Parts;
use hyper_util::rt::TokioIo;

use super::io::ClientIo;
use crate::exchange::{Ahead, Connection, Cut, StreamsOnThisWorker};
use crate::graph::FrontFuture;
use crate::telemetry::{ObservedBody, ObservedTunnel};

/// The tunnel that a connection of HTTP/1.1 has become, until it takes its place.
#[derive(Clone, Default)]
pub(super) struct Switched(Rc<Cell<Option<Box<ObservedTunnel>>>>);

pin_project_lite::pin_project! {
    /// The answer of the stack. A tunnel in it is taken out before hyper sees it, as hyper drops what it does not send.
    pub(super) struct Answering {
        #[pin]
        inner: FrontFuture,
        switched: Switched,
    }
}

/// Carries on a connection that has become a tunnel. The end of the process ends it; a drain that only begins does not.
pub(super) async fn carry_on<S>(
    connection: &Connection,
    tunnel: Box<ObservedTunnel>,
    parts: Parts<TokioIo<ClientIo>, S>,
) {
    let client = Ahead::new(parts.io.into_inner(), parts.read_buf);
    let mut tunnel = pin!(tunnel.run(client));
    poll_fn(|cx| {
        connection.driven_by(cx.waker());
        match connection.is_cut() {
            None | Some(Cut::Drain | Cut::IdleTimeout) => tunnel.as_mut().poll(cx),
            Some(_) => Poll::Ready(()),
        }
    })
    .await;
}

// === impl Switched ===

impl Switched {
    /// The tunnel, if there is one.
    pub(super) fn take(&self) -> Option<Box<ObservedTunnel>> {
        self.0.take()
    }
}

// === impl Answering ===

impl Answering {
    pub(super) fn new(inner: FrontFuture, switched: Switched) -> Self {
        Self { inner, switched }
    }
}

impl Future for Answering {
    type Output = Result<http::Response<ObservedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.inner.poll(cx));
        if let Some(mut tunnel) = response.body_mut().take_tunnel() {
            match tunnel.take_client() {
                None => this.switched.0.set(Some(Box::new(tunnel))),
                Some(client) => StreamsOnThisWorker.execute(async move {
                    // Without the client's stream there is nothing to carry: it went away before the head was out.
                    if let Ok(stream) = client.await {
                        tunnel.run(TokioIo::new(stream)).await;
                    }
                }),
            }
        }
        Poll::Ready(Ok(response))
    }
}
