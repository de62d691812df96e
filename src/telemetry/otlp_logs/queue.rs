//! The one queue of all logs on their way to the collector, bounded in number and in memory.
//!
//! Nobody waits at it: what does not fit is dropped and entered in the ledger. It is shaped as the queue of spans is,
//! and simpler: an item is one log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::events::Told;
use crate::config::Plan;
use crate::exchange::{Attempt, Record};
use crate::telemetry::desk;
use crate::telemetry::ledger::{Account, DropReason, Ledger, Signal};
use crate::telemetry::log;
use crate::telemetry::reader::ReadRecords;
use crate::telemetry::trace::environment::Batch;
use crate::telemetry::wall::Wall;

/// The way into the queue. A handle: clones name the same queue.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct LogSink(Arc<Queue>);

/// What waits.
#[derive(Debug)]
pub(super) enum Item {
    /// An exchange, with the plan that names its parts and what time of day it was.
    Exchange(Box<Record>, Arc<Plan>, Wall),
    /// An event.
    Event(Box<Told>),
}

#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Tells the exporter that there is something, that a batch is full, or that no more will come.
    wake: Notify,
    ledger: Arc<Ledger>,
    batch: Batch,
}

#[derive(Debug, Default)]
struct Waiting {
    /// With what each takes of memory, roughly.
    items: VecDeque<(Item, usize)>,
    bytes: usize,
    is_closed: bool,
}

/// The most memory that waiting logs may take, as far as it is counted, in bytes.
const MAX_BYTES: usize = 32 << 20;

// === impl LogSink ===

impl LogSink {
    /// An empty queue.
    pub(in crate::telemetry) fn new(batch: Batch, ledger: Arc<Ledger>) -> Self {
        Self(Arc::new(Queue {
            waiting: Mutex::new(Waiting::default()),
            wake: Notify::new(),
            ledger,
            batch,
        }))
    }

    /// Takes an event, or counts it as dropped. Never waits.
    pub(super) fn take_event(&self, told: Told) {
        self.push(told.bytes(), || Item::Event(Box::new(told)));
    }

    fn take(&self, record: &Record, plan: &Arc<Plan>, wall: Wall) {
        let words = record.text.words();
        let bytes = size_of::<Record>()
            + record.more.len() * size_of::<Attempt>()
            + words.path.len()
            + words.query.len()
            + words.user_agent.len();
        self.push(bytes, || {
            Item::Exchange(Box::new(record.clone()), Arc::clone(plan), wall)
        });
    }

    /// No more will be taken.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.0.wake.notify_one();
    }

    pub(super) fn account(&self) -> &Account {
        self.0.ledger.account(Signal::OtlpLogs)
    }

    /// Waits until a batch is full, or its first log has waited long enough, or no more will come. The answer is
    /// whether there is or may be more. Cancel safe.
    pub(super) async fn ripe(&self) -> bool {
        loop {
            let (count, is_closed) = {
                let waiting = self.lock();
                (waiting.items.len(), waiting.is_closed)
            };
            if is_closed || count >= self.0.batch.max_batch {
                return count > 0 || !is_closed;
            }
            let more = self.0.wake.notified();
            if count == 0 {
                more.await;
            } else if tokio::time::timeout(self.0.batch.delay, more)
                .await
                .is_err()
            {
                return true;
            }
        }
    }

    /// Takes out up to a batch.
    pub(super) fn pull(&self) -> Vec<Item> {
        let mut waiting = self.lock();
        let count = waiting.items.len().min(self.0.batch.max_batch);
        let (mut items, mut bytes) = (Vec::with_capacity(count), 0);
        for (item, size) in waiting.items.drain(..count) {
            bytes += size;
            items.push(item);
        }
        waiting.bytes -= bytes;
        items
    }

    /// Drops what waits, and takes no more.
    pub(super) fn clear(&self, reason: DropReason) {
        let mut waiting = self.lock();
        let lost = std::mem::take(&mut *waiting).items.len();
        waiting.is_closed = true;
        drop(waiting);
        let lost = u64::try_from(lost).unwrap_or(u64::MAX);
        self.account().drop(lost, reason);
    }

    fn push(&self, bytes: usize, item: impl FnOnce() -> Item) {
        self.account().create(1);
        let mut waiting = self.lock();
        let count = waiting.items.len();
        let reason = if waiting.is_closed {
            Some(DropReason::Shutdown)
        } else if count >= self.0.batch.max_queue || waiting.bytes + bytes > MAX_BYTES {
            Some(DropReason::QueueFull)
        } else {
            None
        };
        if let Some(reason) = reason {
            drop(waiting);
            return self.account().drop(1, reason);
        }
        waiting.items.push_back((item(), bytes));
        waiting.bytes += bytes;
        drop(waiting);
        if count == 0 || count + 1 == self.0.batch.max_batch {
            self.0.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics under the lock; were it so, what waits is still whole.
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadRecords for LogSink {
    fn read(&mut self, batch: &desk::Batch) {
        let config = &batch.plan.telemetry.access_log;
        for record in &batch.records {
            if log::is_chosen(config, record) {
                self.take(record, &batch.plan, batch.wall);
            }
        }
    }
}
