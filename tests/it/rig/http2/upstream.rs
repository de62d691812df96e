//! The HTTP/2 upstream: it answers each stream with what the test makes of the request, and can break off anywhere.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use serde_json::json;

use super::super::port::{Arrival, Port};
use super::{header_map, read_body, send_all, small_runtime};

/// An h2c upstream on a free port of 127.0.0.1.
pub(crate) struct Http2Upstream {
    port: Port,
    seen: Arc<Mutex<Vec<Http2Request>>>,
}

/// A request as the upstream received it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Http2Request {
    /// The connection it came on, counted from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
    /// Whether the body came to its end.
    pub(crate) is_complete: bool,
    /// Why the client broke it off, where it did.
    pub(crate) error: Option<String>,
}

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) struct Http2Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) ending: Http2Ending,
}

/// How the answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http2Ending {
    InOrder,
    /// Reset instead of a response head.
    ResetBeforeHead(Reason),
    /// Reset after the body was sent, before the stream's end.
    ResetAfterBody(Reason),
    /// No head, ever.
    Never,
    /// Head and body, and never an end.
    NeverEnds,
    /// The connection is closed instead of a response.
    Disconnect,
}

type Answering = dyn Fn(&Http2Request) -> Http2Answer + Send + Sync;

/// What every stream of a connection shares.
struct Session {
    arrival: Arrival,
    seen: Arc<Mutex<Vec<Http2Request>>>,
    answering: Arc<Answering>,
}

// === impl Http2Upstream ===

impl Http2Upstream {
    /// Answers every request with 200 and this body.
    pub(crate) fn ok(body: &str) -> Self {
        let answer = Http2Answer::new(200, &[("content-type", "text/plain")], body);
        Self::answering(move |_| answer.clone())
    }

    /// Answers with the request as JSON (`method`, `authority`, `path`, `headers`, `trailers`, `body`) and sends the
    /// request's trailers back as its own.
    pub(crate) fn echo() -> Self {
        Self::answering(|request| {
            let pairs = |map: &HeaderMap| {
                let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                    json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
                };
                map.iter().map(pair).collect::<Vec<_>>()
            };
            let body = json!({
                "method": request.method,
                "authority": request.authority,
                "path": request.path,
                "headers": pairs(&request.headers),
                "trailers": pairs(&request.trailers),
                "body": String::from_utf8_lossy(&request.body),
                "connection": request.connection,
            });
            let mut answer = Http2Answer::new(
                200,
                &[("content-type", "application/json")],
                body.to_string(),
            );
            answer.trailers = (!request.trailers.is_empty()).then(|| request.trailers.clone());
            answer
        })
    }

    /// Reads each request whole and answers with what `answer` makes of it.
    pub(crate) fn answering(
        answer: impl Fn(&Http2Request) -> Http2Answer + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        let answering: Arc<Answering> = Arc::new(answer);
        let port = Port::open(move |arrival| {
            let session = Session {
                arrival,
                seen: Arc::clone(&shared),
                answering: Arc::clone(&answering),
            };
            // A broken connection is the other side's story, told by its own error.
            small_runtime().block_on(session.serve()).ok();
        });
        Self { port, seen }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Stops listening and cuts all connections; the port stays ours.
    pub(crate) fn shut(&self) {
        self.port.shut();
    }

    /// Listens again after [`Http2Upstream::shut`].
    pub(crate) fn reopen(&self) {
        self.port.reopen();
    }

    /// Every request whose head came, in that order.
    pub(crate) fn all_requests(&self) -> Vec<Http2Request> {
        requests(&self.seen).clone()
    }

    pub(crate) fn request_count(&self) -> usize {
        requests(&self.seen).len()
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.port.accepted()
    }
}

// === impl Http2Answer ===

impl Http2Answer {
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        Self {
            status,
            headers: header_map(headers),
            body: Bytes::copy_from_slice(body.as_ref()),
            trailers: None,
            ending: Http2Ending::InOrder,
        }
    }

    pub(crate) fn trailers(mut self, trailers: &[(&str, &str)]) -> Self {
        self.trailers = Some(header_map(trailers));
        self
    }

    pub(crate) fn ending(mut self, ending: Http2Ending) -> Self {
        self.ending = ending;
        self
    }
}

// === impl Session ===

impl Session {
    async fn serve(self) -> Result<(), Box<dyn std::error::Error>> {
        let stream = self.arrival.stream.try_clone()?;
        stream.set_nonblocking(true)?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let mut connection = h2::server::handshake(stream).await?;
        let session = Arc::new(self);
        while let Some(accepted) = connection.accept().await {
            let (request, respond) = accepted?;
            tokio::spawn(Arc::clone(&session).answer(request, respond));
        }
        Ok(())
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        let (head, mut body) = request.into_parts();
        let at = self.record(&head);
        let mut bytes = BytesMut::new();
        let read = read_body(&mut body, &mut bytes).await;
        let request = {
            let mut seen = requests(&self.seen);
            let request = &mut seen[at];
            request.body = bytes.freeze();
            match read {
                Ok(trailers) => {
                    request.trailers = trailers.unwrap_or_default();
                    request.is_complete = true;
                }
                Err(error) => {
                    request.error = Some(error.to_string());
                    return;
                }
            }
            request.clone()
        };
        let answer = (self.answering)(&request);
        // A client that has gone does not take the answer: the record has what it sent.
        self.respond(answer, &mut respond, at).await.ok();
    }

    async fn respond(
        &self,
        answer: Http2Answer,
        respond: &mut SendResponse<Bytes>,
        at: usize,
    ) -> Result<(), h2::Error> {
        match answer.ending {
            Http2Ending::ResetBeforeHead(reason) => {
                respond.send_reset(reason);
                return Ok(());
            }
            Http2Ending::Disconnect => {
                self.arrival.stream.shutdown(std::net::Shutdown::Both).ok();
                return Ok(());
            }
            Http2Ending::Never => {
                let reset = std::future::poll_fn(|context| respond.poll_reset(context)).await;
                self.note_reset(at, &reset);
                return Ok(());
            }
            Http2Ending::InOrder | Http2Ending::ResetAfterBody(_) | Http2Ending::NeverEnds => {}
        }
        let mut head = Response::new(());
        *head.status_mut() = answer
            .status
            .try_into()
            .expect("the test gives a valid status");
        *head.headers_mut() = answer.headers;
        let is_end = answer.ending == Http2Ending::InOrder && answer.trailers.is_none();
        let mut body = respond.send_response(head, is_end && answer.body.is_empty())?;
        if !answer.body.is_empty() {
            send_all(&mut body, answer.body, is_end).await?;
        }
        match (answer.ending, answer.trailers) {
            (Http2Ending::ResetAfterBody(reason), _) => {
                // A reset drops what is queued: head and body have to be on the wire before it.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                body.send_reset(reason);
            }
            (Http2Ending::NeverEnds, _) => {
                let reset = std::future::poll_fn(|context| body.poll_reset(context)).await;
                self.note_reset(at, &reset);
            }
            (_, Some(trailers)) => body.send_trailers(trailers)?,
            (_, None) => {}
        }
        Ok(())
    }

    fn record(&self, head: &http::request::Parts) -> usize {
        let mut seen = requests(&self.seen);
        seen.push(Http2Request {
            connection: self.arrival.number,
            method: head.method.to_string(),
            scheme: head.uri.scheme_str().unwrap_or_default().to_owned(),
            authority: head
                .uri
                .authority()
                .map(ToString::to_string)
                .unwrap_or_default(),
            path: head
                .uri
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            headers: head.headers.clone(),
            ..Http2Request::default()
        });
        seen.len() - 1
    }

    fn note_reset(&self, at: usize, reset: &Result<Reason, h2::Error>) {
        let said = match reset {
            Ok(reason) => reason.to_string(),
            Err(error) => error.to_string(),
        };
        requests(&self.seen)[at].error = Some(said);
    }
}

fn requests(seen: &Mutex<Vec<Http2Request>>) -> MutexGuard<'_, Vec<Http2Request>> {
    seen.lock()
        .expect("nothing panics while it holds the requests")
}
