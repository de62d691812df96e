//! The connections of one worker to one endpoint.
//!
//! Worker-local: no locks, and a response never crosses threads. hyper-util's client keeps one mutex over all hosts and
//! hides what a connection costs; here checking one out is a `Vec::pop`. HTTP/1.1 connections are kept last in, first
//! out, so that the surplus of a burst goes idle and is closed.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::places::Place;
use super::{Endpoint, Upstream};
use crate::exchange::{Entered, Lease, RequestBody, clock};

/// Streams at once on one HTTP/2 connection before another is opened; half of what servers commonly allow, because one
/// connection is one lock in h2 and one lossy TCP stream.
const STREAMS: u32 = 100;

/// The pools of one worker, by endpoint.
#[derive(Default)]
pub struct Pools {
    by_endpoint: RefCell<HashMap<u64, Rc<EndpointPool>, foldhash::fast::RandomState>>,
}

/// The connections of one worker to one endpoint.
pub struct EndpointPool {
    pub(super) endpoint: Arc<Endpoint>,
    idle: RefCell<Vec<Rc<Http1>>>,
    shared: RefCell<Vec<Rc<Http2>>>,
    /// Held while an HTTP/2 connection is opened, so that a burst opens one and shares it.
    pub(super) opening: tokio::sync::Mutex<()>,
    idle_timeout: Cell<Duration>,
}

/// What every kind of connection has.
pub(super) struct Common {
    pub(super) peer: SocketAddr,
    upstream: Arc<Upstream>,
    driver: AbortHandle,
    state: RefCell<Option<Entered>>,
    _place: Place,
}

/// An HTTP/1.1 connection: one request at a time.
pub(super) struct Http1 {
    pub(super) common: Common,
    pub(super) sender: RefCell<http1::SendRequest<RequestBody>>,
    home: Weak<EndpointPool>,
    load: RefCell<Option<Entered>>,
    idle_since: Cell<Instant>,
}

/// An HTTP/2 connection: many streams.
pub(super) struct Http2 {
    pub(super) common: Common,
    pub(super) sender: http2::SendRequest<RequestBody>,
    streams: Cell<u32>,
    pub(super) served: Cell<bool>,
    idle_since: Cell<Instant>,
}

/// A stream of an HTTP/2 connection.
pub(super) struct Stream {
    pub(super) connection: Rc<Http2>,
    _load: Entered,
}

// === impl Pools ===

impl Pools {
    /// The pool of an upstream's endpoint, made where there is none.
    #[must_use]
    pub fn of(&self, upstream: &Upstream, endpoint: &Arc<Endpoint>) -> Rc<EndpointPool> {
        let mut pools = self.by_endpoint.borrow_mut();
        let pool = pools.entry(endpoint.id).or_insert_with(|| {
            Rc::new(EndpointPool {
                endpoint: Arc::clone(endpoint),
                idle: RefCell::default(),
                shared: RefCell::default(),
                opening: tokio::sync::Mutex::default(),
                idle_timeout: Cell::new(upstream.plan.idle_timeout),
            })
        });
        pool.idle_timeout.set(upstream.plan.idle_timeout);
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
            .filter(|connection| connection.streams.get() < STREAMS)
            .min_by_key(|connection| connection.streams.get())
            .map(Rc::clone)
    }

    /// Takes in a fresh HTTP/1.1 connection.
    pub(super) fn admit_http1(
        self: &Rc<Self>,
        sender: http1::SendRequest<RequestBody>,
        common: Common,
    ) -> Rc<Http1> {
        Rc::new(Http1 {
            common,
            sender: RefCell::new(sender),
            home: Rc::downgrade(self),
            load: RefCell::default(),
            idle_since: Cell::new(clock::coarse()),
        })
    }

    /// Takes in a fresh HTTP/2 connection.
    pub(super) fn admit_http2(
        &self,
        sender: http2::SendRequest<RequestBody>,
        common: Common,
    ) -> Rc<Http2> {
        let connection = Rc::new(Http2 {
            common,
            sender,
            streams: Cell::new(0),
            served: Cell::new(false),
            idle_since: Cell::new(clock::coarse()),
        });
        self.shared.borrow_mut().push(Rc::clone(&connection));
        connection
    }

    fn sweep(&self, now: Instant) {
        let limit = self.idle_timeout.get();
        let is_old = |since: Instant| now.saturating_duration_since(since) > limit;
        self.idle.borrow_mut().retain(|connection| {
            !is_old(connection.idle_since.get())
                && !connection.sender.borrow().is_closed()
                && !connection.common.upstream.places.is_wanted()
        });
        self.shared.borrow_mut().retain(|connection| {
            let is_idle = connection.streams.get() == 0;
            !(connection.sender.is_closed() || is_idle && is_old(connection.idle_since.get()))
        });
    }
}

// === impl Common ===

impl Common {
    pub(super) fn new(
        peer: SocketAddr,
        upstream: Arc<Upstream>,
        driver: AbortHandle,
        place: Place,
    ) -> Self {
        let common = Self {
            peer,
            upstream,
            driver,
            state: RefCell::default(),
            _place: place,
        };
        common.mark_busy();
        common
    }

    fn mark_busy(&self) {
        self.state
            .replace(Some(self.upstream.meters.active.enter()));
    }

    fn mark_idle(&self) {
        self.state.replace(Some(self.upstream.meters.idle.enter()));
    }
}

impl Drop for Common {
    /// Nobody can use the connection any more: its task has no reason to go on.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

// === impl Http1 ===

impl Http1 {
    /// It carries an attempt from now on.
    pub(super) fn carry(&self, load: Entered) {
        self.load.replace(Some(load));
    }
}

impl Lease for Http1 {
    fn end(self: Rc<Self>, is_clean: bool) {
        self.load.take();
        // Not ready: the request's body is still on its way, or the upstream wants the connection closed.
        if !is_clean || !self.sender.borrow().is_ready() || self.common.upstream.places.is_wanted()
        {
            return;
        }
        if let Some(home) = self.home.upgrade() {
            self.common.mark_idle();
            self.idle_since.set(clock::coarse());
            home.idle.borrow_mut().push(self);
        }
    }
}

// === impl Stream ===

impl Stream {
    /// One more stream of this connection.
    pub(super) fn open(connection: Rc<Http2>, load: Entered) -> Rc<Self> {
        if connection.streams.replace(connection.streams.get() + 1) == 0 {
            connection.common.mark_busy();
        }
        Rc::new(Self {
            connection,
            _load: load,
        })
    }
}

impl Lease for Stream {
    fn end(self: Rc<Self>, _is_clean: bool) {}
}

impl Drop for Stream {
    fn drop(&mut self) {
        let left = self.connection.streams.get().saturating_sub(1);
        self.connection.streams.set(left);
        if left == 0 {
            self.connection.common.mark_idle();
            self.connection.idle_since.set(clock::coarse());
        }
    }
}
