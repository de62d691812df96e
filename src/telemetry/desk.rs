//! Where a worker hands in its records: counted here, then sent off in batches.
//!
//! One desk a worker, on its thread. Taking a record asks the keep rules, counts the metrics in this worker's own cells
//! and puts the record into a batch; nothing here waits, locks or allocates once its series are known. A batch leaves
//! when it is full or when the worker's tick says so, through one bounded channel to the telemetry thread. Where that is
//! full the batch is dropped and entered in the ledger: a slow disk or collector costs records, never a request.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use crate::config::Plan;
use crate::exchange::{Gauge, KeepReason, Record};
use crate::telemetry::ledger::{DropReason, Ledger, Signal};
use crate::telemetry::log;
use crate::telemetry::metrics::Catalogue;
use crate::telemetry::metrics::exemplar::Mark;
use crate::telemetry::metrics::tally::Tally;
use crate::telemetry::otlp_logs;
use crate::telemetry::reader::Letter;
use crate::telemetry::wall::Wall;

/// Records of one generation, on their way to the readers.
#[derive(Debug)]
pub struct Batch {
    /// What the places in the records are places in.
    pub plan: Arc<Plan>,
    /// The plan's number.
    pub generation: u32,
    /// What time of day their moments were.
    pub wall: Wall,
    /// The records, in the order in which they ended.
    pub records: Vec<Record>,
    /// What exemplars wait for, with the place of the record whose trace it is, ascending.
    pub marks: Vec<(usize, Mark)>,
}

/// Says at the end of an exchange why it is kept as a trace, if it is; told whether it has become an exemplar.
pub type Keep = Box<dyn Fn(&Record, bool) -> Option<KeepReason>>;

/// A worker's way to all signals.
pub struct Desk {
    state: RefCell<State>,
}

struct State {
    worker: u16,
    catalogue: Arc<Catalogue>,
    ledger: Arc<Ledger>,
    outlet: SyncSender<Letter>,
    wall: Wall,
    /// The newest generation first.
    tallies: Vec<(Tally, Option<Keep>)>,
    /// The generation of the batch.
    generation: u32,
    batch: Vec<Record>,
    /// Of the batch: few records become exemplars.
    marks: Vec<(usize, Mark)>,
}

/// How many records make a batch.
const BATCH: usize = 64;

/// How many generations a worker knows. An exchange that outlives more reloads than that is counted under the oldest
/// that is known, if its route's place exists there.
const GENERATIONS: usize = 32;

// === impl Batch ===

impl Batch {
    /// When a record of it ended, since 1970.
    #[must_use]
    pub fn ended(&self, record: &Record) -> Duration {
        self.wall.unix(record.started + record.duration())
    }
}

// === impl Desk ===

impl Desk {
    /// A desk of this worker; it knows no plan yet.
    #[must_use]
    pub fn new(
        worker: u16,
        catalogue: &Arc<Catalogue>,
        ledger: &Arc<Ledger>,
        outlet: SyncSender<Letter>,
    ) -> Self {
        Self {
            state: RefCell::new(State {
                worker,
                catalogue: Arc::clone(catalogue),
                ledger: Arc::clone(ledger),
                outlet,
                wall: Wall::now(),
                tallies: Vec::new(),
                generation: 0,
                batch: Vec::with_capacity(BATCH),
                marks: Vec::new(),
            }),
        }
    }

    /// From now on exchanges of this generation come, and these are the rules by which they are kept, if any is. Call it
    /// before the first of them.
    pub fn set_plan(&self, plan: &Arc<Plan>, generation: u32, keep: Option<Keep>) {
        let state = &mut *self.state.borrow_mut();
        if state
            .tallies
            .iter()
            .any(|(known, _)| known.generation() == generation)
        {
            return;
        }
        let tally = Tally::new(&state.catalogue, plan, generation, state.worker);
        state.tallies.insert(0, (tally, keep));
        state.tallies.truncate(GENERATIONS);
    }

    /// This worker's share of a route's active requests; to be entered by an exchange of this generation.
    #[must_use]
    pub fn route_gauge(&self, generation: u32, route: Option<u16>) -> Gauge {
        let state = &mut *self.state.borrow_mut();
        match tally(&mut state.tallies, generation) {
            Some((tally, _)) => tally.active(route),
            None => Gauge::default(),
        }
    }

    /// The plan of this generation, where it is still known.
    #[must_use]
    pub fn plan(&self, generation: u32) -> Option<Arc<Plan>> {
        let state = &mut *self.state.borrow_mut();
        let (tally, _) = tally(&mut state.tallies, generation)?;
        Some(Arc::clone(tally.plan()))
    }

    /// An exchange has ended.
    pub fn take(&self, mut record: Record) {
        let state = &mut *self.state.borrow_mut();
        let generation = record.generation;
        if state.generation != generation {
            state.flush();
            state.generation = generation;
        }
        let ended_ms = state.wall.unix_millis(record.started + record.duration());
        let Some((tally, keep)) = tally(&mut state.tallies, generation) else {
            return; // no plan has been set: nobody could name what is in it
        };
        // First the exemplars: who takes a slot is kept for it, whatever the head share says.
        let mark = tally.count(&record, ended_ms, keep.is_some());
        record.kept = keep.as_ref().and_then(|keep| keep(&record, mark.is_some()));
        state
            .marks
            .extend(mark.map(|mark| (state.batch.len(), mark)));
        state.batch.push(record);
        if state.batch.len() >= BATCH {
            state.flush();
        }
    }

    /// Sends off what there is. The worker's tick calls this, and whoever ends the worker.
    pub fn flush(&self) {
        self.state.borrow_mut().flush();
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.state.get_mut().flush();
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    fn flush(&mut self) {
        self.wall = Wall::now();
        if self.batch.is_empty() {
            return;
        }
        let generation = self.generation;
        let Some((tally, _)) = tally(&mut self.tallies, generation) else {
            return;
        };
        let batch = Batch {
            plan: Arc::clone(tally.plan()),
            generation,
            wall: self.wall,
            records: std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH)),
            marks: std::mem::take(&mut self.marks),
        };
        self.ledger
            .account(Signal::Records)
            .create(count(batch.records.len()));
        match self.outlet.try_send(Letter::Batch(batch)) {
            Err(TrySendError::Full(Letter::Batch(batch))) => {
                lose(&self.ledger, &batch, DropReason::QueueFull);
            }
            Err(TrySendError::Disconnected(Letter::Batch(batch))) => {
                lose(&self.ledger, &batch, DropReason::Shutdown);
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Enters into the ledger a batch that no reader sees. Spans, lines and logs of a collector come into being when they are
/// read: here they do so only to be lost.
pub(super) fn lose(ledger: &Ledger, batch: &Batch, reason: DropReason) {
    let kept = batch.records.iter().filter(|record| record.kept.is_some());
    let spans = count(kept.map(|record| 1 + record.attempts().count()).sum());
    let records = count(batch.records.len());
    ledger.account(Signal::Spans).create(spans);
    ledger.account(Signal::Spans).drop(spans, reason);
    let lines = log::lines(batch);
    ledger.account(Signal::Logs).create(lines);
    ledger.account(Signal::Logs).drop(lines, reason);
    let logs = otlp_logs::items(batch);
    ledger.account(Signal::OtlpLogs).create(logs);
    ledger.account(Signal::OtlpLogs).drop(logs, reason);
    ledger.account(Signal::Records).drop(records, reason);
}

/// The tally of a generation, or of the nearest older one, or of the oldest.
fn tally(
    tallies: &mut [(Tally, Option<Keep>)],
    generation: u32,
) -> Option<&mut (Tally, Option<Keep>)> {
    let place = tallies
        .iter()
        .position(|(known, _)| known.generation() <= generation)
        .or(tallies.len().checked_sub(1))?;
    tallies.get_mut(place)
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
