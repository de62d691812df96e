//! One client's connection, from its first byte to its last: hyper does the protocol, this says when it ends.

use std::error::Error as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tracing::trace;

use super::clients::Place;
use super::frames::WatchedIo;
use super::handshake::{Failed, shake_hands};
use super::io::{ClientIo, Left, Wire, linger};
use super::proxy_protocol::{self, Header, ReadError};
use super::rest::rest;
use super::sniff::{Opening, opening};
use super::tunnel::{Answering, Switched, carry_on};
use super::worker::{ListenerParts, Worker};
use crate::config;
use crate::exchange::{Activity, Arrival, Connection, Cut, StreamsOnThisWorker};
use crate::telemetry::{Event, ObservedBody, emit};

/// hyper's own default; setting it costs an allocation a request.
const HYPER_HEADERS: usize = 100;

/// hyper's two kinds of connection, as far as this file is concerned.
trait Conversation: Future<Output = Result<(), hyper::Error>> {
    /// Takes no further requests.
    fn wind_down(self: Pin<&mut Self>);
}

/// How driving a connection ended.
enum Ended {
    /// It is over; with the `reason` label where it ended badly.
    Over(Option<&'static str>),
    /// It idles, and may be put away.
    Rests,
}

/// Hands each request of one connection to the worker's stack.
#[derive(Clone)]
struct ToStack {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    switched: Switched,
}

/// Serves a connection to its end, and tells if that was a bad one.
pub(super) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    connection: Rc<Connection>,
    parts: Rc<ListenerParts>,
) {
    let left = Left::default();
    let mut place = None; // among its client's connections, until the end
    let ended = match open(stream, &connection, (&worker, &parts), (&left, &mut place)).await {
        Ok(Some((wire, opening))) => {
            let io = ClientIo::new(wire, Rc::clone(&connection), left.clone());
            let ended = converse(worker, io, opening, &connection, &parts.plan).await;
            ended.map(Failed::from)
        }
        Ok(None) => None,
        Err(failed) => Some(failed),
    };
    if let Some(Failed { reason, why }) = ended {
        parts.meters.error(reason).count();
        emit(Event::ConnectionFailed {
            listener: parts.plan.name.clone(),
            peer: connection.peer(),
            reason,
            why,
        });
    }
    if connection.refused() > 0 {
        parts
            .meters
            .error("http2_refused_stream")
            .add(connection.refused());
    }
    if let Some(stream) = left.take() {
        until_cut(&connection, linger(stream)).await;
    }
}

/// All that comes before the first request: a PROXY header, a TLS handshake, the choice of a protocol. `None` where the
/// client said nothing, or was cut for no fault of its own.
async fn open(
    mut stream: TcpStream,
    connection: &Rc<Connection>,
    (worker, parts): (&Worker, &ListenerParts),
    (left, place): (&Left, &mut Option<Place>),
) -> Result<Option<(Wire, Opening)>, Failed> {
    let plan = &parts.plan;
    if connection.xray().is_some() {
        trace!(listener = %plan.name, client = %connection.peer(), "a connection of the look's own");
        return Ok(Some((Wire::Clear(stream), Opening::Http1)));
    }
    if plan.proxy_protocol || parts.tls.is_some() {
        connection.begin_opening();
    }
    if plan.proxy_protocol {
        let reading = proxy_protocol::read(&mut stream, connection);
        match until_cut(connection, Box::pin(reading)).await {
            Some(Ok(Header::Local)) => {}
            Some(Ok(Header::Proxied {
                source,
                destination,
            })) => connection.note_proxied(source, destination),
            // A balancer that looks whether the port is there says nothing and goes.
            Some(Err(ReadError::Nothing)) => return Ok(None),
            Some(Err(error)) => {
                return Err(Failed {
                    reason: "proxy_protocol",
                    why: error.to_string(),
                });
            }
            None => return late(connection, "proxy_protocol"),
        }
        *place = worker.enter(parts, connection.listener, connection.peer())?;
    }
    let opened = if let Some(tls) = &parts.tls {
        let shaking = shake_hands(stream, connection, (tls, parts), left);
        match until_cut(connection, Box::pin(shaking)).await {
            Some(Ok(None)) => return Ok(None),
            Some(Ok(Some(session))) => {
                let is_http2 = match session.get_ref().1.alpn_protocol() {
                    Some(agreed) => agreed == b"h2",
                    None => !plan.http1, // a client that says nothing means HTTP/1.1 (RFC 7301, RFC 9113 §3.2)
                };
                let opening = if is_http2 {
                    Opening::Http2
                } else {
                    Opening::Http1
                };
                (Wire::Tls(session), opening)
            }
            Some(Err(failed)) => return Err(failed),
            None => return late(connection, "tls_timeout"),
        }
    } else {
        connection.end_opening();
        let opening = match (plan.http1, plan.http2) {
            (true, false) => Opening::Http1,
            (false, true) => Opening::Http2,
            _ => match until_cut(connection, opening(&stream, connection)).await {
                Some(Ok(Opening::Closed)) => return Ok(None),
                Some(Ok(opening)) => opening,
                Some(Err(_)) => return Err(Failed::from("io")),
                None => return reason_of_cut(connection).map_or(Ok(None), |it| Err(it.into())),
            },
        };
        (Wire::Clear(stream), opening)
    };
    connection.end_opening();
    Ok(Some(opened))
}

/// Cut before the first request: since it took too long, or by the end of the process, which is nobody's fault.
fn late<T>(connection: &Connection, reason: &'static str) -> Result<Option<T>, Failed> {
    match connection.is_cut() {
        Some(Cut::HeadTimeout) => Err(reason.into()),
        _ => Ok(None),
    }
}

/// Speaks the client's protocol. Returns why the connection ended badly, if it did: the `reason` label.
async fn converse(
    worker: Rc<Worker>,
    io: ClientIo,
    opening: Opening,
    connection: &Rc<Connection>,
    plan: &config::Listener,
) -> Option<&'static str> {
    let service = ToStack {
        worker,
        connection: Rc::clone(connection),
        switched: Switched::default(),
    };
    let switched = service.switched.clone();
    let head = plan.limits.head.as_usize();
    match opening {
        Opening::Closed => None,
        Opening::Http1 => {
            let mut http = http1::Builder::new();
            http.header_read_timeout(None)
                .max_header_size(head)
                .max_buf_size(head.max(64 << 10));
            if plan.limits.headers != HYPER_HEADERS {
                http.max_headers(plan.limits.headers);
            }
            let (mut io, mut service) = (io, service);
            loop {
                // Boxed: most of its time a connection is none.
                let mut conversation = Box::new(http.serve_connection(TokioIo::new(io), service));
                let ended = drive(connection, Pin::new(&mut *conversation)).await;
                let Ended::Rests = ended else {
                    if let Some(tunnel) = switched.take() {
                        carry_on(connection, tunnel, conversation.into_parts()).await;
                    }
                    return ended.reason();
                };
                let parts = conversation.into_parts();
                io = parts.io.into_inner();
                io.put_back(parts.read_buf);
                service = parts.service;
                if !rest(connection, &mut io).await {
                    return reason_of_cut(connection);
                }
            }
        }
        Opening::Http2 => {
            connection.note_http2();
            let mut http = http2::Builder::new(StreamsOnThisWorker);
            http.enable_connect_protocol()
                .max_concurrent_streams(plan.limits.streams)
                .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
                // A client that takes nothing makes us hold this much for each of its streams: hyper's 400 KiB would be
                // 40 MB for one connection.
                .max_send_buf_size(64 << 10)
                .max_pending_accept_reset_streams(20)
                .max_local_error_reset_streams(Some(128));
            let io = TokioIo::new(WatchedIo::new(io, Rc::clone(connection)));
            let mut conversation = Box::pin(http.serve_connection(io, service));
            drive(connection, conversation.as_mut()).await.reason()
        }
    }
}

/// Drives a connection until it ends, is cut, or rests.
async fn drive(connection: &Connection, mut conversation: Pin<&mut impl Conversation>) -> Ended {
    let mut is_winding_down = false;
    let ended = poll_fn(|cx| {
        connection.driven_by(cx.waker());
        match connection.is_cut() {
            // Politely: HTTP/2 says GOAWAY, and a request that is on its way is still answered.
            Some(Cut::Drain | Cut::IdleTimeout) if !is_winding_down => {
                is_winding_down = true;
                conversation.as_mut().wind_down();
            }
            Some(Cut::Drain | Cut::IdleTimeout) | None => {}
            Some(_) => return Poll::Ready(Some(Ended::Over(reason_of_cut(connection)))),
        }
        match conversation.as_mut().poll(cx) {
            Poll::Pending if connection.takes_rest() => Poll::Ready(Some(Ended::Rests)),
            Poll::Pending => Poll::Pending,
            Poll::Ready(ended) => Poll::Ready(ended.err().map(|error| {
                if error.is_parse() {
                    connection.note_unread();
                }
                Ended::Over(reason_of(&error, connection))
            })),
        }
    });
    let ended = ended.await;
    if let Some(Cut::Flood(kind)) = connection.is_cut() {
        return Ended::Over(Some(kind.as_str())); // its IO failed for that reason
    }
    ended.unwrap_or(Ended::Over(None))
}

// === impl Ended ===

impl Ended {
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Over(reason) => reason,
            Self::Rests => None,
        }
    }
}

/// Waits for `work` unless the connection is cut first.
async fn until_cut<T>(connection: &Connection, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        connection.driven_by(cx.waker());
        if connection.is_cut().is_some() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

/// An idle connection that is closed is no error, nor is one at the end of the process.
fn reason_of_cut(connection: &Connection) -> Option<&'static str> {
    match connection.is_cut()? {
        Cut::HeadTimeout => Some("head_timeout"),
        Cut::WriteTimeout => Some("write_timeout"),
        Cut::Flood(kind) => Some(kind.as_str()),
        Cut::Total | Cut::IdleTimeout | Cut::Drain | Cut::Now => None,
    }
}

/// What hyper's error says of the connection, in a closed set of words. `None` where an exchange tells it already: a
/// client that goes away while it waits for its answer.
fn reason_of(error: &hyper::Error, connection: &Connection) -> Option<&'static str> {
    let is_told = connection.activity() == Activity::Busy;
    if error.is_parse_too_large() {
        return Some("head_too_large");
    }
    if error.is_parse() {
        return Some("malformed");
    }
    if error.is_incomplete_message() {
        return (!is_told).then_some("closed_early");
    }
    if error.is_user() || error.is_body_write_aborted() {
        return None;
    }
    let http2 = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>());
    match http2 {
        Some(error) if error.is_io() => (!is_told).then_some("io"),
        Some(error) if error.reason() == Some(h2::Reason::NO_ERROR) => None,
        Some(error) if error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) => Some("http2_abuse"),
        Some(_) => Some("http2_protocol"),
        None => (!is_told).then_some("io"),
    }
}

// === impl ToStack ===

impl hyper::service::Service<Request<Incoming>> for ToStack {
    type Response = http::Response<ObservedBody>;
    type Error = std::convert::Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let arrival = Arrival {
            request,
            connection: Rc::clone(&self.connection),
        };
        Answering::new(self.worker.call(arrival), self.switched.clone())
    }
}

impl Conversation for http1::Connection<TokioIo<ClientIo>, ToStack> {
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl Conversation
    for http2::Connection<TokioIo<WatchedIo<ClientIo>>, ToStack, StreamsOnThisWorker>
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{AttemptRequest, Record};

    /// What is moved or allocated for each request: growth here is paid by every one of them.
    #[test]
    fn what_a_request_moves_stays_small() {
        let sizes = [
            ("the way through the stack", size_of::<Answering>(), 700),
            ("a request", size_of::<crate::exchange::Request>(), 400),
            ("an attempt's request", size_of::<AttemptRequest>(), 400),
            ("a response", size_of::<crate::exchange::Response>(), 250),
            // A word for baggage that becomes attributes; what the balancer looked at stands in the attempt: two loads
            // cost less there than a box.
            ("a record", size_of::<Record>(), 576),
        ];
        for (what, size, limit) in sizes {
            println!("{what}: {size}");
            assert!(
                size <= limit,
                "{what} has grown to {size} bytes, more than {limit}"
            );
        }
    }
}
