//! Connections to the side port: how many there may be, how long they may take, and how they end.
//!
//! HTTP/1.1 with keep-alive: what scrapes and polls once in a while needs no more. Peers that would need a token share
//! a part of the places only, so that strangers who open connections cannot lock out whoever has to look.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::page::Pages;
use super::{Access, Readiness, Sources, TokenError};
use crate::config::{self, Name};
use crate::telemetry::{Event, emit};

/// The side port, served.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    readiness: Readiness,
    ending: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

/// The side port cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The token cannot be had.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The system does not let the runtime have the socket.
    #[error("the socket cannot be used: {0}")]
    Socket(#[from] io::Error),
}

/// Connections at once.
const CONNECTIONS: usize = 256;
/// How many of them peers may have that are neither on loopback nor allowed.
const OF_STRANGERS: usize = 64;
/// The longest a connection may take until a request head is complete, the pause before it included: more than the
/// minute that most scrape intervals stay below.
const HEAD: Duration = Duration::from_secs(75);
/// The longest that what is sent may stay unacknowledged.
const UNTAKEN: Duration = Duration::from_secs(30);
/// What is still being answered at the end may take so long.
const GRACE: Duration = Duration::from_secs(2);
/// The pause after the system gave no connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the side port on the control runtime. The socket is bound and listens already.
///
/// # Errors
/// Where the token cannot be read, or the socket not be used.
pub fn serve(
    control: &Handle,
    socket: std::net::TcpListener,
    rules: &config::Admin,
    sources: Sources,
) -> Result<Admin, StartError> {
    let pages = Pages::new(Access::new(rules)?, sources);
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    let _inside = control.enter(); // the socket is registered there
    let socket = TcpListener::from_std(socket)?;
    let (ending, ended) = watch::channel(false);
    let readiness = pages.readiness.clone();
    let serving = control.spawn(accept(socket, pages, ended));
    Ok(Admin {
        address,
        readiness,
        ending,
        serving,
    })
}

// === impl Admin ===

impl Admin {
    /// The address that it is bound to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `/livez` and `/readyz` say.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Takes no more, lets what is being answered go out for two seconds, and closes. Dropped before that, it goes on
    /// closing by itself.
    pub async fn end(self) {
        let _ = self.ending.send(true); // where nobody listens any more it has ended
        let _ = self.serving.await; // a panic there has said so itself
    }
}

async fn accept(socket: TcpListener, pages: Arc<Pages>, mut ended: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let of_strangers = Arc::new(Semaphore::new(OF_STRANGERS));
    let mut connections = JoinSet::new();
    let mut is_failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = ended.changed() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    emit(Event::AcceptFailed {
                        listener: Name::new("admin"),
                        why: error.to_string(),
                    });
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        is_failing = false;
        let stranger = match pages.access.knows(peer.ip()) {
            true => None,
            false => match Arc::clone(&of_strangers).try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => continue, // closed at once: nobody waits for a place
            },
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (pages, ended) = (Arc::clone(&pages), ended.clone());
        connections.spawn(async move {
            let _places = (place, stranger);
            serve_connection(stream, peer, pages, ended).await;
        });
    }
    drop(socket);
    pages.streams.end();
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, all).await; // what is left goes with the set
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    pages: Arc<Pages>,
    mut ended: watch::Receiver<bool>,
) {
    prepare(&stream);
    let answer = service_fn(move |request: Request<Incoming>| {
        let answer = Arc::clone(&pages).answer(peer.ip(), request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = &mut connection => return, // a peer that went away, or spoke no HTTP
        _ = ended.wait_for(|is_ending| *is_ending) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Whoever takes no answer is cut off by the kernel; without that a reader that stopped would keep its place.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true); // then it is a little slower
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNTAKEN)); // then it keeps its place for longer
}
