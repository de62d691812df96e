//! The exchange while it lasts: what was noted, the clock that says where its time goes, and when that is too long.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::identity::Asked;
use super::on_worker::TaskCut;
use super::phase::PhaseClock;
use super::record::KnownMethod;
use super::{
    Attempt, BodyError, Connection, Considered, Cut, Entered, Headers, Outcome, Phase, Protocol,
    Text, TracePlace, TunnelKind, live,
};

/// What clones of an [`Exchange`](super::Exchange) share.
pub(super) struct Core {
    pub(super) connection: Rc<Connection>,
    pub(super) clock: PhaseClock,
    /// How much of picking was waiting for a connection, in nanoseconds.
    pub(super) waited: Cell<u64>,
    pub(super) place: Cell<usize>,
    /// What the balancer looked at for the next attempt.
    pub(super) considered: Cell<Considered>,
    pub(super) limits: Cell<Limits>,
    pub(super) expired: Cell<Option<Timeout>>,
    pub(super) waker: RefCell<Option<Waker>>,
    /// The task that carries it alone: a stream of HTTP/2.
    pub(super) task: RefCell<Option<TaskCut>>,
    pub(super) protocol: Protocol,
    /// Whether the request is a gRPC call.
    pub(super) is_grpc: Cell<bool>,
    /// What the client asks its connection or stream to become.
    pub(super) wish: Cell<Option<TunnelKind>>,
    /// What it has become.
    pub(super) tunnel: Cell<Option<TunnelKind>>,
    pub(super) bytes_in: Cell<u64>,
    pub(super) bytes_out: Cell<u64>,
    /// `None` once the exchange has ended.
    pub(super) facts: RefCell<Option<Facts>>,
}

/// What layers have noted.
pub(super) struct Facts {
    pub(super) trace: TracePlace,
    pub(super) generation: u32,
    pub(super) route: Option<u16>,
    /// Its place among the route's active ones.
    pub(super) entered: Option<Entered>,
    pub(super) method: KnownMethod,
    pub(super) status: u16,
    /// The fault that ends it, if one was answered.
    pub(super) ending: Option<Outcome>,
    pub(super) detail: &'static str,
    pub(super) grpc_status: Option<u8>,
    pub(super) is_stream: bool,
    pub(super) head_after: Option<Duration>,
    pub(super) client: IpAddr,
    pub(super) first: Option<Attempt>,
    pub(super) more: Vec<Attempt>,
    pub(super) text: Text,
    pub(super) limit: Option<LimitNote>,
    /// How many lived on the route with it, and how many may.
    pub(super) concurrency: Option<(u32, u32)>,
    pub(super) headers: Option<Box<Headers>>,
    pub(super) asked: Option<Box<Asked>>,
    pub(super) body_error: Option<BodyError>,
    pub(super) held: Vec<Box<dyn Any>>,
}

/// When the sweep ends an exchange.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) total: Option<Instant>,
    pub(super) attempt: Option<Instant>,
    pub(super) client_body: Duration,
    pub(super) head: Duration,
    pub(super) idle: Duration,
}

/// Which time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// The route's total.
    Total,
    /// The attempt's own.
    Attempt,
    /// The upstream's response head.
    Head,
    /// A pause of the upstream's body.
    UpstreamIdle,
    /// A pause of the client's body.
    ClientBody,
    /// A pause of the client in taking the response.
    ClientTaking,
    /// A pause of a tunnel: nothing moved in either direction.
    TunnelIdle,
}

/// What a rate limit said; told to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitNote {
    /// How many a client may do at once.
    pub limit: u32,
    /// How many it may still do now.
    pub remaining: u32,
    /// When the allowance is whole again, or, where it was refused, when the next is free.
    pub reset: Duration,
}

/// What the limits of a route said of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitStates {
    /// The rate limit, after this exchange was counted.
    pub rate: Option<LimitNote>,
    /// How many lived on the route, this one among them where it was let in, and how many may.
    pub concurrency: Option<(u32, u32)>,
}

/// Longer than any exchange: where a time is not limited.
pub(super) const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

// === impl LimitStates ===

impl LimitStates {
    /// `None` where no limit was asked: then nothing is allocated.
    pub(super) fn of(
        rate: Option<LimitNote>,
        concurrency: Option<(u32, u32)>,
    ) -> Option<Box<Self>> {
        let is_limited = rate.is_some() || concurrency.is_some();
        is_limited.then(|| Box::new(Self { rate, concurrency }))
    }
}

// === impl Core ===

impl Core {
    pub(super) fn note(&self, note: impl FnOnce(&mut Facts)) {
        if let Some(facts) = self.facts.borrow_mut().as_mut() {
            note(facts);
        }
    }

    pub(super) fn ask<T>(&self, ask: impl FnOnce(&Facts) -> T) -> Option<T> {
        self.facts.borrow().as_ref().map(ask)
    }

    pub(super) fn note_attempt(&self, note: impl FnOnce(&mut Attempt)) {
        self.note(|facts| {
            if let Some(attempt) = facts.more.last_mut().or(facts.first.as_mut()) {
                note(attempt);
            }
        });
    }

    pub(super) fn enter(&self, phase: Phase, now: Instant) {
        self.clock.enter(phase, now);
        if phase > Phase::Backoff {
            let at = short(self.micros(now)).max(1);
            self.note_attempt(|attempt| {
                let entered = &mut attempt.entered_us[phase.index()];
                if *entered == 0 && attempt.ended_us == 0 {
                    *entered = at;
                }
            });
        }
    }

    /// Microseconds from its first byte until `now`.
    pub(super) fn micros(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.clock.started());
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// Wakes the exchange when one of its times is up, and cuts the connection where waking cannot help: a client that
    /// takes nothing leaves the task waiting for the socket, which polls no body.
    pub(super) fn end_if_overdue(&self, now: Instant) {
        if self.expired.get().is_some() {
            return;
        }
        let Some(timeout) = self.overdue(now) else {
            return;
        };
        self.expired.set(Some(timeout));
        if self.clock.phase() == Phase::BodyClient && timeout != Timeout::TunnelIdle {
            match self.task.borrow().as_ref() {
                Some(task) => task.cut(),
                // The exchange says itself that its time was up: that is no error of its connection.
                None if timeout == Timeout::Total => self.connection.cut(Cut::Total),
                None => self.connection.cut(Cut::WriteTimeout),
            }
        }
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn overdue(&self, now: Instant) -> Option<Timeout> {
        let limits = self.limits.get();
        let past = |limit: Option<Instant>| limit.is_some_and(|limit| now >= limit);
        if past(limits.total) {
            return Some(Timeout::Total);
        }
        if past(limits.attempt) {
            return Some(Timeout::Attempt);
        }
        let since = self.clock.since();
        if self.tunnel.get().is_some() {
            let quiet = now.saturating_duration_since(since);
            return (quiet > limits.idle).then_some(Timeout::TunnelIdle);
        }
        // Bytes of a connection are progress of its one exchange; on HTTP/2 they may be anybody's.
        let is_alone = self.protocol != Protocol::Http2;
        let paused = |progress: Instant, limit: Duration| {
            let progress = if is_alone { since.max(progress) } else { since };
            now.saturating_duration_since(progress) > limit
        };
        match self.clock.phase() {
            Phase::Wait | Phase::SendUpstream => {
                paused(since, limits.head).then_some(Timeout::Head)
            }
            Phase::BodyUpstream => paused(since, limits.idle).then_some(Timeout::UpstreamIdle),
            Phase::SendClient => paused(self.connection.last_read(), limits.client_body)
                .then_some(Timeout::ClientBody),
            Phase::BodyClient => paused(self.connection.last_write(), limits.client_body)
                .then_some(Timeout::ClientTaking),
            _ => None,
        }
    }
}

/// What is kept of a moment within the first hour; all but ends lie there.
pub(super) fn short(micros: u64) -> u32 {
    u32::try_from(micros).unwrap_or(u32::MAX)
}

impl Drop for Core {
    fn drop(&mut self) {
        // Only an exchange that nobody finished: a bug above, but the registry must not keep its place.
        if self.facts.get_mut().is_some() {
            live::leave(self.place.get());
            self.connection.close_exchange(Instant::now());
        }
    }
}
