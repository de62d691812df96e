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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::exchange::KeepReason;
    use crate::telemetry::fixture::{batch, plan, record, retried};

    fn asked(recorder: &Recorder, filter: &Filter) -> Vec<Value> {
        let answer: Value = serde_json::from_slice(&recorder.query(filter)).expect("JSON");
        answer["exchanges"].as_array().expect("a list").clone()
    }

    #[test]
    fn keeps_the_newest_and_answers_newest_first() {
        let recorder = Recorder::new(10);
        let plan = Arc::new(plan(&["checkout"]));
        for from in [0, 8, 16] {
            let numbered = (from..from + 8).map(|number| {
                let mut record = record(Some(0));
                record.connection = number;
                record
            });
            recorder.keep(batch(&plan, numbered.collect()));
        }
        let connections = |filter: &Filter| -> Vec<u64> {
            let found = asked(&recorder, filter);
            let number = |exchange: &Value| exchange["connection"].as_u64().expect("a number");
            found.iter().map(number).collect()
        };
        assert_eq!(
            connections(&Filter::default()),
            (14..24).rev().collect::<Vec<_>>()
        );
        let limit = Filter {
            limit: Some(2),
            ..Filter::default()
        };
        assert_eq!(connections(&limit), [23, 22]);
        assert_eq!(recorder.len(), 10);
        let more_than_fit = (0..30).map(|_| record(None)).collect();
        recorder.keep(batch(&plan, more_than_fit));
        assert_eq!(recorder.len(), 10);
    }

    #[test]
    fn finds_by_route_outcome_length_and_trace() {
        let recorder = Recorder::new(CAPACITY);
        let plan = Arc::new(plan(&["checkout", "web"]));
        let mut refused = record(Some(1));
        refused.outcome = Outcome::ConnectionRefused;
        refused.detail = "connect: refused";
        let slow = {
            let mut slow = retried(record(Some(0)));
            let slept = (crate::exchange::Phase::Wait, Duration::from_secs(2));
            slow.phases = [slept].into_iter().collect();
            slow.kept = Some(KeepReason::Retried);
            slow
        };
        let id = slow.trace.trace_id;
        recorder.keep(batch(&plan, vec![refused, slow, record(None)]));
        let count = |filter: Filter| asked(&recorder, &filter).len();
        let all = Filter::default;
        let route = |name: &str| Some(name.to_owned());
        assert_eq!(
            count(Filter {
                route: route("web"),
                ..all()
            }),
            1
        );
        assert_eq!(
            count(Filter {
                route: route("_unmatched"),
                ..all()
            }),
            1
        );
        assert_eq!(
            count(Filter {
                route: route("none"),
                ..all()
            }),
            0
        );
        assert_eq!(
            count(Filter {
                outcome: Some(Outcome::Served),
                ..all()
            }),
            2
        );
        assert_eq!(
            count(Filter {
                min_duration: Some(Duration::from_secs(1)),
                ..all()
            }),
            1
        );
        let found = asked(
            &recorder,
            &Filter {
                trace_id: Some(id),
                ..all()
            },
        );
        assert_eq!(found.len(), 1);
        let exchange = &found[0];
        assert_eq!(exchange["sampling_reason"], "retried");
        assert_eq!(exchange["attempt_phases"].as_array().map(Vec::len), Some(2));
        assert!(exchange["attempt_phases"][0]["entered_ms"]["wait"].is_number());
        let alone = recorder.exchange(id).expect("it is kept");
        assert_eq!(
            &serde_json::from_slice::<Value>(&alone).expect("JSON"),
            exchange
        );
        assert!(recorder.exchange(TraceId::random()).is_none());
        let refused = asked(
            &recorder,
            &Filter {
                route: route("web"),
                ..all()
            },
        );
        assert_eq!(refused[0]["detail"], "connect: refused");
    }
}
