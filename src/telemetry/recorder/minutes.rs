//! Of each of the last thirty minutes a fair sample of all exchanges, whatever became of them.
//!
//! The other rings keep failures longer than the rest; who compares failures with the rest needs a rest that was not
//! chosen. Each exchange of a minute is in its sample with the same chance (Vitter, "Random Sampling with a Reservoir",
//! 1985, algorithm R). A minute is that of the exchange's end.
//!
//! What has just begun is what people ask about, and in a few seconds there is little of it: so the samples of the two
//! newest minutes are larger. When a minute is no longer one of them its sample is thinned, by lot as well.

use std::collections::VecDeque;
use std::sync::Arc;

use super::kept::Kept;

/// The samples.
#[derive(Debug)]
pub(super) struct Minutes {
    /// The most bytes.
    budget: u64,
    bytes: u64,
    /// How many exchanges a minute keeps, one of the newest and one before those.
    of_a_new: usize,
    of_an_old: usize,
    minutes: VecDeque<Minute>,
}

/// The sample of one minute.
#[derive(Clone, Debug)]
pub struct Minute {
    /// Which: minutes since 1970.
    pub number: u64,
    /// How many exchanges it was drawn from.
    pub seen: u64,
    /// The sample, in no order.
    pub kept: Vec<Arc<Kept>>,
}

/// How many minutes are kept.
const MINUTES: usize = 30;
/// How many of them are the newest.
const NEWEST: usize = 2;
/// How many exchanges of a minute at most, of a new one and of an old one, and at least whatever the memory.
const MOST_OF_A_NEW: u64 = 1024;
const MOST_OF_AN_OLD: u64 = 256;
const LEAST: u64 = 4;
/// The share of the memory that the newest have, in percent.
const OF_THE_NEWEST: u64 = 25;
/// What an exchange takes, about: so that thirty minutes fit.
const ABOUT: u64 = 1200;

// === impl Minutes ===

impl Minutes {
    pub(super) fn new(budget: u64) -> Self {
        let fit = |percent: u64, minutes: usize, most: u64| {
            let fits = budget / 100 * percent / ABOUT / minutes as u64;
            usize::try_from(fits.clamp(LEAST, most)).unwrap_or(usize::MAX)
        };
        Self {
            budget,
            bytes: 0,
            of_a_new: fit(OF_THE_NEWEST, NEWEST, MOST_OF_A_NEW),
            of_an_old: fit(100 - OF_THE_NEWEST, MINUTES - NEWEST, MOST_OF_AN_OLD),
            minutes: VecDeque::with_capacity(MINUTES + 1),
        }
    }

    /// Lets one take part in the draw of its minute; what must go for it is put into `gone`.
    pub(super) fn push(&mut self, kept: &Arc<Kept>, gone: &mut Vec<Arc<Kept>>) {
        let number = kept.ended_unix() / 60;
        if (self.minutes.back()).is_some_and(|it| it.number > number + MINUTES as u64) {
            (0..self.minutes.len()).for_each(|_| self.forget_oldest(gone)); // a clock was set right
        }
        // A worker's batch may be a moment late: the minute is looked for from the newest on.
        let place = self.minutes.iter().rposition(|it| it.number <= number);
        let place = match place {
            Some(place) if self.minutes[place].number == number => place,
            Some(place) if place + 1 == self.minutes.len() => self.begin(number, gone),
            None if self.minutes.is_empty() => self.begin(number, gone),
            _ => return, // it ended in a minute that nobody keeps
        };
        let is_new = place + NEWEST >= self.minutes.len();
        let most = if is_new {
            self.of_a_new
        } else {
            self.of_an_old
        };
        let minute = &mut self.minutes[place];
        minute.seen += 1;
        if minute.kept.len() < most {
            minute.kept.push(Arc::clone(kept));
        } else {
            let lot = fastrand::u64(..minute.seen);
            let Some(drawn) = usize::try_from(lot)
                .ok()
                .and_then(|it| minute.kept.get_mut(it))
            else {
                return;
            };
            let before = std::mem::replace(drawn, Arc::clone(kept));
            self.bytes -= before.bytes;
            gone.push(before);
        }
        self.bytes += kept.bytes;
        while self.bytes > self.budget && self.minutes.len() > 1 {
            self.forget_oldest(gone);
        }
    }

    /// Begins a minute, which is newer than all; answers its place.
    fn begin(&mut self, number: u64, gone: &mut Vec<Arc<Kept>>) -> usize {
        self.minutes.push_back(Minute {
            number,
            seen: 0,
            kept: Vec::new(),
        });
        if let Some(place) = self.minutes.len().checked_sub(NEWEST + 1) {
            self.thin(place, gone);
        }
        while self
            .minutes
            .front()
            .is_some_and(|it| it.number + MINUTES as u64 <= number)
        {
            self.forget_oldest(gone);
        }
        self.minutes.len() - 1
    }

    /// Makes the sample of a minute that of an old one. What is drawn by lot from what was drawn by lot is so, too.
    fn thin(&mut self, place: usize, gone: &mut Vec<Arc<Kept>>) {
        let minute = &mut self.minutes[place];
        fastrand::shuffle(&mut minute.kept);
        let thinned = minute.kept.drain(self.of_an_old.min(minute.kept.len())..);
        for kept in thinned {
            self.bytes -= kept.bytes;
            gone.push(kept);
        }
    }

    fn forget_oldest(&mut self, gone: &mut Vec<Arc<Kept>>) {
        if let Some(oldest) = self.minutes.pop_front() {
            self.bytes -= oldest.kept.iter().map(|it| it.bytes).sum::<u64>();
            gone.extend(oldest.kept);
        }
    }

    /// The minutes that there are.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.minutes.iter().map(|it| it.number).collect()
    }

    /// The sample of this minute.
    pub(super) fn of(&self, number: u64) -> Option<Minute> {
        self.minutes.iter().find(|it| it.number == number).cloned()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn count(&self) -> usize {
        self.minutes.iter().map(|it| it.kept.len()).sum()
    }
}
