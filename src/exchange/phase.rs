//! Where an exchange's time goes: twelve phases that partition it.
//!
//! Each instant of an exchange has exactly one owner, so the phases add up to the total by construction: the clock only
//! ever moves from one phase to the next. Accumulating stopwatches that start and stop independently were rejected,
//! because their sum drifts from the total and nobody can say why.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// One of the twelve owners of an exchange's time, in the order in which they usually come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// The request head is being received.
    Receive,
    /// Routing and limits.
    Admit,
    /// The pause between two attempts.
    Backoff,
    /// Balancing, and waiting for a connection.
    Pick,
    /// The endpoint's name is being resolved.
    Dns,
    /// A connection is being made.
    Connect,
    /// A TLS handshake with the upstream.
    Tls,
    /// Waiting for the next bytes of the client's body.
    SendClient,
    /// Waiting for the upstream to take the request.
    SendUpstream,
    /// The request is out, the response head is awaited.
    Wait,
    /// Waiting for the next bytes of the upstream's body.
    BodyUpstream,
    /// Waiting for the client to take the response.
    BodyClient,
}

/// How many phases there are.
pub const PHASES: usize = 12;

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; PHASES] = [
        Self::Receive,
        Self::Admit,
        Self::Backoff,
        Self::Pick,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::SendClient,
        Self::SendUpstream,
        Self::Wait,
        Self::BodyUpstream,
        Self::BodyClient,
    ];

    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Admit => "admit",
            Self::Backoff => "backoff",
            Self::Pick => "pick",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::SendClient => "send_client",
            Self::SendUpstream => "send_upstream",
            Self::Wait => "wait",
            Self::BodyUpstream => "body_upstream",
            Self::BodyClient => "body_client",
        }
    }

    /// The place in [`Phase::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// How long each phase took, in nanoseconds; zero where it did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseTimes([u64; PHASES]);

impl PhaseTimes {
    /// The time that this phase took.
    #[must_use]
    pub fn get(&self, phase: Phase) -> Duration {
        Duration::from_nanos(self.0[phase.index()])
    }

    /// The phases that happened, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, Duration)> + '_ {
        Phase::ALL
            .into_iter()
            .map(|phase| (phase, self.get(phase)))
            .filter(|(_, time)| !time.is_zero())
    }

    /// All of them together: the length of the exchange.
    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.iter().sum())
    }
}

impl FromIterator<(Phase, Duration)> for PhaseTimes {
    fn from_iter<I: IntoIterator<Item = (Phase, Duration)>>(times: I) -> Self {
        let mut all = Self::default();
        for (phase, time) in times {
            all.0[phase.index()] += u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        }
        all
    }
}

/// The clock that gives each instant its owner.
#[derive(Debug)]
pub(super) struct PhaseClock {
    started: Instant,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    times: [Cell<u64>; PHASES],
}

// === impl PhaseClock ===

impl PhaseClock {
    /// A clock that has been in [`Phase::Receive`] since `started`.
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            phase: Cell::new(Phase::Receive),
            since: Cell::new(started),
            times: Default::default(),
        }
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// When the present phase was entered, or last made progress.
    pub(super) fn since(&self) -> Instant {
        self.since.get()
    }

    /// From `now` on the time is `phase`'s.
    pub(super) fn enter(&self, phase: Phase, now: Instant) {
        let spent = now.saturating_duration_since(self.since.get());
        let time = &self.times[self.phase.get().index()];
        time.set(time.get() + u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX));
        self.phase.set(phase);
        self.since.set(now);
    }

    /// What each phase would have taken if it ended `now`; nothing changes.
    pub(super) fn times_at(&self, now: Instant) -> PhaseTimes {
        let mut times = self.times.each_ref().map(Cell::get);
        let spent = now.saturating_duration_since(self.since.get());
        times[self.phase.get().index()] += u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        PhaseTimes(times)
    }

    /// What each phase has taken until `now`.
    pub(super) fn times(&self, now: Instant) -> PhaseTimes {
        self.enter(self.phase.get(), now);
        PhaseTimes(self.times.each_ref().map(Cell::get))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;
    use crate::exchange::{Connection, Exchange, Outcome, Protocol, SpanId};

    fn exchange() -> Exchange {
        let address = SocketAddr::from(([127, 0, 0, 1], 40_000));
        let body = Duration::from_secs(30);
        let connection = Rc::new(Connection::new(7, 0, address, address, false, body));
        Exchange::open(&connection, &http::Method::GET, Protocol::Http11, 1)
    }

    /// Time that passes while it does so.
    fn pass(nanos: u64) {
        let until = Instant::now() + Duration::from_nanos(nanos);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }

    proptest! {
        #[test]
        fn each_instant_has_one_owner(
            steps in prop::collection::vec((0_usize..PHASES, 0_u64..5_000_000_000), 0..60),
            rest in 0_u64..5_000_000_000,
        ) {
            let started = Instant::now();
            let clock = PhaseClock::new(started);
            let mut now = started;
            let mut wanted = [0_u64; PHASES];
            for (phase, nanos) in steps {
                wanted[clock.phase().index()] += nanos;
                now += Duration::from_nanos(nanos);
                clock.enter(Phase::ALL[phase], now);
            }
            wanted[clock.phase().index()] += rest;
            now += Duration::from_nanos(rest);
            let times = clock.times(now);
            prop_assert_eq!(times.total(), now - started);
            prop_assert_eq!(times.0, wanted);
            prop_assert_eq!(clock.times(now), times, "asking takes no time");
        }

        /// Whatever is noted of it, in whatever order: its phases add up to the time from its first byte to its end.
        #[test]
        fn the_phases_of_an_exchange_add_up_to_its_length(
            steps in prop::collection::vec((0_u8..8, 0_usize..PHASES, 0_u64..20_000), 0..40),
        ) {
            let exchange = exchange();
            for (step, phase, nanos) in steps {
                let phase = Phase::ALL[phase];
                let waits = (step == 7).then(|| exchange.waits_for_connection());
                pass(nanos);
                drop(waits);
                match step {
                    0 => exchange.begin_attempt(0, 0, SpanId::random()),
                    1 => exchange.end_attempt(Outcome::ConnectionTerminated),
                    2 => exchange.upload(phase),
                    3 => exchange.upload_step(phase),
                    4 => exchange.note_head(200, false),
                    5 => drop(exchange.times()),
                    _ => drop(exchange.enter(phase)),
                }
            }
            let started = exchange.started();
            let before = started.elapsed();
            let record = exchange.finish(Outcome::Served).expect("the first to end it");
            let after = started.elapsed();
            prop_assert!(before <= record.duration() && record.duration() <= after);
            prop_assert_eq!(record.phases.total(), record.duration());
            let theirs = Phase::ALL.into_iter().filter(|phase| !matches!(phase, Phase::Admit | Phase::Pick));
            let theirs: Duration = theirs.map(|phase| record.phases.get(phase)).sum();
            prop_assert!(record.overhead() + theirs <= record.duration());
        }
    }

    #[test]
    fn waiting_for_a_connection_is_not_what_the_proxy_took() {
        let exchange = exchange();
        exchange.begin_attempt(0, 0, SpanId::random());
        pass(100_000);
        let waits = exchange.waits_for_connection();
        pass(3_000_000);
        drop(waits);
        exchange.enter(Phase::Wait);
        pass(3_000_000);
        let record = exchange
            .finish(Outcome::Served)
            .expect("the first to end it");
        let waited = Duration::from_micros(record.waited_us.into());
        assert!(waited >= Duration::from_millis(3));
        assert!(record.phases.get(Phase::Pick) >= waited + Duration::from_micros(100));
        let ours = record.duration() - waited - record.phases.get(Phase::Wait);
        assert!(record.overhead() >= Duration::from_micros(100) && record.overhead() <= ours);
    }
}
