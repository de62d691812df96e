//! A collector to test against: OTLP over gRPC and HTTP, as well or as badly behaved as a test wants.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::service::service_fn;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::config::OtlpProtocol;
use crate::telemetry::otlp::{Collector, Socket};

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mood {
    /// It takes all.
    Well,
    /// It takes all but so many.
    Rejects(i64),
    /// It refuses for good.
    Refuses,
    /// It never answers.
    Stalls,
    /// It hangs up on whoever connects.
    HangsUp,
    /// It hangs up on whoever has sent a request, and is well from then on.
    BreaksOff,
}

/// What it has seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) requests: Vec<ExportTraceServiceRequest>,
    pub(super) calls: usize,
    pub(super) hung_up: usize,
}

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    protocol: OtlpProtocol,
    mood: Arc<Mutex<Mood>>,
    seen: Arc<Mutex<Seen>>,
    /// Ends a connection.
    broken: Arc<Notify>,
}

struct Reply(VecDeque<Frame<Bytes>>);

#[derive(Clone, Copy)]
struct Spawn;

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, task: F) {
        tokio::spawn(task);
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().0.pop_front().map(Ok))
    }
}

impl Fake {
    pub(super) async fn start(protocol: OtlpProtocol, mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let fake = Self {
            address: listener.local_addr().expect("an address"),
            protocol,
            mood: Arc::new(Mutex::new(mood)),
            seen: Arc::default(),
            broken: Arc::default(),
        };
        let accepting = fake.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                if accepting.mood() == Mood::HangsUp {
                    accepting.seen(|seen| seen.hung_up += 1);
                } else {
                    tokio::spawn(accepting.clone().serve(socket));
                }
            }
        });
        fake
    }

    /// How to reach it.
    pub(super) fn collector(&self, timeout: Duration) -> Collector {
        let path = match self.protocol {
            OtlpProtocol::Grpc => "",
            OtlpProtocol::Http => "/v1/traces",
        };
        Collector {
            endpoint: format!("http://{}{path}", self.address),
            protocol: self.protocol,
            timeout,
        }
    }

    pub(super) fn turn(&self, mood: Mood) {
        *self.mood.lock().expect("no panic") = mood;
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().expect("no panic")
    }

    pub(super) fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().expect("no panic"))
    }

    /// All spans that it took.
    pub(super) fn spans(&self) -> Vec<Span> {
        let requests = self.seen(|seen| seen.requests.clone());
        let scopes = requests
            .into_iter()
            .flat_map(|request| request.resource_spans)
            .flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    async fn serve(self, socket: TcpStream) {
        let protocol = self.protocol;
        let broken = Arc::clone(&self.broken);
        let service = service_fn(move |request| self.clone().answer(request));
        let serve = async {
            let _ = match protocol {
                OtlpProtocol::Grpc => {
                    let server = hyper::server::conn::http2::Builder::new(Spawn);
                    server.serve_connection(Socket(socket), service).await
                }
                OtlpProtocol::Http => {
                    let server = hyper::server::conn::http1::Builder::new();
                    server.serve_connection(Socket(socket), service).await
                }
            };
        };
        tokio::select! {
            () = serve => {}
            () = broken.notified() => {}
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
        let is_grpc = self.protocol == OtlpProtocol::Grpc;
        assert_eq!(
            request.uri().path(),
            if is_grpc {
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
            } else {
                "/v1/traces"
            }
        );
        let body = read(request.into_body()).await;
        let message = if is_grpc { &body[5..] } else { &body[..] };
        let sent = ExportTraceServiceRequest::decode(message).expect("protobuf");
        self.seen(|seen| seen.calls += 1);
        let rejected = match self.mood() {
            Mood::Stalls => std::future::pending().await,
            Mood::Refuses => return Ok(self.refusal()),
            Mood::BreaksOff => {
                self.seen(|seen| seen.hung_up += 1);
                self.turn(Mood::Well);
                self.broken.notify_waiters();
                std::future::pending().await
            }
            Mood::Rejects(spans) => spans,
            Mood::Well | Mood::HangsUp => 0,
        };
        self.seen(|seen| {
            seen.requests.truncate(8); // measurements send without end
            seen.requests.push(sent);
        });
        let partial = (rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected,
            error_message: "too old".to_owned(),
        });
        let answer = ExportTraceServiceResponse {
            partial_success: partial,
        };
        Ok(self.reply(&answer.encode_to_vec()))
    }

    fn reply(&self, message: &[u8]) -> Response<Reply> {
        match self.protocol {
            OtlpProtocol::Http => Response::new(frames([Frame::data(message.to_vec().into())])),
            OtlpProtocol::Grpc => {
                let mut data = BytesMut::new();
                data.put_u8(0);
                data.put_u32(u32::try_from(message.len()).expect("small"));
                data.put_slice(message);
                let data = Frame::data(data.freeze());
                grpc(frames([data, Frame::trailers(status("0"))]))
            }
        }
    }

    fn refusal(&self) -> Response<Reply> {
        match self.protocol {
            OtlpProtocol::Grpc => grpc(frames([Frame::trailers(status("16"))])),
            OtlpProtocol::Http => {
                let mut refusal = Response::new(frames([]));
                *refusal.status_mut() = http::StatusCode::BAD_REQUEST;
                refusal
            }
        }
    }
}

fn frames<const N: usize>(frames: [Frame<Bytes>; N]) -> Reply {
    Reply(frames.into())
}

fn grpc(body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    response
}

fn status(code: &'static str) -> HeaderMap {
    let status = ("grpc-status".parse().expect("a name"), code.parse());
    HeaderMap::from_iter([(status.0, status.1.expect("a value"))])
}

async fn read(mut body: Incoming) -> Bytes {
    let mut all = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        all.extend_from_slice(&frame.expect("a frame").into_data().expect("data"));
    }
    all.freeze()
}
