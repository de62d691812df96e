//! A request over HTTP/2: a stream among many on a connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Uri, Version, header};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use tracing::trace;

use super::answer::{
    HostBy, fault_of, from_upstream, give_back, is_going_away, is_let_go, is_untouched, send_phase,
    unsent,
};
use super::capacity::Opening;
use super::connect::{End, drive};
use super::find::{Found, find};
use super::forward::Sample;
use super::places::Place;
use super::pool::EndpointPool;
use super::pooled::{Http2, Stream};
use super::stream::UpstreamStream;
use super::tasks::{Tasks, UNTOLD};
use super::{Endpoint, Upstream, http1};
use crate::exchange::{
    AttemptFault, AttemptRequest, Entered, Fault, Lease, Request, RequestBody, Response, RetryClass,
};

/// How much of one answer's body a peer may send before we have taken it: at 25 ms of round trip some 50 MB/s
/// (`docs/performance.md`).
const STREAM_WINDOW: u32 = 2 << 20;
/// The same for all answers of a connection together, which bounds what slow clients hold in memory: four that take
/// nothing fill it, and then the others of that connection wait for them.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// The largest response head.
const LARGEST_HEAD: u32 = 64 << 10;

/// Sends a request over a connection that others share, or, where the endpoint has chosen so, over one of HTTP/1.1.
pub(super) async fn send(
    upstream: Arc<Upstream>,
    pool: Rc<EndpointPool>,
    attempt: AttemptRequest,
    sample: Sample,
) -> Result<Response, AttemptFault> {
    let AttemptRequest { request, load, .. } = attempt;
    let exchange = request.exchange.clone();
    let found = match pool.share() {
        Some(connection) => Ok(Found::Shared(connection)),
        None => Box::pin(find(&upstream, &pool, &exchange)).await,
    };
    let result = match found {
        Ok(Found::Shared(connection)) => {
            let sending = send_on(connection, &upstream, request, load, &pool);
            sending.await
        }
        Ok(Found::Alone(connection, is_reused)) => {
            let endpoint = &pool.endpoint;
            return http1::send(connection, request, load, endpoint, is_reused, sample).await;
        }
        Err(fault) => Err(fault.into()),
    };
    sample.end_with(&exchange, &result);
    result
}

async fn send_on(
    connection: Rc<Http2>,
    upstream: &Upstream,
    request: Request,
    load: Entered,
    pool: &EndpointPool,
) -> Result<Response, AttemptFault> {
    let exchange = request.exchange.clone();
    let is_reused = connection.served.replace(true);
    let stream = Stream::open(connection, load);
    exchange.note_connection(stream.connection.common.carried(is_reused, true));
    let scheme = scheme(upstream);
    // What h2 has taken it does not give back, also where the peer says that it has not looked at it (RFC 9113 §8.7).
    let kept = request.body.is_empty().then(|| request.head.clone());
    let (request, host) = to_http2(request, &pool.endpoint, scheme);
    send_phase(&exchange, request.body());
    trace!(method = %request.method(), path = request.uri().path(), fields = request.headers().len(), "the head goes out over HTTP/2");
    let mut sender = stream.connection.sender.clone();
    let error = match sender.try_send_request(request).await {
        Ok(response) => {
            stream.connection.settle();
            return from_upstream(response, stream as Rc<dyn Lease>);
        }
        Err(error) => error,
    };
    let fault = fault_of(error.error(), stream.connection.common.alert());
    if stream.connection.is_unsettled() {
        // Those who wait for this connection would fare no better.
        pool.capacity
            .fail(fault.retried_as(RetryClass::ConnectFailure));
    }
    let kept =
        kept.filter(|head| is_untouched(error.error()) || is_let_go(error.error(), &head.method));
    if error.message().is_some() || is_going_away(error.error()) {
        stream.connection.retire();
    }
    let given_back = unsent(error, &exchange, host).filter(|_| is_reused);
    let again = given_back.or_else(|| {
        Some(Request {
            head: kept?,
            body: RequestBody::Empty,
            exchange: exchange.clone(),
        })
    });
    Err(give_back(fault, again, &exchange))
}

/// Begins to speak HTTP/2 on a connection.
pub(super) async fn begin(
    upstream: &Arc<Upstream>,
    pool: &EndpointPool,
    place: Place,
    end: End,
    io: TokioIo<UpstreamStream>,
    opening: Option<Opening>,
) -> Result<Rc<Http2>, Fault> {
    let tasks = Tasks::new();
    let (sender, connection) = http2::Builder::new(tasks.clone())
        .initial_max_send_streams(UNTOLD)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(LARGEST_HEAD)
        .handshake::<_, RequestBody>(io)
        .await
        .map_err(|error| fault_of(&error, None))?;
    let connection = Rc::new(RefCell::new(connection));
    let asked = Rc::downgrade(&connection);
    let driver = poll_fn(move |cx| Pin::new(&mut *connection.borrow_mut()).poll(cx));
    let common = drive(upstream, place, end, driver);
    let spoken_to = Weak::clone(&asked);
    let takes_connect = move || {
        let known = spoken_to.upgrade();
        known.is_some_and(|it| it.borrow().is_extended_connect_protocol_enabled())
    };
    let admitted = pool.admit_http2(sender, common, opening, Box::new(takes_connect));
    let told = Rc::downgrade(&admitted);
    tasks.after_turn(move || {
        let (Some(asked), Some(told)) = (asked.upgrade(), told.upgrade()) else {
            return;
        };
        let most = asked.borrow().current_max_send_streams();
        if most != UNTOLD {
            told.allow(most);
        }
    });
    Ok(admitted)
}

/// What the upstream's requests say of how they come.
pub(super) fn scheme(upstream: &Upstream) -> Scheme {
    if upstream.tls.is_some() {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    }
}

/// The request as it goes over HTTP/2: the host becomes the authority (RFC 9113 §8.3.1).
pub(super) fn to_http2(
    request: Request,
    endpoint: &Endpoint,
    scheme: Scheme,
) -> (http::Request<RequestBody>, HostBy) {
    let Request { mut head, body, .. } = request;
    let host = head.headers.remove(header::HOST);
    let named = host
        .and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .or_else(|| head.uri.authority().cloned());
    let host_by = if named.is_some() {
        HostBy::Client
    } else {
        HostBy::Us
    };
    let authority = named.or_else(|| Authority::try_from(endpoint.address.to_string()).ok());
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(
        head.uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/")),
    );
    if authority.is_some() {
        parts.scheme = Some(scheme);
        parts.authority = authority;
    }
    head.uri = Uri::from_parts(parts).unwrap_or_default();
    head.version = Version::HTTP_2;
    (http::Request::from_parts(head, body), host_by)
}
