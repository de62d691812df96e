//! Opening a connection to an endpoint, in a place among its upstream's connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::places::Place;
use super::pool::Common;
use super::{Endpoint, Upstream};
use crate::config::{Address, Host};
use crate::exchange::{AttemptFault, Exchange, Fault, Outcome, Phase, RetryClass};

/// A place among the upstream's connections, and a connection in it.
pub(super) async fn dial(
    upstream: &Upstream,
    endpoint: &Endpoint,
    exchange: &Exchange,
) -> Result<(Place, TcpStream, SocketAddr), AttemptFault> {
    let place = take_place(upstream).await?;
    let limit = upstream.plan.connect_timeout;
    let (stream, peer) = connect(&endpoint.address, limit, exchange).await?;
    Ok((place, stream, peer))
}

/// Drives a fresh connection on this worker until it ends, or nobody can use it any more.
pub(super) fn drive(
    upstream: &Arc<Upstream>,
    peer: SocketAddr,
    place: Place,
    driver: impl Future<Output = hyper::Result<()>> + 'static,
) -> Common {
    let driver = tokio::task::spawn_local(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, %peer, "upstream connection ended");
        }
    });
    upstream.note_opened();
    Common::new(peer, Arc::clone(upstream), driver.abort_handle(), place)
}

async fn take_place(upstream: &Upstream) -> Result<Place, AttemptFault> {
    upstream
        .places
        .take(upstream.plan.connect_timeout)
        .await
        .ok_or_else(|| {
            Fault::new(
                Outcome::ConnectionLimitReached,
                "the upstream's connections are all in use, and none came free in time",
            )
            .into()
        })
}

/// Opens a connection within `limit`: resolves the name where there is one, then tries its addresses in turn, each with
/// a fair part of what is left. Cancel safe: a socket that was not handed out is closed.
///
/// # Errors
/// The fault that says which step failed; all of them may be retried, since nothing was sent.
async fn connect(
    address: &Address,
    limit: Duration,
    exchange: &Exchange,
) -> Result<(TcpStream, SocketAddr), Fault> {
    let attempt = async {
        let addresses = resolve(address, exchange).await?;
        exchange.enter(Phase::Connect);
        let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(1);
        let mut fault = failed(Outcome::DnsError, "the name has no address");
        for peer in addresses {
            match timeout(share, TcpStream::connect(peer)).await {
                Ok(Ok(stream)) => {
                    // Small requests must not wait for acknowledgements of earlier ones.
                    let _ = stream.set_nodelay(true);
                    return Ok((stream, peer));
                }
                Ok(Err(error)) => fault = fault_of(&error),
                Err(_) => {
                    fault = failed(Outcome::ConnectionTimeout, "the connection took too long");
                }
            }
        }
        Err(fault)
    };
    timeout(limit, attempt).await.unwrap_or_else(|_| {
        Err(failed(
            Outcome::ConnectionTimeout,
            "the connection took too long",
        ))
    })
}

async fn resolve(address: &Address, exchange: &Exchange) -> Result<Vec<SocketAddr>, Fault> {
    match &address.host {
        Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, address.port)]),
        Host::Name(name) => {
            exchange.enter(Phase::Dns);
            // getaddrinfo, on tokio's blocking pool: it honours what the machine is configured to do.
            match tokio::net::lookup_host((&**name, address.port)).await {
                Ok(addresses) => Ok(addresses.collect()),
                Err(_) => Err(failed(Outcome::DnsError, "the name could not be resolved")),
            }
        }
    }
}

fn fault_of(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => failed(
            Outcome::ConnectionRefused,
            "the endpoint refused the connection",
        ),
        io::ErrorKind::TimedOut => {
            failed(Outcome::ConnectionTimeout, "the connection took too long")
        }
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => failed(
            Outcome::DestinationIpUnroutable,
            "the endpoint's address cannot be reached",
        ),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => failed(
            Outcome::ConnectionTerminated,
            "the endpoint reset the connection",
        ),
        _ => failed(
            Outcome::DestinationUnavailable,
            "no connection could be opened",
        ),
    }
}

fn failed(outcome: Outcome, detail: &'static str) -> Fault {
    Fault::new(outcome, detail).retried_as(RetryClass::ConnectFailure)
}
