//! The connections of one worker to one endpoint.
//!
//! Worker-local: no locks, and a response never crosses threads. hyper-util's client keeps one mutex over all hosts and
//! hides what a connection costs; here checking one out is a `Vec::pop`. HTTP/1.1 connections are kept last in, first
//! out, so that the surplus of a burst goes idle and is closed. What a connection is stands in `pooled`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::time::Instant;
use tracing::trace;

use super::capacity::{Capacity, Opening};
use super::hints::Hints;
use super::pooled::{Common, Http1, Http2};
use super::{Endpoint, Upstream};
use crate::exchange::{RequestBody, clock};

/// The pools of one worker, by endpoint.
#[derive(Default)]
pub struct Pools {
    by_endpoint: RefCell<HashMap<u64, Rc<EndpointPool>, foldhash::fast::RandomState>>,
}

/// The connections of one worker to one endpoint.
pub struct EndpointPool {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) idle: RefCell<Vec<Rc<Http1>>>,
    shared: RefCell<Vec<Rc<Http2>>>,
    /// Who waits for a stream.
    pub(super) capacity: Rc<Capacity>,
    /// Whether the endpoint chose HTTP/1.1 when it last had the choice: there is nothing to share then.
    speaks_http1: Cell<bool>,
    idle_timeout: Cell<Duration>,
}

// === impl Pools ===

impl Pools {
    /// The pool of an upstream's endpoint, made where there is none.
    #[must_use]
    pub fn of(&self, upstream: &Upstream, endpoint: &Arc<Endpoint>) -> Rc<EndpointPool> {
        let mut pools = self.by_endpoint.borrow_mut();
        let idle_timeout = upstream.plan.idle_timeout;
        let pool = pools
            .entry(endpoint.id)
            .or_insert_with(|| Rc::new(EndpointPool::new(endpoint, idle_timeout)));
        pool.idle_timeout.set(idle_timeout);
        Rc::clone(pool)
    }

    /// Forgets endpoints that are no more; their busy connections end with their exchanges.
    pub fn retain(&self, is_known: impl Fn(u64) -> bool) {
        self.by_endpoint.borrow_mut().retain(|id, _| is_known(*id));
    }

    /// Closes what has been idle too long, is dead, or is wanted elsewhere.
    pub fn sweep(&self) {
        let now = clock::coarse();
        for pool in self.by_endpoint.borrow().values() {
            pool.sweep(now);
        }
    }
}

// === impl EndpointPool ===

impl EndpointPool {
    fn new(endpoint: &Arc<Endpoint>, idle_timeout: Duration) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            idle: RefCell::default(),
            shared: RefCell::default(),
            capacity: Rc::default(),
            speaks_http1: Cell::new(false),
            idle_timeout: Cell::new(idle_timeout),
        }
    }

    /// An empty pool of the same endpoint, for one attempt that is looked through: what it opens is seen from the first
    /// step on, carries nobody else's request, and is closed with it, since its tasks belong to the look.
    pub(super) fn apart(&self) -> Rc<Self> {
        trace!(
            idle = self.idle.borrow().len(),
            shared = self.shared.borrow().len(),
            "a connection of its own, whatever the pool has"
        );
        Rc::new(Self::new(&self.endpoint, self.idle_timeout.get()))
    }

    /// An idle HTTP/1.1 connection, if one is alive.
    pub(super) fn pop(&self) -> Option<Rc<Http1>> {
        loop {
            let connection = self.idle.borrow_mut().pop()?;
            if connection.sender.borrow().is_ready() {
                connection.common.mark_busy();
                return Some(connection);
            }
        }
    }

    /// The HTTP/2 connection with the fewest streams, if one has room.
    pub(super) fn share(&self) -> Option<Rc<Http2>> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| !connection.sender.is_closed());
        shared
            .iter()
            .filter(|connection| connection.has_room())
            .min_by_key(|connection| connection.streams())
            .map(Rc::clone)
    }

    /// Whether there is an HTTP/1.1 connection that waits.
    pub(super) fn has_idle(&self) -> bool {
        !self.idle.borrow().is_empty()
    }

    /// Whether there is an HTTP/2 connection.
    pub(super) fn has_shared(&self) -> bool {
        !self.shared.borrow().is_empty()
    }

    /// Leave to open a connection: one at a time where it may turn out to be one that is shared.
    pub(super) fn open(&self) -> Option<Option<Opening>> {
        if self.speaks_http1.get() {
            return Some(None);
        }
        self.capacity.open().map(Some)
    }

    /// Takes in a fresh HTTP/1.1 connection.
    pub(super) fn admit_http1(
        self: &Rc<Self>,
        sender: http1::SendRequest<RequestBody>,
        common: Common,
        hints: Arc<Hints>,
    ) -> Rc<Http1> {
        self.speaks_http1.set(true);
        Rc::new(Http1::new(sender, common, hints, Rc::downgrade(self)))
    }

    /// Takes in a fresh HTTP/2 connection. It takes one stream until its peer has said how many it may take, and those who
    /// wait do so for that long.
    pub(super) fn admit_http2(
        &self,
        sender: http2::SendRequest<RequestBody>,
        common: Common,
        opening: Option<Opening>,
        takes_connect: Box<dyn Fn() -> bool>,
    ) -> Rc<Http2> {
        self.speaks_http1.set(false);
        let capacity = Rc::clone(&self.capacity);
        let connection = Rc::new(Http2::new(sender, common, capacity, opening, takes_connect));
        self.shared.borrow_mut().push(Rc::clone(&connection));
        connection
    }

    fn sweep(&self, now: Instant) {
        let limit = self.idle_timeout.get();
        // An endpoint that is off keeps no connection but for what still runs there.
        let is_off = self.endpoint.holding.is_off();
        let is_old = |since: Instant| is_off || now.saturating_duration_since(since) > limit;
        self.idle.borrow_mut().retain(|connection| {
            !is_old(connection.idle_since())
                && !connection.sender.borrow().is_closed()
                && !connection.common.is_wanted()
        });
        self.shared.borrow_mut().retain(|connection| {
            let is_idle = connection.streams() == 0;
            let is_surplus = is_old(connection.idle_since()) || connection.common.is_wanted();
            !(connection.sender.is_closed() || is_idle && is_surplus)
        });
    }
}
