//! The reader that hands kept records to the collector's queue, each with what it stands for.
//!
//! It stands between the desks and the queue, on the telemetry thread. Where the configuration has a rate cap, records
//! are held here for up to a second ([`Cap`]); without one nothing is held back. What the cap sheds is counted by its reason
//! and never becomes a span, so the books of spans know nothing of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cap::{Cap, Second};
use super::queue::{Sink, Standing};
use super::{Environment, HeadShare};
use crate::config::Plan;
use crate::exchange::{KeepReason, Record};
use crate::telemetry::desk::Batch;
use crate::telemetry::reader::ReadRecords;
use crate::telemetry::wall::Wall;

/// Hands kept records to the queue.
#[derive(Debug)]
pub struct Intake {
    sink: Sink,
    environment: Arc<Environment>,
    /// The head shares of the plan that was last seen: by route, the last where none matched.
    shares: Option<(Arc<Plan>, Box<[HeadShare]>)>,
    cap: Option<Cap<Held>>,
    /// When the present second began.
    began: Instant,
}

/// A record that waits for the end of its second.
#[derive(Debug)]
struct Held {
    record: Box<Record>,
    plan: Arc<Plan>,
    wall: Wall,
    standing: Standing,
}

const SECOND: Duration = Duration::from_secs(1);

// === impl Intake ===

impl Intake {
    /// Hands at most so many a second to `sink`, or all.
    #[must_use]
    pub fn new(sink: Sink, environment: &Arc<Environment>, max_per_second: Option<u32>) -> Self {
        let most = max_per_second.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        Self {
            sink,
            environment: Arc::clone(environment),
            shares: None,
            cap: most.map(Cap::new),
            began: Instant::now(),
        }
    }

    /// The weight that the head share gives a record that was kept for this reason.
    fn weight(&mut self, plan: &Arc<Plan>, record: &Record, reason: KeepReason) -> f64 {
        if !self
            .shares
            .as_ref()
            .is_some_and(|(known, _)| Arc::ptr_eq(known, plan))
        {
            let head = self.environment.head(&plan.telemetry.traces);
            let routes = plan.routes.iter().map(|route| head.or_of(route));
            let shares = routes.chain([head]).collect();
            self.shares = Some((Arc::clone(plan), shares));
        }
        let shares = self.shares.as_ref().map_or(&[][..], |(_, shares)| shares);
        let of_route = record.route.and_then(|at| shares.get(usize::from(at)));
        let share = of_route.or(shares.last());
        share.map_or(1.0, |share| share.weight(reason))
    }

    /// Lets the present second's through, where it is over or `is_end`.
    fn close(&mut self, is_end: bool) {
        let Some(cap) = &mut self.cap else { return };
        let now = Instant::now();
        if !is_end && now.duration_since(self.began) < SECOND {
            return;
        }
        self.began = now;
        let Second { passed, shed } = cap.close();
        for (held, factor) in passed {
            let Held {
                record,
                plan,
                wall,
                mut standing,
            } = held;
            standing.weight *= factor;
            self.sink.take(&record, &plan, wall, standing);
        }
        for (reason, count) in KeepReason::ALL.into_iter().zip(shed) {
            self.sink.shed(reason, count);
        }
    }
}

impl ReadRecords for Intake {
    fn read(&mut self, batch: &Batch) {
        self.close(false);
        let mut marks = batch.marks.iter().peekable();
        for (place, record) in batch.records.iter().enumerate() {
            let mark = marks.next_if(|(of, _)| *of == place);
            let Some(reason) = record.kept else { continue };
            let standing = Standing {
                weight: self.weight(&batch.plan, record, reason),
                mark: mark.map(|(_, mark)| mark.clone()),
            };
            let Some(cap) = &mut self.cap else {
                self.sink.take(record, &batch.plan, batch.wall, standing);
                continue;
            };
            let outcome = record.outcome as u8;
            let facts = (
                batch.generation,
                record.route,
                outcome,
                standing.weight.to_bits(),
            );
            cap.take(reason, facts, || Held {
                record: Box::new(record.clone()),
                plan: Arc::clone(&batch.plan),
                wall: batch.wall,
                standing,
            });
        }
    }

    fn tick(&mut self) {
        self.close(false);
    }

    fn end(&mut self) {
        self.close(true);
    }
}

#[cfg(test)]
mod tests;
