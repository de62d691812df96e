//! The layer that makes a request unambiguous, or refuses it.
//!
//! It stands before routing: whatever is decided later, by route, limit or rewrite, is decided on input that has one
//! meaning. It owns what RFC 9110, 9112 and 9113 ask of an intermediary and what hyper leaves to its user:
//!
//! - one host, in `Host`, whether it came there, in an absolute target or in `:authority`;
//! - one path ([`canonical`]), in origin form;
//! - no field that concerned the client's connection alone, in either direction;
//! - no word of a stranger about who the client is: the client's address is found once, here, because limits need it;
//! - no request that has been here before.
//!
//! Every exchange has its trace, client and words noted before the first refusal, so that a refused one is seen as well
//! as any other. `Forwarded` further down only writes: a forwarding field that is still there when it comes is to be
//! believed. `docs/requests.md` lists what is refused, what is changed, and what hyper decides before we see it.
//!
//! The fields are gone through once ([`fields`]), and only what was seen is touched. Fields of a fixed list taken out by
//! name, one look-up each, was what stood in many proxies before, and costs more than all of this.

use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use ipnet::IpNet;
use tower::Service;
use tracing::trace;

use super::canonical::canonical;
use super::forwarded::{X_REQUEST_ID, address};
use super::refused::OrRefused;
use crate::config::{Listener, TraceContext};
use crate::exchange::{
    Exchange, Fault, KnownMethod, Outcome, Request, Response, Serve, Text, TracePlace, TunnelKind,
    Words,
};

use crate::telemetry::trace::Traces;

mod fields;
pub mod host;
mod judge;
mod wish;

use fields::Kind;
use judge::{Counts, Seen, Verdict, judge};

/// Gives an exchange its place in a trace. `telemetry::trace` does; the layer says whose context is followed.
pub trait PlaceTrace {
    /// Takes the trace context out of the fields. It is the parent where it is followed, else a link.
    fn place(&self, headers: &mut HeaderMap, follow: bool) -> TracePlace;
}

impl PlaceTrace for Rc<Traces> {
    fn place(&self, headers: &mut HeaderMap, follow: bool) -> TracePlace {
        // Who may ask for a trace has their context followed, so that it is the trace that they know of; their baggage is
        // the listener's matter all the same.
        let is_forced = self.is_forced(headers, follow);
        if is_forced && !follow {
            self.drop_baggage(headers);
        }
        let mut place = Traces::place(self, headers, follow || is_forced);
        if is_forced {
            place.force();
        }
        place
    }
}

/// Makes requests unambiguous, or refuses them.
#[derive(Clone, Debug)]
pub struct Sanitize<S, T> {
    inner: S,
    rules: Rc<[ListenerRules]>,
    trace: T,
    /// The name by which this process calls itself in `Via`.
    pseudonym: Rc<str>,
}

/// What a listener's configuration says about its requests.
#[derive(Clone, Debug)]
pub struct ListenerRules {
    trusted: Box<[IpNet]>,
    trace_context: TraceContext,
    request_id: bool,
    /// The longest request target, in bytes.
    uri: usize,
    /// The most field lines.
    headers: usize,
}

// === impl ListenerRules ===

impl ListenerRules {
    /// Those of a listener.
    #[must_use]
    pub fn new(listener: &Listener) -> Self {
        Self {
            trusted: listener.trusted_proxies.as_slice().into(),
            trace_context: listener.trace_context,
            request_id: listener.request_id,
            uri: listener.limits.uri.as_usize(),
            headers: listener.limits.headers,
        }
    }

    /// Whether the trace context that a request brings is followed. Shared address space counts as foreign:
    /// [`address::is_private`].
    fn follows(&self, is_trusted: bool, client: IpAddr) -> bool {
        match self.trace_context {
            TraceContext::Trusted => is_trusted,
            TraceContext::Private => is_trusted || address::is_private(client),
            TraceContext::All => true,
            TraceContext::None => false,
        }
    }
}

// === impl Sanitize ===

impl<S, T: PlaceTrace> Sanitize<S, T> {
    /// Sanitizes by the rules of each listener, in the plan's order. `pseudonym` is one token, unique to this process.
    #[must_use]
    pub fn new(inner: S, rules: Rc<[ListenerRules]>, trace: T, pseudonym: Rc<str>) -> Self {
        Self {
            inner,
            rules,
            trace,
            pseudonym,
        }
    }

    fn clean(&self, request: &mut Request) -> Result<(), Fault> {
        let Request { head, exchange, .. } = request;
        let rules = self
            .rules
            .get(usize::from(exchange.connection().listener))
            .ok_or(Fault::new(
                Outcome::ProxyInternalError,
                "the listener has no rules",
            ))?;
        let seen = Seen::of(&head.headers, head.version);
        let peer = exchange.connection().peer().ip().to_canonical();
        let is_trusted = address::is_in(&rules.trusted, peer);
        let mut client = peer;
        if is_trusted && seen.counts.has_forwarding {
            client = address::client(&head.headers, peer, &rules.trusted);
            exchange.note_client(client);
        }
        let path = match head.uri.path_and_query() {
            Some(target) => canonical(target),
            None => Ok(None), // CONNECT's
        };
        let id = seen.request_id.filter(|_| rules.request_id);
        note_words(exchange, head, &seen, &path, id);
        let verdict = judge(head, &seen, rules, &self.pseudonym, path);
        let mut counts = seen.counts;
        counts.has_broken_id = rules.request_id && counts.request_ids > 0 && id.is_none();
        let follow = rules.follows(is_trusted, client);
        let mut place = self.trace.place(&mut head.headers, follow);
        if let Some(parent) = exchange.connection().xray() {
            place.look_through(parent);
        }
        trace!(%client, is_trusted, follow, trace_id = %place.trace_id, "who asks, and in which trace");
        exchange.note_trace(place);
        let verdict = verdict?;
        trace!(method = %head.method, path = head.uri.path(), "the request has one meaning");
        if let Some(kind) = verdict.wish {
            exchange.note_wish(kind);
        }
        apply(head, counts, verdict, is_trusted);
        Ok(())
    }
}

impl<S: Serve, T: PlaceTrace> Service<Request> for Sanitize<S, T> {
    type Response = Response;
    type Error = Fault;
    type Future = SanitizeFuture<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let inner = match self.clean(&mut request) {
            Ok(()) => OrRefused::passed(self.inner.call(request)),
            Err(fault) => OrRefused::refused(fault),
        };
        SanitizeFuture { inner }
    }
}

pin_project_lite::pin_project! {
    /// The response, without what concerned the upstream's connection; or the refusal.
    #[derive(Debug)]
    pub struct SanitizeFuture<F> {
        #[pin]
        inner: OrRefused<F>,
    }
}

impl<F: Future<Output = Result<Response, Fault>>> Future for SanitizeFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().inner.poll(cx).map_ok(|mut response| {
            clean_response(response.headers_mut());
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                say_upgrade(response.headers_mut());
            }
            response
        })
    }
}

// === on the way in ===

/// The client's words, as far as they can be told: a refused request has its own noted too.
fn note_words(
    exchange: &Exchange,
    head: &Parts,
    seen: &Seen<'_>,
    path: &Result<Option<PathAndQuery>, Fault>,
    request_id: Option<&str>,
) {
    let path = match path {
        Ok(Some(changed)) => Some(changed),
        _ => head.uri.path_and_query(),
    };
    // Credentials before an `@` are nobody's to read.
    let authority = head.uri.authority().map(Authority::as_str);
    let authority = authority.and_then(|text| text.rsplit('@').next());
    let is_other = KnownMethod::of(&head.method) == KnownMethod::Other;
    exchange.note_words(Text::new(&Words {
        host: authority.or_else(|| text(seen.host)).unwrap_or_default(),
        path: path.map(PathAndQuery::path).unwrap_or_default(),
        query: path.and_then(PathAndQuery::query).unwrap_or_default(),
        user_agent: text(seen.user_agent).unwrap_or_default(),
        request_id: request_id.unwrap_or_default(),
        method: if is_other { head.method.as_str() } else { "" },
    }));
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    std::str::from_utf8(value?.as_bytes()).ok()
}

/// Makes of the head what goes on.
fn apply(head: &mut Parts, counts: Counts, verdict: Verdict, is_trusted: bool) {
    let headers = &mut head.headers;
    if counts.has_space {
        fields::trim(headers);
    }
    if counts.connections > 0 {
        fields::remove_connection(headers);
    }
    counts.hop.remove(headers);
    if counts.tes > 0 {
        if verdict.takes_trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        } else {
            headers.remove(header::TE);
        }
    }
    if counts.codings > 0 {
        headers.remove(header::TRANSFER_ENCODING);
    }
    if counts.expects > 0 {
        headers.remove(header::EXPECT);
    }
    if counts.cookies > 1 && head.version == Version::HTTP_2 {
        fields::join(headers, header::COOKIE, b"; ");
    }
    if counts.has_padded_length {
        fields::unpad_length(headers);
    }
    if counts.has_broken_id {
        headers.remove(&X_REQUEST_ID);
    }
    if counts.has_never || counts.has_forwarding && !is_trusted {
        fields::remove_kinds(headers, |kind| {
            kind == Kind::Never || kind == Kind::Forwarding && !is_trusted
        });
    }
    if let Some(left) = verdict.max_forwards {
        headers.insert(header::MAX_FORWARDS, HeaderValue::from(left));
    }
    if let Some(host) = verdict.host {
        headers.insert(header::HOST, host);
    }
    if verdict.wish == Some(TunnelKind::WebSocket) {
        // A WebSocket is asked for with GET, as routes and retries know it, also where HTTP/2 says it otherwise.
        head.method = Method::GET;
    }
    if verdict.path.is_some() || head.uri.authority().is_some() {
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = verdict.path.or_else(|| head.uri.path_and_query().cloned());
        head.uri = Uri::from_parts(parts).unwrap_or_default();
    }
}

// === on the way back ===

/// That the client's connection is a WebSocket from now on: the only thing that it can have become (RFC 9110 §7.8).
#[cold]
fn say_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Takes out what concerned the upstream's connection, and a length beside a transfer coding: the coding has decided
/// (RFC 9112 §6.3), and hyper's server would not send both.
fn clean_response(headers: &mut HeaderMap) {
    let (mut hop, mut has_connection, mut has_te, mut has_coding) =
        (fields::HopSet::default(), false, false, false);
    for name in headers.keys() {
        match fields::kind(name.as_str()) {
            Kind::Connection => has_connection = true,
            Kind::Te => has_te = true,
            Kind::TransferEncoding => has_coding = true,
            Kind::Hop(field) => hop.add(field),
            _ => {}
        }
    }
    if has_connection {
        fields::remove_connection(headers);
    }
    hop.remove(headers);
    if has_te {
        headers.remove(header::TE);
    }
    if has_coding {
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
    }
}

#[cfg(test)]
mod tests;
