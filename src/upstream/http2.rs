//! A request over HTTP/2: a stream among many on a connection.

use std::rc::Rc;
use std::sync::Arc;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Uri, Version, header};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;

use super::answer::{fault_of, from_upstream, give_back, send_phase};
use super::connect::{dial, drive};
use super::forward::Sample;
use super::pool::{EndpointPool, Http2, Stream};
use super::{Endpoint, Upstream};
use crate::exchange::{
    AttemptFault, AttemptRequest, Entered, Exchange, Fault, Lease, OnThisWorker, Outcome, Request,
    RequestBody, Response, RetryClass,
};

pub(super) async fn send(
    upstream: Arc<Upstream>,
    pool: Rc<EndpointPool>,
    attempt: AttemptRequest,
    sample: Sample,
) -> Result<Response, AttemptFault> {
    let AttemptRequest { request, load, .. } = attempt;
    let exchange = request.exchange.clone();
    let connection = match pool.share() {
        Some(connection) => Ok(connection),
        None => Box::pin(open(&upstream, &pool, &exchange)).await,
    };
    let result = match connection {
        Ok(connection) => send_on(connection, request, load, &pool.endpoint).await,
        Err(failed) => Err(failed),
    };
    sample.end_with(&exchange, &result);
    result
}

async fn send_on(
    connection: Rc<Http2>,
    request: Request,
    load: Entered,
    endpoint: &Endpoint,
) -> Result<Response, AttemptFault> {
    let exchange = request.exchange.clone();
    let is_reused = connection.served.replace(true);
    let stream = Stream::open(connection, load);
    exchange.note_connection(stream.connection.common.peer, is_reused, true);
    let request = to_http2(request, endpoint);
    send_phase(&exchange, request.body());
    let mut sender = stream.connection.sender.clone();
    match sender.try_send_request(request).await {
        Ok(response) => from_upstream(response, stream as Rc<dyn Lease>),
        Err(error) => Err(give_back(error, &exchange, is_reused)),
    }
}

async fn open(
    upstream: &Arc<Upstream>,
    pool: &Rc<EndpointPool>,
    exchange: &Exchange,
) -> Result<Rc<Http2>, AttemptFault> {
    // Where the endpoint does not answer, those behind the one that tries must not each wait for all before them.
    let opening = tokio::time::timeout(upstream.plan.connect_timeout, pool.opening.lock());
    let _opening = opening.await.map_err(|_| {
        Fault::new(
            Outcome::ConnectionTimeout,
            "the connection that others wait for took too long",
        )
        .retried_as(RetryClass::ConnectFailure)
    })?;
    if let Some(connection) = pool.share() {
        return Ok(connection); // the one that held the lock has opened it
    }
    let (place, stream, peer) = dial(upstream, &pool.endpoint, exchange).await?;
    let (sender, driver) = http2::Builder::new(OnThisWorker)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_header_list_size(64 << 10)
        .handshake::<_, RequestBody>(TokioIo::new(stream))
        .await
        .map_err(|error| fault_of(&error))?;
    let common = drive(upstream, peer, place, driver);
    Ok(pool.admit_http2(sender, common))
}

/// The request as it goes over HTTP/2: the host becomes the authority (RFC 9113 §8.3.1).
fn to_http2(request: Request, endpoint: &Endpoint) -> http::Request<RequestBody> {
    let Request { mut head, body, .. } = request;
    let authority = head
        .headers
        .remove(header::HOST)
        .and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .or_else(|| head.uri.authority().cloned())
        .or_else(|| Authority::try_from(endpoint.address.to_string()).ok());
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(
        head.uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/")),
    );
    if authority.is_some() {
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = authority;
    }
    head.uri = Uri::from_parts(parts).unwrap_or_default();
    head.version = Version::HTTP_2;
    http::Request::from_parts(head, body)
}
