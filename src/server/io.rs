//! The IO of a client's connection: passes bytes, and notes on the [`Connection`] when they came and went.
//!
//! In clear text or over TLS, it is one type, so that hyper's server is there once. Over TLS two things are noted apart: a
//! read where a request's bytes come out of the session, since a record may have come long before its last byte; a write
//! where the socket takes it, since the session takes more than the client.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::handshake::Socket;
use crate::exchange::{Connection, Cut};

/// What a client is told whose request head took too long. hyper, whose own timer we do not use, would close in silence.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How long a closed connection is read on at the most.
const LINGER: Duration = Duration::from_secs(5);

/// The IO of a client's connection.
pub(super) struct ClientIo {
    wire: Wire,
    connection: Rc<Connection>,
    left: Left,
    /// What was read and is to be read again.
    ahead: Bytes,
}

/// What the bytes of a connection pass through.
pub(super) enum Wire {
    /// The socket alone.
    Clear(TcpStream),
    /// A session above it; boxed, since most of what it is lies in buffers anyway.
    Tls(Box<TlsStream<Socket>>),
}

/// The socket of a connection that is over while its client may still be sending.
#[derive(Clone, Default)]
pub(super) struct Left(Rc<Cell<Option<std::net::TcpStream>>>);

/// Ends our side and reads what still comes, for a while. A close with unread bytes is sent as a reset, and a reset takes
/// the answer away from a client that has not read it yet (RFC 9112 §9.6).
pub(super) async fn linger(stream: std::net::TcpStream) {
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    let _ = socket2::SockRef::from(&stream).shutdown(std::net::Shutdown::Write);
    let mut waste = vec![0; 16 << 10]; // not in the future: every connection would carry it all its life
    let reading = async {
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut waste) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, reading).await;
}

// === impl Left ===

impl Left {
    /// Keeps a socket whose client may still be sending.
    pub(super) fn keep(&self, stream: TcpStream) {
        self.0.set(stream.into_std().ok());
    }

    /// The socket, if the client may still be sending.
    pub(super) fn take(&self) -> Option<std::net::TcpStream> {
        self.0.take()
    }
}

// === impl ClientIo ===

impl ClientIo {
    pub(super) fn new(wire: Wire, connection: Rc<Connection>, left: Left) -> Self {
        Self {
            wire,
            connection,
            left,
            ahead: Bytes::new(),
        }
    }

    /// These bytes are read again, before all others.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        self.ahead = bytes;
    }

    /// Waits until there is something to read, or the end.
    pub(super) async fn readable(&self) -> io::Result<()> {
        if self.ahead.is_empty() {
            self.wire.socket().readable().await
        } else {
            Ok(())
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let taken = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(taken));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = match &mut self.wire {
            Wire::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if buf.filled().len() > before {
            self.connection.note_read();
        }
        polled
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.note_unsettled();
        let polled = match &mut self.wire {
            Wire::Clear(stream) => Pin::new(stream).poll_write(cx, buf),
            Wire::Tls(stream) => return Pin::new(stream).poll_write(cx, buf),
        };
        if polled.is_ready() {
            self.connection.note_write();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut self.wire {
            Wire::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        if polled.is_ready() {
            self.connection.note_settled();
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Clear(stream) => stream.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.note_unsettled();
        let polled = match &mut self.wire {
            Wire::Clear(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Wire::Tls(stream) => return Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        if polled.is_ready() {
            self.connection.note_write();
        }
        polled
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        let (has_unread, is_http2) = (self.connection.has_unread(), self.connection.is_http2());
        // The rest of a body whose answer came early is no head, and that answer may not be out whole.
        if self.connection.is_cut() == Some(Cut::HeadTimeout) && !is_http2 && !has_unread {
            self.wire.say_last(TOO_SLOW);
        }
        if has_unread {
            // A second descriptor keeps the socket open; without descriptors there is a reset.
            let copy = socket2::SockRef::from(self.wire.socket()).try_clone();
            self.left.0.set(copy.ok().map(Into::into));
        }
    }
}

// === impl Wire ===

impl Wire {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Tls(stream) => &stream.get_ref().0.stream,
        }
    }

    /// Says something and the goodbye of the protocol, at once or not at all. Nothing was sent that is not answered, so the
    /// socket's buffer is empty and takes these bytes.
    fn say_last(&mut self, words: &[u8]) {
        let Self::Tls(stream) = self else {
            let _ = self.socket().try_write(words);
            return;
        };
        let (socket, session) = stream.get_mut();
        let mut sealed = Vec::new();
        let _ = session.writer().write_all(words);
        session.send_close_notify();
        while session.wants_write() && session.write_tls(&mut sealed).is_ok_and(|count| count > 0) {
        }
        let _ = socket.stream.try_write(&sealed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::SocketAddr;

    use super::*;

    /// What a client is told whose connection is cut while bytes come that began no exchange.
    async fn told(has_unread: bool) -> String {
        let door = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let door = door.expect("a free port");
        let address: SocketAddr = door.local_addr().expect("it is bound");
        let mut client = std::net::TcpStream::connect(address).expect("it listens");
        let (stream, peer) = door.accept().await.expect("a client");
        let connection = Connection::new(1, 0, peer, address, false, Duration::ZERO);
        if has_unread {
            connection.note_unread();
        }
        connection.cut(Cut::HeadTimeout);
        let wire = Wire::Clear(stream);
        drop(ClientIo::new(wire, Rc::new(connection), Left::default()));
        let mut words = String::new();
        client.read_to_string(&mut words).expect("it is closed");
        words
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_slow_head_is_told_408_and_the_rest_of_an_answered_body_nothing() {
        assert!(told(false).await.starts_with("HTTP/1.1 408 "));
        assert_eq!(told(true).await, "");
    }
}
