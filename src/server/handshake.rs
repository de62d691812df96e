//! The TLS handshake with a client: what it has settled, or why it failed, in a closed set of words.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::{
    AlertDescription, CipherSuite, Error, HandshakeKind, PeerIncompatible, ProtocolVersion,
    ServerConnection,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::io::Left;
use super::worker::ListenerParts;
use crate::exchange::{ClientCertificate, Connection, TlsFacts, TlsVersion};
use crate::tls::{NO_CERTIFICATE, ServerTls, subject};

/// The socket below a TLS session: passes bytes, and notes that they came and went. What they mean is noted above it.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    connection: Rc<Connection>,
}

/// Why there is no session.
#[derive(Debug)]
pub(super) struct Failed {
    /// The `reason` label.
    pub(super) reason: &'static str,
    /// What exactly it was; empty where the reason says it all.
    pub(super) why: String,
}

/// What a client is told that speaks HTTP in clear text where TLS is due; nginx says much the same.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 37\r\n\r\nThis port speaks HTTPS and not HTTP.\n";

/// The first byte of every TLS handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// Does the handshake; `None` where the client left before it said anything. Cut with the future: nothing of the connection is left then.
pub(super) async fn shake_hands(
    stream: TcpStream,
    connection: &Rc<Connection>,
    (tls, parts): (&ServerTls, &ListenerParts),
    left: &Left,
) -> Result<Option<Box<TlsStream<Socket>>>, Failed> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(0) => return Ok(None), // as in clear text: who says nothing has done nothing wrong
        Ok(_) => connection.note_bytes(),
        Err(error) => return Err(Failed::of(&error)),
    }
    if first[0] != HANDSHAKE {
        if first[0].is_ascii_uppercase() {
            let _ = stream.try_write(NOT_TLS); // the socket's buffer is empty and takes it at once
            left.keep(stream);
        }
        return Err("tls_not_tls".into());
    }
    // From here on: a client that waits before it says anything is no slow handshake.
    let began = Instant::now();
    let socket = Socket {
        stream,
        connection: Rc::clone(connection),
    };
    let shaking = TlsAcceptor::from(tls.config()).accept(socket);
    let stream = match Box::pin(shaking.into_fallible()).await {
        Ok(stream) => stream,
        Err((error, socket)) => {
            // The alert that says why went out; what the client sends on must not take it away from it.
            left.keep(socket.stream);
            return Err(Failed::of(&error));
        }
    };
    let facts = facts(stream.get_ref().1)?;
    parts
        .handshakes
        .note(facts.version, facts.is_resumed, began.elapsed());
    connection.note_tls(facts);
    Ok(Some(Box::new(stream)))
}

/// What the handshake has settled.
fn facts(session: &ServerConnection) -> Result<TlsFacts, Failed> {
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
        _ => TlsVersion::Tls12,
    };
    let suite = session.negotiated_cipher_suite().map(|it| it.suite());
    let group = session.negotiated_key_exchange_group();
    let is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    let client = session
        .peer_certificates()
        .and_then(<[_]>::first)
        .map(|der| certificate(der, is_resumed))
        .transpose()?;
    Ok(TlsFacts {
        version,
        suite: suite.map_or("", name_of),
        group: group.and_then(|it| it.name().as_str()).unwrap_or_default(),
        is_resumed,
        server_name: session.server_name().map(Box::from),
        client,
    })
}

/// Who a client is. Its certificate was verified in the handshake, or in the one that is resumed: then it may have ended
/// since.
fn certificate(der: &[u8], is_resumed: bool) -> Result<Box<ClientCertificate>, Failed> {
    let bad = |why: &str| Failed {
        reason: "tls_bad_client_certificate",
        why: why.to_owned(),
    };
    let subject = subject(der).ok_or_else(|| bad("the certificate cannot be read"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX));
    if is_resumed && subject.not_after < now {
        return Err(bad("the certificate of the resumed session has expired"));
    }
    Ok(Box::new(ClientCertificate {
        subject: subject.name.into(),
        dns: subject.dns,
        uris: subject.uris,
        sha256: subject.sha256.into(),
        der: der.into(),
        fields: OnceLock::new(),
    }))
}

/// IANA's name: rustls tells the suites of TLS 1.3 apart by another prefix.
fn name_of(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or_default(),
    }
}

// === impl Failed ===

impl From<&'static str> for Failed {
    fn from(reason: &'static str) -> Self {
        Self {
            reason,
            why: String::new(),
        }
    }
}

impl Failed {
    fn of(error: &io::Error) -> Self {
        let source = error.get_ref();
        let tls = source.and_then(|source| source.downcast_ref::<Error>());
        match tls {
            Some(tls) => Self {
                reason: reason(tls),
                why: tls.to_string(),
            },
            None => Self::from("tls_closed"),
        }
    }
}

/// The `reason` label of what rustls says.
fn reason(error: &Error) -> &'static str {
    use PeerIncompatible as Lacks;
    match error {
        Error::PeerIncompatible(
            Lacks::ServerDoesNotSupportTls12Or13
            | Lacks::ServerTlsVersionIsDisabledByOurConfig
            | Lacks::SupportedVersionsExtensionRequired
            | Lacks::Tls12NotOffered
            | Lacks::Tls12NotOfferedOrEnabled,
        )
        | Error::AlertReceived(AlertDescription::ProtocolVersion) => "tls_no_shared_version",
        Error::PeerIncompatible(_) => "tls_no_shared_cipher",
        Error::NoApplicationProtocol => "tls_no_shared_protocol",
        Error::NoCertificatesPresented => "tls_certificate_required",
        Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_) => {
            "tls_bad_client_certificate"
        }
        Error::General(what) if what == NO_CERTIFICATE => "tls_unknown_name",
        // The client does not want to go on: most often it does not believe our certificate.
        Error::AlertReceived(_) => "tls_refused_by_client",
        _ => "tls_protocol",
    }
}

// === impl Socket ===

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.connection.note_bytes();
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if polled.is_ready() {
            self.connection.note_write();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if polled.is_ready() {
            self.connection.note_write();
        }
        polled
    }
}
