//! A client that sends exactly the bytes it is given and reads one response after the other.
//!
//! It owns nothing of HTTP but the framing of responses: bad requests are the point, so a request is bytes, and
//! [`Client::request`] is only a pen for the good ones. Every wait ends after twenty seconds in a panic that says what was
//! waited for: a test that hangs says nothing. A connection carries several requests; pipelining is `send` twice, then
//! `read_response` twice.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::wire::{Body, Head, Headers, Keep, Wire};

/// One TCP connection to whatever is tested.
pub(crate) struct Client {
    wire: Wire,
}

/// A response as it came.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// `HTTP/1.1` or what else the status line said.
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    /// The length of the body, also where its bytes were discarded.
    pub(crate) body_length: u64,
    pub(crate) trailers: Headers,
    /// The 1xx responses before this one.
    pub(crate) interim: Vec<Head>,
    /// The head byte for byte.
    pub(crate) raw_head: Vec<u8>,
}

/// `GET path` on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    get_with(address, path, &[])
}

/// `GET path` with header fields, on a connection of its own.
pub(crate) fn get_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut client = Client::connect(address);
    client.request("GET", path, headers, b"");
    client.read_response()
}

/// `POST path` with a body, on a connection of its own.
pub(crate) fn post(address: SocketAddr, path: &str, body: impl AsRef<[u8]>) -> Response {
    let mut client = Client::connect(address);
    client.request("POST", path, &[], body);
    client.read_response()
}

// === impl Client ===

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .unwrap_or_else(|error| panic!("the client cannot connect to {address}: {error}"));
        Self::over(stream)
    }

    fn over(stream: TcpStream) -> Self {
        stream
            .set_nodelay(true)
            .expect("a connected socket takes options");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a connected socket takes options");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a connected socket takes options");
        Self {
            wire: Wire::new(Arc::new(stream)),
        }
    }

    /// The other end of a connection to this listener: a peer that the test plays itself.
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().expect("somebody connects");
        Self::over(stream)
    }

    /// The client's own address: the peer that the proxy sees.
    pub(crate) fn address(&self) -> SocketAddr {
        self.wire
            .stream()
            .local_addr()
            .expect("a connected socket has an address")
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// Where the other side does not take them; see [`Client::try_send`].
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes)
            .unwrap_or_else(|error| panic!("the client could not send: {error}"));
    }

    /// Sends bytes that the other side may refuse to take.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.send(bytes.as_ref())
    }

    /// Sends `piece` bytes at a time with a pause after each; stops quietly where the other side has closed.
    pub(crate) fn send_slowly(&mut self, bytes: impl AsRef<[u8]>, piece: usize, pause: Duration) {
        for piece in bytes.as_ref().chunks(piece.max(1)) {
            if self.try_send(piece).is_err() {
                break;
            }
            std::thread::sleep(pause);
        }
    }

    /// Sends the same bytes many times: a body of any size.
    pub(crate) fn send_repeated(&mut self, bytes: impl AsRef<[u8]>, times: usize) {
        (0..times).for_each(|_| self.send(&bytes));
    }

    /// Sends a well-formed request: `Host` is added unless given, `Content-Length` where there is a body.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) {
        self.send(request_bytes(method, path, headers, body));
    }

    /// Reads the final response to a request that was not a HEAD, with its body.
    pub(crate) fn read_response(&mut self) -> Response {
        self.read_response_to("GET")
    }

    /// Reads the final response to a request with this method, with its body.
    pub(crate) fn read_response_to(&mut self, method: &str) -> Response {
        self.try_read_response(method)
            .unwrap_or_else(|error| self.give_up("a response", &error))
    }

    /// Reads a response whose body is only counted: for bodies of any size.
    pub(crate) fn read_response_length(&mut self) -> Response {
        self.read_final("GET", Keep::LengthOnly)
            .unwrap_or_else(|error| self.give_up("a response", &error))
    }

    /// Reads a response that may be cut off: the error says where.
    pub(crate) fn try_read_response(&mut self, method: &str) -> io::Result<Response> {
        self.read_final(method, Keep::Bytes)
    }

    /// Reads only a head, an interim one included; [`Client::read_bytes`] and [`Client::read_body`] read on.
    pub(crate) fn read_head(&mut self) -> Head {
        match self.wire.read_head() {
            Ok(Some(head)) => head,
            Ok(None) => panic!("the connection was closed where a response was due"),
            Err(error) => self.give_up("a response head", &error),
        }
    }

    /// Reads the body that follows a head.
    pub(crate) fn read_body(&mut self, head: &Head) -> Body {
        let body = self
            .wire
            .read_body(head.response_framing("GET"), Keep::Bytes);
        body.unwrap_or_else(|error| self.give_up("a response body", &error))
    }

    /// Reads exactly this many bytes of whatever comes: parts of a body, or a tunnel's.
    pub(crate) fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        self.wire
            .read_exact(count)
            .unwrap_or_else(|error| self.give_up("bytes", &error))
    }

    /// Reads until the other side ends the stream, by a close or a reset, and returns what came before.
    ///
    /// # Panics
    /// Where it does not end within twenty seconds.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        match self.wire.read_to_end() {
            Ok(bytes) => bytes,
            Err(error) if is_timeout(&error) => self.give_up("the end of the connection", &error),
            Err(_) => self.wire.unread().into_bytes(),
        }
    }

    /// Asserts that the connection is closed and nothing more comes.
    pub(crate) fn expect_close(&mut self) {
        let rest = self.read_to_end();
        assert!(
            rest.is_empty(),
            "nothing more was due, but {:?} came",
            String::from_utf8_lossy(&rest)
        );
    }

    /// Asserts that the connection stays open and silent for this long.
    pub(crate) fn expect_silence(&mut self, length: Duration) {
        let until = Instant::now() + length;
        self.wire
            .stream()
            .set_read_timeout(Some(length))
            .expect("a connected socket takes options");
        match self.wire.wait_for_byte() {
            Err(error) if is_timeout(&error) => {}
            Ok(true) => panic!("silence was due, but {:?} came", self.wire.unread()),
            Ok(false) => panic!(
                "the connection was closed {:?} too early",
                until - Instant::now()
            ),
            Err(error) => panic!("the connection broke where silence was due: {error}"),
        }
        self.wire
            .stream()
            .set_read_timeout(Some(PATIENCE))
            .expect("a connected socket takes options");
    }

    /// Ends the sending side and keeps reading. Where the other side has ended the whole connection already, there is
    /// nothing left to end.
    pub(crate) fn half_close(&self) {
        match self.wire.half_close() {
            Err(error) if error.kind() == std::io::ErrorKind::NotConnected => {}
            ended => ended.expect("a connected socket can be half closed"),
        }
    }

    /// Closes with a TCP reset.
    pub(crate) fn reset(self) {
        self.wire.reset().expect("a connected socket takes options");
    }

    fn read_final(&mut self, method: &str, keep: Keep) -> io::Result<Response> {
        let mut interim = Vec::new();
        loop {
            let Some(head) = self.wire.read_head()? else {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "the connection was closed where a response was due",
                ));
            };
            if head.word(1).starts_with('1') && head.word(1) != "101" {
                interim.push(head);
                continue;
            }
            let body = self.wire.read_body(head.response_framing(method), keep)?;
            return Response::new(head, body, interim);
        }
    }

    fn give_up(&self, what: &str, error: &io::Error) -> ! {
        let unread = self.wire.unread();
        if is_timeout(error) {
            panic!("{what} did not come within {PATIENCE:?}; unread: {unread:?}");
        }
        panic!("{what} did not come whole: {error}; unread: {unread:?}");
    }
}

/// Writes a well-formed request, as [`Client::request`] sends it.
pub(crate) fn request_bytes(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Vec<u8> {
    let body = body.as_ref();
    let has = |name: &str| {
        headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    let mut bytes = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
    if !has("host") {
        bytes.extend_from_slice(b"host: test\r\n");
    }
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !body.is_empty() && !has("transfer-encoding") && !has("content-length") {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

// === impl Response ===

impl Response {
    fn new(head: Head, body: Body, interim: Vec<Head>) -> io::Result<Self> {
        let status = head.word(1).parse().map_err(|_| {
            io::Error::new(
                ErrorKind::InvalidData,
                format!("not a status line: {:?}", head.first),
            )
        })?;
        Ok(Self {
            version: head.word(0).to_owned(),
            status,
            headers: head.headers,
            body: body.bytes,
            body_length: body.length,
            trailers: body.trailers,
            interim,
            raw_head: head.raw,
        })
    }

    /// The first value of a header field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// # Panics
    /// Where the body is not JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "the body is not JSON: {error}; status {}, body {:?}",
                self.status,
                self.text()
            )
        })
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
