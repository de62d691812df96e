//! What is in this worker now, for whoever looks: exchanges and connections as they stand.
//!
//! Nothing is noted for this while they run. It is read from what they hold anyway, when somebody asks, and copied, since
//! who asks sits on another thread.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::state::Core;
use super::state::short;
use super::{Activity, Connection, Outcome, Phase, Record, TlsVersion, live};

/// An exchange that goes on.
#[derive(Clone, Debug)]
pub struct LiveExchange {
    /// What is known of it so far. How it ends is not: its outcome means nothing, nor does its status where no head was
    /// sent. Its phases add up to its age.
    pub record: Record,
    /// The phase that it is in.
    pub phase: Phase,
    /// How long since that phase began, or last made progress.
    pub in_phase: Duration,
}

/// A client's connection that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveConnection {
    /// Its number within the process.
    pub id: u64,
    /// The listener, by its place in the plan.
    pub listener: u16,
    /// Who connected.
    pub peer: SocketAddr,
    /// How long ago it was accepted.
    pub age: Duration,
    /// What it does: `handshaking` (before the first request: a PROXY header, TLS), `receiving` (a request's head),
    /// `active` (it carries exchanges) or `idle`.
    pub state: &'static str,
    /// Since when it has done nothing, or what it began to receive; `None` where it is active.
    pub in_state: Option<Duration>,
    /// The version of TLS; `None` in clear text and before the handshake is over.
    pub tls: Option<TlsVersion>,
    /// Whether it speaks HTTP/2.
    pub is_http2: bool,
    /// How many exchanges it carries now.
    pub carries: u32,
    /// How many it has carried to their end.
    pub served: u64,
}

/// How many exchanges are live on this worker, and the places of the oldest, `most` at most.
#[must_use]
pub fn oldest(most: usize) -> (usize, Vec<usize>) {
    let mut places = live::places();
    let count = places.len();
    places.sort_unstable();
    places.truncate(most);
    (count, places.into_iter().map(|(_, place)| place).collect())
}

/// The exchanges at these places of this worker, as far as they are still there.
#[must_use]
pub fn look_at(places: &[usize]) -> Vec<LiveExchange> {
    let now = Instant::now();
    let live = places.iter().filter_map(|place| live::at(*place));
    live.filter_map(|core| core.look(now)).collect()
}

// === impl Core ===

impl Core {
    fn look(&self, now: Instant) -> Option<LiveExchange> {
        let record = self.ask(|facts| Record {
            started: self.clock.started(),
            phases: self.clock.times_at(now),
            waited_us: short(self.waited.get() / 1_000),
            trace: facts.trace.clone(),
            kept: None,
            generation: facts.generation,
            connection: self.connection.id,
            listener: self.connection.listener,
            route: facts.route,
            method: facts.method,
            protocol: self.protocol,
            status: facts.status,
            outcome: Outcome::Served,
            detail: facts.detail,
            grpc_status: facts.grpc_status,
            tls: self.connection.tls().cloned(),
            is_tls: self.connection.is_tls(),
            is_stream: facts.is_stream,
            tunnel: self.tunnel.get(),
            head_after: facts.head_after,
            client: facts.client,
            peer: self.connection.peer(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            first: facts.first.clone(),
            more: facts.more.clone(),
            headers: facts.headers.clone(),
            limits: super::LimitStates::of(facts.limit, facts.concurrency),
            identity: facts.asked.as_ref().and_then(|it| it.identity.clone()),
            text: facts.text.clone(),
        })?;
        Some(LiveExchange {
            record,
            phase: self.clock.phase(),
            in_phase: now.saturating_duration_since(self.clock.since()),
        })
    }
}

// === impl Connection ===

impl Connection {
    /// The connection as it stands.
    #[must_use]
    pub fn look(&self, now: Instant) -> LiveConnection {
        let since = |at: Instant| Some(now.saturating_duration_since(at));
        let (state, in_state) = match self.activity() {
            Activity::Head(at) if self.is_opening() => ("handshaking", since(at)),
            Activity::Head(at) => ("receiving", since(at)),
            Activity::Idle(at) => ("idle", since(at)),
            Activity::Busy => ("active", None),
        };
        LiveConnection {
            id: self.id,
            listener: self.listener,
            peer: self.peer(),
            age: now.saturating_duration_since(self.accepted()),
            state,
            in_state,
            tls: self.tls().map(|tls| tls.version),
            is_http2: self.is_http2(),
            carries: self.carries(),
            served: self.served(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::exchange::{Exchange, Protocol, SpanId, Text, Words};

    fn open() -> Exchange {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let connection = Rc::new(Connection::new(
            7,
            0,
            address,
            address,
            false,
            Duration::MAX,
        ));
        let exchange = Exchange::open(&connection, &http::Method::GET, Protocol::Http11, 1);
        exchange.note_words(Text::new(&Words {
            path: "/cart",
            ..Words::default()
        }));
        exchange
    }

    #[test]
    fn an_exchange_is_shown_as_it_stands_and_looking_changes_nothing() {
        let exchange = open();
        exchange.begin_attempt(2, 1, SpanId::random());
        exchange.enter(Phase::Wait);
        exchange.count_in(5);
        let since = exchange.since();
        let (count, places) = oldest(10);
        assert_eq!((count, places.len()), (1, 1));
        let seen = look_at(&places).pop().expect("it is live");
        assert_eq!((seen.phase, seen.record.bytes_in), (Phase::Wait, 5));
        let attempt = seen.record.first.as_ref().expect("an attempt");
        assert_eq!(
            (attempt.upstream, attempt.endpoint, attempt.ended_us),
            (2, 1, 0)
        );
        assert_eq!(seen.record.text.words().path, "/cart");
        assert!(seen.record.phases.get(Phase::Wait) >= seen.in_phase);
        assert_eq!(exchange.since(), since, "its pause goes on");
        drop(exchange.finish(Outcome::Served));
        assert!(look_at(&places).is_empty());
        assert_eq!(oldest(10).0, 0);
    }

    #[test]
    fn the_oldest_come_first_and_no_more_than_asked_for() {
        let exchanges: Vec<Exchange> = (0..5).map(|_| open()).collect();
        let ids: Vec<_> = exchanges.iter().map(|it| it.trace().trace_id).collect();
        let (count, places) = oldest(3);
        let seen = look_at(&places);
        let seen: Vec<_> = seen.iter().map(|it| it.record.trace.trace_id).collect();
        assert_eq!((count, &*seen), (5, &ids[..3]));
    }
}
