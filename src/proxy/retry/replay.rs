//! A request body that can be sent again.
//!
//! What the first attempt reads is kept as it passes, up to a cap; nothing is read ahead. A body that outgrows the cap
//! goes on unkept, and the request is then not retried. The kept chunks are shared between attempts, not copied.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::exchange::{BodyError, Exchange, Phase, RequestBody};

/// What a kept piece counts at the least, in bytes: its place in the list and its share of a read buffer are not free, and
/// a client chooses how small its pieces are.
const PIECE: u64 = 64;

/// The body of all attempts of an exchange.
#[derive(Clone)]
pub(super) struct Replay(Rc<RefCell<Kept>>);

struct Kept {
    exchange: Exchange,
    source: RequestBody,
    chunks: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    is_complete: bool,
    /// How much more may be kept; `None` when the body has outgrown it.
    room: Option<u64>,
    /// Which attempt reads the source now: only the latest.
    reader: u32,
}

/// The body of one attempt: what was kept, then the rest from the client.
struct AttemptBody {
    replay: Replay,
    reader: u32,
    next: usize,
    gave_trailers: bool,
}

// === impl Replay ===

impl Replay {
    /// Keeps up to `cap` bytes of this body.
    pub(super) fn new(source: RequestBody, cap: u64, exchange: Exchange) -> Self {
        Self(Rc::new(RefCell::new(Kept {
            exchange,
            source,
            chunks: Vec::new(),
            trailers: None,
            is_complete: false,
            room: Some(cap),
            reader: 0,
        })))
    }

    /// The body for the next attempt. `None` where the body has outgrown the cap.
    pub(super) fn body(&self) -> Option<RequestBody> {
        let mut kept = self.0.borrow_mut();
        kept.room?;
        kept.reader += 1;
        let reader = kept.reader;
        drop(kept);
        let body = AttemptBody {
            replay: self.clone(),
            reader,
            next: 0,
            gave_trailers: false,
        };
        Some(RequestBody::Kept(Box::pin(body)))
    }
}

// === impl AttemptBody ===

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut kept = this.replay.0.borrow_mut();
        if kept.reader != this.reader {
            // A later attempt reads now; whoever still polls this one was given up.
            return Poll::Ready(None);
        }
        if let Some(chunk) = kept.chunks.get(this.next) {
            this.next += 1;
            let is_out = kept.is_complete && this.next == kept.chunks.len();
            kept.exchange.upload_step(if is_out {
                Phase::Wait
            } else {
                Phase::SendUpstream
            });
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        if kept.is_complete {
            let trailers = kept.trailers.as_ref().filter(|_| !this.gave_trailers);
            let frame = trailers.map(|trailers| Ok(Frame::trailers(trailers.clone())));
            this.gave_trailers = true;
            return Poll::Ready(frame);
        }
        let Some(frame) = ready!(Pin::new(&mut kept.source).poll_frame(cx)) else {
            kept.is_complete = true;
            return Poll::Ready(None);
        };
        let frame = frame?;
        if let Some(data) = frame.data_ref() {
            kept.room = kept
                .room
                .and_then(|room| room.checked_sub((data.remaining() as u64).max(PIECE)));
            if kept.room.is_some() {
                kept.chunks.push(data.clone());
                this.next += 1;
            } else {
                kept.chunks = Vec::new(); // never sent again: free them now
                this.next = 0;
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            kept.trailers = Some(trailers.clone());
            kept.is_complete = true;
            this.gave_trailers = true;
        }
        if kept.source.is_end_stream() {
            kept.is_complete = true;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.replay.0.borrow();
        let has_trailers = kept.trailers.is_some() && !self.gave_trailers;
        (kept.is_complete && self.next >= kept.chunks.len() && !has_trailers)
            || (kept.chunks.is_empty() && kept.source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.replay.0.borrow();
        let left: u64 = kept
            .chunks
            .iter()
            .skip(self.next)
            .map(|chunk| chunk.len() as u64)
            .sum();
        let rest = kept.source.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(left + upper);
        }
        hint.set_lower(left + rest.lower());
        hint
    }
}
