//! The bodies that pass through: one concrete type each way.
//!
//! They carry, count and note; they buffer nothing. A `BoxBody` would cost an allocation and a virtual call a frame.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Exchange, Outcome, Phase, Timeout, Tunnel, trailers};

/// A body that could not be carried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{outcome}: {detail}")]
pub struct BodyError {
    /// How the exchange ends by it.
    pub outcome: Outcome,
    /// The status if no response head is out yet.
    pub status: u16,
    /// What exactly happened.
    pub detail: &'static str,
}

/// The body of a request, from the client to an attempt.
pub enum RequestBody {
    /// There is none.
    Empty,
    /// As the client sends it.
    Client(ClientBody),
    /// Kept for another attempt; only routes that retry requests with bodies pay for the box.
    Kept(Pin<Box<dyn Body<Data = Bytes, Error = BodyError>>>),
}

/// A body that the client is sending.
pub struct ClientBody {
    inner: Incoming,
    exchange: Exchange,
    left: Option<u64>,
    /// Whether all of it has come.
    is_over: bool,
}

/// The body of a response, from the upstream or from ourselves.
#[derive(Default)]
pub enum ResponseBody {
    /// There is none.
    #[default]
    Empty,
    /// All of it.
    Full(Bytes),
    /// As the upstream sends it.
    Upstream(UpstreamBody),
    /// None, and no message follows either: what the connection or stream becomes. Boxed, since it is rare.
    Tunnel(Box<Tunnel>),
}

/// A body that an upstream is sending, and the connection it comes over.
pub struct UpstreamBody {
    inner: Incoming,
    lease: Option<Rc<dyn Lease>>,
}

/// An upstream connection that carries a response. It is given back once.
pub trait Lease {
    /// The response has ended: whole (`is_clean`), so that the connection can carry another, or not.
    fn end(self: Rc<Self>, is_clean: bool);
}

// === impl RequestBody ===

impl RequestBody {
    /// The body that the client sends in this exchange.
    #[must_use]
    pub fn from_client(inner: Incoming, exchange: &Exchange) -> Self {
        if inner.is_end_stream() {
            return Self::Empty;
        }
        Self::Client(ClientBody {
            inner,
            exchange: exchange.clone(),
            left: None,
            is_over: false,
        })
    }

    /// Refuses it once more than `max` bytes have come.
    pub fn limit(&mut self, max: u64) {
        if let Self::Client(body) = self {
            body.left = Some(max);
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Client(body) => Pin::new(body).poll_frame(cx),
            Self::Kept(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(body) => body.inner.is_end_stream(),
            Self::Kept(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(body) => body.inner.size_hint(),
            Self::Kept(body) => body.size_hint(),
        }
    }
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Client(_) => "Client",
            Self::Kept(_) => "Kept",
        })
    }
}

// === impl ClientBody ===

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.exchange.expired() == Some(Timeout::ClientBody) {
            return Poll::Ready(Some(Err(
                self.fail(408, "the client paused too long in its body")
            )));
        }
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Pending => {
                self.exchange.upload(Phase::SendClient);
                return Poll::Pending;
            }
            Poll::Ready(frame) => frame,
        };
        Poll::Ready(match frame {
            None => {
                self.is_over = true;
                self.exchange.upload(Phase::Wait);
                None
            }
            Some(Ok(mut frame)) => {
                self.is_over = self.inner.is_end_stream();
                if let Some(trailers) = frame.trailers_mut() {
                    self.is_over = true;
                    trailers::clean(trailers);
                }
                let size = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                self.exchange.count_in(size);
                if let Some(left) = self.left {
                    let Some(left) = left.checked_sub(size) else {
                        return Poll::Ready(Some(Err(
                            self.fail(413, "the request body is larger than the route allows")
                        )));
                    };
                    self.left = Some(left);
                }
                let next = if self.is_over {
                    Phase::Wait
                } else {
                    Phase::SendUpstream
                };
                self.exchange.upload_step(next);
                Some(Ok(frame))
            }
            Some(Err(error)) if is_malformed(&error) => {
                Some(Err(self.fail(400, "the request body is malformed")))
            }
            Some(Err(_)) => {
                let gone = BodyError {
                    outcome: Outcome::ClientClosed,
                    status: Outcome::ClientClosed.status(),
                    detail: "the client went away in the middle of its body",
                };
                self.exchange.note_body_error(gone);
                Some(Err(gone))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl ClientBody {
    fn fail(&self, status: u16, detail: &'static str) -> BodyError {
        let error = BodyError {
            outcome: Outcome::HttpRequestError,
            status,
            detail,
        };
        self.exchange.note_body_error(error);
        error
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if !self.is_over {
            self.exchange.connection().note_unread();
        }
    }
}

/// Whether what came of a request's body breaks the rules; every other error is the end of the stream or connection.
fn is_malformed(error: &hyper::Error) -> bool {
    let Some(source) = error.source() else {
        return false;
    };
    if let Some(error) = source.downcast_ref::<io::Error>() {
        return matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
        );
    }
    source
        .downcast_ref::<h2::Error>()
        .is_some_and(|error| !error.is_io() && !error.is_remote())
}

// === impl ResponseBody ===

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Full(_) => "Full",
            Self::Upstream(_) => "Upstream",
            Self::Tunnel(_) => "Tunnel",
        })
    }
}

impl ResponseBody {
    /// The body that an upstream sends over this connection.
    #[must_use]
    pub fn from_upstream(inner: Incoming, lease: Rc<dyn Lease>) -> Self {
        if inner.is_end_stream() {
            lease.end(true);
            return Self::Empty;
        }
        Self::Upstream(UpstreamBody {
            inner,
            lease: Some(lease),
        })
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty | Self::Tunnel(_) => Poll::Ready(None),
            full @ Self::Full(_) => match std::mem::take(full) {
                Self::Full(data) if !data.is_empty() => Poll::Ready(Some(Ok(Frame::data(data)))),
                _ => Poll::Ready(None),
            },
            Self::Upstream(body) => {
                let mut frame = ready!(Pin::new(&mut body.inner).poll_frame(cx));
                let is_over = match &mut frame {
                    None => true,
                    Some(Ok(frame)) => match frame.trailers_mut() {
                        // Nothing follows them, and hyper's server does not ask whether.
                        Some(trailers) => {
                            trailers::clean(trailers);
                            true
                        }
                        None => body.inner.is_end_stream(),
                    },
                    Some(Err(_)) => false,
                };
                if is_over && let Some(lease) = body.lease.take() {
                    lease.end(true);
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Tunnel(_) => true,
            Self::Full(data) => data.is_empty(),
            Self::Upstream(body) => body.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Tunnel(_) => SizeHint::with_exact(0),
            Self::Full(data) => SizeHint::with_exact(data.len() as u64),
            Self::Upstream(body) => body.inner.size_hint(),
        }
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.end(self.inner.is_end_stream());
        }
    }
}
