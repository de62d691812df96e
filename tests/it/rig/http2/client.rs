//! The HTTP/2 client: whole requests in one call, or a stream that the test drives piece by piece.
//!
//! Several threads may share one client: their requests share the connection, which is the point of HTTP/2.

use std::future::Future;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::PATIENCE;
use super::{Reactor, header_map, read_body};

/// One HTTP/2 connection.
pub(crate) struct Http2Client {
    reactor: Reactor,
    sender: SendRequest<Bytes>,
    authority: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Http2Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// A request under way.
pub(crate) struct Http2Stream<'a> {
    client: &'a Http2Client,
    send: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
}

// === impl Http2Client ===

impl Http2Client {
    /// Connects and opens HTTP/2 without asking (RFC 9113 §3.3).
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let reactor = Reactor::start();
        let sender = within(&reactor, "an HTTP/2 connection", async {
            let stream = TcpStream::connect(address)
                .await
                .expect("the client can connect");
            stream
                .set_nodelay(true)
                .expect("a connected socket takes options");
            let (sender, connection) = h2::client::handshake(stream)
                .await
                .expect("the client's preface is taken");
            // Its end is told to every stream; the task ends with the reactor.
            tokio::spawn(connection);
            sender
        });
        Self {
            reactor,
            sender,
            authority: address.to_string(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Http2Response {
        self.request("GET", path, &[], b"", &[])
            .unwrap_or_else(|error| panic!("GET {path} over HTTP/2: {error}"))
    }

    /// Sends one request whole and reads its response whole; trailers where there are any.
    ///
    /// # Errors
    /// Where the stream or the connection was reset; `error.reason()` says how.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
        trailers: &[(&str, &str)],
    ) -> Result<Http2Response, h2::Error> {
        let body = body.as_ref();
        let is_head_only = body.is_empty() && trailers.is_empty();
        let mut stream = self.open_stream(method, path, headers, is_head_only)?;
        let sent = if is_head_only {
            Ok(())
        } else {
            stream.send_last(body, trailers)
        };
        // Who is refused at once may be answered, and its stream closed, before the body is out.
        stream
            .read_response()
            .map_err(|error| sent.err().unwrap_or(error))
    }

    /// Sends a request that ends with its head, and leaves the answer to the test.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Result<Http2Stream<'_>, h2::Error> {
        self.open_stream(method, path, &[], true)
    }

    /// Sends a request head and leaves the body to the test.
    pub(crate) fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Http2Stream<'_>, h2::Error> {
        self.open_stream(method, path, headers, false)
    }

    fn open_stream(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        is_end: bool,
    ) -> Result<Http2Stream<'_>, h2::Error> {
        let mut headers = header_map(headers);
        let authority = headers.remove(http::header::HOST);
        let authority = authority
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .unwrap_or(&self.authority);
        let uri = format!("http://{authority}{path}");
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .body(())
            .expect("the test gives a valid request");
        *request.headers_mut() = headers;
        self.open_request(request, is_end)
    }

    /// Asks for a tunnel to `authority` (RFC 9113 §8.5).
    pub(crate) fn tunnel(&self, authority: &str) -> Result<Http2Stream<'_>, h2::Error> {
        let request = Request::connect(authority).body(());
        self.open_request(request.expect("the test gives a valid authority"), false)
    }

    /// Asks for a tunnel of this protocol (RFC 8441), once the proxy has said that it takes such.
    pub(crate) fn upgrade(
        &self,
        protocol: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Http2Stream<'_>, h2::Error> {
        super::super::wait_until("the proxy takes extended CONNECT", || {
            self.sender.is_extended_connect_protocol_enabled()
        });
        let uri = format!("http://{}{path}", self.authority);
        let mut request = Request::connect(uri)
            .extension(Protocol::from(protocol))
            .body(())
            .expect("the test gives a valid request");
        *request.headers_mut() = header_map(headers);
        self.open_request(request, false)
    }

    fn open_request(
        &self,
        request: Request<()>,
        is_end: bool,
    ) -> Result<Http2Stream<'_>, h2::Error> {
        let sender = self.sender.clone();
        within(&self.reactor, "room for a stream", async {
            let (response, send) = sender.ready().await?.send_request(request, is_end)?;
            Ok(Http2Stream {
                client: self,
                send,
                response: Some(response),
                body: None,
            })
        })
    }
}

// === impl Http2Stream ===

impl Http2Stream<'_> {
    /// Sends a piece of the body.
    pub(crate) fn send(&mut self, piece: impl AsRef<[u8]>) -> Result<(), h2::Error> {
        self.send
            .send_data(Bytes::copy_from_slice(piece.as_ref()), false)
    }

    /// Sends the last piece, and trailers where given.
    pub(crate) fn send_last(
        &mut self,
        piece: impl AsRef<[u8]>,
        trailers: &[(&str, &str)],
    ) -> Result<(), h2::Error> {
        self.send
            .send_data(Bytes::copy_from_slice(piece.as_ref()), trailers.is_empty())?;
        if trailers.is_empty() {
            Ok(())
        } else {
            self.send.send_trailers(header_map(trailers))
        }
    }

    /// Sends without more than the other side's window takes: as much as it has taken within the patience of a test.
    pub(crate) fn send_within_window(&mut self, piece: impl AsRef<[u8]>) -> Result<(), h2::Error> {
        let piece = Bytes::copy_from_slice(piece.as_ref());
        let reactor = &self.client.reactor;
        within(
            reactor,
            "room in a stream's window",
            super::send_all(&mut self.send, piece, false),
        )
    }

    /// Resets the stream.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.send.send_reset(reason);
    }

    /// Reads the response head; [`Http2Stream::read_piece`] reads on.
    pub(crate) fn read_head(&mut self) -> Result<Response<()>, h2::Error> {
        let response = self.response.take().expect("the head is read once");
        let (head, body) =
            within(&self.client.reactor, "an HTTP/2 response head", response)?.into_parts();
        self.body = Some(body);
        Ok(Response::from_parts(head, ()))
    }

    /// Reads the next piece of the body; none at its end.
    pub(crate) fn read_piece(&mut self) -> Result<Option<Bytes>, h2::Error> {
        let body = self
            .body
            .as_mut()
            .expect("the head is read before the body");
        let piece = within(
            &self.client.reactor,
            "a piece of an HTTP/2 body",
            body.data(),
        )
        .transpose()?;
        if let Some(piece) = &piece {
            body.flow_control().release_capacity(piece.len())?;
        }
        Ok(piece)
    }

    /// Reads the response whole.
    pub(crate) fn read_response(mut self) -> Result<Http2Response, h2::Error> {
        let (head, ()) = self.read_head()?.into_parts();
        let mut body = self.body.take().expect("the head was read");
        let mut bytes = BytesMut::new();
        let trailers = within(
            &self.client.reactor,
            "an HTTP/2 body",
            read_body(&mut body, &mut bytes),
        )?;
        Ok(Http2Response {
            status: head.status,
            headers: head.headers,
            body: bytes.freeze(),
            trailers,
        })
    }
}

// === impl Http2Response ===

impl Http2Response {
    /// The first value of a header field; empty where it is not text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's own thread waits; it is no worker and no runtime runs on it"
)]
pub(super) fn within<T>(reactor: &Reactor, what: &str, work: impl Future<Output = T>) -> T {
    let result = reactor
        .handle
        .block_on(async { timeout(PATIENCE, work).await });
    result.unwrap_or_else(|_| panic!("{what} did not come within {PATIENCE:?}"))
}
