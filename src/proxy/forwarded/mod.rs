//! The layer that tells the upstream who called: `X-Forwarded-For`, `-Proto` and `-Host`, `Forwarded` (RFC 7239), `Via`
//! (RFC 9110 §7.6.3) and `X-Request-Id`.
//!
//! It stands above `Retry`, since it says the same for every attempt, and it only writes: `Sanitize` has taken out what
//! strangers said, so what is still there comes from a trusted proxy and is added to (the lists) or left as it is (the
//! scheme and the host of the first hop). The host is the one that the client asked for, as the exchange has noted it,
//! also where `Rewrite` sends another one upstream.
//!
//! A `Forwarded` line that breaks its grammar is left out: added to it, our element could be read as a part of the break.
//! A client that has shown a certificate is told of too ([`client_certificate`]).
//!
//! All new values are written into one buffer and cut out of it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use http::header::{Entry, FORWARDED, VIA};
use http::{HeaderMap, HeaderName, HeaderValue};
use tower::Service;
use tracing::trace;

use crate::config::Listener;
use crate::exchange::{Exchange, Fault, Protocol, Request, Response, Serve};

pub mod address;
mod client_certificate;

use address::is_whole;

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
        let peer = connection.peer().ip().to_canonical();
        let proto = if connection.is_tls() { "https" } else { "http" };
        let gives_id = self.gives_id.get(usize::from(connection.listener));
        headers.reserve(6);
        let mut buffer = BytesMut::with_capacity(256);
        let mut address = AddressText::default();
        address.write(peer);
        let address = address.text();

        let any = |_: &HeaderValue| true;
        append(headers, &X_FORWARDED_FOR, any, &mut buffer, |buffer| {
            buffer.extend_from_slice(address);
        });
        headers
            .entry(&X_FORWARDED_PROTO)
            .or_insert(HeaderValue::from_static(proto));
        exchange.with_text(|text| {
            let host = text.words().host;
            if !host.is_empty()
                && let Entry::Vacant(place) = headers.entry(&X_FORWARDED_HOST)
            {
                buffer.extend_from_slice(host.as_bytes());
                if let Some(value) = cut(&mut buffer) {
                    place.insert(value);
                }
            }
            append(headers, &FORWARDED, is_whole, &mut buffer, |buffer| {
                write_forwarded(buffer, peer, address, host, proto);
            });
        });
        if let Some(tls) = connection.tls()
            && let Some(client) = &tls.client
        {
            client_certificate::write(headers, client);
        }
        let via = match exchange.protocol() {
            Protocol::Http10 => &self.via[0],
            Protocol::Http11 => &self.via[1],
            Protocol::Http2 => &self.via[2],
        };
        headers.append(VIA, via.clone());
        if gives_id == Some(&true)
            && let Entry::Vacant(place) = headers.entry(&X_REQUEST_ID)
        {
            exchange.with_trace(|trace| buffer.extend_from_slice(&trace.trace_id.hex()));
            if let Some(value) = cut(&mut buffer) {
                place.insert(value);
            }
        }
    }
}

/// Adds an element to the list that a field is, in one line. Of the lines that came those that are `kept` stay.
fn append(
    headers: &mut HeaderMap,
    name: &HeaderName,
    kept: impl Fn(&HeaderValue) -> bool,
    buffer: &mut BytesMut,
    element: impl FnOnce(&mut BytesMut),
) {
    match headers.entry(name) {
        Entry::Vacant(place) => {
            element(buffer);
            if let Some(value) = cut(buffer) {
                place.insert(value);
            }
        }
        Entry::Occupied(mut place) => {
            for line in place.iter().filter(|line| kept(line)) {
                buffer.extend_from_slice(line.as_bytes());
                buffer.extend_from_slice(b", ");
            }
            element(buffer);
            if let Some(value) = cut(buffer) {
                place.insert(value);
            }
        }
    }
}

/// What has been written, as a value of its own.
fn cut(buffer: &mut BytesMut) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(buffer.split().freeze()).ok()
}

/// The text of an address, written once and used twice.
struct AddressText {
    bytes: [u8; 48],
    length: usize,
}

impl Default for AddressText {
    fn default() -> Self {
        Self {
            bytes: [0; 48],
            length: 0,
        }
    }
}

impl AddressText {
    fn write(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => {
                let mut digits = itoa::Buffer::new();
                for (place, octet) in v4.octets().into_iter().enumerate() {
                    if place > 0 {
                        self.push(b".");
                    }
                    self.push(digits.format(octet).as_bytes());
                }
            }
            IpAddr::V6(v6) => {
                let _ = write!(self, "{v6}");
            }
        }
    }

    fn push(&mut self, text: &[u8]) {
        let end = self.length + text.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(text);
            self.length = end;
        }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl std::fmt::Write for AddressText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// `for=192.0.2.1;host=a.test;proto=http`; what is no token stands in quotes (RFC 7239 §4 and §6).
fn write_forwarded(buffer: &mut BytesMut, peer: IpAddr, address: &[u8], host: &str, proto: &str) {
    let (before, after): (&[u8], &[u8]) = match peer {
        IpAddr::V4(_) => (b"for=", b""),
        IpAddr::V6(_) => (b"for=\"[", b"]\""),
    };
    for part in [before, address, after] {
        buffer.extend_from_slice(part);
    }
    if !host.is_empty() {
        // A valid host has nothing that would need an escape within quotes.
        let quote = if host.contains([':', '[']) { "\"" } else { "" };
        for part in [";host=", quote, host, quote] {
            buffer.extend_from_slice(part.as_bytes());
        }
    }
    buffer.extend_from_slice(b";proto=");
    buffer.extend_from_slice(proto.as_bytes());
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
        trace!(client = %request.exchange.client(), "told upstream who the client is and what it asked for");
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests;
