//! One try of an exchange at one endpoint.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::phase::PHASES;
use super::state::short;
use super::{Exchange, Outcome, Phase, Side, SpanId, TlsVersion, grpc};

/// One try of an exchange at one endpoint. Times are microseconds since the exchange began; only its end may be more than
/// an hour later, where it is a tunnel or an event stream.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The upstream, by its place in the plan.
    pub upstream: u16,
    /// The endpoint, by its place in the upstream.
    pub endpoint: u16,
    /// The span that the upstream saw as its parent.
    pub span_id: SpanId,
    /// The status of its answer, where a head came.
    pub status: Option<u16>,
    /// Its status of gRPC, where it is known.
    pub grpc_status: Option<u8>,
    /// How it ended; meaningless until it has.
    pub outcome: Outcome,
    /// Whether it went out on a connection that had been used before.
    pub is_reused: bool,
    /// Whether it repeats an attempt that a dead pooled connection gave back unsent.
    pub is_resend: bool,
    /// Whether it was made over HTTP/2.
    pub is_http2: bool,
    /// The version of TLS that it was made over; `None` in clear text.
    pub tls: Option<TlsVersion>,
    /// How many Early Hints (103) came before its head; they end here.
    pub early_hints: u8,
    /// The peer, where a connection was had.
    pub peer: Option<SocketAddr>,
    /// What the balancer looked at when it picked the endpoint.
    pub considered: Considered,
    /// When it began.
    pub started_us: u32,
    /// When it ended: the last body byte, the fault, or the decision to try again.
    pub ended_us: u64,
    /// When each phase was first entered; zero where it was not.
    pub(super) entered_us: [u32; PHASES],
}

/// What a balancer looked at when it picked an endpoint. Those that draw without a look have no candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Considered {
    /// How many endpoints were ready to be picked.
    pub ready: u16,
    /// How many were compared.
    count: u8,
    /// Their places in the upstream; apart from the loads, which need no padding then.
    places: [u16; CANDIDATES],
    /// Their loads.
    loads: [f32; CANDIDATES],
}

/// How many candidates are kept; the power of two choices compares two.
const CANDIDATES: usize = 2;

/// What an attempt has to say of the connection that carries it.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// The peer.
    pub peer: SocketAddr,
    /// Whether it had been used before.
    pub is_reused: bool,
    /// Whether it speaks HTTP/2.
    pub is_http2: bool,
    /// The version of TLS; `None` in clear text.
    pub tls: Option<TlsVersion>,
}

// === impl Considered ===

impl Considered {
    /// So many were ready.
    #[must_use]
    pub fn among(mut self, ready: usize) -> Self {
        self.ready = u16::try_from(ready).unwrap_or(u16::MAX);
        self
    }

    /// This endpoint was compared, with this load. Beyond two they are not kept.
    #[must_use]
    pub fn with(mut self, endpoint: usize, load: f64) -> Self {
        let at = usize::from(self.count);
        if let (Some(place), Some(free)) = (self.places.get_mut(at), self.loads.get_mut(at)) {
            *place = u16::try_from(endpoint).unwrap_or(u16::MAX);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "seven digits tell loads apart"
            )]
            let load = load as f32;
            *free = load;
            self.count += 1;
        }
        self
    }

    /// Those that were compared: their places in the upstream, and their loads, in the balancer's own measure.
    pub fn candidates(&self) -> impl Iterator<Item = (u16, f32)> {
        let all = self.places.into_iter().zip(self.loads);
        all.take(usize::from(self.count))
    }
}

// === impl Exchange: its attempts ===

impl Exchange {
    /// The endpoints of `upstream` that it has tried.
    pub fn tried(&self, upstream: u16, mut visit: impl FnMut(u16)) {
        self.0.ask(|facts| {
            facts
                .first
                .iter()
                .chain(&facts.more)
                .filter(|attempt| attempt.upstream == upstream)
                .for_each(|attempt| visit(attempt.endpoint));
        });
    }

    /// What the balancer looks at for the attempt that begins next.
    pub fn note_considered(&self, considered: Considered) {
        self.0.considered.set(considered);
    }

    /// An attempt begins: its endpoint is picked, and a connection is looked for. The span id is the one that the upstream will see as its parent.
    pub fn begin_attempt(&self, upstream: u16, endpoint: u16, span_id: SpanId) {
        let now = Instant::now();
        let started_us = short(self.0.micros(now));
        let considered = self.0.considered.take();
        self.0.note(|facts| {
            let attempt = Attempt {
                upstream,
                endpoint,
                span_id,
                status: None,
                grpc_status: None,
                outcome: Outcome::Served,
                is_reused: false,
                is_resend: false,
                is_http2: false,
                tls: None,
                early_hints: 0,
                peer: None,
                considered,
                started_us,
                ended_us: 0,
                entered_us: [0; PHASES],
            };
            if facts.first.is_none() {
                facts.first = Some(attempt);
            } else {
                facts.more.push(attempt);
            }
        });
        self.0.enter(Phase::Pick, now);
    }

    /// The present attempt has a connection.
    pub fn note_connection(&self, carried: Carried) {
        self.0.note_attempt(|attempt| {
            attempt.peer = Some(carried.peer);
            attempt.is_reused = carried.is_reused;
            attempt.is_http2 = carried.is_http2;
            attempt.tls = carried.tls;
        });
    }

    /// The present attempt repeats one that a dead pooled connection gave back unsent.
    pub fn note_resend(&self) {
        self.0.note_attempt(|attempt| attempt.is_resend = true);
    }

    /// The present attempt was answered.
    pub fn note_attempt_head(&self, status: u16) {
        self.0.note_attempt(|attempt| attempt.status = Some(status));
    }

    /// The present attempt was answered with this status of gRPC.
    pub fn note_attempt_grpc_status(&self, status: u8) {
        self.0.note_attempt(|attempt| {
            if attempt.ended_us == 0 {
                attempt.grpc_status = Some(status);
            }
        });
    }

    /// The present attempt has ended, before the exchange: it failed, or its answer is not the one that is given.
    pub fn end_attempt(&self, outcome: Outcome) {
        let ended_us = self.0.micros(Instant::now());
        self.0.note_attempt(|attempt| {
            if attempt.ended_us == 0 {
                attempt.ended_us = ended_us.max(1);
                attempt.outcome = outcome;
            }
        });
    }

    /// So many Early Hints (103) came before the head of the present attempt.
    pub fn note_early_hints(&self, count: u8) {
        if count > 0 {
            self.0.note_attempt(|attempt| attempt.early_hints = count);
        }
    }
}

// === impl Attempt ===

impl Attempt {
    /// The phases of this attempt with the moment at which each was first entered, in microseconds since the exchange
    /// began.
    pub fn phases(&self) -> impl Iterator<Item = (Phase, u32)> + '_ {
        Phase::ALL
            .into_iter()
            .map(|phase| (phase, self.entered_us[phase.index()]))
            .filter(|(_, at)| *at != 0)
    }

    /// Whether it speaks against the endpoint: not served, or answered with a status of 500 and above, or with one of
    /// gRPC that says that the service failed. What the client did says nothing about the endpoint.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self.outcome.side() {
            Some(Side::Client) => false,
            Some(Side::Proxy | Side::Upstream) => true,
            None => {
                self.status.is_some_and(|status| status >= 500)
                    || self.grpc_status.is_some_and(grpc::is_failure)
            }
        }
    }

    /// How long it took.
    #[must_use]
    pub fn lasted(&self) -> Duration {
        Duration::from_micros(self.ended_us.saturating_sub(u64::from(self.started_us)))
    }

    /// How long it took, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.lasted().as_secs_f64()
    }
}
