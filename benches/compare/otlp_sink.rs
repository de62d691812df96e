//! An OTLP collector that swallows: it answers every gRPC export with an empty success and keeps nothing but counts.
//!
//! It owns no telemetry and never refuses. It stands in `benches/compare` for the collector because a real one would
//! cost more CPU than the proxies that are measured beside it. Over gRPC only: that is what all of them speak.
//! `otlp_sink PORT` (0 picks one) says where it listens on stderr; `GET /count` answers with what came so far, so that
//! the comparison can tell whether a proxy that claims to export every request did.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type AnyError = Box<dyn Error>;

/// What came so far.
#[derive(Default)]
struct Counts {
    exports: Cell<u64>,
    spans: Cell<u64>,
    bytes: Cell<u64>,
    /// Messages that were compressed: their spans are not counted.
    compressed: Cell<u64>,
}

fn main() -> Result<(), AnyError> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(0), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(port))
}

async fn serve(port: u16) -> Result<(), AnyError> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    eprintln!("otlp_sink ready: {}", listener.local_addr()?);
    let counts = Rc::new(Counts::default());
    loop {
        let (stream, _) = listener.accept().await?;
        let counts = Rc::clone(&counts);
        tokio::task::spawn_local(async move {
            // A client that goes away in the middle is no fault of ours.
            let _ = connection(stream, counts).await;
        });
    }
}

/// HTTP/2 by prior knowledge, or the one question in HTTP/1.1.
async fn connection(mut stream: TcpStream, counts: Rc<Counts>) -> Result<(), AnyError> {
    let mut start = [0u8; 3];
    while stream.peek(&mut start).await? < start.len() {
        tokio::task::yield_now().await;
    }
    if &start == b"GET" {
        return count(&mut stream, &counts).await;
    }
    stream.set_nodelay(true)?;
    let mut connection = h2::server::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .handshake::<_, Bytes>(stream)
        .await?;
    while let Some(next) = connection.accept().await {
        let (request, respond) = next?;
        let counts = Rc::clone(&counts);
        tokio::task::spawn_local(async move {
            let _ = export(request, respond, counts).await;
        });
    }
    Ok(())
}

async fn export(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    counts: Rc<Counts>,
) -> Result<(), AnyError> {
    let mut body = request.into_body();
    let mut message = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        message.extend_from_slice(&chunk);
    }
    counts.exports.set(counts.exports.get() + 1);
    counts.bytes.set(counts.bytes.get() + message.len() as u64);
    match message.split_at_checked(5) {
        Some(([0, ..], request)) => counts.spans.set(counts.spans.get() + spans(request)),
        _ => counts.compressed.set(counts.compressed.get() + 1),
    }

    let head = Response::builder()
        .header("content-type", "application/grpc")
        .body(())?;
    let mut answer = respond.send_response(head, false)?;
    answer.send_data(Bytes::from_static(&[0; 5]), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    answer.send_trailers(trailers)?;
    Ok(())
}

async fn count(stream: &mut TcpStream, counts: &Counts) -> Result<(), AnyError> {
    let mut head = [0u8; 1024];
    let _ = stream.read(&mut head).await?;
    let body = format!(
        "{{\"exports\": {}, \"spans\": {}, \"bytes\": {}, \"compressed\": {}}}\n",
        counts.exports.get(),
        counts.spans.get(),
        counts.bytes.get(),
        counts.compressed.get()
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    Ok(())
}

/// Spans in an `ExportTraceServiceRequest`: `resource_spans` (1), in each `scope_spans` (2), in each `spans` (2).
fn spans(request: &[u8]) -> u64 {
    let in_scope = |scope: &[u8]| fields(scope, 2).count() as u64;
    let in_resource = |resource: &[u8]| fields(resource, 2).map(in_scope).sum::<u64>();
    fields(request, 1).map(in_resource).sum()
}

/// The length-delimited fields of a protobuf message that have this number; ends at the first that is malformed.
fn fields(mut message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let key = varint(&mut message)?;
            let value = match key & 7 {
                0 => {
                    varint(&mut message)?;
                    continue;
                }
                1 => take(&mut message, 8)?,
                2 => {
                    let length = usize::try_from(varint(&mut message)?).ok()?;
                    take(&mut message, length)?
                }
                5 => take(&mut message, 4)?,
                _ => return None,
            };
            if key == number << 3 | 2 {
                return Some(value);
            }
        }
    })
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(message, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'m>(message: &mut &'m [u8], length: usize) -> Option<&'m [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}
