//! What bytes to and from an endpoint go through: a socket, with or without TLS on it.
//!
//! An enum and not a box of a trait: there are two, and the one without TLS must cost nothing. It is `Send`, which an
//! upgraded connection has to be for hyper.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll};

use rustls::{AlertDescription, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::exchange::TlsVersion;

/// A connection to an endpoint.
#[derive(Debug)]
pub(super) enum UpstreamStream {
    /// In clear text.
    Plain(TcpStream),
    /// Over TLS.
    Tls(Box<TlsStream<TcpStream>>, Alert),
}

/// The alert with which the other side has ended TLS, if it has. In TLS 1.3 our side of the handshake is over before the
/// upstream looks at our certificate, so that its refusal comes where the answer is awaited, and HTTP/2 loses the reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Alert(Arc<AtomicU16>);

// === impl UpstreamStream ===

impl UpstreamStream {
    /// The version of TLS; `None` in clear text.
    pub(super) fn version(&self) -> Option<TlsVersion> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream, _) => match stream.get_ref().1.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => Some(TlsVersion::Tls12),
                _ => Some(TlsVersion::Tls13),
            },
        }
    }

    /// Whether the handshake has settled on HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream, _) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Where it will stand with which alert TLS was ended.
    pub(super) fn alert(&self) -> Option<Alert> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(_, alert) => Some(alert.clone()),
        }
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Tls(stream, alert) => {
                let read = Pin::new(stream).poll_read(cx, buffer);
                if let Poll::Ready(Err(error)) = &read {
                    alert.note(error);
                }
                read
            }
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
            Self::Tls(stream, _) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Tls(stream, _) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

// === impl Alert ===

impl Alert {
    /// No alert has this number: they are bytes.
    const SOME: u16 = 0x100;

    fn note(&self, error: &io::Error) {
        if let Some(rustls::Error::AlertReceived(alert)) = tls_error(error) {
            let number = u16::from(u8::from(*alert)) | Self::SOME;
            self.0.store(number, Ordering::Relaxed);
        }
    }

    /// The alert, if there was one.
    pub(super) fn get(&self) -> Option<AlertDescription> {
        let [kind, number] = self.0.load(Ordering::Relaxed).to_be_bytes();
        (kind != 0).then(|| AlertDescription::from(number))
    }
}

/// What rustls says in an error of a stream.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
