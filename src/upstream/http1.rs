//! A request over HTTP/1.1: one at a time on a connection.

use std::rc::Rc;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri, Version, header};
use http_body::Body as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::answer::{fault_of, from_upstream, give_back, send_phase};
use super::connect::{dial, drive};
use super::forward::Sample;
use super::pool::{EndpointPool, Http1};
use super::{Endpoint, Upstream};
use crate::exchange::{
    AttemptFault, AttemptRequest, Entered, Exchange, Lease, Request, RequestBody, Response,
};

pub(super) async fn send_on_new(
    upstream: Arc<Upstream>,
    pool: Rc<EndpointPool>,
    attempt: AttemptRequest,
    sample: Sample,
) -> Result<Response, AttemptFault> {
    let AttemptRequest { request, load, .. } = attempt;
    let connection = match open(&upstream, &pool, &request.exchange).await {
        Ok(connection) => connection,
        Err(failed) => {
            let result = Err(failed);
            sample.end_with(&request.exchange, &result);
            return result;
        }
    };
    send(connection, request, load, &pool.endpoint, false, sample).await
}

/// Sends a request now, and waits for its answer.
pub(super) fn send(
    connection: Rc<Http1>,
    request: Request,
    load: Entered,
    endpoint: &Endpoint,
    is_reused: bool,
    sample: Sample,
) -> impl Future<Output = Result<Response, AttemptFault>> + use<> {
    let exchange = request.exchange.clone();
    connection.carry(load);
    exchange.note_connection(connection.common.peer, is_reused, false);
    let request = to_http1(request, endpoint);
    send_phase(&exchange, request.body());
    let sending = connection.sender.borrow_mut().try_send_request(request);
    async move {
        let result = match sending.await {
            Ok(response) => from_upstream(response, connection as Rc<dyn Lease>),
            Err(error) => Err(give_back(error, &exchange, is_reused)),
        };
        sample.end_with(&exchange, &result);
        result
    }
}

async fn open(
    upstream: &Arc<Upstream>,
    pool: &Rc<EndpointPool>,
    exchange: &Exchange,
) -> Result<Rc<Http1>, AttemptFault> {
    let (place, stream, peer) = dial(upstream, &pool.endpoint, exchange).await?;
    let (sender, driver) = http1::Builder::new()
        .handshake::<_, RequestBody>(TokioIo::new(stream))
        .await
        .map_err(|error| fault_of(&error))?;
    let common = drive(upstream, peer, place, driver);
    Ok(pool.admit_http1(sender, common))
}

/// The request as it goes over HTTP/1.1: origin form, and a `Host`, which an HTTP/1.0 client may have left out.
fn to_http1(request: Request, endpoint: &Endpoint) -> http::Request<RequestBody> {
    let Request { mut head, body, .. } = request;
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        let path = head.uri.path_and_query().cloned();
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        head.uri = Uri::from_parts(parts).unwrap_or_default();
    }
    if !head.headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(&endpoint.address.to_string())
    {
        head.headers.insert(header::HOST, host);
    }
    // hyper's client leaves out a GET's or HEAD's body of unknown length unless it is told that it is chunked.
    let has_length = head.headers.contains_key(header::CONTENT_LENGTH);
    if !body.is_empty() && !has_length && body.size_hint().exact().is_none() {
        head.headers.insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
    }
    head.version = Version::HTTP_11;
    http::Request::from_parts(head, body)
}
