//! The flight recorder: the last exchanges, whatever became of them, to be asked by the admin port.
//!
//! The newest thousand, in the order in which they were read. Records are moved in, not copied, and what falls out at the
//! other end is dropped on the telemetry thread. A question is answered under the lock: that holds up the telemetry
//! thread for a millisecond or two, and nobody else.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::Plan;
use crate::exchange::{Outcome, Record, TraceId};
use crate::telemetry::desk::Batch;
use crate::telemetry::label;
use crate::telemetry::log::JsonWriter;
use crate::telemetry::wall::Wall;

/// The last exchanges.
#[derive(Debug)]
pub struct Recorder {
    capacity: usize,
    entries: Mutex<VecDeque<Entry>>,
}

/// What one asks for. Everything that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The route by its configured name, or `_unmatched`.
    pub route: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The least length.
    pub min_duration: Option<Duration>,
    /// The trace.
    pub trace_id: Option<TraceId>,
    /// The most answers.
    pub limit: Option<usize>,
}

#[derive(Debug)]
struct Entry {
    plan: Arc<Plan>,
    wall: Wall,
    record: Record,
}

/// How many exchanges are kept.
pub const CAPACITY: usize = 1_000;

// === impl Recorder ===

impl Recorder {
    /// One that keeps so many.
    #[must_use]
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            entries: Mutex::new(VecDeque::with_capacity(capacity)),
        })
    }

    /// Keeps the records of a batch.
    pub(super) fn keep(&self, batch: Batch) {
        let Batch {
            plan,
            wall,
            records,
            ..
        } = batch;
        let skipped = records.len().saturating_sub(self.capacity);
        let mut entries = self.lock();
        for record in records.into_iter().skip(skipped) {
            if entries.len() >= self.capacity {
                entries.pop_front();
            }
            entries.push_back(Entry {
                plan: Arc::clone(&plan),
                wall,
                record,
            });
        }
    }

    /// The exchanges that match, the newest first: `{"exchanges": [...]}`.
    #[must_use]
    pub fn query(&self, filter: &Filter) -> Vec<u8> {
        let mut out = b"{\"exchanges\":[".to_vec();
        let mut writer = JsonWriter::default();
        let entries = self.lock();
        let found = entries.iter().rev().filter(|entry| filter.takes(entry));
        for (index, entry) in found.take(filter.limit.unwrap_or(usize::MAX)).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            writer.exchange(&mut out, &entry.plan, entry.wall, &entry.record);
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// The exchange of this trace that ended last, as an object; `None` where none is kept.
    #[must_use]
    pub fn exchange(&self, trace_id: TraceId) -> Option<Vec<u8>> {
        let filter = Filter {
            trace_id: Some(trace_id),
            ..Filter::default()
        };
        let entries = self.lock();
        let entry = entries.iter().rev().find(|entry| filter.takes(entry))?;
        let mut out = Vec::new();
        JsonWriter::default().exchange(&mut out, &entry.plan, entry.wall, &entry.record);
        Some(out)
    }

    /// How many it keeps now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether it keeps none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Filter ===

impl Filter {
    fn takes(&self, entry: &Entry) -> bool {
        let record = &entry.record;
        self.trace_id
            .is_none_or(|wanted| wanted == record.trace.trace_id)
            && self.outcome.is_none_or(|wanted| wanted == record.outcome)
            && self
                .min_duration
                .is_none_or(|least| record.duration() >= least)
            && self.route.as_deref().is_none_or(|wanted| {
                let route = record
                    .route
                    .and_then(|at| entry.plan.routes.get(usize::from(at)));
                wanted == route.map_or(label::UNMATCHED, |route| route.name.as_str())
            })
    }
}
