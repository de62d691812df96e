//! Upstreams that do what a test writes, over HTTP/1.1, and remember every byte they were sent.
//!
//! `ok`, `status`, `echo` and `answering` behave; [`Script`]s misbehave: they stall, reset, send garbage, answer before
//! they were asked. Requests are recorded when their head is read and filled in when their body is, so a test can look at
//! a request that is still under way. HTTP/2 is [`Http2Upstream`](super::Http2Upstream).

mod session;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::json;
use socket2::Socket;

use super::port::{Port, address_of, bound};
use super::script::Script;
use super::wire::Headers;

use session::{Scripts, serve};

/// A scripted HTTP/1.1 upstream on a free port of 127.0.0.1.
pub(crate) struct Upstream {
    door: Door,
    seen: Arc<Seen>,
}

/// A request as the upstream received it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// The connection it came on, counted from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    /// The request target as it stood in the request line (RFC 9112 §3.2).
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) headers: Headers,
    /// The head byte for byte.
    pub(crate) raw_head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// The length of the body, also where its bytes were discarded.
    pub(crate) body_length: u64,
    pub(crate) trailers: Headers,
    /// Whether the body came to its end.
    pub(crate) is_complete: bool,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The script was done with it.
    ByScript,
    /// The other side closed it between two messages.
    ByPeer,
    /// The other side closed or reset it while something was being read or written; the error says which.
    Broken(String),
}

enum Door {
    Open(Port),
    /// Bound and never accepting; the streams fill its queue where it must not even complete a handshake.
    Deaf(Socket, Vec<TcpStream>),
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Vec<ConnectionSeen>>,
    /// Requests begun: decides which script is next.
    begun: AtomicUsize,
    /// Requests after which a connection is closed without a word; 0 for never.
    close_after: AtomicUsize,
}

#[derive(Clone, Default)]
struct ConnectionSeen {
    tape: Arc<Mutex<Vec<u8>>>,
    ended: Option<Ended>,
}

/// Writes a whole HTTP/1.1 response with a `Content-Length`.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status} {}\r\n", reason(status)).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

// === impl Upstream ===

impl Upstream {
    /// Answers every request with 200 and this body.
    pub(crate) fn ok(body: &str) -> Self {
        let body = body.to_owned();
        Self::answering(move |_| reply(200, &[("content-type", "text/plain")], &body))
    }

    /// Answers every request with this status and its number as the body.
    pub(crate) fn status(status: u16) -> Self {
        Self::answering(move |_| {
            reply(
                status,
                &[("content-type", "text/plain")],
                status.to_string(),
            )
        })
    }

    /// Answers with the request as JSON: `method`, `target`, `version`, `headers` and `trailers` as pairs, `body` as
    /// text, `connection` as its number.
    pub(crate) fn echo() -> Self {
        Self::answering(|request| {
            let pairs = |headers: &Headers| {
                headers
                    .iter()
                    .map(|(name, value)| json!([name, value]))
                    .collect::<Vec<_>>()
            };
            let body = json!({
                "method": request.method,
                "target": request.target,
                "version": request.version,
                "headers": pairs(&request.headers),
                "trailers": pairs(&request.trailers),
                "body": String::from_utf8_lossy(&request.body),
                "connection": request.connection,
            });
            reply(
                200,
                &[("content-type", "application/json")],
                body.to_string(),
            )
        })
    }

    /// Reads each request whole and sends what `answer` makes of it, without the body where the request was a HEAD.
    pub(crate) fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::script(
            Script::new()
                .read_head()
                .continue_if_expected()
                .read_body()
                .answer(move |request| {
                    let mut bytes = answer(request);
                    if request.method == "HEAD" {
                        let end = bytes
                            .windows(4)
                            .position(|window| window == b"\r\n\r\n")
                            .map_or(bytes.len(), |at| at + 4);
                        bytes.truncate(end);
                    }
                    bytes
                }),
        )
    }

    /// Runs the script once for each request; the connection is kept until the script or the other side ends it.
    pub(crate) fn script(script: Script) -> Self {
        Self::requests([script])
    }

    /// Runs the n-th script for the n-th request, over all connections, and the last one for all that follow.
    pub(crate) fn requests(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self::serving(Scripts::Requests(scripts.into_iter().collect()))
    }

    /// Runs the n-th script once for the n-th connection from the moment it is accepted, and closes it afterwards.
    pub(crate) fn connections(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self::serving(Scripts::Connections(scripts.into_iter().collect()))
    }

    /// An address where nothing listens, held so that nobody else can listen there either.
    pub(crate) fn refuse() -> Self {
        let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Self {
            door: Door::Deaf(socket, Vec::new()),
            seen: Arc::default(),
        }
    }

    /// Listens and never accepts: the kernel completes the handshake, nobody ever answers.
    pub(crate) fn never_accepts() -> Self {
        let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        socket.listen(1024).expect("a bound socket can listen");
        Self {
            door: Door::Deaf(socket, Vec::new()),
            seen: Arc::default(),
        }
    }

    /// Listens with a full queue: not even the TCP handshake completes, so that connecting times out.
    pub(crate) fn never_connects() -> Self {
        let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        socket.listen(0).expect("a bound socket can listen");
        let address = address_of(&socket);
        let mut fillers = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            fillers.push(stream);
        }
        Self {
            door: Door::Deaf(socket, fillers),
            seen: Arc::default(),
        }
    }

    /// Closes each connection without a word once it has carried this many requests. For scripts a request.
    pub(crate) fn close_after(self, requests: usize) -> Self {
        self.seen.close_after.store(requests, Ordering::SeqCst);
        self
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match &self.door {
            Door::Open(port) => port.address(),
            Door::Deaf(socket, _) => address_of(socket),
        }
    }

    /// Stops listening and cuts all connections; the port stays ours.
    pub(crate) fn shut(&self) {
        if let Door::Open(port) = &self.door {
            port.shut();
        }
    }

    /// Listens again after [`Upstream::shut`].
    pub(crate) fn reopen(&self) {
        if let Door::Open(port) = &self.door {
            port.reopen();
        }
    }

    /// Cuts all connections and keeps listening.
    pub(crate) fn cut(&self) {
        if let Door::Open(port) = &self.door {
            port.cut();
        }
    }

    /// Every request whose head was read, in that order.
    pub(crate) fn all_requests(&self) -> Vec<Request> {
        self.seen.requests().clone()
    }

    /// The only request that came.
    ///
    /// # Panics
    /// Where none came, or more than one.
    pub(crate) fn only_request(&self) -> Request {
        let requests = self.all_requests();
        assert_eq!(
            requests.len(),
            1,
            "the upstream should have seen one request, it saw {requests:#?}"
        );
        requests[0].clone()
    }

    pub(crate) fn request_count(&self) -> usize {
        self.seen.requests().len()
    }

    /// Connections accepted since the start.
    pub(crate) fn connection_count(&self) -> usize {
        match &self.door {
            Door::Open(port) => port.accepted(),
            Door::Deaf(..) => 0,
        }
    }

    /// Connections that are being served now.
    pub(crate) fn live_connections(&self) -> usize {
        match &self.door {
            Door::Open(port) => port.live(),
            Door::Deaf(..) => 0,
        }
    }

    /// Every byte a connection has brought so far (discarded bodies excepted), by its number.
    pub(crate) fn received(&self, connection: usize) -> Vec<u8> {
        let tape = self
            .seen
            .connections()
            .get(connection)
            .map(|seen| Arc::clone(&seen.tape));
        tape.map(|tape| tape.lock().expect("no writer of the tape panics").clone())
            .unwrap_or_default()
    }

    /// How a connection ended, by its number; none while it lives.
    pub(crate) fn ended(&self, connection: usize) -> Option<Ended> {
        self.seen
            .connections()
            .get(connection)
            .and_then(|seen| seen.ended.clone())
    }

    fn serving(scripts: Scripts) -> Self {
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let port = Port::open(move |arrival| serve(arrival, &shared, &scripts));
        Self {
            door: Door::Open(port),
            seen,
        }
    }
}

// === impl Seen ===

impl Seen {
    fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests
            .lock()
            .expect("nothing panics while it holds the requests")
    }

    fn connections(&self) -> MutexGuard<'_, Vec<ConnectionSeen>> {
        self.connections
            .lock()
            .expect("nothing panics while it holds the connections")
    }

    /// The record of a connection; threads may come here out of the order of their numbers.
    fn note(&self, number: usize, change: impl FnOnce(&mut ConnectionSeen)) {
        let mut connections = self.connections();
        if connections.len() <= number {
            connections.resize_with(number + 1, ConnectionSeen::default);
        }
        change(&mut connections[number]);
    }
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unassigned")
}
