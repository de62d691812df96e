//! Early Hints (103, RFC 8297) as they come from an upstream over HTTP/1.1: seen in what is read, before hyper drops them.
//!
//! hyper's server cannot send them on, so they end here; but that they came is a fact of the attempt. hyper's own way to
//! be told of them (`ext::on_informational`) is four allocations for every request, whether one comes or not; this is a
//! look at the first bytes of what is read while a response head is due. Over HTTP/2 hyper's client drops them unseen.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What has been seen on a connection. Shared by the connection's IO, which hyper wants to be `Send`, and its owner; both
/// are on one thread, so nothing is ordered by it.
#[derive(Debug, Default)]
pub(super) struct Hints {
    is_awaited: AtomicBool,
    count: AtomicU8,
}

/// The IO of a connection, with an eye on the heads that it brings.
pub(super) struct Watched<T> {
    io: T,
    hints: Arc<Hints>,
}

// === impl Hints ===

impl Hints {
    /// A request goes out: what is read next is a head.
    pub(super) fn await_head(&self) {
        self.count.store(0, Relaxed);
        self.is_awaited.store(true, Relaxed);
    }

    /// How many came before the head.
    pub(super) fn take(&self) -> u8 {
        self.is_awaited.store(false, Relaxed);
        self.count.load(Relaxed)
    }

    /// Bytes have come. A head that is told by several reads begins in the first of them.
    fn see(&self, mut bytes: &[u8]) {
        while self.is_awaited.load(Relaxed) {
            let Some(status) = bytes.strip_prefix(b"HTTP/1.1 ") else {
                return; // the rest of a head, or nothing that hyper will take
            };
            if !status.starts_with(b"1") {
                return self.is_awaited.store(false, Relaxed);
            }
            if status.starts_with(b"103") {
                let count = self.count.load(Relaxed);
                self.count.store(count.saturating_add(1), Relaxed);
            }
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
            bytes = end.map_or(&[], |end| &bytes[end + 4..]);
        }
    }
}

// === impl Watched ===

impl<T> Watched<T> {
    pub(super) fn new(io: T, hints: &Arc<Hints>) -> Self {
        Self {
            io,
            hints: Arc::clone(hints),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if self.hints.is_awaited.load(Relaxed) {
            self.hints.see(&buf.filled()[before..]);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
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

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_before_the_final_head_is_counted() {
        let seen = |reads: &[&str]| {
            let hints = Hints::default();
            hints.await_head();
            reads.iter().for_each(|read| hints.see(read.as_bytes()));
            hints.take()
        };
        let (hint, ok) = (
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        );
        assert_eq!(seen(&[ok]), 0);
        assert_eq!(seen(&[hint, ok]), 1);
        assert_eq!(seen(&[&[hint, hint, ok].concat()]), 2);
        assert_eq!(seen(&["HTTP/1.1 100 Continue\r\n\r\n", hint, ok]), 1);
        assert_eq!(seen(&[ok, hint]), 0, "a body that looks like one");
        assert_eq!(seen(&[&[ok, hint].concat(), hint]), 0);
        assert_eq!(
            seen(&["HTTP/1.1 103 Early Hints\r\nlink: ", "</a>\r\n\r\n", ok]),
            1
        );
        assert_eq!(Hints::default().take(), 0);
    }
}
