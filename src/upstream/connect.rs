//! Opening a connection to an endpoint: its name, a socket, who the client is, TLS; all of it within `connect_timeout`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tracing::{debug, trace};

use super::places::Place;
use super::pooled::Common;
use super::proxy_header::header;
use super::stream::{Alert, UpstreamStream};
use super::tls_fault::handshake_fault;
use super::{Endpoint, Upstream};
use crate::config::{Host, Protocol};
use crate::exchange::{Carried, Exchange, Fault, Outcome, Phase, RetryClass, TlsVersion};
use crate::telemetry::xray::Beam;
use crate::tls::ClientTls;

/// A connection that nothing of HTTP has gone over yet.
pub(super) struct Dialled {
    pub(super) stream: UpstreamStream,
    pub(super) end: End,
    pub(super) is_http2: bool,
}

/// The other end of a connection, as it is known while it lasts.
pub(super) struct End {
    pub(super) peer: SocketAddr,
    /// Over which version of TLS, and where it stands with which alert that was ended.
    pub(super) tls: Option<(TlsVersion, Alert)>,
}

/// A connection to the endpoint, for what the upstream is to be spoken to. Cancel safe: one that was not handed out is
/// closed.
///
/// # Errors
/// The fault that says which step failed; all of them may be retried, since no request was sent.
pub(super) async fn dial(
    upstream: &Upstream,
    endpoint: &Endpoint,
    exchange: &Exchange,
) -> Result<Dialled, Fault> {
    let limit = upstream.plan.connect_timeout;
    let dialling = async {
        let (mut socket, peer) = reach(endpoint, limit, exchange).await?;
        if let Some(version) = upstream.plan.proxy_protocol {
            let header = header(version, exchange);
            let sent = socket.write_all(&header).await;
            sent.map_err(|error| socket_fault(&error))?;
        }
        let stream = match &upstream.tls {
            Some(tls) => encrypt(socket, tls, upstream, endpoint, exchange).await?,
            None => UpstreamStream::Plain(socket),
        };
        let is_http2 = match upstream.plan.protocol {
            Protocol::Http1 => false,
            Protocol::Auto => stream.is_http2(),
            Protocol::Http2 if upstream.tls.is_none() || stream.is_http2() => true,
            Protocol::Http2 => {
                return Err(failed(
                    Outcome::TlsProtocolError,
                    "the upstream does not choose HTTP/2 in the TLS handshake",
                ));
            }
        };
        let tls = stream.version().zip(stream.alert());
        Ok(Dialled {
            stream,
            end: End { peer, tls },
            is_http2,
        })
    };
    // Boxed: the handshake is large, and most attempts find a connection that is there.
    timeout(limit, Box::pin(dialling))
        .await
        .unwrap_or_else(|_| Err(too_late(exchange.phase())))
}

// === impl End ===

impl End {
    /// What an attempt has to say of a connection to it.
    pub(super) fn carried(&self, is_reused: bool, is_http2: bool) -> Carried {
        Carried {
            peer: self.peer,
            is_reused,
            is_http2,
            tls: self.tls.as_ref().map(|(version, _)| *version),
        }
    }
}

/// Drives a fresh connection on this worker until it ends, or nobody can use it any more.
pub(super) fn drive(
    upstream: &Arc<Upstream>,
    place: Place,
    end: End,
    driver: impl Future<Output = hyper::Result<()>> + 'static,
) -> Common {
    let peer = end.peer;
    let driving = async move {
        match driver.await {
            Ok(()) => trace!(%peer, "upstream connection closed"),
            Err(error) => debug!(%error, %peer, "upstream connection ended"),
        }
    };
    let beam = Beam::here();
    let driver = if beam.is_on() {
        tokio::task::spawn_local(beam.carry(driving))
    } else {
        tokio::task::spawn_local(driving)
    };
    upstream.note_opened();
    Common::new(end, Arc::clone(upstream), driver.abort_handle(), place)
}

/// A place among the upstream's connections.
///
/// # Errors
/// None came free in time.
pub(super) async fn take_place(upstream: &Upstream, exchange: &Exchange) -> Result<Place, Fault> {
    if let Some(place) = upstream.places.try_take() {
        return Ok(place);
    }
    trace!(
        "at the upstream's limit on connections: waiting for one to be closed, where others may share one that is there"
    );
    let _waits = exchange.waits_for_connection();
    let limit = upstream.plan.connect_timeout;
    upstream.places.take(limit).await.ok_or_else(|| {
        Fault::new(
            Outcome::ConnectionLimitReached,
            "the upstream's connections are all in use, and none came free in time",
        )
    })
}

/// Resolves the name where there is one, then tries its addresses in turn, each with a fair part of `limit`.
async fn reach(
    endpoint: &Endpoint,
    limit: Duration,
    exchange: &Exchange,
) -> Result<(TcpStream, SocketAddr), Fault> {
    let addresses = resolve(endpoint, exchange).await?;
    exchange.enter(Phase::Connect);
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut fault = failed(Outcome::DnsError, "the name has no address");
    for ip in addresses.iter() {
        let peer = SocketAddr::new(*ip, endpoint.address.port);
        trace!(%peer, within = ?share, "connecting");
        match timeout(share, TcpStream::connect(peer)).await {
            Ok(Ok(socket)) => {
                trace!(%peer, "connected");
                // Small requests must not wait for acknowledgements of earlier ones.
                let _ = socket.set_nodelay(true);
                return Ok((socket, peer));
            }
            Ok(Err(error)) => fault = socket_fault(&error),
            Err(_) => fault = too_late(Phase::Connect),
        }
    }
    Err(fault)
}

async fn resolve(endpoint: &Endpoint, exchange: &Exchange) -> Result<Arc<[IpAddr]>, Fault> {
    let name = match &endpoint.address.host {
        Host::Ip(ip) => return Ok(Arc::from([*ip])),
        Host::Name(name) => name,
    };
    if let Some(fresh) = endpoint.resolved.fresh() {
        trace!(%name, addresses = ?fresh, "a fresh answer is there");
        return Ok(fresh);
    }
    exchange.enter(Phase::Dns);
    trace!(%name, "looking the name up");
    let found = endpoint.resolved.look_up(name).await;
    trace!(%name, addresses = ?found.as_deref().unwrap_or_default(), "looked up");
    found.ok_or_else(|| failed(Outcome::DnsError, "the name could not be resolved"))
}

async fn encrypt(
    socket: TcpStream,
    tls: &ClientTls,
    upstream: &Upstream,
    endpoint: &Endpoint,
    exchange: &Exchange,
) -> Result<UpstreamStream, Fault> {
    let asked_for = upstream.plan.tls.as_ref();
    let asked_for = asked_for.and_then(|tls| tls.server_name.as_ref());
    let name = match asked_for.unwrap_or(&endpoint.address.host) {
        Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|_| {
            failed(
                Outcome::TlsCertificateError,
                "the endpoint's name cannot stand in a certificate",
            )
        })?,
    };
    exchange.enter(Phase::Tls);
    trace!(server_name = ?name, "TLS handshake");
    let connector = TlsConnector::from(Arc::clone(tls.config()));
    match connector.connect(name, socket).await {
        Ok(stream) => {
            let session = &stream.get_ref().1;
            trace!(
                version = ?session.protocol_version(),
                cipher_suite = ?session.negotiated_cipher_suite().map(|it| it.suite()),
                alpn = ?session.alpn_protocol().map(String::from_utf8_lossy),
                handshake = ?session.handshake_kind(),
                "TLS is up"
            );
            Ok(UpstreamStream::Tls(Box::new(stream), Alert::default()))
        }
        Err(error) => {
            trace!(%error, "the TLS handshake failed");
            Err(handshake_fault(&error))
        }
    }
}

fn too_late(phase: Phase) -> Fault {
    let detail = match phase {
        Phase::Tls => "the TLS handshake took too long",
        Phase::Dns => "the look-up of the name took too long",
        _ => "the connection took too long",
    };
    failed(Outcome::ConnectionTimeout, detail)
}

fn socket_fault(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => failed(
            Outcome::ConnectionRefused,
            "the endpoint refused the connection",
        ),
        io::ErrorKind::TimedOut => too_late(Phase::Connect),
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => failed(
            Outcome::DestinationIpUnroutable,
            "the endpoint's address cannot be reached",
        ),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => failed(
            Outcome::ConnectionTerminated,
            "the endpoint reset the connection",
        ),
        _ => failed(
            Outcome::DestinationUnavailable,
            "no connection could be opened",
        ),
    }
}

pub(super) fn failed(outcome: Outcome, detail: &'static str) -> Fault {
    Fault::new(outcome, detail).retried_as(RetryClass::ConnectFailure)
}
