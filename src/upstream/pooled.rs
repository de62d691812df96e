//! A connection in a pool: what both kinds have, one that carries a request at a time, one that carries many.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use hyper::client::conn::{http1, http2};
use rustls::AlertDescription;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Upstream;
use super::capacity::{Capacity, Opening, STREAMS};
use super::connect::End;
use super::hints::Hints;
use super::places::Place;
use super::pool::EndpointPool;
use crate::exchange::{Carried, Entered, Lease, RequestBody, clock};

/// What every kind of connection has.
pub(super) struct Common {
    end: End,
    upstream: Arc<Upstream>,
    driver: AbortHandle,
    state: RefCell<Option<Entered>>,
    _place: Place,
}

/// An HTTP/1.1 connection: one request at a time.
pub(super) struct Http1 {
    pub(super) common: Common,
    pub(super) sender: RefCell<http1::SendRequest<RequestBody>>,
    pub(super) hints: Arc<Hints>,
    home: Weak<EndpointPool>,
    load: RefCell<Option<Entered>>,
    idle_since: Cell<Instant>,
}

/// An HTTP/2 connection: many streams.
pub(super) struct Http2 {
    pub(super) common: Common,
    pub(super) sender: http2::SendRequest<RequestBody>,
    capacity: Rc<Capacity>,
    /// Those who wait do so for this one, until its peer has said how many streams it takes.
    opening: RefCell<Option<Opening>>,
    streams: Cell<u32>,
    most: Cell<u32>,
    is_retired: Cell<bool>,
    pub(super) served: Cell<bool>,
    takes_connect: Box<dyn Fn() -> bool>,
    takes_none: Cell<bool>,
    idle_since: Cell<Instant>,
}

/// A stream of an HTTP/2 connection.
pub(super) struct Stream {
    pub(super) connection: Rc<Http2>,
    _load: Entered,
}

// === impl Common ===

impl Common {
    pub(super) fn new(
        end: End,
        upstream: Arc<Upstream>,
        driver: AbortHandle,
        place: Place,
    ) -> Self {
        let common = Self {
            end,
            upstream,
            driver,
            state: RefCell::default(),
            _place: place,
        };
        common.mark_busy();
        common
    }

    pub(super) fn mark_busy(&self) {
        self.state
            .replace(Some(self.upstream.meters.active.enter()));
    }

    fn mark_idle(&self) {
        self.state.replace(Some(self.upstream.meters.idle.enter()));
    }

    /// Whether somebody waits for its place. Whoever is told so and does not need the connection drops it.
    pub(super) fn is_wanted(&self) -> bool {
        self.upstream.places.is_wanted()
    }

    /// Whether it may carry another client's request after this one: it may not where it began with one client's address.
    pub(super) fn is_for_many(&self) -> bool {
        self.upstream.plan.proxy_protocol.is_none()
    }

    /// What an attempt has to say of it.
    pub(super) fn carried(&self, is_reused: bool, is_http2: bool) -> Carried {
        self.end.carried(is_reused, is_http2)
    }

    /// The alert with which the upstream has ended TLS, if it has.
    pub(super) fn alert(&self) -> Option<AlertDescription> {
        self.end.tls.as_ref().and_then(|(_, alert)| alert.get())
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
    pub(super) fn new(
        sender: http1::SendRequest<RequestBody>,
        common: Common,
        hints: Arc<Hints>,
        home: Weak<EndpointPool>,
    ) -> Self {
        Self {
            common,
            sender: RefCell::new(sender),
            hints,
            home,
            load: RefCell::default(),
            idle_since: Cell::new(clock::coarse()),
        }
    }

    /// It carries an attempt from now on.
    pub(super) fn carry(&self, load: Entered) {
        self.load.replace(Some(load));
    }

    /// Since when it has carried nothing; meaningless while it carries something.
    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since.get()
    }
}

impl Lease for Http1 {
    fn end(self: Rc<Self>, is_clean: bool) {
        self.load.take();
        // Not ready: the request's body is still on its way, or the upstream wants the connection closed.
        if !is_clean
            || !self.common.is_for_many()
            || !self.sender.borrow().is_ready()
            || self.common.is_wanted()
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

// === impl Http2 ===

impl Http2 {
    pub(super) fn new(
        sender: http2::SendRequest<RequestBody>,
        common: Common,
        capacity: Rc<Capacity>,
        opening: Option<Opening>,
        takes_connect: Box<dyn Fn() -> bool>,
    ) -> Self {
        Self {
            common,
            sender,
            capacity,
            opening: RefCell::new(opening),
            streams: Cell::new(0),
            most: Cell::new(1),
            is_retired: Cell::new(false),
            served: Cell::new(false),
            takes_connect,
            takes_none: Cell::new(false),
            idle_since: Cell::new(clock::coarse()),
        }
    }

    /// How many streams it carries.
    pub(super) fn streams(&self) -> u32 {
        self.streams.get()
    }

    /// Whether it may carry one more.
    pub(super) fn has_room(&self) -> bool {
        self.streams.get() < self.most.get() && !self.is_retired.get()
    }

    /// Since when it has carried nothing; meaningless while it carries something.
    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since.get()
    }

    /// Its peer takes this many streams at once.
    pub(super) fn allow(&self, streams: usize) {
        let most = u32::try_from(streams).unwrap_or(STREAMS).min(STREAMS);
        if self.most.replace(most) != most || self.opening.borrow().is_some() {
            self.capacity.tell_all(most);
            self.opening.take();
        }
    }

    /// It takes no further streams: its peer goes away. Those that it carries go on.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        self.opening.take();
    }

    /// An answer came, or the peer has spoken otherwise: where it named no figure by now, it is one that cannot be told
    /// from none.
    pub(super) fn settle(&self) {
        if self.opening.borrow().is_some() {
            self.allow(STREAMS as usize);
        }
    }

    /// Whether its peer has said that it takes extended CONNECT (RFC 8441 §3).
    pub(super) fn takes_connect(&self) -> bool {
        (self.takes_connect)()
    }

    /// It has had the time to say so, and did not.
    pub(super) fn note_takes_none(&self) {
        self.takes_none.set(true);
    }

    /// Whether it has had the time to say so, and did not.
    pub(super) fn takes_none(&self) -> bool {
        self.takes_none.get()
    }

    /// Whether its peer has not spoken yet.
    pub(super) fn is_unsettled(&self) -> bool {
        self.opening.borrow().is_some()
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
        let connection = &self.connection;
        let left = connection.streams.get().saturating_sub(1);
        connection.streams.set(left);
        connection.capacity.tell_one();
        if left == 0 {
            connection.common.mark_idle();
            connection.idle_since.set(clock::coarse());
        }
    }
}
