//! What became of each item of each signal: created = exported + dropped + queued.

use std::sync::atomic::{AtomicU64, Ordering};

/// The ledger of all signals.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Spans.
    pub spans: Signal,
    /// Lines of the access log.
    pub logs: Signal,
    /// Records of the flight recorder.
    pub records: Signal,
}

/// One signal's counts.
#[derive(Debug, Default)]
pub struct Signal {
    created: AtomicU64,
    exported: AtomicU64,
    dropped: [AtomicU64; Reason::ALL.len()],
}

/// Why an item was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A queue was full.
    QueueFull,
    /// It could not be written.
    WriteFailed,
    /// The process ended before it was its turn.
    Shutdown,
}

// === impl Reason ===

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::QueueFull, Self::WriteFailed, Self::Shutdown];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::WriteFailed => "write_failed",
            Self::Shutdown => "shutdown",
        }
    }
}

// === impl Signal ===

impl Signal {
    /// So many came into being.
    pub fn created(&self, count: u64) {
        self.created.fetch_add(count, Ordering::Relaxed);
    }

    /// So many reached their receiver.
    pub fn exported(&self, count: u64) {
        self.exported.fetch_add(count, Ordering::Relaxed);
    }

    /// So many were given up.
    pub fn dropped(&self, reason: Reason, count: u64) {
        self.dropped[reason as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// How many came into being, reached their receiver, and were given up.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        (
            self.created.load(Ordering::Relaxed),
            self.exported.load(Ordering::Relaxed),
            self.dropped
                .iter()
                .map(|count| count.load(Ordering::Relaxed))
                .sum(),
        )
    }

    /// How many are on their way.
    #[must_use]
    pub fn queued(&self) -> u64 {
        let (created, exported, dropped) = self.counts();
        created.saturating_sub(exported + dropped)
    }
}
