//! What waits for the collector of spans: exchanges that are kept, and spans of our own work.
//!
//! It holds records, not spans: a record is a quarter of the size of the spans made from it, and what is dropped was
//! never made. It counts in spans all the same.

use std::mem::size_of;
use std::sync::Arc;

use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

use crate::config::Plan;
use crate::exchange::{Attempt, KeepReason, Record};
use crate::telemetry::ledger::{Account, DropReason, Ledger, Signal};
use crate::telemetry::metrics::exemplar::Mark;
use crate::telemetry::otlp::{Batch, Queue};
use crate::telemetry::wall::Wall;

/// The way into the queue. A handle: clones name the same queue.
#[derive(Clone, Debug)]
pub struct Sink(Queue<Item>);

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

/// About how many bytes these take.
fn length(attributes: &[KeyValue]) -> usize {
    let text = |it: &KeyValue| match &it.value {
        Value::String(text) => text.as_str().len(),
        _ => 0,
    };
    attributes.iter().map(|it| 64 + text(it)).sum()
}

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
        Self(Queue::new(Signal::Spans, batch, ledger))
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
        self.0.push(spans, bytes, || {
            Item::Exchange(Box::new(record.clone()), Arc::clone(plan), wall, standing)
        });
    }

    /// So many exchanges that were kept for this reason did not get through the rate cap.
    pub(super) fn shed(&self, reason: KeepReason, count: u64) {
        self.0.ledger().shed(reason, count);
    }

    /// Takes a span of our own work.
    pub(in crate::telemetry) fn take_own(&self, span: SpanData) {
        let bytes = size_of::<SpanData>() + length(&span.attributes);
        let events = span.events.iter();
        let bytes = bytes + events.map(|it| 128 + length(&it.attributes)).sum::<usize>();
        self.0.push(1, bytes, || Item::Own(Box::new(span)));
    }

    /// How many spans wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// No more will be taken.
    pub(super) fn close(&self) {
        self.0.close();
    }

    pub(super) fn account(&self) -> &Account {
        self.0.account()
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

    /// Whether there is or may be more, once a batch is ripe. Cancel safe.
    pub(super) async fn ripe(&self) -> bool {
        self.0.ripe().await
    }

    /// Takes out up to a batch; the number is that of its spans.
    pub(super) fn pull(&self, items: &mut Vec<Item>) -> usize {
        self.0.pull(items)
    }

    /// Drops what waits, and takes no more.
    pub(super) fn clear(&self, reason: DropReason) {
        self.0.clear(reason);
    }
}
