//! The layer that tells the upstream who called: `X-Forwarded-For`, `-Proto` and `-Host`, `Forwarded` (RFC 7239), `Via`
//! (RFC 9110 §7.6.3) and `X-Request-Id`.
//!
//! It stands above `Retry`, since it says the same for every attempt, and it only writes: `Sanitize` has taken out what
//! strangers said, so what is still there comes from a trusted proxy and is added to (the lists) or left as it is (the
//! scheme and the host of the first hop). The host is the one that the client asked for, as the exchange has noted it,
//! also where `Rewrite` sends another one upstream.
//!
//! All new values are written into one buffer and cut out of it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use http::header::{FORWARDED, VIA};
use http::{HeaderMap, HeaderName, HeaderValue};
use tower::Service;

use crate::config::Listener;
use crate::exchange::{Exchange, Fault, Protocol, Request, Response, Serve};

pub mod address;

/// `X-Forwarded-For`: the addresses that the request has come from, the last at the right.
pub static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`: the scheme that the client used.
pub static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`: the host that the client asked for.
pub static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// `X-Request-Id`: the client's, else the trace id.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Tells the upstream who called.
#[derive(Clone, Debug)]
pub struct Forwarded<S> {
    inner: S,
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Whether each listener, in the plan's order, gives requests an id.
    gives_id: Box<[bool]>,
    /// `Via` as it is for HTTP/1.0, 1.1 and 2.
    via: [HeaderValue; 3],
}

// === impl Forwarded ===

impl<S> Forwarded<S> {
    /// Signs as `pseudonym`, which is one token (else as `sightglass`).
    #[must_use]
    pub fn new(inner: S, listeners: &[Listener], pseudonym: &str) -> Self {
        let via = |protocol: Protocol| {
            let version = protocol.as_str();
            HeaderValue::from_str(&format!("{version} {pseudonym}"))
                .unwrap_or(HeaderValue::from_static("1.1 sightglass"))
        };
        Self {
            inner,
            shared: Rc::new(Shared {
                gives_id: listeners.iter().map(|it| it.request_id).collect(),
                via: [
                    via(Protocol::Http10),
                    via(Protocol::Http11),
                    via(Protocol::Http2),
                ],
            }),
        }
    }
}

impl Shared {
    fn write(&self, headers: &mut HeaderMap, exchange: &Exchange) {
        let connection = exchange.connection();
        let peer = connection.peer.ip().to_canonical();
        let proto = if connection.is_tls { "https" } else { "http" };
        let gives_id = self.gives_id.get(usize::from(connection.listener));
        headers.reserve(6);
        let mut buffer = BytesMut::with_capacity(256);

        append(headers, &X_FORWARDED_FOR, &mut buffer, |buffer| {
            let _ = write!(buffer, "{peer}");
        });
        headers
            .entry(&X_FORWARDED_PROTO)
            .or_insert(HeaderValue::from_static(proto));
        exchange.with_text(|text| {
            let host = text.words().host;
            if !host.is_empty() && !headers.contains_key(&X_FORWARDED_HOST) {
                buffer.extend_from_slice(host.as_bytes());
                insert(headers, &X_FORWARDED_HOST, &mut buffer);
            }
            append(headers, &FORWARDED, &mut buffer, |buffer| {
                write_forwarded(buffer, peer, host, proto);
            });
        });
        let via = match exchange.protocol() {
            Protocol::Http10 => &self.via[0],
            Protocol::Http11 => &self.via[1],
            Protocol::Http2 => &self.via[2],
        };
        headers.append(VIA, via.clone());
        if gives_id == Some(&true) && !headers.contains_key(&X_REQUEST_ID) {
            exchange.with_trace(|trace| buffer.extend_from_slice(&trace.trace_id.hex()));
            insert(headers, &X_REQUEST_ID, &mut buffer);
        }
    }
}

/// Adds an element to the list that a field is, in one line.
fn append(
    headers: &mut HeaderMap,
    name: &HeaderName,
    buffer: &mut BytesMut,
    element: impl FnOnce(&mut BytesMut),
) {
    for line in headers.get_all(name) {
        buffer.extend_from_slice(line.as_bytes());
        buffer.extend_from_slice(b", ");
    }
    element(buffer);
    insert(headers, name, buffer);
}

/// Makes a field of what has been written.
fn insert(headers: &mut HeaderMap, name: &HeaderName, buffer: &mut BytesMut) {
    if let Ok(value) = HeaderValue::from_maybe_shared(buffer.split().freeze()) {
        headers.insert(name, value);
    }
}

/// `for=192.0.2.1;host=a.test;proto=http`; what is no token stands in quotes (RFC 7239 §4 and §6).
fn write_forwarded(buffer: &mut BytesMut, peer: IpAddr, host: &str, proto: &str) {
    let _ = match peer {
        IpAddr::V4(v4) => write!(buffer, "for={v4}"),
        IpAddr::V6(v6) => write!(buffer, "for=\"[{v6}]\""),
    };
    if !host.is_empty() {
        // A valid host has nothing that would need an escape within quotes.
        let quote = if host.contains([':', '[']) { "\"" } else { "" };
        let _ = write!(buffer, ";host={quote}{host}{quote}");
    }
    let _ = write!(buffer, ";proto={proto}");
}

impl<S: Serve> Service<Request> for Forwarded<S> {
    type Response = Response;
    type Error = Fault;
    type Future = S::Future;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        self.shared
            .write(&mut request.head.headers, &request.exchange);
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests;
