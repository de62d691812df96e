//! What waits for the collector of logs: exchanges that the access log takes, and events.

use std::sync::Arc;

use super::events::Told;
use crate::config::Plan;
use crate::exchange::{Attempt, Record};
use crate::telemetry::desk;
use crate::telemetry::ledger::{Ledger, Signal};
use crate::telemetry::log;
use crate::telemetry::otlp::{Batch, Queue};
use crate::telemetry::reader::ReadRecords;
use crate::telemetry::wall::Wall;

/// The way into the queue. A handle: clones name the same queue.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct LogSink(pub(super) Queue<Item>);

/// What waits.
#[derive(Debug)]
pub(in crate::telemetry) enum Item {
    /// An exchange, with the plan that names its parts and what time of day it was.
    Exchange(Box<Record>, Arc<Plan>, Wall),
    /// An event.
    Event(Box<Told>),
}

// === impl LogSink ===

impl LogSink {
    /// An empty queue.
    pub(in crate::telemetry) fn new(batch: Batch, ledger: Arc<Ledger>) -> Self {
        Self(Queue::new(Signal::OtlpLogs, batch, ledger))
    }

    /// Takes an event, or counts it as dropped. Never waits.
    pub(super) fn take_event(&self, told: Told) {
        self.0.push(1, told.bytes(), || Item::Event(Box::new(told)));
    }

    fn take(&self, record: &Record, plan: &Arc<Plan>, wall: Wall) {
        let words = record.text.words();
        let bytes = size_of::<Record>()
            + record.more.len() * size_of::<Attempt>()
            + words.path.len()
            + words.query.len()
            + words.user_agent.len();
        self.0.push(1, bytes, || {
            Item::Exchange(Box::new(record.clone()), Arc::clone(plan), wall)
        });
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
