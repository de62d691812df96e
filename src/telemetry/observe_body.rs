//! The response's body as the client gets it: where an exchange usually ends.
//!
//! hyper drops a body of known length, and that of any HEAD, 204 or 304, without asking for its end. So a drop means
//! `served` when nothing was left to send, and only otherwise that the client went away.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use super::ObservedTunnel;
use super::observe_exchange::Open;
use crate::exchange::grpc;
use crate::exchange::{Fault, Outcome, Phase, Protocol, Response, ResponseBody, Timeout};

/// The body of every response.
#[derive(Debug)]
pub struct ObservedBody {
    inner: ResponseBody,
    open: Open,
    /// Bytes that the head announced and that have not passed; `None` where it announced nothing.
    left: Option<u64>,
    is_grpc: bool,
}

/// A response could not be sent whole.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub struct CutOff(&'static str);

/// Observes a response from its head on.
pub(super) fn observe(response: Response, open: Open) -> http::Response<ObservedBody> {
    let headers = response.headers();
    let media_type = headers.get(http::header::CONTENT_TYPE);
    let has_type = |prefix: &[u8]| media_type.is_some_and(|it| it.as_bytes().starts_with(prefix));
    let is_tunnel = matches!(response.body(), ResponseBody::Tunnel(_));
    let is_stream = is_tunnel || has_type(b"text/event-stream");
    let is_grpc = media_type.is_some_and(|it| grpc::is_media_type(it.as_bytes()));
    // Of a response without a body, gRPC's status stands in the head ("Trailers-Only").
    if is_grpc && let Some(status) = grpc::status(headers) {
        open.exchange.note_grpc_status(status);
    }
    open.exchange
        .note_head(response.status().as_u16(), is_stream);
    let has_no_body = matches!(response.status().as_u16(), 204 | 304);
    response.map(|inner| {
        let left = if has_no_body {
            Some(0)
        } else {
            inner.size_hint().exact()
        };
        ObservedBody {
            inner,
            open,
            left,
            is_grpc,
        }
    })
}

// === impl ObservedBody ===

impl ObservedBody {
    /// What the connection or the stream becomes, where it becomes something else; the exchange goes on with it.
    pub fn take_tunnel(&mut self) -> Option<ObservedTunnel> {
        match std::mem::take(&mut self.inner) {
            ResponseBody::Tunnel(tunnel) => Some(ObservedTunnel::new(tunnel, self.open.take())),
            other => {
                self.inner = other;
                None
            }
        }
    }

    /// What cannot be carried on. A call is told so in trailers, since its client reads nothing else of a stream that
    /// ends early; for all others the stream or connection is cut.
    fn cut_off(&mut self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let exchange = &self.open.exchange;
        exchange.note_detail(fault.detail());
        let is_told = self.is_grpc && self.left.is_none() && exchange.protocol() == Protocol::Http2;
        if !is_told {
            self.open.end(fault.outcome());
            return Poll::Ready(Some(Err(CutOff(fault.detail()))));
        }
        exchange.end_attempt(fault.outcome());
        exchange.note_grpc_status(fault.grpc_status());
        self.open.end(fault.outcome());
        self.inner = ResponseBody::Empty;
        Poll::Ready(Some(Ok(Frame::trailers(grpc::trailers(&fault)))))
    }

    fn is_whole(&self) -> bool {
        self.left == Some(0) || self.inner.is_end_stream()
    }
}

impl Body for ObservedBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let this = &mut *self;
        match this.open.exchange.expired() {
            Some(Timeout::Total) => {
                return this.cut_off(Fault::new(
                    Outcome::HttpResponseTimeout,
                    "the exchange's whole time was up",
                ));
            }
            Some(Timeout::UpstreamIdle) => {
                return this.cut_off(Fault::new(
                    Outcome::ConnectionReadTimeout,
                    "the upstream paused too long in its body",
                ));
            }
            _ => {}
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Pending => {
                this.open.exchange.woken_by(cx.waker());
                if this.open.exchange.phase() != Phase::BodyUpstream {
                    this.open.exchange.enter(Phase::BodyUpstream);
                }
                Poll::Pending
            }
            Poll::Ready(None) => {
                this.open.end(Outcome::Served);
                Poll::Ready(None)
            }
            // An upstream may answer while the request's body is on its way: where that fails, so does the answer.
            Poll::Ready(Some(Err(_))) => match this.open.exchange.body_error() {
                Some(error) => {
                    this.cut_off(Fault::new(error.outcome, error.detail).with_status(error.status))
                }
                None => this.cut_off(Fault::new(
                    Outcome::HttpResponseIncomplete,
                    "the upstream's body ended early",
                )),
            },
            Poll::Ready(Some(Ok(frame))) => {
                this.open.exchange.enter(Phase::BodyClient);
                if let Some(data) = frame.data_ref() {
                    let size = data.remaining() as u64;
                    this.open.exchange.count_out(size);
                    this.left = this.left.map(|left| left.saturating_sub(size));
                } else if let Some(trailers) = frame.trailers_ref() {
                    this.left = Some(0); // nothing follows trailers, and hyper does not ask whether
                    if this.is_grpc
                        && let Some(status) = grpc::status(trailers)
                    {
                        this.open.exchange.note_grpc_status(status);
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ObservedBody {
    fn drop(&mut self) {
        let outcome = match self.open.exchange.expired() {
            Some(Timeout::ClientTaking) => Outcome::ConnectionWriteTimeout,
            Some(Timeout::Total) => Outcome::HttpResponseTimeout,
            _ if self.is_whole() => Outcome::Served,
            _ => return, // the drop of `open` knows
        };
        self.open.end(outcome);
    }
}
