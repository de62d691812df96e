//! What the targets share: a request made of text, and layers driven without a socket.
//!
//! A target's input is text wherever the parser's is, so that a corpus can be read and a finding can be typed in. All that
//! is asked of sightglass is public: no door stands open for fuzzing alone.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use sightglass::config::{self, Listener};
use sightglass::exchange::{
    Connection, Exchange, Fault, Outcome, Protocol, Request, RequestBody, Response, ResponseBody,
    TracePlace,
};
use sightglass::proxy::ListenerRules;
use sightglass::proxy::sanitize::{PlaceTrace, Sanitize};
use tower::Service;

/// A peer of whom nothing is believed.
pub const STRANGER: &str = "203.0.113.9:4000";
/// A peer in the listener's `trusted_proxies`.
pub const TRUSTED: &str = "10.0.0.1:4000";

/// The end of a stack: keeps the head that came through.
#[derive(Clone, Debug, Default)]
pub struct End(Rc<RefCell<Option<Parts>>>);

/// Leaves the trace context alone: it has a target of its own.
#[derive(Clone, Debug)]
struct NoTrace;

/// A listener that trusts 10/8.
pub fn listener() -> Listener {
    thread_local! {
        static LISTENER: Listener = {
            let text = "
listeners: [{name: public, address: \"127.0.0.1:0\", trusted_proxies: [10.0.0.0/8]}]
routes: [{name: web, match: {path: {prefix: /}}, upstream: web}]
upstreams: [{name: web, endpoints: [{address: \"127.0.0.1:1\"}]}]
";
            let loaded = config::parse(text, "fuzz").expect("the configuration is right");
            loaded.plan.listeners.into_iter().next().expect("it has one")
        };
    }
    LISTENER.with(Listener::clone)
}

/// An exchange that came from `peer`.
pub fn exchange(peer: SocketAddr, version: Version) -> Exchange {
    let protocol = match version {
        Version::HTTP_10 => Protocol::Http10,
        Version::HTTP_2 => Protocol::Http2,
        _ => Protocol::Http11,
    };
    let local = SocketAddr::from(([127, 0, 0, 1], 8080));
    let pause = Duration::from_secs(30);
    let connection = Rc::new(Connection::new(1, 0, peer, local, false, pause));
    Exchange::open(&connection, &http::Method::GET, protocol, 1)
}

/// The fields in `name: value` lines; what is no field is left out.
pub fn fields(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// What the sanitizer makes of a head that came from `peer`.
///
/// # Errors
/// The fault by which it is refused.
pub fn sanitize(head: Parts, peer: &str) -> Result<Parts, Fault> {
    thread_local! {
        static RULES: Rc<[ListenerRules]> = Rc::new([ListenerRules::new(&listener())]);
    }
    let end = End::default();
    let rules = RULES.with(Rc::clone);
    let layer = Sanitize::new(end.clone(), rules, NoTrace, "sightglass-1".into());
    let peer = peer.parse().expect("an address with a port");
    run(layer, end, exchange(peer, head.version), head)
}

/// Drives one head through a layer.
///
/// # Errors
/// The fault by which it is refused.
pub fn run<S>(mut layer: S, end: End, exchange: Exchange, head: Parts) -> Result<Parts, Fault>
where
    S: Service<Request, Response = Response, Error = Fault>,
{
    let request = Request {
        head,
        body: RequestBody::Empty,
        exchange: exchange.clone(),
    };
    let mut answer = pin!(layer.call(request));
    let answer = answer
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    drop(exchange.finish(Outcome::Served));
    match answer {
        Poll::Ready(Ok(_)) => Ok(end.0.take().expect("the request came through")),
        Poll::Ready(Err(fault)) => Err(fault),
        Poll::Pending => panic!("it waits for something"),
    }
}

impl PlaceTrace for NoTrace {
    fn place(&self, _headers: &mut HeaderMap, _follow: bool) -> TracePlace {
        TracePlace::root(false)
    }
}

impl Service<Request> for End {
    type Response = Response;
    type Error = Fault;
    type Future = std::future::Ready<Result<Response, Fault>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        *self.0.borrow_mut() = Some(request.head);
        std::future::ready(Ok(Response::new(ResponseBody::Empty)))
    }
}
