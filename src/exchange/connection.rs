//! A client's connection: facts that its exchanges share, and what it is doing now.
//!
//! Worker-local: only the worker that serves a connection touches it, so plain cells serve. The server's IO wrapper and
//! the exchanges note what happens; the worker's sweep reads it and ends what takes too long.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::{Flood, SpanRef, TlsFacts, clock};

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    /// Its number within the process.
    pub id: u64,
    /// The listener, by its place in the plan.
    pub listener: u16,
    /// The longest pause of a body on the client's side.
    pub body_timeout: Duration,
    peer: Cell<SocketAddr>,
    local: Cell<SocketAddr>,
    is_tls: bool,
    tls: OnceCell<Arc<TlsFacts>>,
    is_opening: Cell<bool>,
    accepted: Instant,
    is_http2: Cell<bool>,
    has_unread: Cell<bool>,
    first_byte: Cell<Option<Instant>>,
    idle_since: Cell<Instant>,
    last_read: Cell<Instant>,
    last_write: Cell<Instant>,
    live: Cell<u32>,
    served: Cell<u64>,
    /// Streams that the client opened and that became no exchange: HTTP/2's own refusals.
    refused: Cell<u64>,
    cut: Cell<Option<Cut>>,
    rest: Cell<Rest>,
    is_settled: Cell<bool>,
    xray: Cell<Option<SpanRef>>,
    driver: RefCell<Option<Waker>>,
}

/// Why the proxy ends a connection on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// A request head took too long.
    HeadTimeout,
    /// Nothing was asked for too long.
    IdleTimeout,
    /// A client paused too long in taking a response.
    WriteTimeout,
    /// A client sent too many HTTP/2 frames of a kind.
    Flood(Flood),
    /// The whole time of the exchange that it carries was up while the client took nothing.
    Total,
    /// The process is about to end: what was asked is still answered.
    Drain,
    /// It has been asked to end and did not, or the process ends: whatever it carries is lost.
    Now,
}

/// What a connection is doing, as the sweep sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nothing since then.
    Idle(Instant),
    /// A request head has been coming in since then.
    Head(Instant),
    /// It carries exchanges.
    Busy,
}

/// Whether an idle connection is put away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Awake,
    /// The sweep has asked for it.
    Asked,
    Resting,
}

// === impl Connection ===

impl Connection {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(
        id: u64,
        listener: u16,
        peer: SocketAddr,
        local: SocketAddr,
        is_tls: bool,
        body_timeout: Duration,
    ) -> Self {
        let now = clock::coarse();
        Self {
            id,
            listener,
            peer: Cell::new(peer),
            local: Cell::new(local),
            is_tls,
            tls: OnceCell::new(),
            is_opening: Cell::new(false),
            accepted: now,
            body_timeout,
            is_http2: Cell::new(false),
            has_unread: Cell::new(false),
            first_byte: Cell::new(None),
            idle_since: Cell::new(now),
            last_read: Cell::new(now),
            last_write: Cell::new(now),
            live: Cell::new(0),
            served: Cell::new(0),
            refused: Cell::new(0),
            cut: Cell::new(None),
            rest: Cell::new(Rest::Awake),
            is_settled: Cell::new(true),
            xray: Cell::new(None),
            driver: RefCell::new(None),
        }
    }

    /// Who connected: the socket's peer, or whom a PROXY header names.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer.get()
    }

    /// Where to: the socket's own address, or the one that a PROXY header names.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local.get()
    }

    /// Notes whom a PROXY header names, and where they connected to.
    pub fn note_proxied(&self, peer: SocketAddr, local: SocketAddr) {
        self.peer.set(peer);
        self.local.set(local);
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// What the handshake has settled, once it is over.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<TlsFacts>> {
        self.tls.get()
    }

    /// Notes what the handshake has settled; the first time counts.
    pub fn note_tls(&self, facts: TlsFacts) {
        let _ = self.tls.set(Arc::new(facts));
    }

    /// The process has opened it to itself, to look through the exchange that comes over it. That exchange is a child of
    /// this span, is kept whatever rules say, and goes upstream over connections of its own.
    pub fn note_xray(&self, parent: SpanRef) {
        self.xray.set(Some(parent));
    }

    /// The span under which its exchange is looked through; mostly nobody looks.
    #[must_use]
    pub fn xray(&self) -> Option<SpanRef> {
        self.xray.get()
    }

    /// Something comes before the first request (a PROXY header, a handshake), and may take as long as a request's head,
    /// from the time when the connection was accepted.
    pub fn begin_opening(&self) {
        self.is_opening.set(true);
    }

    /// Whether what comes before the first request is under way.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        self.is_opening.get()
    }

    /// When it was accepted, to the sweep's precision.
    #[must_use]
    pub fn accepted(&self) -> Instant {
        self.accepted
    }

    /// How many exchanges it carries now.
    #[must_use]
    pub fn carries(&self) -> u32 {
        self.live.get()
    }

    /// From now on requests are awaited.
    pub fn end_opening(&self) {
        self.is_opening.set(false);
        self.idle_since.set(clock::coarse());
    }

    /// Notes that bytes came in of which nobody knows yet what they are: a part of a TLS record.
    pub fn note_bytes(&self) {
        self.last_read.set(clock::coarse());
    }

    /// Notes that bytes came in.
    pub fn note_read(&self) {
        self.last_read.set(clock::coarse());
        if self.live.get() == 0 && self.first_byte.get().is_none() && !self.is_http2.get() {
            self.first_byte.set(Some(Instant::now()));
        }
    }

    /// Notes that the client took bytes.
    pub fn note_write(&self) {
        self.last_write.set(clock::coarse());
    }

    /// When bytes last came in, to the sweep's precision.
    #[must_use]
    pub fn last_read(&self) -> Instant {
        self.last_read.get()
    }

    /// When the client last took bytes, to the sweep's precision.
    #[must_use]
    pub fn last_write(&self) -> Instant {
        self.last_write.get()
    }

    /// HTTP/2: a head began then and has not ended; `None`: all have ended.
    pub fn note_head(&self, since: Option<Instant>) {
        self.first_byte.set(since);
    }

    /// HTTP/2: so many streams were opened in all. What of them became no exchange was refused by the protocol itself:
    /// a malformed head, one too large, one stream too many.
    pub fn note_opened(&self, streams: u64) {
        let exchanges = self.served.get() + u64::from(self.live.get());
        self.refused.set(streams.saturating_sub(exchanges));
    }

    /// How many streams the protocol itself has refused; known when the connection has ended.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// What it is doing.
    #[must_use]
    pub fn activity(&self) -> Activity {
        // On HTTP/2 a head that does not end holds up all other streams.
        if self.is_http2.get()
            && let Some(since) = self.first_byte.get()
        {
            return Activity::Head(since);
        }
        if self.live.get() > 0 {
            return Activity::Busy;
        }
        match self.first_byte.get() {
            _ if self.is_opening.get() => Activity::Head(self.idle_since.get()),
            Some(since) => Activity::Head(since),
            // What was handed on may still be on its way to a slow client. On HTTP/2 a PING's answer would count as well.
            None if !self.is_http2.get() => {
                Activity::Idle(self.idle_since.get().max(self.last_write.get()))
            }
            None => Activity::Idle(self.idle_since.get()),
        }
    }

    /// How many exchanges it has carried to their end.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.served.get()
    }

    /// It speaks HTTP/2: bytes that come while it carries nothing (settings, pings) begin no request, and hyper hands
    /// each request over when its head is complete.
    pub fn note_http2(&self) {
        self.is_http2.set(true);
        self.first_byte.set(None);
    }

    /// Whether it speaks HTTP/2.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        self.is_http2.get()
    }

    /// Notes that the client may still be sending what nobody will read.
    pub fn note_unread(&self) {
        self.has_unread.set(true);
    }

    /// Whether the client may still be sending what nobody will read.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        self.has_unread.get()
    }

    /// Ends it: the task that drives it drops it at its next poll. The first reason stands; only the polite ones,
    /// which wait, give way to another.
    pub fn cut(&self, why: Cut) {
        if matches!(self.cut.get(), None | Some(Cut::Drain | Cut::IdleTimeout)) {
            self.cut.set(Some(why));
        }
        if let Some(driver) = self.driver.borrow().as_ref() {
            driver.wake_by_ref();
        }
    }

    /// Something is on its way out that may not have left us.
    pub fn note_unsettled(&self) {
        self.is_settled.set(false);
    }

    /// All that was to be written has left us.
    pub fn note_settled(&self) {
        self.is_settled.set(true);
    }

    /// Whether all that was to be written has left us.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_settled.get()
    }

    /// It idles: the task that drives it may put it away. HTTP/2 cannot.
    pub fn put_to_rest(&self) {
        if self.rest.get() == Rest::Awake && !self.is_http2.get() {
            self.rest.set(Rest::Asked);
            if let Some(driver) = self.driver.borrow().as_ref() {
                driver.wake_by_ref();
            }
        }
    }

    /// Whether it is to be put away now; asked once for each time that the sweep asks.
    pub fn takes_rest(&self) -> bool {
        if self.rest.get() != Rest::Asked {
            return false;
        }
        let is_idle = matches!(self.activity(), Activity::Idle(_)) && self.cut.get().is_none();
        let takes = is_idle && self.is_settled.get();
        self.rest
            .set(if takes { Rest::Resting } else { Rest::Awake });
        takes
    }

    /// It is no longer put away.
    pub fn wake_up(&self) {
        self.rest.set(Rest::Awake);
    }

    /// Why it is to end, if it is.
    #[must_use]
    pub fn is_cut(&self) -> Option<Cut> {
        self.cut.get()
    }

    /// Says which task drives it.
    pub fn driven_by(&self, waker: &Waker) {
        let mut driver = self.driver.borrow_mut();
        if !driver.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *driver = Some(waker.clone());
        }
    }

    /// An exchange begins; the answer is when its first byte came. That is known for a request that was awaited; for a
    /// pipelined one, and on HTTP/2, it is now.
    pub(super) fn open_exchange(&self, now: Instant) -> Instant {
        self.live.set(self.live.get() + 1);
        if self.is_http2.get() {
            return now;
        }
        self.has_unread.set(false); // a further head was read, so what was before it is read too
        self.first_byte.take().unwrap_or(now)
    }

    /// An exchange has ended.
    pub(super) fn close_exchange(&self, now: Instant) {
        self.live.set(self.live.get().saturating_sub(1));
        self.served.set(self.served.get() + 1);
        self.idle_since.set(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polite_end_gives_way_to_a_forced_one_and_not_the_other_way_round() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        for polite in [Cut::Drain, Cut::IdleTimeout] {
            for forced in [Cut::HeadTimeout, Cut::WriteTimeout, Cut::Total, Cut::Now] {
                let connection = Connection::new(1, 0, address, address, false, Duration::ZERO);
                connection.cut(polite);
                connection.cut(forced);
                assert_eq!(connection.is_cut(), Some(forced), "after {polite:?}");
                connection.cut(polite);
                assert_eq!(connection.is_cut(), Some(forced), "before {polite:?}");
            }
        }
    }

    #[test]
    fn what_comes_before_the_first_request_is_timed_as_a_head_from_the_accept_on() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let connection = Connection::new(1, 0, address, address, true, Duration::ZERO);
        connection.begin_opening();
        let accepted = connection.idle_since.get();
        connection.note_bytes();
        assert_eq!(connection.activity(), Activity::Head(accepted));
        connection.end_opening();
        assert!(matches!(connection.activity(), Activity::Idle(_)));
    }

    #[test]
    fn what_a_client_still_takes_is_no_idleness_save_on_http2() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let connection = Connection::new(1, 0, address, address, false, Duration::ZERO);
        let later = Instant::now() + Duration::from_secs(60);
        connection.last_write.set(later);
        assert_eq!(connection.activity(), Activity::Idle(later));
        connection.note_http2();
        assert_ne!(connection.activity(), Activity::Idle(later));
    }
}
