//! The telemetry thread: takes batches of records from all workers and gives them to every reader, one after the other.
//!
//! A thread of its own and not a task: readers write files. It sleeps between drains while traffic flows, since waking it
//! for each batch would cost the workers a system call each and it a context switch; when nothing came it blocks until
//! something does. At the end it drains what is there, within a deadline.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tokio::time::Instant;

use super::desk::Batch;
use super::ledger::{DropReason, Ledger, Signal};
use super::recorder::Recorder;

/// Makes a signal of records.
pub trait ReadRecords: Send {
    /// Takes part in these; they go on to the next reader.
    fn read(&mut self, batch: &Batch);

    /// About once a second where nothing comes, and after each drain.
    fn tick(&mut self) {}

    /// Nothing more comes.
    fn end(&mut self) {}
}

/// What goes to the telemetry thread.
#[derive(Debug)]
pub enum Letter {
    /// Records.
    Batch(Batch),
    /// Look up from the sleep: something else has changed.
    Nudge,
}

/// The telemetry thread, as its owner sees it.
#[derive(Debug)]
pub struct Reader {
    outlet: SyncSender<Letter>,
    is_ending: Arc<AtomicBool>,
    /// Says by its end that the thread is done.
    done: Receiver<()>,
    deadline: Duration,
}

/// The readers, on the thread.
struct Readers {
    inlet: Receiver<Letter>,
    readers: Vec<Box<dyn ReadRecords>>,
    recorder: Arc<Recorder>,
    ledger: Arc<Ledger>,
    is_ending: Arc<AtomicBool>,
    deadline: Duration,
}

/// How many batches wait at most; some 32,000 records.
const QUEUE: usize = 512;

/// How long the thread sleeps while traffic flows.
const PAUSE: Duration = Duration::from_millis(50);

/// How long it waits when nothing comes.
const IDLE: Duration = Duration::from_secs(1);

/// How long readers may take for what they do at the end, all together.
const LAST_WORDS: Duration = Duration::from_secs(3);

// === impl Reader ===

impl Reader {
    /// Starts the thread. The recorder comes after all `readers`, since it keeps the records. `deadline` is how long
    /// the drain at the end may take.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub fn start(
        readers: Vec<Box<dyn ReadRecords>>,
        recorder: &Arc<Recorder>,
        ledger: &Arc<Ledger>,
        deadline: Duration,
    ) -> io::Result<Self> {
        let (outlet, inlet) = sync_channel(QUEUE);
        let is_ending = Arc::new(AtomicBool::new(false));
        let state = Readers {
            inlet,
            readers,
            recorder: Arc::clone(recorder),
            ledger: Arc::clone(ledger),
            is_ending: Arc::clone(&is_ending),
            deadline,
        };
        let (end, done) = sync_channel::<()>(1);
        std::thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(move || {
                state.run();
                drop(end);
            })?;
        Ok(Self {
            outlet,
            is_ending,
            done,
            deadline,
        })
    }

    /// The way to the thread, for a worker's desk.
    #[must_use]
    pub fn outlet(&self) -> SyncSender<Letter> {
        self.outlet.clone()
    }

    /// Has the thread look up soon: something besides records wants it, such as a log that is to be opened anew.
    pub fn nudge(&self) {
        let _ = self.outlet.try_send(Letter::Nudge); // a full queue wakes it as well
    }

    /// Lets the thread read what has been sent and waits until it has. Blocks for as long as that takes, at most some
    /// seconds more than the deadline: a reader that never returns must not hold up the exit. Desks must have been
    /// flushed.
    pub fn end(self) {
        self.is_ending.store(true, Ordering::Release);
        self.nudge();
        let _ = self.done.recv_timeout(self.deadline + LAST_WORDS);
    }
}

// === impl Readers ===

impl Readers {
    fn run(mut self) {
        loop {
            match self.inlet.recv_timeout(IDLE) {
                Ok(letter) => {
                    self.read(letter);
                    self.drain(None);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.readers.iter_mut().for_each(|reader| reader.tick());
            if self.is_ending.load(Ordering::Acquire) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        self.drain(Some(Instant::now() + self.deadline));
        self.readers.iter_mut().for_each(|reader| reader.end());
    }

    /// Reads what is there: until the deadline, where there is one, and what is left then is dropped; else at most one
    /// queue's length, and no longer than until the end begins.
    fn drain(&mut self, deadline: Option<Instant>) {
        for count in 0.. {
            if deadline.is_none() && (count == QUEUE || self.is_ending.load(Ordering::Acquire)) {
                return;
            }
            let Ok(letter) = self.inlet.try_recv() else {
                return;
            };
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.give_up(&letter);
            } else {
                self.read(letter);
            }
        }
    }

    fn read(&mut self, letter: Letter) {
        let Letter::Batch(batch) = letter else { return };
        for reader in &mut self.readers {
            reader.read(&batch);
        }
        let records = u64::try_from(batch.records.len()).unwrap_or(u64::MAX);
        self.recorder.keep(batch);
        self.ledger.account(Signal::Records).export(records);
    }

    fn give_up(&self, letter: &Letter) {
        if let Letter::Batch(batch) = letter {
            super::desk::lose(&self.ledger, batch, DropReason::Shutdown);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::exchange::KeepReason;
    use crate::telemetry::desk::Desk;
    use crate::telemetry::fixture::{plan, record, retried};
    use crate::telemetry::ledger::Balance;
    use crate::telemetry::metrics::Catalogue;

    /// Counts what it reads, and can be made to take its time.
    struct Counting {
        seen: SyncSender<usize>,
        takes: Duration,
    }

    impl ReadRecords for Counting {
        fn read(&mut self, batch: &Batch) {
            std::thread::sleep(self.takes);
            let _ = self.seen.send(batch.records.len());
        }
    }

    fn desk(ledger: &Arc<Ledger>, outlet: SyncSender<Letter>) -> Desk {
        let desk = Desk::new(0, &Catalogue::new(), ledger, outlet);
        let mut plan = plan(&["web"]);
        plan.telemetry.access_log.sample = crate::config::Share::NONE;
        let keep = |record: &crate::exchange::Record, _| {
            (!record.more.is_empty()).then_some(KeepReason::Retried)
        };
        desk.set_plan(&Arc::new(plan), 1, Some(Box::new(keep)));
        desk
    }

    fn adds_up(balance: &Balance) {
        let lost: u64 = balance.dropped.iter().map(|(_, count)| count).sum();
        assert_eq!(balance.created, balance.exported + lost + balance.queued);
    }

    #[test]
    fn every_record_reaches_every_reader_and_the_recorder() {
        let ledger = Arc::new(Ledger::default());
        let recorder = Recorder::new(&crate::config::Recorder::default());
        let (seen, told) = mpsc::sync_channel(1_000);
        let counting = Counting {
            seen,
            takes: Duration::ZERO,
        };
        let readers: Vec<Box<dyn ReadRecords>> = vec![Box::new(counting)];
        let reader =
            Reader::start(readers, &recorder, &ledger, Duration::from_secs(5)).expect("a thread");
        let desk = desk(&ledger, reader.outlet());
        for _ in 0..200 {
            desk.take(record(Some(0)));
        }
        desk.take(retried(record(Some(0))));
        desk.flush();
        reader.end();
        assert_eq!(told.iter().sum::<usize>(), 201);
        assert_eq!(recorder.len(), 201);
        let [_, logs, records, ..] = ledger.snapshot();
        assert_eq!(
            (records.created, records.exported, records.queued),
            (201, 201, 0)
        );
        assert_eq!(logs.created, 0, "no line of what was served well");
    }

    #[test]
    fn a_full_channel_loses_counted_records_and_holds_nobody_up() {
        let ledger = Arc::new(Ledger::default());
        let (outlet, inlet) = mpsc::sync_channel(1);
        let desk = desk(&ledger, outlet);
        for _ in 0..64 {
            desk.take(record(Some(0)));
        }
        for _ in 0..63 {
            desk.take(retried(record(Some(0)))); // two attempts: three spans
        }
        let mut failed = record(Some(0));
        failed.status = 502;
        desk.take(failed);
        let [spans, logs, records, ..] = ledger.snapshot();
        assert_eq!((records.created, records.queued), (128, 64));
        assert_eq!(records.lost(DropReason::QueueFull), 64);
        assert_eq!(spans.lost(DropReason::QueueFull), 63 * 3);
        assert_eq!((logs.created, logs.lost(DropReason::QueueFull)), (1, 1));
        ledger.snapshot().iter().for_each(adds_up);
        drop(inlet);
        desk.take(record(Some(0)));
        desk.flush();
        let [_, _, records, ..] = ledger.snapshot();
        assert_eq!(records.lost(DropReason::Shutdown), 1);
    }

    #[test]
    fn a_record_goes_with_the_plan_that_names_its_places() {
        let ledger = Arc::new(Ledger::default());
        let (outlet, inlet) = mpsc::sync_channel(8);
        let desk = Desk::new(0, &Catalogue::new(), &ledger, outlet);
        for (generation, names) in [(1, ["old"]), (2, ["new"])] {
            let plan = Arc::new(plan(&names));
            desk.set_plan(&plan, generation, None);
        }
        for generation in [1, 2, 2, 1] {
            let mut record = record(Some(0));
            record.generation = generation;
            desk.take(record);
        }
        desk.flush();
        let batches = inlet.try_iter().map(|letter| {
            let Letter::Batch(batch) = letter else {
                panic!("batches alone")
            };
            let name = batch.plan.routes[0].name.to_string();
            (batch.generation, name, batch.records.len())
        });
        let wanted = [(1, "old", 1), (2, "new", 2), (1, "old", 1)];
        let wanted = wanted.map(|(generation, name, count)| (generation, name.to_owned(), count));
        assert_eq!(batches.collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn the_end_keeps_its_deadline_and_says_what_was_lost() {
        let ledger = Arc::new(Ledger::default());
        let recorder = Recorder::new(&crate::config::Recorder::default());
        let (seen, told) = mpsc::sync_channel(1_000);
        let slow = Counting {
            seen,
            takes: Duration::from_millis(20),
        };
        let readers: Vec<Box<dyn ReadRecords>> = vec![Box::new(slow)];
        let reader = Reader::start(readers, &recorder, &ledger, Duration::from_millis(100))
            .expect("a thread");
        let desk = desk(&ledger, reader.outlet());
        for _ in 0..64 * 300 {
            desk.take(record(Some(0)));
        }
        let started = Instant::now();
        reader.end();
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "{:?}",
            started.elapsed()
        );
        let read: usize = told.iter().sum();
        let [_, _, records, ..] = ledger.snapshot();
        assert_eq!(records.exported, read as u64);
        assert!(records.lost(DropReason::Shutdown) > 0);
        adds_up(&records);
        assert_eq!(records.queued, 0);
    }
}
