//! A collector of OTLP traces that can be told to misbehave.
//!
//! One port takes both wires, told apart by their first bytes: gRPC (h2c, `TraceService/Export`) and HTTP/protobuf
//! (`POST /v1/traces`). Written by hand on h2 and the rig's own HTTP/1.1 reader, because refusing, stalling and closing are
//! its work, and a tonic server would hide them. It stores only what it acknowledges: what it rejects is not in
//! [`Collector::spans`]. Metrics and logs are not taken.

mod span;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;

use super::http2::{read_body, small_runtime};
use super::port::{Arrival, Port};
use super::upstream::reply;
use super::wait_until;
use super::wire::{Head, Keep, Wire};

pub(crate) use span::{Kind, Link, Span, SpanEvent, SpanStatus};

const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const HTTP_PATH: &str = "/v1/traces";

/// gRPC status codes, and the answers of OTLP/HTTP that mean the same.
const OK: Verdict = Verdict {
    grpc: "0",
    http: 200,
};
const UNAVAILABLE: Verdict = Verdict {
    grpc: "14",
    http: 503,
};
const INVALID: Verdict = Verdict {
    grpc: "3",
    http: 400,
};
const UNIMPLEMENTED: Verdict = Verdict {
    grpc: "12",
    http: 404,
};

/// A collector on a free port of 127.0.0.1.
pub(crate) struct Collector {
    port: Port,
    shared: Arc<Shared>,
}

/// What it does with an export from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Accept,
    /// UNAVAILABLE, or 503.
    Refuse,
    /// INVALID_ARGUMENT, or 400: a client must not try again.
    RefuseForGood,
    /// Never answers.
    Stall,
    /// Takes all, a tenth of a second later.
    Slow,
    /// Accepts the first half of each export and rejects the rest with a partial success.
    RejectHalf,
}

#[derive(Default)]
struct Shared {
    mode: Mutex<Mode>,
    spans: Mutex<Vec<Span>>,
    exports: AtomicUsize,
    refused: AtomicUsize,
    rejected: AtomicUsize,
    stalled: AtomicUsize,
    headers: Mutex<Vec<(String, String)>>,
}

#[derive(Clone, Copy)]
struct Verdict {
    grpc: &'static str,
    http: u16,
}

// === impl Collector ===

impl Collector {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        // A connection that breaks is the exporter's to notice.
        let port = Port::open(move |arrival| drop(serve(&arrival, &served)));
        Self { port, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// What `otlp.endpoint` wants, for both protocols.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// From the next export on.
    pub(crate) fn set(&self, mode: Mode) {
        *self
            .shared
            .mode
            .lock()
            .expect("nothing panics while it holds the mode") = mode;
    }

    /// Closes the port and every connection: the collector is down.
    pub(crate) fn stop(&self) {
        self.port.shut();
    }

    /// Listens again on the same port.
    pub(crate) fn restart(&self) {
        self.port.reopen();
    }

    /// Every span acknowledged so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.shared.spans().clone()
    }

    /// The spans of one trace, in the order they came.
    pub(crate) fn trace(&self, trace_id: &str) -> Vec<Span> {
        self.shared
            .spans()
            .iter()
            .filter(|span| span.trace_id == trace_id)
            .cloned()
            .collect()
    }

    /// The spans of one kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> Vec<Span> {
        self.shared
            .spans()
            .iter()
            .filter(|span| span.kind == kind)
            .cloned()
            .collect()
    }

    /// The SERVER spans of exchanges; the proxy's own work (admin calls, probes) has spans too, which are none.
    pub(crate) fn exchanges(&self) -> Vec<Span> {
        let mut spans = self.of_kind(Kind::Server);
        spans.retain(|span| span.attributes.contains_key("sightglass.outcome"));
        spans
    }

    /// The CLIENT spans of attempts.
    pub(crate) fn attempts(&self) -> Vec<Span> {
        let mut spans = self.of_kind(Kind::Client);
        spans.retain(|span| span.attributes.contains_key("sightglass.attempt"));
        spans
    }

    /// Waits until at least this many spans of a kind have come.
    pub(crate) fn wait_for(&self, kind: Kind, count: usize) -> Vec<Span> {
        wait_until(&format!("{count} {kind:?} spans"), || {
            self.of_kind(kind).len() >= count
        });
        self.of_kind(kind)
    }

    /// Export calls that came, whatever became of them.
    pub(crate) fn exports(&self) -> usize {
        self.shared.exports.load(Ordering::SeqCst)
    }

    /// Spans of exports that were refused; a retried export counts again.
    pub(crate) fn refused_spans(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Spans rejected by partial successes.
    pub(crate) fn rejected_spans(&self) -> usize {
        self.shared.rejected.load(Ordering::SeqCst)
    }

    /// Exports that wait for an answer which never comes.
    pub(crate) fn stalled_exports(&self) -> usize {
        self.shared.stalled.load(Ordering::SeqCst)
    }

    /// Header fields of the last export: for `OTEL_EXPORTER_OTLP_HEADERS`.
    pub(crate) fn last_headers(&self) -> Vec<(String, String)> {
        self.shared
            .headers
            .lock()
            .expect("nothing panics while it holds the headers")
            .clone()
    }
}

// === impl Shared ===

impl Shared {
    fn spans(&self) -> MutexGuard<'_, Vec<Span>> {
        self.spans
            .lock()
            .expect("nothing panics while it holds the spans")
    }

    fn note_headers(&self, headers: Vec<(String, String)>) {
        *self
            .headers
            .lock()
            .expect("nothing panics while it holds the headers") = headers;
    }

    /// Judges an export and stores what is accepted; none where it shall never be answered.
    fn take(&self, message: &[u8]) -> Option<(Verdict, ExportTraceServiceResponse)> {
        self.exports.fetch_add(1, Ordering::SeqCst);
        let nothing = ExportTraceServiceResponse::default();
        let Ok(request) = ExportTraceServiceRequest::decode(message) else {
            return Some((INVALID, nothing));
        };
        let mut spans = span::flatten(request);
        let mode = *self
            .mode
            .lock()
            .expect("nothing panics while it holds the mode");
        match mode {
            Mode::Accept => {}
            // It holds up its own connection alone, over which exports come one by one.
            Mode::Slow => std::thread::sleep(Duration::from_millis(100)),
            Mode::Refuse | Mode::RefuseForGood => {
                self.refused.fetch_add(spans.len(), Ordering::SeqCst);
                return Some((
                    if mode == Mode::Refuse {
                        UNAVAILABLE
                    } else {
                        INVALID
                    },
                    nothing,
                ));
            }
            Mode::Stall => {
                self.stalled.fetch_add(1, Ordering::SeqCst);
                return None;
            }
            Mode::RejectHalf => {
                let rejected = spans.split_off(spans.len().div_ceil(2)).len();
                self.rejected.fetch_add(rejected, Ordering::SeqCst);
                self.spans().append(&mut spans);
                let rejected_spans =
                    i64::try_from(rejected).expect("an export has fewer spans than that");
                let error_message = "half is enough".to_owned();
                let partial_success = Some(ExportTracePartialSuccess {
                    rejected_spans,
                    error_message,
                });
                return Some((OK, ExportTraceServiceResponse { partial_success }));
            }
        }
        self.spans().append(&mut spans);
        Some((OK, nothing))
    }
}

fn serve(arrival: &Arrival, shared: &Arc<Shared>) -> Result<(), Box<dyn std::error::Error>> {
    let mut first = [0; 2];
    while arrival.stream.peek(&mut first)? == 1 {
        std::thread::sleep(Duration::from_millis(1));
    }
    // The preface of HTTP/2 begins like no method of HTTP/1.1 that is used here (RFC 9113 §3.4).
    if &first == b"PR" {
        small_runtime().block_on(serve_grpc(arrival, shared))
    } else {
        Ok(serve_http(arrival, shared)?)
    }
}

fn serve_http(arrival: &Arrival, shared: &Shared) -> io::Result<()> {
    let mut wire = Wire::new(Arc::clone(&arrival.stream));
    while let Some(head) = wire.read_head()? {
        let body = wire.read_body(head.request_framing(), Keep::Bytes)?;
        shared.note_headers(
            head.headers
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        );
        let answer = if is_export(&head) {
            shared.take(&body.bytes)
        } else {
            Some((UNIMPLEMENTED, Default::default()))
        };
        let Some((verdict, message)) = answer else {
            wire.read_to_end()?;
            return Ok(());
        };
        wire.send(&reply(
            verdict.http,
            &[("content-type", "application/x-protobuf")],
            message.encode_to_vec(),
        ))?;
    }
    Ok(())
}

fn is_export(head: &Head) -> bool {
    head.word(0) == "POST"
        && head.word(1) == HTTP_PATH
        && head.headers.get("content-type") == Some("application/x-protobuf")
}

async fn serve_grpc(
    arrival: &Arrival,
    shared: &Arc<Shared>,
) -> Result<(), Box<dyn std::error::Error>> {
    let stream = arrival.stream.try_clone()?;
    stream.set_nonblocking(true)?;
    let mut connection = h2::server::handshake(tokio::net::TcpStream::from_std(stream)?).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            // A call that breaks is the exporter's to notice.
            answer_grpc(&shared, request, respond).await.ok();
        });
    }
    Ok(())
}

async fn answer_grpc(
    shared: &Shared,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let mut bytes = BytesMut::new();
    read_body(&mut body, &mut bytes).await?;
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    shared.note_headers(
        head.headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
    );
    // The frame of gRPC: one byte that says whether it is compressed, four that say how long it is.
    let answer = match bytes.split_at_checked(5) {
        Some(([0, length @ ..], message)) if head.uri.path() == GRPC_PATH => {
            let is_whole = length
                == u32::try_from(message.len())
                    .unwrap_or(u32::MAX)
                    .to_be_bytes();
            if is_whole {
                shared.take(message)
            } else {
                Some((INVALID, Default::default()))
            }
        }
        _ => Some((UNIMPLEMENTED, Default::default())),
    };
    let Some((verdict, message)) = answer else {
        std::future::poll_fn(|context| respond.poll_reset(context)).await?;
        return Ok(());
    };
    let status = http::HeaderValue::from_static(verdict.grpc);
    let mut head = Response::new(());
    head.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/grpc"),
    );
    if verdict.grpc != OK.grpc {
        head.headers_mut().insert("grpc-status", status);
        respond.send_response(head, true)?;
        return Ok(());
    }
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(framed(&message), false)?;
    stream.send_trailers(HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        status,
    )]))
}

fn framed(message: &ExportTraceServiceResponse) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).expect("an answer is short");
    let mut bytes = BytesMut::from(&[0][..]);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&message);
    bytes.freeze()
}
