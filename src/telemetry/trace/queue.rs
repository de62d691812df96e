//! The one queue in which all spans wait for the collector: those of exchanges and those of our own work.
//!
//! It holds records, not spans: a record is a quarter of the size of the spans made from it, and what is dropped was
//! never made. It counts in spans all the same, since that is what the ledger promises. It is bounded in spans and in
//! bytes; when it is full the newest is dropped, because the oldest are the start of whatever went wrong.
//!
//! The SDK's batch processor was rejected: it drops without saying how many, and blocks a thread of its own.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::{Arc, Mutex, MutexGuard};

use opentelemetry_sdk::trace::SpanData;
use tokio::sync::Notify;

use super::environment::Batch;
use crate::config::Plan;
use crate::exchange::{Attempt, KeepReason, Record};
use crate::telemetry::ledger::{Account, DropReason, Ledger, Signal};
use crate::telemetry::metrics::exemplar::Mark;
use crate::telemetry::wall::Wall;

/// The way into the queue. A handle: clones name the same queue.
#[derive(Clone, Debug)]
pub struct Sink(Arc<Queue>);

/// What waits.
#[derive(Debug)]
pub(super) enum Item {
    /// A kept exchange, with the plan that names its parts and what time of day it was.
    Exchange(Box<Record>, Arc<Plan>, Wall, Standing),
    /// A span of our own work.
    Own(Box<SpanData>),
}

/// What a kept exchange stands for.
#[derive(Clone, Debug)]
pub struct Standing {
    /// For how many exchanges: `sightglass.sampling.weight`, at least 1.
    pub weight: f64,
    /// What its exemplars wait for, where it has become any.
    pub mark: Option<Mark>,
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
    items: VecDeque<Entry>,
    spans: usize,
    bytes: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct Entry {
    item: Item,
    spans: usize,
    /// What it takes of memory, roughly.
    bytes: usize,
}

/// The most memory that waiting items may take, as far as it is counted, in bytes.
const MAX_BYTES: usize = 32 << 20;

// === impl Standing ===

impl Default for Standing {
    fn default() -> Self {
        Self {
            weight: 1.0,
            mark: None,
        }
    }
}

// === impl Sink ===

impl Sink {
    /// An empty queue.
    #[must_use]
    pub fn new(batch: Batch, ledger: Arc<Ledger>) -> Self {
        Self(Arc::new(Queue {
            waiting: Mutex::new(Waiting::default()),
            wake: Notify::new(),
            ledger,
            batch,
        }))
    }

    /// Takes a kept exchange for the collector, or counts its spans as dropped. Never waits. `plan` is the one whose
    /// generation the record carries, `wall` what time of day its moments were.
    pub fn take(&self, record: &Record, plan: &Arc<Plan>, wall: Wall, standing: Standing) {
        let spans = 1 + record.attempts().count();
        let words = record.text.words();
        let bytes = size_of::<Record>()
            + record.more.len() * size_of::<Attempt>()
            + record.trace.state.as_deref().map_or(0, str::len)
            + words.path.len()
            + words.query.len()
            + words.user_agent.len();
        self.push(spans, bytes, || {
            Item::Exchange(Box::new(record.clone()), Arc::clone(plan), wall, standing)
        });
    }

    /// So many exchanges that were kept for this reason did not get through the rate cap.
    pub(super) fn shed(&self, reason: KeepReason, count: u64) {
        self.0.ledger.shed(reason, count);
    }

    /// Takes a span of our own work.
    pub(in crate::telemetry) fn take_own(&self, span: SpanData) {
        let bytes = size_of::<SpanData>() + (span.attributes.len() + span.events.len()) * 128;
        self.push(1, bytes, || Item::Own(Box::new(span)));
    }

    /// How many spans wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().spans
    }

    /// No more will be taken.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.0.wake.notify_one();
    }

    pub(super) fn account(&self) -> &Account {
        self.0.ledger.account(Signal::Spans)
    }

    /// The spans of our own work that wait.
    #[cfg(test)]
    pub(in crate::telemetry) fn drain_own(&self) -> Vec<SpanData> {
        let mut items = Vec::new();
        while self.pull(&mut items) > 0 {}
        let own = items.into_iter().filter_map(|item| match item {
            Item::Own(span) => Some(*span),
            Item::Exchange(..) => None,
        });
        own.collect()
    }

    /// Waits until a batch is full, or its first span has waited long enough, or no more will come. The answer is
    /// whether there is or may be more. Cancel safe.
    pub(super) async fn ripe(&self) -> bool {
        loop {
            let (spans, is_closed) = {
                let waiting = self.lock();
                (waiting.spans, waiting.is_closed)
            };
            if is_closed || spans >= self.0.batch.max_batch {
                return spans > 0 || !is_closed;
            }
            if spans == 0 {
                self.0.wake.notified().await;
                continue;
            }
            let more = self.0.wake.notified();
            if tokio::time::timeout(self.0.batch.delay, more)
                .await
                .is_err()
            {
                return true;
            }
        }
    }

    /// Takes out up to a batch; at least one item, where there is one. The number is that of their spans.
    pub(super) fn pull(&self, items: &mut Vec<Item>) -> usize {
        let mut waiting = self.lock();
        let mut taken = 0;
        while let Some(next) = waiting.items.front() {
            if taken > 0 && taken + next.spans > self.0.batch.max_batch {
                break;
            }
            let Some(entry) = waiting.items.pop_front() else {
                break;
            };
            taken += entry.spans;
            waiting.spans -= entry.spans;
            waiting.bytes -= entry.bytes;
            items.push(entry.item);
        }
        taken
    }

    /// Drops what waits, and takes no more.
    pub(super) fn clear(&self, reason: DropReason) {
        let mut waiting = self.lock();
        let lost = std::mem::take(&mut *waiting).spans;
        waiting.is_closed = true;
        drop(waiting);
        self.account().drop(as_count(lost), reason);
    }

    fn push(&self, spans: usize, bytes: usize, item: impl FnOnce() -> Item) {
        self.account().create(as_count(spans));
        let mut waiting = self.lock();
        let before = waiting.spans;
        let reason = if waiting.is_closed {
            Some(DropReason::Shutdown)
        } else if before + spans > self.0.batch.max_queue || waiting.bytes + bytes > MAX_BYTES {
            Some(DropReason::QueueFull)
        } else {
            None
        };
        if let Some(reason) = reason {
            drop(waiting);
            return self.account().drop(as_count(spans), reason);
        }
        waiting.items.push_back(Entry {
            item: item(),
            spans,
            bytes,
        });
        waiting.spans += spans;
        waiting.bytes += bytes;
        drop(waiting);
        let full = self.0.batch.max_batch;
        if before == 0 || before < full && before + spans >= full {
            self.0.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics under the lock; were it so, what waits is still whole.
        self.0
            .waiting
            .lock()
            .unwrap_or_else(|waiting| waiting.into_inner())
    }
}

/// A number of spans as the ledger counts.
pub(super) fn as_count(spans: usize) -> u64 {
    u64::try_from(spans).unwrap_or(u64::MAX)
}
