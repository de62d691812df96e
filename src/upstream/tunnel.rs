//! Agreeing on a tunnel with an endpoint, in its own protocol.
//!
//! A WebSocket is asked for with `Upgrade` over HTTP/1.1 (RFC 6455) and with extended CONNECT over HTTP/2 (RFC 8441); an
//! answer that does not prove that it was made for this very question is a 502, whatever its status says. CONNECT needs
//! no words at all: the connection to the endpoint is the tunnel, so what a client names is never dialled.
//!
//! Apart from [`http1`] and [`http2`], so that what every request carries along does not grow.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::answer::{fault_of, from_upstream, give_back, unsent};
use super::connect::{Dialled, dial, take_place};
use super::find::{Found, find};
use super::forward::Sample;
use super::places::Place;
use super::pool::EndpointPool;
use super::pooled::{Http1, Http2, Stream};
use super::{Upstream, http1, http2};
use crate::config;
use crate::exchange::{
    AttemptFault, AttemptRequest, Entered, Exchange, Fault, Lease, Outcome, Phase, Request,
    Response, ResponseBody, Tunnel, TunnelKind, websocket,
};

/// How long an HTTP/2 upstream may take to say that it takes extended CONNECT: its settings come first of all that it
/// says, so this is a round trip.
const SETTINGS: Duration = Duration::from_secs(1);

/// A connection that is nothing but a tunnel, in its place among the upstream's.
struct Raw {
    _place: Place,
    _load: Entered,
    _active: Entered,
}

impl Lease for Raw {
    fn end(self: Rc<Self>, _is_clean: bool) {}
}

/// Asks the endpoint for a tunnel.
pub(super) async fn open(
    kind: TunnelKind,
    upstream: Arc<Upstream>,
    pool: Rc<EndpointPool>,
    attempt: AttemptRequest,
    sample: Sample,
) -> Result<Response, AttemptFault> {
    let AttemptRequest { request, load, .. } = attempt;
    let exchange = request.exchange.clone();
    let result = match kind {
        TunnelKind::Connect => connect(&upstream, &pool, &request, load).await,
        TunnelKind::WebSocket => match find_any(&upstream, &pool, &exchange).await {
            Ok(Found::Shared(connection)) => {
                over_http2(connection, &upstream, &pool, request, load).await
            }
            Ok(Found::Alone(connection, is_reused)) => {
                over_http1(connection, is_reused, &pool, request, load).await
            }
            Err(fault) => Err(fault.into()),
        },
    };
    sample.end_with(&exchange, &result);
    result
}

/// A connection that the endpoint speaks HTTP on, of whatever version.
async fn find_any(
    upstream: &Arc<Upstream>,
    pool: &Rc<EndpointPool>,
    exchange: &Exchange,
) -> Result<Found, Fault> {
    if upstream.plan.protocol != config::Protocol::Http1 {
        return Box::pin(find(upstream, pool, exchange)).await;
    }
    match pool.pop() {
        Some(connection) => Ok(Found::Alone(connection, true)),
        None => {
            let opened = http1::open(upstream, pool, exchange).await;
            opened.map(|connection| Found::Alone(connection, false))
        }
    }
}

async fn connect(
    upstream: &Arc<Upstream>,
    pool: &EndpointPool,
    request: &Request,
    load: Entered,
) -> Result<Response, AttemptFault> {
    let exchange = &request.exchange;
    let place = take_place(upstream, exchange).await?;
    let Dialled { stream, end, .. } = dial(upstream, &pool.endpoint, exchange).await?;
    upstream.note_opened();
    exchange.note_connection(end.carried(false, false));
    let lease = Rc::new(Raw {
        _place: place,
        _load: load,
        _active: upstream.meters.active.enter(),
    });
    let tunnel = Tunnel::new(TunnelKind::Connect, Box::new(stream), lease);
    Ok(Response::new(ResponseBody::Tunnel(Box::new(tunnel))))
}

async fn over_http1(
    connection: Rc<Http1>,
    is_reused: bool,
    pool: &EndpointPool,
    mut request: Request,
    load: Entered,
) -> Result<Response, AttemptFault> {
    let exchange = request.exchange.clone();
    connection.carry(load);
    exchange.note_connection(connection.common.carried(is_reused, false));
    let headers = &mut request.head.headers;
    let key = headers
        .entry(header::SEC_WEBSOCKET_KEY)
        .or_insert_with(websocket::key)
        .clone();
    headers
        .entry(header::SEC_WEBSOCKET_VERSION)
        .or_insert(HeaderValue::from_static("13"));
    let (mut request, host) = http1::to_http1(request, &pool.endpoint, true);
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    exchange.enter(Phase::Wait);
    let sending = connection.sender.borrow_mut().try_send_request(request);
    let response = match sending.await {
        Ok(response) => response,
        Err(error) => {
            let fault = fault_of(error.error(), connection.common.alert());
            let again = unsent(error, &exchange, host).filter(|_| is_reused);
            return Err(give_back(fault, again, &exchange));
        }
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return from_upstream(response, connection);
    }
    if !proves(response.headers(), &key) {
        connection.end(false);
        return Err(broken(
            "the upstream switched protocols without a WebSocket's answer",
        ));
    }
    switch(response, connection).await
}

async fn over_http2(
    connection: Rc<Http2>,
    upstream: &Upstream,
    pool: &EndpointPool,
    request: Request,
    load: Entered,
) -> Result<Response, AttemptFault> {
    let exchange = request.exchange.clone();
    if !takes_websockets(&connection).await {
        return Err(broken(
            "the upstream takes no WebSockets over HTTP/2 (RFC 8441)",
        ));
    }
    let is_reused = connection.served.replace(true);
    let stream = Stream::open(connection, load);
    exchange.note_connection(stream.connection.common.carried(is_reused, true));
    let (mut request, host) = http2::to_http2(request, &pool.endpoint, http2::scheme(upstream));
    *request.method_mut() = Method::CONNECT;
    request
        .extensions_mut()
        .insert(Protocol::from_static("websocket"));
    let headers = request.headers_mut();
    headers.remove(header::SEC_WEBSOCKET_KEY);
    headers.remove(header::CONTENT_LENGTH);
    headers
        .entry(header::SEC_WEBSOCKET_VERSION)
        .or_insert(HeaderValue::from_static("13"));
    exchange.enter(Phase::Wait);
    let mut sender = stream.connection.sender.clone();
    let response = match sender.try_send_request(request).await {
        Ok(response) => response,
        Err(error) => {
            let fault = fault_of(error.error(), stream.connection.common.alert());
            let again = unsent(error, &exchange, host).map(|mut request| {
                request.head.method = Method::GET;
                request.head.extensions.clear();
                request
            });
            return Err(give_back(fault, again, &exchange));
        }
    };
    stream.connection.settle();
    match response.status() {
        StatusCode::OK => switch(response, stream).await,
        status if status.is_success() => Err(broken(
            "the upstream's answer is neither a WebSocket nor a refusal",
        )),
        _ => from_upstream(response, stream),
    }
}

/// The connection or stream is the upstream's side of a tunnel from now on.
async fn switch(
    mut response: http::Response<Incoming>,
    lease: Rc<dyn Lease>,
) -> Result<Response, AttemptFault> {
    let Ok(upgraded) = hyper::upgrade::on(&mut response).await else {
        lease.end(false);
        return Err(Fault::new(
            Outcome::ConnectionTerminated,
            "the upstream closed the connection while it switched protocols",
        )
        .into());
    };
    let (mut head, _) = response.into_parts();
    head.version = Version::HTTP_11;
    for name in [
        header::SEC_WEBSOCKET_ACCEPT, // the client's is made from its own key
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ] {
        head.headers.remove(name);
    }
    let upstream = Box::new(TokioIo::new(upgraded));
    let tunnel = Tunnel::new(TunnelKind::WebSocket, upstream, lease);
    let body = ResponseBody::Tunnel(Box::new(tunnel));
    Ok(Response::from_parts(head, body))
}

/// Whether an answer is that of a WebSocket that was asked for with this key (RFC 6455 §4.1).
fn proves(headers: &HeaderMap, key: &HeaderValue) -> bool {
    let is_websocket = headers
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let mut answers = headers.get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
    is_websocket && answers.next() == Some(&websocket::accept(key)) && answers.next().is_none()
}

/// Whether the upstream has said so. Before it has said anything that is not known, so a fresh connection is given the
/// time for it; hyper tells no moment at which the settings are there.
async fn takes_websockets(connection: &Http2) -> bool {
    let until = Instant::now() + SETTINGS;
    loop {
        if connection.takes_connect() {
            return true;
        }
        if connection.takes_none() || Instant::now() >= until {
            connection.note_takes_none();
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn broken(detail: &'static str) -> AttemptFault {
    Fault::new(Outcome::HttpProtocolError, detail).into()
}
