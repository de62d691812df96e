//! What waits for the collector, bounded in number and in memory.
//!
//! Nobody waits at it: what does not fit is dropped and entered in the ledger. When it is full the newest is dropped,
//! because the oldest are the start of whatever went wrong. What stands in it counts as so many items of its signal (an
//! exchange is several spans), since that is what the ledger promises.
//!
//! The SDK's batch processor was rejected: it drops without saying how many, and blocks a thread of its own.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::telemetry::ledger::{Account, DropReason, Ledger, Signal};

/// How spans and logs are gathered; the names are those of `OTEL_BSP_*` and `OTEL_BLRP_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The most spans that wait (default 16,384).
    pub max_queue: usize,
    /// The most spans of one batch (default 256: measured, a span of a batch of 512 costs 1.7 times as much, since its
    /// copies on the way no longer fit the cache).
    pub max_batch: usize,
    /// How long the first span of a batch waits for more (default 1 s).
    pub delay: Duration,
}

/// The queue of one signal. A handle: clones name the same queue.
pub(in crate::telemetry) struct Queue<T>(Arc<Shared<T>>);

struct Shared<T> {
    waiting: Mutex<Waiting<T>>,
    /// Tells the exporter that there is something, that a batch is full, or that no more will come.
    wake: Notify,
    ledger: Arc<Ledger>,
    signal: Signal,
    batch: Batch,
}

struct Waiting<T> {
    entries: VecDeque<Entry<T>>,
    items: usize,
    bytes: usize,
    is_closed: bool,
}

struct Entry<T> {
    what: T,
    items: usize,
    /// What it takes of memory, roughly.
    bytes: usize,
}

/// The most memory that may wait, as far as it is counted, in bytes.
const MAX_BYTES: usize = 32 << 20;

// === impl Batch ===

impl Default for Batch {
    fn default() -> Self {
        Self {
            max_queue: 16_384,
            max_batch: 256,
            delay: Duration::from_secs(1),
        }
    }
}

// === impl Queue ===

impl<T> Queue<T> {
    /// An empty one, whose books are the signal's.
    pub(in crate::telemetry) fn new(signal: Signal, batch: Batch, ledger: Arc<Ledger>) -> Self {
        Self(Arc::new(Shared {
            waiting: Mutex::new(Waiting {
                entries: VecDeque::new(),
                items: 0,
                bytes: 0,
                is_closed: false,
            }),
            wake: Notify::new(),
            ledger,
            signal,
            batch,
        }))
    }

    /// Takes what counts as so many items and takes so much memory, about, or counts it as dropped. It is made only where
    /// it is taken. Never waits.
    pub(in crate::telemetry) fn push(&self, items: usize, bytes: usize, make: impl FnOnce() -> T) {
        self.account().create(as_count(items));
        let mut waiting = self.lock();
        let before = waiting.items;
        let reason = if waiting.is_closed {
            Some(DropReason::Shutdown)
        } else if before + items > self.0.batch.max_queue || waiting.bytes + bytes > MAX_BYTES {
            Some(DropReason::QueueFull)
        } else {
            None
        };
        if let Some(reason) = reason {
            drop(waiting);
            return self.account().drop(as_count(items), reason);
        }
        let what = make();
        waiting.entries.push_back(Entry { what, items, bytes });
        waiting.items += items;
        waiting.bytes += bytes;
        drop(waiting);
        let full = self.0.batch.max_batch;
        if before == 0 || before < full && before + items >= full {
            self.0.wake.notify_one();
        }
    }

    /// How many items wait.
    pub(in crate::telemetry) fn waiting(&self) -> usize {
        self.lock().items
    }

    /// Where its items are counted.
    pub(in crate::telemetry) fn account(&self) -> &Account {
        self.0.ledger.account(self.0.signal)
    }

    /// The books of all signals.
    pub(in crate::telemetry) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// Waits until a batch is full, or its first item has waited long enough, or no more will come. The answer is
    /// whether there is or may be more. Cancel safe.
    pub(in crate::telemetry) async fn ripe(&self) -> bool {
        loop {
            let (items, is_closed) = {
                let waiting = self.lock();
                (waiting.items, waiting.is_closed)
            };
            if is_closed || items >= self.0.batch.max_batch {
                return items > 0 || !is_closed;
            }
            let more = self.0.wake.notified();
            if items == 0 {
                more.await;
            } else if tokio::time::timeout(self.0.batch.delay, more)
                .await
                .is_err()
            {
                return true;
            }
        }
    }

    /// Takes out up to a batch; at least one entry, where there is one. The number is that of their items.
    pub(in crate::telemetry) fn pull(&self, into: &mut Vec<T>) -> usize {
        let mut waiting = self.lock();
        let mut taken = 0;
        while let Some(next) = waiting.entries.front() {
            if taken > 0 && taken + next.items > self.0.batch.max_batch {
                break;
            }
            let Some(entry) = waiting.entries.pop_front() else {
                break;
            };
            taken += entry.items;
            waiting.items -= entry.items;
            waiting.bytes -= entry.bytes;
            into.push(entry.what);
        }
        taken
    }

    /// No more will be taken.
    pub(in crate::telemetry) fn close(&self) {
        self.lock().is_closed = true;
        self.0.wake.notify_one();
    }

    /// Drops what waits, and takes no more.
    pub(in crate::telemetry) fn clear(&self, reason: DropReason) {
        let mut waiting = self.lock();
        let lost = std::mem::take(&mut waiting.items);
        let gone = std::mem::take(&mut waiting.entries);
        (waiting.bytes, waiting.is_closed) = (0, true);
        drop(waiting);
        drop(gone); // outside of the lock
        self.account().drop(as_count(lost), reason);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        // Nothing panics under the lock but what makes an entry, before anything is changed.
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("Queue");
        told.field("signal", &self.0.signal);
        told.finish_non_exhaustive()
    }
}

/// A number of items as the ledger counts.
pub(in crate::telemetry) fn as_count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
