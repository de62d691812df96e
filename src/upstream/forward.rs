//! The end of every stack: a connection, the request out, the response head back.
//!
//! With `pool` and `connect` the only place that knows hyper's client. hyper's legacy client was rejected: it hides the
//! phases, keeps all hosts under one mutex, and costs a fifth more.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, StatusCode, Uri, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower::Service;

use super::connect::connect;
use super::places::Place;
use super::pool::{Common, EndpointPool, Http1, Http2, Stream};
use super::{Endpoint, Upstream};
use crate::exchange::{
    AttemptFault, AttemptRequest, Entered, Exchange, Fault, Lease, OnThisWorker, Outcome, Phase,
    Request, RequestBody, Response, ResponseBody, RetryClass, Side,
};

/// Sends an attempt's request to its endpoint.
#[derive(Clone)]
pub struct Forward {
    upstreams: Rc<[Pooled]>,
}

/// An upstream with this worker's pools of its endpoints, in its order.
type Pooled = (Arc<Upstream>, Box<[Rc<EndpointPool>]>);

/// The attempt under way. Boxed once: it holds the request across every wait.
pub type ForwardFuture = Pin<Box<dyn Future<Output = Result<Response, AttemptFault>>>>;

// === impl Forward ===

impl Forward {
    /// Forwards to these upstreams, over this worker's pools.
    #[must_use]
    pub fn new(upstreams: &[Arc<Upstream>], pools: &super::Pools) -> Self {
        Self {
            upstreams: upstreams
                .iter()
                .map(|upstream| {
                    let pools = upstream
                        .endpoints
                        .iter()
                        .map(|endpoint| pools.of(upstream, endpoint));
                    (Arc::clone(upstream), pools.collect())
                })
                .collect(),
        }
    }

    fn find(&self, upstream: u16, endpoint: u16) -> Option<(Arc<Upstream>, Rc<EndpointPool>)> {
        let (upstream, pools) = self.upstreams.iter().find(|(it, _)| it.index == upstream)?;
        Some((
            Arc::clone(upstream),
            Rc::clone(pools.get(usize::from(endpoint))?),
        ))
    }
}

impl Service<AttemptRequest> for Forward {
    type Response = Response;
    type Error = AttemptFault;
    type Future = ForwardFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), AttemptFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, attempt: AttemptRequest) -> ForwardFuture {
        let Some((upstream, pool)) = self.find(attempt.upstream, attempt.endpoint) else {
            let fault = Fault::new(Outcome::ProxyInternalError, "the endpoint is gone");
            return Box::pin(std::future::ready(Err(fault.into())));
        };
        let sample = Sample::begin(&pool.endpoint, &attempt.request.exchange);
        if upstream.is_http2() {
            return Box::pin(over_http2(upstream, pool, attempt, sample));
        }
        match pool.pop() {
            // The usual case: sent at once, so that what is boxed and moved is only the wait for the answer.
            Some(connection) => {
                let AttemptRequest { request, load, .. } = attempt;
                Box::pin(send_http1(
                    connection,
                    request,
                    load,
                    &pool.endpoint,
                    true,
                    sample,
                ))
            }
            None => Box::pin(over_new_http1(upstream, pool, attempt, sample)),
        }
    }
}

/// How long an attempt takes: told to the endpoint when its head is there, when it fails, and also when it is given up,
/// since an endpoint that hangs must not keep the average of its better days.
struct Sample {
    endpoint: Arc<Endpoint>,
    begun: Instant,
    is_open: bool,
}

// === impl Sample ===

impl Sample {
    /// The attempt has just begun: the exchange knows when.
    fn begin(endpoint: &Arc<Endpoint>, exchange: &Exchange) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            begun: exchange.since(),
            is_open: true,
        }
    }

    /// Tells the endpoint how the attempt went up to its head.
    fn end_with(self, exchange: &Exchange, result: &Result<Response, AttemptFault>) {
        match result {
            Ok(response) => {
                let now = exchange.enter(Phase::BodyUpstream);
                self.end(now, response.status().is_server_error());
            }
            // What the client did says nothing about the endpoint.
            Err(failed) if failed.fault.outcome().side() == Some(Side::Client) => self.forget(),
            Err(_) => self.end(Instant::now(), true),
        }
    }

    fn end(mut self, now: Instant, is_failed: bool) {
        self.is_open = false;
        let took = now.saturating_duration_since(self.begun);
        self.endpoint.observe(took, is_failed);
    }

    fn forget(mut self) {
        self.is_open = false;
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        if self.is_open {
            self.endpoint.observe(self.begun.elapsed(), false);
        }
    }
}

// === HTTP/1.1 ===

async fn over_new_http1(
    upstream: Arc<Upstream>,
    pool: Rc<EndpointPool>,
    attempt: AttemptRequest,
    sample: Sample,
) -> Result<Response, AttemptFault> {
    let AttemptRequest { request, load, .. } = attempt;
    let connection = match open_http1(&upstream, &pool, &request.exchange).await {
        Ok(connection) => connection,
        Err(failed) => {
            let result = Err(failed);
            sample.end_with(&request.exchange, &result);
            return result;
        }
    };
    send_http1(connection, request, load, &pool.endpoint, false, sample).await
}

/// Sends a request now, and waits for its answer.
fn send_http1(
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

async fn open_http1(
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

// === HTTP/2 ===

async fn over_http2(
    upstream: Arc<Upstream>,
    pool: Rc<EndpointPool>,
    attempt: AttemptRequest,
    sample: Sample,
) -> Result<Response, AttemptFault> {
    let AttemptRequest { request, load, .. } = attempt;
    let exchange = request.exchange.clone();
    let connection = match pool.share() {
        Some(connection) => Ok(connection),
        None => Box::pin(open_http2(&upstream, &pool, &exchange)).await,
    };
    let result = match connection {
        Ok(connection) => send_http2(connection, request, load, &pool.endpoint).await,
        Err(failed) => Err(failed),
    };
    sample.end_with(&exchange, &result);
    result
}

async fn send_http2(
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

async fn open_http2(
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

// === both ===

/// A place among the upstream's connections, and a connection in it.
async fn dial(
    upstream: &Upstream,
    endpoint: &Endpoint,
    exchange: &Exchange,
) -> Result<(Place, TcpStream, SocketAddr), AttemptFault> {
    let place = take_place(upstream).await?;
    let limit = upstream.plan.connect_timeout;
    let (stream, peer) = connect(&endpoint.address, limit, exchange).await?;
    Ok((place, stream, peer))
}

/// Drives a fresh connection on this worker until it ends, or nobody can use it any more.
fn drive(
    upstream: &Arc<Upstream>,
    peer: SocketAddr,
    place: Place,
    driver: impl Future<Output = hyper::Result<()>> + 'static,
) -> Common {
    let driver = tokio::task::spawn_local(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, %peer, "upstream connection ended");
        }
    });
    upstream.note_opened();
    Common::new(peer, Arc::clone(upstream), driver.abort_handle(), place)
}

async fn take_place(upstream: &Upstream) -> Result<Place, AttemptFault> {
    upstream
        .places
        .take(upstream.plan.connect_timeout)
        .await
        .ok_or_else(|| {
            Fault::new(
                Outcome::ConnectionLimitReached,
                "the upstream's connections are all in use, and none came free in time",
            )
            .into()
        })
}

/// A request without a body is out as soon as it is handed over; one with a body says itself how it goes.
fn send_phase(exchange: &Exchange, body: &RequestBody) {
    exchange.enter(if body.is_empty() {
        Phase::Wait
    } else {
        Phase::SendUpstream
    });
}

fn from_upstream(
    response: http::Response<Incoming>,
    lease: Rc<dyn Lease>,
) -> Result<Response, AttemptFault> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        lease.end(false);
        return Err(Fault::new(
            Outcome::HttpProtocolError,
            "the upstream switched protocols, which nobody asked for",
        )
        .into());
    }
    let mut response = response.map(|body| ResponseBody::from_upstream(body, lease));
    // The upstream's version is its own affair: the client is answered in the version that it speaks.
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}

fn give_back(
    mut error: TrySendError<http::Request<RequestBody>>,
    exchange: &Exchange,
    is_reused: bool,
) -> AttemptFault {
    let unsent = error.take_message();
    if let Some(failed) = exchange.body_error() {
        return Fault::new(failed.outcome, failed.detail)
            .with_status(failed.status)
            .into();
    }
    let fault = fault_of(error.error());
    match unsent {
        Some(request) if is_reused => {
            let (head, body) = request.into_parts();
            let request = Request {
                head,
                body,
                exchange: exchange.clone(),
            };
            AttemptFault {
                fault,
                unsent: Some(Box::new(request)),
            }
        }
        _ => fault.into(),
    }
}

/// What went wrong between the request and the response head, in our words.
fn fault_of(error: &hyper::Error) -> Fault {
    use std::error::Error as _;
    if error.is_parse_too_large() {
        return Fault::new(
            Outcome::HttpResponseHeaderSectionSize,
            "the upstream's response head is too large",
        );
    }
    if error.is_parse() {
        return Fault::new(
            Outcome::HttpProtocolError,
            "the upstream's response head is not HTTP",
        );
    }
    let reason = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>());
    match reason.and_then(h2::Error::reason) {
        Some(h2::Reason::REFUSED_STREAM) => Fault::new(
            Outcome::ConnectionTerminated,
            "the upstream refused the stream before it did anything",
        )
        .retried_as(RetryClass::ConnectFailure),
        Some(
            h2::Reason::PROTOCOL_ERROR
            | h2::Reason::FRAME_SIZE_ERROR
            | h2::Reason::COMPRESSION_ERROR,
        ) => Fault::new(Outcome::HttpProtocolError, "the upstream broke HTTP/2"),
        _ => Fault::new(
            Outcome::ConnectionTerminated,
            "the upstream closed the connection before its response head",
        )
        .retried_as(RetryClass::Reset),
    }
}
