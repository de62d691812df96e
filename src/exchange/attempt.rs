//! One try of an exchange at one endpoint.

use std::net::SocketAddr;
use std::time::Duration;

use super::phase::PHASES;
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
    /// When it began.
    pub started_us: u32,
    /// When it ended: the last body byte, the fault, or the decision to try again.
    pub ended_us: u64,
    /// When each phase was first entered; zero where it was not.
    pub(super) entered_us: [u32; PHASES],
}

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

// === impl Exchange: what is rarely noted of an attempt ===

impl Exchange {
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
