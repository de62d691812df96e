//! Finding a connection where HTTP/2 is, or may be, spoken: one with room, one that is idle, or a new one.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use super::capacity::Opening;
use super::connect::{Dialled, dial, failed, take_place};
use super::places::Place;
use super::pool::EndpointPool;
use super::pooled::{Http1, Http2};
use super::{Upstream, http1, http2};
use crate::exchange::{Exchange, Fault, Outcome};

/// A connection that can carry a request.
pub(super) enum Found {
    /// One that others share.
    Shared(Rc<Http2>),
    /// One for this request alone, and whether it has been used before.
    Alone(Rc<Http1>, bool),
}

/// Waits at most `connect_timeout` for others, and then as long for a connection of its own. Cancel safe.
pub(super) async fn find(
    upstream: &Arc<Upstream>,
    pool: &Rc<EndpointPool>,
    exchange: &Exchange,
) -> Result<Found, Fault> {
    let deadline = Instant::now() + upstream.plan.connect_timeout;
    loop {
        if let Some(found) = look(pool) {
            return Ok(found);
        }
        let Some(opening) = pool.open() else {
            // Where the endpoint does not answer, those who wait must not each wait for all before them.
            let _waits = exchange.waits_for_connection();
            let changed = timeout_at(deadline, pool.capacity.change()).await;
            changed.map_err(|_| {
                failed(
                    Outcome::ConnectionTimeout,
                    "the connection that others wait for took too long",
                )
            })??;
            continue;
        };
        let mut taking = pin!(take_place(upstream, exchange));
        let place = loop {
            tokio::select! {
                biased;
                place = &mut taking => break place?,
                // Under the limit on connections a stream may end sooner than a connection.
                changed = pool.capacity.change() => {
                    changed?;
                    if let Some(found) = look(pool) {
                        return Ok(found);
                    }
                }
            }
        };
        let opened = open(upstream, pool, exchange, place, opening).await;
        if let Err(fault) = &opened {
            pool.capacity.fail(*fault);
        }
        return opened;
    }
}

fn look(pool: &EndpointPool) -> Option<Found> {
    let shared = pool.share().map(Found::Shared);
    shared.or_else(|| pool.pop().map(|idle| Found::Alone(idle, true)))
}

async fn open(
    upstream: &Arc<Upstream>,
    pool: &Rc<EndpointPool>,
    exchange: &Exchange,
    place: Place,
    opening: Option<Opening>,
) -> Result<Found, Fault> {
    let Dialled {
        stream,
        end,
        is_http2,
    } = dial(upstream, &pool.endpoint, exchange).await?;
    let io = TokioIo::new(stream);
    if is_http2 {
        let connection = http2::begin(upstream, pool, place, end, io, opening).await?;
        Ok(Found::Shared(connection))
    } else {
        let connection = http1::begin(upstream, pool, place, end, io).await?;
        Ok(Found::Alone(connection, false))
    }
}
