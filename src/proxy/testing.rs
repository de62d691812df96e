//! What the tests of layers share: exchanges without a socket, and a last layer that keeps what it got.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::request::Parts;
use http::{Method, Version};
use tower::Service;

use crate::config;
use crate::exchange::{
    Connection, Exchange, Fault, Protocol, Request, RequestBody, Response, ResponseBody,
};

/// An exchange that came from `peer`, without encryption, to the first listener.
pub(crate) fn exchange(peer: &str, protocol: Protocol) -> Exchange {
    let peer: SocketAddr = peer.parse().expect("an address with a port");
    let local = SocketAddr::from(([127, 0, 0, 1], 8080));
    let pause = std::time::Duration::from_secs(30);
    let connection = Rc::new(Connection::new(1, 0, peer, local, false, pause));
    Exchange::open(&connection, &Method::GET, protocol, 1)
}

/// A request without a body. Headers are `name: value` lines; the version decides the protocol.
pub(crate) fn request(
    peer: &str,
    version: Version,
    method: &str,
    uri: &str,
    lines: &[&str],
) -> Request {
    let mut builder = http::Request::builder()
        .version(version)
        .method(method)
        .uri(uri);
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a field line");
        builder = builder.header(name, value);
    }
    let (head, ()) = builder.body(()).expect("a request").into_parts();
    let protocol = match version {
        Version::HTTP_10 => Protocol::Http10,
        Version::HTTP_2 => Protocol::Http2,
        _ => Protocol::Http11,
    };
    Request {
        head,
        body: RequestBody::Empty,
        exchange: exchange(peer, protocol),
    }
}

/// The end of a stack: keeps the head it got and answers with these fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct End {
    pub(crate) got: Rc<RefCell<Option<Parts>>>,
    pub(crate) answer: Vec<(&'static str, &'static str)>,
}

impl Service<Request> for End {
    type Response = Response;
    type Error = Fault;
    type Future = std::future::Ready<Result<Response, Fault>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        *self.got.borrow_mut() = Some(request.head);
        let mut response = Response::new(ResponseBody::Empty);
        for (name, value) in &self.answer {
            response
                .headers_mut()
                .append(*name, http::HeaderValue::from_static(value));
        }
        std::future::ready(Ok(response))
    }
}

/// The answer of a future that needs no waiting.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}

/// A route that takes everything and goes nowhere, to be changed by a test.
pub(crate) fn route(name: &str, path: config::PathPattern) -> config::Route {
    config::Route {
        name: config::Name::new(name),
        matches: config::Match {
            hosts: Vec::new(),
            path,
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            is_grpc: false,
        },
        to: vec![config::Split {
            upstream: 0,
            weight: 1,
        }],
        timeout: config::RouteTimeouts::default(),
        max_body: None,
        rewrite: config::Rewrite::default(),
        request_headers: config::HeaderEdits::default(),
        response_headers: config::HeaderEdits::default(),
        rate_limit: None,
        concurrency: None,
        retry: None,
        slo: None,
        access: config::Access::default(),
        tunnels: config::Tunnels::default(),
        traces: crate::config::RouteTraces::default(),
    }
}
