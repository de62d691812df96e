//! A request over HTTP/1.1: one at a time on a connection.

use std::rc::Rc;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri, Version, header};
use http_body::Body as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tracing::trace;

use super::answer::{HostBy, fault_of, from_upstream, give_back, send_phase, unsent};
use super::connect::{Dialled, End, dial, drive, take_place};
use super::forward::Sample;
use super::hints::{Hints, Watched};
use super::places::Place;
use super::pool::EndpointPool;
use super::pooled::Http1;
use super::stream::UpstreamStream;
use super::{Endpoint, Upstream};
use crate::exchange::{
    AttemptFault, AttemptRequest, Entered, Exchange, Fault, Lease, Request, RequestBody, Response,
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
            let result = Err(failed.into());
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
    exchange.note_connection(connection.common.carried(is_reused, false));
    let keeps = connection.common.is_for_many();
    let (request, host) = to_http1(request, endpoint, keeps);
    send_phase(&exchange, request.body());
    trace!(method = %request.method(), path = request.uri().path(), fields = request.headers().len(), "the head goes out over HTTP/1.1");
    connection.hints.await_head();
    let sending = connection.sender.borrow_mut().try_send_request(request);
    async move {
        let result = match sending.await {
            Ok(response) => {
                exchange.note_early_hints(connection.hints.take());
                from_upstream(response, connection as Rc<dyn Lease>)
            }
            Err(error) => {
                let fault = fault_of(error.error(), connection.common.alert());
                let unsent = unsent(error, &exchange, host).filter(|_| is_reused);
                Err(give_back(fault, unsent, &exchange))
            }
        };
        sample.end_with(&exchange, &result);
        result
    }
}

pub(super) async fn open(
    upstream: &Arc<Upstream>,
    pool: &Rc<EndpointPool>,
    exchange: &Exchange,
) -> Result<Rc<Http1>, Fault> {
    let place = take_place(upstream, exchange).await?;
    let Dialled { stream, end, .. } = dial(upstream, &pool.endpoint, exchange).await?;
    begin(upstream, pool, place, end, TokioIo::new(stream)).await
}

/// Begins to speak HTTP/1.1 on a connection.
pub(super) async fn begin(
    upstream: &Arc<Upstream>,
    pool: &Rc<EndpointPool>,
    place: Place,
    end: End,
    io: TokioIo<UpstreamStream>,
) -> Result<Rc<Http1>, Fault> {
    let hints = Arc::<Hints>::default();
    let io = TokioIo::new(Watched::new(io.into_inner(), &hints));
    let (sender, driver) = http1::Builder::new()
        .handshake::<_, RequestBody>(io)
        .await
        .map_err(|error| fault_of(&error, None))?;
    let common = drive(upstream, place, end, driver.with_upgrades());
    Ok(pool.admit_http1(sender, common, hints))
}

/// The request as it goes over HTTP/1.1: origin form, and a `Host`, which an HTTP/1.0 client may have left out. `keeps`
/// says whether another request may follow on the connection.
pub(super) fn to_http1(
    request: Request,
    endpoint: &Endpoint,
    keeps: bool,
) -> (http::Request<RequestBody>, HostBy) {
    let Request { mut head, body, .. } = request;
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        let path = head.uri.path_and_query().cloned();
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        head.uri = Uri::from_parts(parts).unwrap_or_default();
    }
    let mut host_by = HostBy::Client;
    if !head.headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(&endpoint.address.to_string())
    {
        head.headers.insert(header::HOST, host);
        host_by = HostBy::Us;
    }
    if !keeps {
        let close = HeaderValue::from_static("close");
        head.headers.insert(header::CONNECTION, close);
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
    (http::Request::from_parts(head, body), host_by)
}
