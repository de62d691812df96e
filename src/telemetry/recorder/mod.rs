//! The flight recorder: always on, in a fixed memory, to be asked by the admin port and dumped to a file.
//!
//! ```text
//! recent   40 %   every exchange, the newest                          a queue
//! errors   25 %   what people would call failed                       lanes: routes share it fairly
//! retried  10 %   what took more than one attempt                     lanes
//! slowest  10 %   the 32 slowest of each route in the last hour       slowest
//! minutes  15 %   of each of the last 30 minutes a sample by lot      minutes
//! ```
//!
//! The percentages are shares of `telemetry.recorder.memory`. An exchange is kept once ([`Kept`]) and counted in each ring
//! that holds it, so that all rings together never take more than the memory; what they share is room to spare. It is
//! dropped when no ring holds it. Counted are the record, its attempts, its texts and what holds them; plans, which
//! exchanges of one configuration share, are not.
//!
//! The telemetry thread is the only one that puts something in. A question copies pointers under the lock, at most
//! a thousand at a time, and looks at the exchanges and writes outside of it: who asks holds up nobody.

mod dump;
mod kept;
mod lanes;
mod minutes;
mod query;
mod slowest;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config;
use crate::telemetry::desk::Batch;

pub use dump::{DumpError, Dumped};
pub use kept::Kept;
pub use minutes::Minute;
pub use query::{MOST_ANSWERS, Query};

use dump::Dumps;
use kept::Held;
use lanes::{Lanes, newest_before};
use minutes::Minutes;
use slowest::Slowest;

/// The flight recorder.
#[derive(Debug)]
pub struct Recorder {
    memory: u64,
    held: Arc<Held>,
    rings: Mutex<Rings>,
    dumps: Dumps,
}

#[derive(Debug)]
struct Rings {
    /// The number of the newest exchange.
    number: u64,
    /// When the last failure ended that had to go, in seconds since 1970: from the next on each is there.
    errors_gone: u64,
    recent: Recent,
    errors: Lanes,
    retried: Lanes,
    slowest: Slowest,
    minutes: Minutes,
}

/// Every exchange, the oldest first.
#[derive(Debug)]
struct Recent {
    budget: u64,
    bytes: u64,
    entries: VecDeque<Arc<Kept>>,
}

/// What the recorder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The most that it may hold, in bytes.
    pub memory: u64,
    /// What it holds, in bytes, each exchange counted once.
    pub bytes: u64,
    /// How many exchanges it holds.
    pub exchanges: u64,
    /// How many it has seen.
    pub seen: u64,
    /// Each ring: its name, its exchanges and their bytes.
    pub rings: [(&'static str, usize, u64); 5],
}

/// How much later than another that ended after it an exchange may be read, in seconds: far more than a batch waits.
const LATE: u64 = 10;
/// How many pointers are copied under the lock at a time.
const CHUNK: usize = 512;

// === impl Recorder ===

impl Recorder {
    /// An empty one.
    #[must_use]
    pub fn new(config: &config::Recorder) -> Arc<Self> {
        let memory = config.memory.0;
        let share = |percent: u64| memory / 100 * percent;
        Arc::new(Self {
            memory,
            held: Arc::default(),
            rings: Mutex::new(Rings {
                number: 0,
                errors_gone: 0,
                recent: Recent {
                    budget: share(40),
                    bytes: 0,
                    entries: VecDeque::new(),
                },
                errors: Lanes::new(share(25)),
                retried: Lanes::new(share(10)),
                slowest: Slowest::new(share(10)),
                minutes: Minutes::new(share(15)),
            }),
            dumps: Dumps::new(config.dump.clone()),
        })
    }

    /// Keeps the records of a batch.
    pub(in crate::telemetry) fn keep(&self, batch: Batch) {
        let Batch {
            plan,
            wall,
            records,
            ..
        } = batch;
        let mut gone = Vec::with_capacity(records.len());
        {
            let mut rings = self.rings();
            for record in records {
                rings.number += 1;
                let kept = Kept::new(rings.number, &plan, wall, record, &self.held);
                rings.keep(&kept, &mut gone);
            }
        }
        drop(gone); // outside of the lock: freeing takes as long as keeping
    }

    /// What it holds.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let rings = self.rings();
        let Rings {
            recent,
            errors,
            retried,
            slowest,
            minutes,
            ..
        } = &*rings;
        Figures {
            memory: self.memory,
            bytes: self.held.bytes(),
            exchanges: self.held.exchanges(),
            seen: rings.number,
            rings: [
                ("recent", recent.entries.len(), recent.bytes),
                ("errors", errors.count(), errors.bytes()),
                ("retried", retried.count(), retried.bytes()),
                ("slowest", slowest.count(), slowest.bytes()),
                ("minutes", minutes.count(), minutes.bytes()),
            ],
        }
    }

    /// How many it keeps now.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.held.exchanges()).unwrap_or(usize::MAX)
    }

    /// Whether it keeps none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A fair sample of all exchanges of each of the last thirty minutes, the oldest minute first.
    #[must_use]
    pub fn minutes(&self) -> Vec<Minute> {
        let numbers = self.rings().minutes.numbers();
        let of = |number| self.rings().minutes.of(number);
        numbers.into_iter().filter_map(of).collect()
    }

    /// When the last failure ended that was not kept for good, in seconds since 1970; 0 where each is there. Later ones
    /// are there all.
    #[must_use]
    pub fn errors_gone(&self) -> u64 {
        self.rings().errors_gone
    }

    /// The failures that ended then or later, in seconds since 1970, in no order; `None` where they are more than `most`:
    /// a part of them would be another route's or another minute's.
    #[must_use]
    pub fn failures(&self, since: u64, most: usize) -> Option<Vec<Arc<Kept>>> {
        let names = self.rings().errors.names();
        let mut found = Vec::new();
        for name in names {
            let mut below = u64::MAX;
            loop {
                let chunk = self.rings().errors.before(&name, below, CHUNK);
                let Some(last) = chunk.last() else { break };
                below = last.number;
                // They stand in the order in which they were read, which is that of their ends within a second or so.
                let is_last = last.ended_unix() + LATE < since;
                found.extend(chunk.into_iter().filter(|it| it.ended_unix() >= since));
                if found.len() > most {
                    return None;
                }
                if is_last {
                    break;
                }
            }
        }
        Some(found)
    }

    /// Every exchange with a number below this, the newest first, a chunk at a time, until `see` has enough: those of the
    /// last while.
    fn each_recent(&self, see: &mut dyn FnMut(&Arc<Kept>) -> bool) -> u64 {
        let mut below = u64::MAX;
        loop {
            let chunk = newest_before(&self.rings().recent.entries, below, CHUNK);
            for kept in &chunk {
                below = kept.number;
                if !see(kept) {
                    return below;
                }
            }
            if chunk.is_empty() {
                return below;
            }
        }
    }

    /// Those that other rings hold with a number below this: in no order, and some of them more than once.
    fn each_other(&self, number: u64, see: &mut dyn FnMut(&Arc<Kept>)) {
        let lanes: [fn(&Rings) -> &Lanes; 2] = [|rings| &rings.errors, |rings| &rings.retried];
        for ring in lanes {
            let names = ring(&self.rings()).names();
            for name in names {
                let mut below = number;
                loop {
                    let chunk = ring(&self.rings()).before(&name, below, CHUNK);
                    let Some(last) = chunk.last() else { break };
                    below = last.number;
                    chunk.iter().for_each(&mut *see);
                }
            }
        }
        let names = self.rings().slowest.names();
        for name in names {
            let chunk = self.rings().slowest.of(&name);
            chunk
                .iter()
                .filter(|it| it.number < number)
                .for_each(&mut *see);
        }
        let minutes = self.rings().minutes.numbers();
        for minute in minutes {
            let Some(minute) = self.rings().minutes.of(minute) else {
                continue;
            };
            let older = minute.kept.iter().filter(|it| it.number < number);
            older.for_each(&mut *see);
        }
    }

    fn rings(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Rings ===

impl Rings {
    fn keep(&mut self, kept: &Arc<Kept>, gone: &mut Vec<Arc<Kept>>) {
        if kept.record.is_error() {
            let before = gone.len();
            self.errors.push(kept, gone);
            let ended = gone.iter().skip(before).map(|it| it.ended_unix());
            self.errors_gone = ended.fold(self.errors_gone, u64::max);
        }
        if !kept.record.more.is_empty() {
            self.retried.push(kept, gone);
        }
        self.slowest.push(kept, gone);
        self.minutes.push(kept, gone);
        self.recent.push(kept, gone);
    }
}

// === impl Recent ===

impl Recent {
    fn push(&mut self, kept: &Arc<Kept>, gone: &mut Vec<Arc<Kept>>) {
        self.bytes += kept.bytes;
        self.entries.push_back(Arc::clone(kept));
        while self.bytes > self.budget
            && let Some(oldest) = self.entries.pop_front()
        {
            self.bytes -= oldest.bytes;
            gone.push(oldest);
        }
    }
}
