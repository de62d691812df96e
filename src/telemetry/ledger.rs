//! The books of telemetry itself: what became of everything that was to be told.
//!
//! For each signal, created = exported + dropped (by reason) + queued. Created is counted when a thing is made for a
//! reader, exported only when the receiver has acknowledged it, dropped with why. Queued is what is left over: as a
//! number of its own it would be a fourth thing to keep in step, and a snapshot between two of them would show a sum
//! that is wrong. A snapshot reads created last, so that it never shows more gone than came.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::exchange::KeepReason;

/// The books of every signal.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: [Account; Signal::ALL.len()],
    /// Traces that the rate cap did not let through, by why they had been kept. They never became spans.
    shed: [AtomicU64; KeepReason::ALL.len()],
}

/// What is told, each over its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans on their way to the collector.
    Spans,
    /// Lines of the access log.
    Logs,
    /// Records on their way from the workers to the readers.
    Records,
    /// Exchanges and events on their way to the collector of logs.
    OtlpLogs,
    /// Data points on their way to the collector that the metrics are pushed to.
    Metrics,
}

/// Why something was not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The queue was full.
    QueueFull,
    /// The receiver could not be reached, or refused all of it.
    ExportFailed,
    /// The receiver took the rest and refused this (OTLP partial success).
    Rejected,
    /// It could not be written.
    WriteFailed,
    /// The process ended.
    Shutdown,
}

/// The books of one signal. Cheap enough for the path of a record: one relaxed addition a call.
#[derive(Debug, Default)]
pub struct Account {
    created: AtomicU64,
    exported: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    last_error: Mutex<Option<LastError>>,
}

/// What last went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// When.
    pub at: SystemTime,
    /// What, at most 512 bytes.
    pub what: String,
}

/// The books of one signal at one moment; `created` is the sum of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The signal.
    pub signal: Signal,
    /// How many were made.
    pub created: u64,
    /// How many the receiver has acknowledged.
    pub exported: u64,
    /// How many were lost, by reason, in the order of [`DropReason::ALL`].
    pub dropped: [(DropReason, u64); DropReason::ALL.len()],
    /// How many are on their way.
    pub queued: u64,
    /// What last went wrong.
    pub last_error: Option<LastError>,
}

/// The longest text of an error that is kept, in bytes.
const MAX_ERROR: usize = 512;

// === impl Ledger ===

impl Ledger {
    /// The books of one signal.
    #[must_use]
    pub fn account(&self, signal: Signal) -> &Account {
        &self.accounts[signal as usize]
    }

    /// All books at this moment.
    #[must_use]
    pub fn snapshot(&self) -> [Balance; Signal::ALL.len()] {
        Signal::ALL.map(|signal| self.account(signal).balance(signal))
    }

    /// So many traces that had been kept for this reason did not get through the rate cap.
    pub fn shed(&self, reason: KeepReason, count: u64) {
        self.shed[reason as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// How many traces the rate cap has shed, by why they had been kept.
    pub fn shed_traces(&self) -> impl Iterator<Item = (KeepReason, u64)> + '_ {
        let counts = self.shed.iter().map(|count| count.load(Ordering::Relaxed));
        KeepReason::ALL.into_iter().zip(counts)
    }
}

// === impl Account ===

impl Account {
    /// So many were made.
    pub fn create(&self, count: u64) {
        self.created.fetch_add(count, Ordering::Release);
    }

    /// The receiver has acknowledged so many.
    pub fn export(&self, count: u64) {
        self.exported.fetch_add(count, Ordering::Release);
    }

    /// So many are lost.
    pub fn drop(&self, count: u64, reason: DropReason) {
        self.dropped[reason as usize].fetch_add(count, Ordering::Release);
    }

    /// Keeps what went wrong.
    pub fn fail(&self, what: &str) {
        let error = LastError {
            at: SystemTime::now(),
            what: what[..what.floor_char_boundary(MAX_ERROR)].to_owned(),
        };
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(|last| last.into_inner());
        *last = Some(error);
    }

    fn balance(&self, signal: Signal) -> Balance {
        let exported = self.exported.load(Ordering::Acquire);
        let lost = |reason: DropReason| self.dropped[reason as usize].load(Ordering::Acquire);
        let dropped = DropReason::ALL.map(|reason| (reason, lost(reason)));
        let gone = exported + dropped.iter().map(|(_, count)| count).sum::<u64>();
        let created = self.created.load(Ordering::Acquire);
        let last = self
            .last_error
            .lock()
            .unwrap_or_else(|last| last.into_inner());
        Balance {
            signal,
            created,
            exported,
            dropped,
            queued: created.saturating_sub(gone),
            last_error: last.clone(),
        }
    }
}

// === impl Balance ===

impl Balance {
    /// How many were lost for this reason.
    #[must_use]
    pub fn lost(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].1
    }
}

// === impl Signal ===

impl Signal {
    /// All signals.
    pub const ALL: [Self; 5] = [
        Self::Spans,
        Self::Logs,
        Self::Records,
        Self::OtlpLogs,
        Self::Metrics,
    ];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Logs => "logs",
            Self::Records => "records",
            Self::OtlpLogs => "otlp_logs",
            Self::Metrics => "metrics",
        }
    }

    /// What it consists of, in the words of a sentence.
    #[must_use]
    pub fn items(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Logs => "lines",
            Self::Records => "records",
            Self::OtlpLogs => "logs",
            Self::Metrics => "data points",
        }
    }
}

// === impl DropReason ===

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 5] = [
        Self::QueueFull,
        Self::ExportFailed,
        Self::Rejected,
        Self::WriteFailed,
        Self::Shutdown,
    ];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::ExportFailed => "export_failed",
            Self::Rejected => "rejected",
            Self::WriteFailed => "write_failed",
            Self::Shutdown => "shutdown",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    #[test]
    fn what_is_made_is_told_lost_or_on_its_way() {
        let ledger = Ledger::default();
        let spans = ledger.account(Signal::Spans);
        spans.create(10);
        spans.export(4);
        spans.drop(2, DropReason::QueueFull);
        spans.drop(1, DropReason::Rejected);
        spans.fail("no");
        let [balance, logs, ..] = ledger.snapshot();
        assert_eq!(
            (balance.created, balance.exported, balance.queued),
            (10, 4, 3)
        );
        assert_eq!(balance.lost(DropReason::QueueFull), 2);
        assert_eq!(balance.lost(DropReason::Rejected), 1);
        assert_eq!(
            balance.last_error.map(|error| error.what),
            Some("no".to_owned())
        );
        assert_eq!((logs.signal, logs.created), (Signal::Logs, 0));
    }

    #[test]
    fn a_snapshot_never_shows_more_gone_than_came() {
        let (ledger, done) = (Ledger::default(), AtomicBool::new(false));
        let account = ledger.account(Signal::Records);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..50_000_u64 {
                    account.create(1);
                    if round % 3 == 0 {
                        account.drop(1, DropReason::QueueFull);
                    } else {
                        account.export(1);
                    }
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                let [_, _, balance, ..] = ledger.snapshot();
                let gone = balance.exported + balance.lost(DropReason::QueueFull);
                assert_eq!(balance.created, gone + balance.queued);
            }
        });
        assert_eq!(ledger.snapshot()[2].queued, 0);
    }

    #[test]
    fn a_long_error_is_cut() {
        let account = Account::default();
        account.fail(&"ä".repeat(1000));
        let balance = account.balance(Signal::Logs);
        assert_eq!(balance.last_error.map(|error| error.what.len()), Some(512));
    }
}
