//! `/livez` and `/readyz`: whether to restart the process, and whether to send it traffic.
//!
//! Readiness is what a load balancer in front of us asks: it turns at the start of a drain, while connections are still
//! served, so that nobody is sent here any more. Liveness is a harder question: a process that drains is alive. The side
//! port is served only once the workers are, so both begin well.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use http::StatusCode;

use super::reply::{self, Reply};

/// Whether the process is alive and ready. A handle: clones share the answer.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

/// Why it is not.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Reason {
    Draining = 1,
    WorkerLost = 2,
}

// === impl Readiness ===

impl Readiness {
    /// A drain begins: not ready any more, and never again.
    pub fn drain(&self) {
        self.note(Reason::Draining);
    }

    /// A thread of the data plane is gone: neither ready nor alive, since only a new process has it back.
    pub fn lose_worker(&self) {
        self.note(Reason::WorkerLost);
    }

    /// Whether the process wants traffic.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reasons(Reason::ALL).next().is_none()
    }

    pub(super) fn livez(&self) -> Reply {
        self.page("alive", &[Reason::WorkerLost])
    }

    pub(super) fn readyz(&self) -> Reply {
        self.page("ready", Reason::ALL)
    }

    /// Why it is not ready; nothing where it is.
    pub(super) fn why_not_ready(&self) -> Vec<&'static str> {
        self.reasons(Reason::ALL).map(Reason::as_str).collect()
    }

    fn note(&self, reason: Reason) {
        self.0.fetch_or(reason as u8, Ordering::Relaxed);
    }

    fn reasons(&self, asked: &'static [Reason]) -> impl Iterator<Item = Reason> {
        let noted = self.0.load(Ordering::Relaxed);
        asked
            .iter()
            .copied()
            .filter(move |reason| noted & *reason as u8 != 0)
    }

    fn page(&self, word: &str, asked: &'static [Reason]) -> Reply {
        let mut reasons = self.reasons(asked).peekable();
        if reasons.peek().is_none() {
            return reply::text(StatusCode::OK, format!("{word}\n"));
        }
        let mut text = format!("not {word}\n");
        for reason in reasons {
            let _ = writeln!(text, "{}", reason.as_str()); // a string takes everything
        }
        reply::text(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

// === impl Reason ===

impl Reason {
    const ALL: &'static [Self] = &[Self::Draining, Self::WorkerLost];

    fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining: the process was told to stop",
            Self::WorkerLost => "a worker thread is gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_ends_readiness_and_not_life() {
        let readiness = Readiness::default();
        assert_eq!(readiness.readyz().status(), 200);
        readiness.clone().drain();
        assert_eq!(readiness.readyz().status(), 503);
        assert_eq!(readiness.livez().status(), 200);
        assert!(!readiness.is_ready());
        assert_eq!(
            readiness.why_not_ready(),
            ["draining: the process was told to stop"]
        );
    }

    #[test]
    fn a_lost_worker_ends_both() {
        let readiness = Readiness::default();
        readiness.lose_worker();
        assert_eq!(readiness.readyz().status(), 503);
        assert_eq!(readiness.livez().status(), 503);
    }
}
