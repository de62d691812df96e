//! The end of every stack: a connection, the request out, the response head back.
//!
//! With its neighbours (`connect`, `find`, `pool`, `pooled`, `http1`, `http2`, `tasks`, `tunnel`, `answer`) the only place on a request's way that knows hyper's client. hyper's
//! legacy client was rejected: it hides the phases, keeps all hosts under one mutex, and costs a fifth more.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;
use tower::Service;

use super::pool::EndpointPool;
use super::{Endpoint, Upstream, http1, http2, tunnel};
use crate::config::Protocol;
use crate::exchange::{
    AttemptFault, AttemptRequest, Exchange, Fault, Outcome, Phase, Response, Side,
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
        let exchange = &attempt.request.exchange;
        let mut sample = Sample::begin(&pool.endpoint, exchange);
        let is_looked_through = exchange.connection().xray().is_some();
        let pool = if is_looked_through {
            // It opens a connection where others find one: that must not count as the endpoint's slowness.
            sample.is_open = false;
            pool.apart()
        } else {
            pool
        };
        if let Some(kind) = attempt.request.exchange.wish() {
            return Box::pin(tunnel::open(kind, upstream, pool, attempt, sample));
        }
        // HTTP/2 first: what is idle beside it is left over.
        let may_share = match upstream.plan.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => pool.has_shared() || !pool.has_idle(),
        };
        if may_share {
            return Box::pin(http2::send(upstream, pool, attempt, sample));
        }
        match pool.pop() {
            // The usual case: sent at once, so that what is boxed and moved is only the wait for the answer.
            Some(connection) => {
                let AttemptRequest { request, load, .. } = attempt;
                Box::pin(http1::send(
                    connection,
                    request,
                    load,
                    &pool.endpoint,
                    true,
                    sample,
                ))
            }
            None if upstream.plan.protocol == Protocol::Http1 => {
                Box::pin(http1::send_on_new(upstream, pool, attempt, sample))
            }
            // What was idle is dead.
            None => Box::pin(http2::send(upstream, pool, attempt, sample)),
        }
    }
}

/// How long an attempt takes: told to the endpoint when its head is there, when it fails, and also when it is given up,
/// since an endpoint that hangs must not keep the average of its better days.
pub(super) struct Sample {
    endpoint: Arc<Endpoint>,
    begun: Instant,
    is_open: bool,
}

// === impl Sample ===

impl Sample {
    /// The attempt has just begun: the exchange knows when.
    pub(super) fn begin(endpoint: &Arc<Endpoint>, exchange: &Exchange) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            begun: exchange.since(),
            is_open: true,
        }
    }

    /// Tells the endpoint how the attempt went up to its head.
    pub(super) fn end_with(self, exchange: &Exchange, result: &Result<Response, AttemptFault>) {
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
        if !std::mem::take(&mut self.is_open) {
            return;
        }
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
