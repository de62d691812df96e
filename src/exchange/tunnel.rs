//! A tunnel: what an exchange becomes when both sides have agreed to speak something else than HTTP.
//!
//! It copies both ways and knows nothing of what it copies. It reads into one buffer a worker, and keeps of a piece only
//! what its reader's other side does not take at once: a tunnel in which nothing moves holds no buffer, and one whose
//! reader is slow holds one piece each way. `tokio::io::copy_bidirectional` was rejected: it keeps two buffers a tunnel
//! for all its life, and cannot say which side it is waiting for.
//!
//! **Phases.** The bytes that wait decide: while any wait for the client the time is `body_client`, else while any wait
//! for the upstream it is `send_upstream`, else, both sides being quiet, `body_upstream`.
//!
//! **The end.** Each side's end is passed on to the other (`FIN`, or `END_STREAM`), and the tunnel ends when both have
//! come. A side that breaks ends it at once. A client that is left with nothing to hear often ends its socket and not its
//! TLS session, as Chromium does: of a WebSocket that the upstream has ended (RFC 6455 §7.1.1) that is the end in order.

use std::cell::RefCell;
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::upgrade::OnUpgrade;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::state::Limits;
use super::{Exchange, Lease, Phase, Timeout};

/// What a client asks its connection, or its stream, to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunnelKind {
    /// A WebSocket (RFC 6455, RFC 8441).
    WebSocket,
    /// Whatever: CONNECT (RFC 9110 §9.3.6).
    Connect,
}

/// One side of a tunnel.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// The upstream's side of a tunnel, and what it takes to reach the client's.
pub struct Tunnel {
    kind: TunnelKind,
    upstream: Box<dyn Duplex>,
    lease: Option<Rc<dyn Lease>>,
    client: Option<OnUpgrade>,
}

/// Why a tunnel ended before both sides had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The client went away.
    Client,
    /// The upstream went away.
    Upstream,
    /// Nothing moved for the route's idle time; what it was waiting for.
    Idle(Phase),
}

/// An IO of which some bytes have been read ahead.
pub struct Ahead<T> {
    io: T,
    ahead: Bytes,
}

/// The longest piece that is read at once.
const PIECE: usize = 16 << 10;

/// Pieces that are copied each way before others have their turn.
const ROUNDS: u32 = 32;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into_boxed_slice());
}

/// One way through a tunnel.
#[derive(Debug, Default)]
struct Way {
    /// What the writer has not taken yet.
    kept: Vec<u8>,
    written: usize,
    stage: Stage,
    /// Whether something was written since the last flush.
    is_unflushed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The reader's end has come; others have had a turn since, if `is_late`.
    Ended { is_late: bool },
    /// The end has been passed on.
    Closed,
}

/// Which half of a copy failed.
enum Failed {
    Reading,
    /// The socket ended, the TLS session in it did not: no close_notify.
    ReadingUnclosed,
    Writing,
}

// === impl TunnelKind ===

impl TunnelKind {
    /// The word of logs and spans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Connect => "connect",
        }
    }
}

// === impl Exchange: what concerns tunnels ===

impl Exchange {
    /// That its client asks its connection, or its stream, to become a tunnel.
    pub fn note_wish(&self, kind: TunnelKind) {
        self.0.wish.set(Some(kind));
    }

    /// That both sides have agreed on a tunnel: from now on only a pause in both directions can take too long.
    pub fn note_tunnel(&self, kind: TunnelKind) {
        self.0.tunnel.set(Some(kind));
        self.0.limits.set(Limits {
            total: None,
            attempt: None,
            ..self.0.limits.get()
        });
    }

    /// What its client asks its connection, or its stream, to become.
    #[must_use]
    pub fn wish(&self) -> Option<TunnelKind> {
        self.0.wish.get()
    }

    /// Resets the client's stream, where it has one of its own: on HTTP/2. What the client has not taken is lost.
    pub fn reset_stream(&self) {
        if let Some(task) = self.0.task.borrow().as_ref() {
            task.cut();
        }
    }
}

// === impl Tunnel ===

impl Tunnel {
    /// A tunnel to an upstream that has agreed to it, over this connection.
    #[must_use]
    pub fn new(kind: TunnelKind, upstream: Box<dyn Duplex>, lease: Rc<dyn Lease>) -> Self {
        Self {
            kind,
            upstream,
            lease: Some(lease),
            client: None,
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> TunnelKind {
        self.kind
    }

    /// That its client's side is a stream, which is there once the response head is out. On HTTP/1.1 it is the connection
    /// itself.
    pub fn set_client(&mut self, stream: Option<OnUpgrade>) {
        self.client = stream;
    }

    /// The client's stream, where its side is one.
    pub fn take_client(&mut self) -> Option<OnUpgrade> {
        self.client.take()
    }

    /// Copies both ways until both sides have ended. Cancel safe: dropping it closes the upstream's side.
    ///
    /// # Errors
    /// Why it ended before that.
    pub async fn relay(
        &mut self,
        mut client: impl Duplex,
        exchange: &Exchange,
    ) -> Result<(), Broken> {
        let (mut inward, mut outward) = (Way::default(), Way::default());
        let (kind, upstream) = (self.kind, &mut self.upstream);
        std::future::poll_fn(|cx| {
            exchange.woken_by(cx.waker());
            if exchange.expired() == Some(Timeout::TunnelIdle) {
                return Poll::Ready(Err(Broken::Idle(exchange.phase())));
            }
            let (before_in, before_out) = (inward.stage, outward.stage);
            let (mut came, mut went) = (0, 0);
            let is_up_over = outward.stage != Stage::Open;
            let polled_in = inward.poll(cx, &mut client, upstream, &mut |read, _| came += read);
            let polled_in = match polled_in {
                // Its close was the answer to the upstream's.
                Poll::Ready(Err(Failed::ReadingUnclosed))
                    if kind == TunnelKind::WebSocket && outward.stage == Stage::Closed =>
                {
                    inward.stage = Stage::Ended { is_late: true };
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Ready(Err(Failed::Reading | Failed::ReadingUnclosed)) => {
                    return Poll::Ready(Err(Broken::Client));
                }
                // It has said all it had to say, and takes no more: its end was in order.
                Poll::Ready(Err(Failed::Writing)) if is_up_over => {
                    inward.stage = Stage::Closed;
                    Poll::Ready(())
                }
                Poll::Ready(Err(Failed::Writing)) => return Poll::Ready(Err(Broken::Upstream)),
                polled => polled.map(|_| ()),
            };
            let polled_out = outward.poll(cx, upstream, &mut client, &mut |_, wrote| went += wrote);
            let polled_out = match polled_out {
                Poll::Ready(Err(Failed::Reading | Failed::ReadingUnclosed)) => {
                    return Poll::Ready(Err(Broken::Upstream));
                }
                Poll::Ready(Err(Failed::Writing)) => return Poll::Ready(Err(Broken::Client)),
                polled => polled.map(|_| ()),
            };
            exchange.count_in(came);
            exchange.count_out(went);
            let phase = if outward.is_behind() {
                Phase::BodyClient
            } else if inward.is_behind() {
                Phase::SendUpstream
            } else {
                Phase::BodyUpstream
            };
            let has_ended = (before_in, before_out) != (inward.stage, outward.stage);
            if came + went > 0 || has_ended || exchange.phase() != phase {
                exchange.enter(phase);
            }
            match (polled_in, polled_out) {
                (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.end(false); // it can carry nothing else
        }
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

// === impl Way ===

impl Way {
    /// Copies what there is. `count` is told how much was read and how much written. Ready when the end is passed on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Duplex,
        to: &mut impl Duplex,
        count: &mut dyn FnMut(u64, u64),
    ) -> Poll<Result<(), Failed>> {
        for _ in 0..ROUNDS {
            while self.written < self.kept.len() {
                let taken = ready!(Pin::new(&mut *to).poll_write(cx, &self.kept[self.written..]));
                let taken = some(taken).ok_or(Failed::Writing)?;
                count(0, taken as u64);
                self.written += taken;
                self.is_unflushed = true;
            }
            if !self.kept.is_empty() {
                (self.kept, self.written) = (Vec::new(), 0);
            }
            match self.stage {
                Stage::Open => match self.poll_piece(cx, from, to, count)? {
                    Poll::Ready(0) => self.stage = Stage::Ended { is_late: false },
                    Poll::Ready(_) => {}
                    Poll::Pending => {
                        if self.is_unflushed {
                            let flushed = ready!(Pin::new(&mut *to).poll_flush(cx));
                            flushed.map_err(|_| Failed::Writing)?;
                            self.is_unflushed = false;
                        }
                        return Poll::Pending;
                    }
                },
                Stage::Ended { is_late: false } => {
                    // hyper tells the end of a stream and its reset (CANCEL) alike to who reads; only the task that
                    // writes knows the difference, and it may not have had its turn yet.
                    self.stage = Stage::Ended { is_late: true };
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Stage::Ended { is_late: true } => {
                    if let Poll::Ready(Err(error)) = Pin::new(&mut *from).poll_flush(cx)
                        && is_reset(&error)
                    {
                        return Poll::Ready(Err(Failed::Reading));
                    }
                    // A side that was closed whole has nothing to shut: that is no error.
                    let _ = ready!(Pin::new(&mut *to).poll_shutdown(cx));
                    self.stage = Stage::Closed;
                }
                Stage::Closed => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads one piece and writes what is taken of it at once; zero is the reader's end.
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Duplex,
        to: &mut impl Duplex,
        count: &mut dyn FnMut(u64, u64),
    ) -> Result<Poll<usize>, Failed> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch[..]);
            match Pin::new(from).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(read) => read.map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => Failed::ReadingUnclosed,
                    _ => Failed::Reading,
                })?,
            }
            let piece = buffer.filled();
            if piece.is_empty() {
                return Ok(Poll::Ready(0));
            }
            count(piece.len() as u64, 0);
            let taken = match Pin::new(to).poll_write(cx, piece) {
                Poll::Pending => 0,
                Poll::Ready(taken) => some(taken).ok_or(Failed::Writing)?,
            };
            if taken > 0 {
                count(0, taken as u64);
                self.is_unflushed = true;
            }
            self.kept.extend_from_slice(&piece[taken..]);
            Ok(Poll::Ready(piece.len()))
        })
    }

    /// Whether its writer has not taken all that was read.
    fn is_behind(&self) -> bool {
        self.written < self.kept.len()
            || self.is_unflushed
            || matches!(self.stage, Stage::Ended { .. })
    }
}

/// How much was taken; a writer that takes nothing will take nothing.
fn some(taken: io::Result<usize>) -> Option<usize> {
    taken.ok().filter(|taken| *taken > 0)
}

/// Whether a stream of HTTP/2 was reset for another reason than that all has been said.
fn is_reset(error: &io::Error) -> bool {
    let hyper = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<hyper::Error>());
    hyper
        .and_then(|error| error.source())
        .and_then(|error| error.downcast_ref::<h2::Error>())
        .is_some_and(|error| error.reason() != Some(h2::Reason::NO_ERROR))
}

// === impl Ahead ===

impl<T> Ahead<T> {
    /// `ahead` comes before what is still to be read.
    pub fn new(io: T, ahead: Bytes) -> Self {
        Self { io, ahead }
    }
}

impl<T: Duplex> AsyncRead for Ahead<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let size = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..size]);
        self.ahead.advance(size);
        if self.ahead.is_empty() {
            self.ahead = Bytes::new(); // lets go of the buffer that the head came in
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Duplex> AsyncWrite for Ahead<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
