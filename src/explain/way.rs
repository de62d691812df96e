//! A request's way through the layers that serve traffic, up to where an endpoint would be picked.
//!
//! The layers are those of `proxy::stack`, in its order, with two spies between them: [`Tap`] keeps what routing sees,
//! [`End`] what would go upstream. Left out are those that look at the state of a running proxy (limits, deadlines) and
//! those behind the choice of an endpoint. So nothing here decides, and nothing can be explained otherwise than it is
//! served.

use std::cell::RefCell;
use std::future::Ready;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderMap, Uri, Version, header};
use tower::Service;

use crate::config::Plan;
use crate::config::Question;
use crate::exchange::{
    Connection, Exchange, Fault, Gauge, Outcome, Protocol, Request, RequestBody, Response,
    ResponseBody, Serve,
};
use crate::proxy::ListenerRules;
use crate::proxy::access::{Allow, Authenticate, Credentials};
use crate::proxy::forwarded::Forwarded;
use crate::proxy::https_redirect::HttpsRedirect;
use crate::proxy::rewrite::Rewrite;
use crate::proxy::route::Route;
use crate::proxy::sanitize::Sanitize;
use crate::proxy::upgrade::Upgrade;
use crate::telemetry::trace::{Environment, Traces};

/// How we are called in `Via`; a running proxy adds digits of its own.
const PSEUDONYM: &str = "sightglass";

/// What was seen on the way.
#[derive(Debug)]
pub(super) struct Way {
    /// The head as the client sends it.
    pub(super) sent: Parts,
    /// The head by which it is routed; `None` where it was refused before.
    pub(super) routed: Option<Parts>,
    /// The route that took it, by its place in the plan.
    pub(super) route: Option<usize>,
    /// The head that would go upstream; `None` where it was refused or answered before.
    pub(super) upstream: Option<Parts>,
    /// Who the client is, after what trusted proxies say.
    pub(super) client: IpAddr,
    /// The id of the trace that was made up.
    pub(super) trace_id: String,
    /// The proxy's own answer, or an empty one in place of the upstream's.
    pub(super) answer: Result<Response, Fault>,
}

/// Sends the request that is asked about through the layers of this listener. Checks a password where one is shown,
/// which blocks for as long as its hash takes.
pub(super) fn walk(plan: &Plan, listener: usize, question: &Question) -> std::io::Result<Way> {
    let taps = Taps::default();
    let environment = Environment::of_process();
    let traces = Rc::new(Traces::new(&plan.telemetry.traces, &environment));
    let stacks = plan.routes.iter().map(|route| {
        let end = End(taps.upstream.clone());
        let forwarded = Forwarded::new(Rewrite::new(end, route), &plan.listeners, PSEUDONYM);
        let basic = route.access.basic.as_ref();
        let basic = basic.map(|it| (it.realm.as_str(), Credentials::new(it)));
        let upgrade = Upgrade::new(Authenticate::new(forwarded, basic), route.tunnels);
        // Without an address there is nothing to ask: the answer then names the networks.
        let unasked = crate::config::Access::default();
        Allow::new(upgrade, question.client.map_or(&unasked, |_| &route.access))
    });
    let gauges = vec![Gauge::default(); plan.routes.len()];
    let route = Tap {
        inner: HttpsRedirect::new(Route::new(plan, &gauges, stacks.collect()), &plan.listeners),
        kept: taps.routed.clone(),
    };
    let rules = plan.listeners.iter().map(ListenerRules::new).collect();
    let mut front = Sanitize::new(route, rules, traces, Rc::from(PSEUDONYM));

    let head = head(plan, listener, question);
    let exchange = exchange(plan, listener, question, &head);
    let request = Request {
        head: head.clone(),
        body: RequestBody::Empty,
        exchange: exchange.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let answer = runtime.block_on(async { front.call(request).await });
    let client = exchange.client();
    let trace_id = exchange.with_trace(|trace| trace.trace_id.to_string());
    let record = exchange.finish(Outcome::Served);
    Ok(Way {
        sent: head,
        routed: taps.routed.take(),
        route: record.and_then(|record| record.route).map(usize::from),
        upstream: taps.upstream.take(),
        client,
        trace_id: trace_id.unwrap_or_default(),
        answer,
    })
}

/// What the client would send: in origin form, as curl does; over HTTP/2 where the listener speaks nothing else.
fn head(plan: &Plan, listener: usize, question: &Question) -> Parts {
    let (mut head, ()) = http::Request::new(()).into_parts();
    let is_http1 = plan.listeners.get(listener).is_none_or(|it| it.http1);
    head.version = if is_http1 {
        Version::HTTP_11
    } else {
        Version::HTTP_2
    };
    head.method = question.method.clone();
    head.headers = question.headers.clone();
    let mut parts = http::uri::Parts::default();
    let authority = question.url.authority();
    if question.method == http::Method::CONNECT {
        parts.authority = authority.cloned();
    } else {
        parts.path_and_query = question.url.path_and_query().cloned();
    }
    if !is_http1 {
        parts.scheme = question.url.scheme().cloned();
        parts.authority = authority.cloned();
    }
    let host = authority.and_then(|it| it.as_str().parse().ok());
    if is_http1
        && let Some(host) = host
        && !head.headers.contains_key(header::HOST)
    {
        head.headers.insert(header::HOST, host);
    }
    head.uri = Uri::from_parts(parts).unwrap_or_else(|_| question.url.clone());
    head
}

fn exchange(plan: &Plan, listener: usize, question: &Question, head: &Parts) -> Exchange {
    let peer = SocketAddr::new(question.peer(), 0);
    let here = plan.listeners.get(listener);
    let local = here.map_or(peer, |it| it.address);
    let is_tls = here.is_some_and(|it| it.tls.is_some());
    let pause = here.map(|it| it.timeout.body).unwrap_or_default();
    let place = u16::try_from(listener).unwrap_or_default();
    let connection = Rc::new(Connection::new(1, place, peer, local, is_tls, pause));
    let protocol = match head.version {
        Version::HTTP_2 => Protocol::Http2,
        _ => Protocol::Http11,
    };
    Exchange::open(&connection, &head.method, protocol, 1)
}

// === the spies ===

type Kept = Rc<RefCell<Option<Parts>>>;

#[derive(Default)]
struct Taps {
    routed: Kept,
    upstream: Kept,
}

/// Keeps a copy of the head and passes the request on.
struct Tap<S> {
    inner: S,
    kept: Kept,
}

impl<S: Serve> Service<Request> for Tap<S> {
    type Response = Response;
    type Error = Fault;
    type Future = S::Future;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.kept.replace(Some(request.head.clone()));
        self.inner.call(request)
    }
}

/// Where attempts would begin: keeps the head, and answers with nothing.
#[derive(Clone)]
struct End(Kept);

impl Service<Request> for End {
    type Response = Response;
    type Error = Fault;
    type Future = Ready<Result<Response, Fault>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.replace(Some(request.head));
        std::future::ready(Ok(Response::new(ResponseBody::Empty)))
    }
}

/// The fields of a head, each line by itself, as text.
pub(super) fn lines(headers: &HeaderMap) -> Vec<(String, String)> {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    };
    headers.iter().map(line).collect()
}
