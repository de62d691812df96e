//! A collector of OTLP traces, logs and metrics that can be told to misbehave.
//!
//! One port takes both wires, told apart by their first bytes: gRPC (h2c, `TraceService/Export` and `LogsService/Export`)
//! and HTTP/protobuf (`POST /v1/traces` and `/v1/logs`). Written by hand on h2 and the rig's own HTTP/1.1 reader, because refusing, stalling and closing are
//! its work, and a tonic server would hide them. It stores only what it acknowledges: what it rejects is not in
//! [`Collector::spans`], [`Collector::logs`] or [`Collector::points`].

mod log;
mod point;
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
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;

use super::http2::{read_body, small_runtime};
use super::port::{Arrival, Port};
use super::upstream::reply;
use super::wait_until;
use super::wire::{Head, Keep, Wire};

pub(crate) use log::Log;
pub(crate) use point::Point;
pub(crate) use span::{Kind, Link, Span, SpanEvent, SpanStatus};

const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const HTTP_PATH: &str = "/v1/traces";
const GRPC_LOGS_PATH: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const HTTP_LOGS_PATH: &str = "/v1/logs";
const METRICS_GRPC_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const METRICS_HTTP_PATH: &str = "/v1/metrics";

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
    logs: Mutex<Vec<Log>>,
    points: Mutex<Vec<Point>>,
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

    /// Every log acknowledged so far.
    pub(crate) fn logs(&self) -> Vec<Log> {
        self.shared.logs().clone()
    }

    /// The logs of exchanges among them; the others are events.
    pub(crate) fn exchange_logs(&self) -> Vec<Log> {
        let mut logs = self.logs();
        logs.retain(|log| log.event_name == "sightglass.exchange");
        logs
    }

    /// Every data point acknowledged so far.
    pub(crate) fn points(&self) -> Vec<Point> {
        let points = self.shared.points.lock();
        points
            .expect("nothing panics while it holds the points")
            .clone()
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

    fn logs(&self) -> MutexGuard<'_, Vec<Log>> {
        self.logs
            .lock()
            .expect("nothing panics while it holds the logs")
    }

    fn note_headers(&self, headers: Vec<(String, String)>) {
        *self
            .headers
            .lock()
            .expect("nothing panics while it holds the headers") = headers;
    }

    /// Judges an export of traces, logs or metrics and stores what is accepted, with the answer's bytes; none where it
    /// shall never be answered.
    fn take(&self, path: &str, message: &[u8]) -> Option<(Verdict, Vec<u8>)> {
        self.exports.fetch_add(1, Ordering::SeqCst);
        let error_message = "half is enough".to_owned();
        if [GRPC_LOGS_PATH, HTTP_LOGS_PATH].contains(&path) {
            let Ok(request) = ExportLogsServiceRequest::decode(message) else {
                return Some((INVALID, Vec::new()));
            };
            let (verdict, rejected) = self.judge(log::flatten(request), |mut logs| {
                self.logs().append(&mut logs);
            })?;
            let partial_success = rejected.map(|rejected_log_records| ExportLogsPartialSuccess {
                rejected_log_records,
                error_message,
            });
            let answer = ExportLogsServiceResponse { partial_success };
            return Some((verdict, answer.encode_to_vec()));
        }
        if [METRICS_GRPC_PATH, METRICS_HTTP_PATH].contains(&path) {
            let Ok(request) = ExportMetricsServiceRequest::decode(message) else {
                return Some((INVALID, Vec::new()));
            };
            let (verdict, rejected) = self.judge(point::flatten(request), |mut points| {
                let known = self.points.lock();
                known
                    .expect("nothing panics while it holds the points")
                    .append(&mut points);
            })?;
            let partial_success =
                rejected.map(|rejected_data_points| ExportMetricsPartialSuccess {
                    rejected_data_points,
                    error_message,
                });
            let answer = ExportMetricsServiceResponse { partial_success };
            return Some((verdict, answer.encode_to_vec()));
        }
        let Ok(request) = ExportTraceServiceRequest::decode(message) else {
            return Some((INVALID, Vec::new()));
        };
        let (verdict, rejected) = self.judge(span::flatten(request), |mut spans| {
            self.spans().append(&mut spans);
        })?;
        let partial_success = rejected.map(|rejected_spans| ExportTracePartialSuccess {
            rejected_spans,
            error_message,
        });
        let answer = ExportTraceServiceResponse { partial_success };
        Some((verdict, answer.encode_to_vec()))
    }

    /// What the mode makes of these: the verdict, and how many of a partial success are rejected.
    fn judge<T>(
        &self,
        mut items: Vec<T>,
        store: impl FnOnce(Vec<T>),
    ) -> Option<(Verdict, Option<i64>)> {
        let mode = *self
            .mode
            .lock()
            .expect("nothing panics while it holds the mode");
        match mode {
            Mode::Accept => {
                store(items);
                Some((OK, None))
            }
            // It holds up its own connection alone, over which exports come one by one.
            Mode::Slow => {
                std::thread::sleep(Duration::from_millis(100));
                store(items);
                Some((OK, None))
            }
            Mode::Refuse | Mode::RefuseForGood => {
                self.refused.fetch_add(items.len(), Ordering::SeqCst);
                let is_final = mode == Mode::RefuseForGood;
                Some((if is_final { INVALID } else { UNAVAILABLE }, None))
            }
            Mode::Stall => {
                self.stalled.fetch_add(1, Ordering::SeqCst);
                None
            }
            Mode::RejectHalf => {
                let rejected = items.split_off(items.len().div_ceil(2)).len();
                self.rejected.fetch_add(rejected, Ordering::SeqCst);
                store(items);
                let rejected =
                    i64::try_from(rejected).expect("an export has fewer items than that");
                Some((OK, Some(rejected)))
            }
        }
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
            shared.take(head.word(1), &body.bytes)
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
            message,
        ))?;
    }
    Ok(())
}

fn is_export(head: &Head) -> bool {
    head.word(0) == "POST"
        && [HTTP_PATH, HTTP_LOGS_PATH, METRICS_HTTP_PATH].contains(&head.word(1))
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
        Some(([0, length @ ..], message))
            if [GRPC_PATH, GRPC_LOGS_PATH, METRICS_GRPC_PATH].contains(&head.uri.path()) =>
        {
            let is_whole = length
                == u32::try_from(message.len())
                    .unwrap_or(u32::MAX)
                    .to_be_bytes();
            if is_whole {
                shared.take(head.uri.path(), message)
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

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("an answer is short");
    let mut bytes = BytesMut::from(&[0][..]);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(message);
    bytes.freeze()
}
