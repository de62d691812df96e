//! What the counts of one objective were at earlier times, so that they can be compared with what they are now.
//!
//! Counters only rise, so a window is the difference between now and one sample of the past. Samples are kept in four
//! rings, each coarser and longer than the one before; a window begins at the newest sample that is at least as old as
//! the window is long, hence is at most one step longer than it says. Without such a sample the process has not lived
//! through the window, and there is no answer. Buckets of differences were rejected: a tick that comes late would put
//! what happened into the wrong one.
//!
//! Memory: at most 1,140 samples of 32 bytes, with the room that rings take as they grow at most 52 KiB an objective.

use std::collections::VecDeque;
use std::time::Duration;

/// How many events there have been, and how many of them were bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that kept the promise.
    pub good: u64,
    /// Events that did not.
    pub bad: u64,
}

/// The counts of one objective over time.
#[derive(Clone, Debug)]
pub(super) struct History {
    rings: [Ring; 4],
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    counts: Counts,
}

/// Samples at least `step` apart, as far back as `reach`.
#[derive(Clone, Debug)]
struct Ring {
    step: Duration,
    reach: Duration,
    samples: VecDeque<Sample>,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How many samples the ring of the budget's window has.
const STEPS: u32 = 120;

// === impl Counts ===

impl Counts {
    /// All events.
    #[must_use]
    pub fn events(self) -> u64 {
        self.good + self.bad
    }

    /// The share that was bad; 0 where there was none.
    #[must_use]
    pub fn bad_share(self) -> f64 {
        match self.events() {
            0 => 0.0,
            #[allow(clippy::cast_precision_loss, reason = "a share needs no more")]
            events => self.bad as f64 / events as f64,
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            good: self.good.saturating_sub(before.good),
            bad: self.bad.saturating_sub(before.bad),
        }
    }
}

// === impl History ===

impl History {
    /// One that begins now, for a budget over `window`.
    pub(super) fn new(now: Duration, counts: Counts, window: Duration) -> Self {
        let seconds = Duration::from_secs;
        let ring = |step: Duration, reach: Duration| Ring {
            step,
            reach,
            samples: VecDeque::from([Sample { at: now, counts }]),
        };
        Self {
            rings: [
                ring(seconds(10), seconds(HOUR)),
                ring(seconds(MINUTE), seconds(6 * HOUR)),
                ring(seconds(15 * MINUTE), seconds(3 * DAY)),
                ring(window / STEPS, window),
            ],
        }
    }

    /// The budget is counted over another window from now on; what is known of the past stays known.
    pub(super) fn set_window(&mut self, window: Duration) {
        let ring = &mut self.rings[3];
        (ring.step, ring.reach) = (window / STEPS, window);
    }

    /// Keeps what is now. To be called at least every ten seconds, and as often as one likes.
    pub(super) fn sample(&mut self, now: Duration, counts: Counts) {
        let sample = Sample { at: now, counts };
        self.rings.iter_mut().for_each(|ring| ring.take(sample));
    }

    /// What happened in this window, at most three days; `None` where it was not lived through.
    pub(super) fn window(&self, window: Duration, now: Duration, counts: Counts) -> Option<Counts> {
        let begin = now.checked_sub(window)?;
        let ring = self.rings.iter().find(|ring| ring.reach >= window)?;
        let before = ring.at(begin)?;
        Some(counts.since(before.counts))
    }

    /// What happened in the budget's window, as far as it was lived through, and how far that is.
    pub(super) fn budget(&self, now: Duration, counts: Counts) -> (Counts, Duration) {
        let ring = &self.rings[3];
        let begin = now.checked_sub(ring.reach);
        let before = begin
            .and_then(|begin| ring.at(begin))
            .or(ring.samples.front());
        match before {
            Some(before) => (counts.since(before.counts), now.saturating_sub(before.at)),
            None => (counts, Duration::ZERO), // there is always one
        }
    }
}

// === impl Ring ===

impl Ring {
    fn take(&mut self, sample: Sample) {
        let is_due = self
            .samples
            .back()
            .is_none_or(|last| sample.at >= last.at + self.step);
        if !is_due {
            return;
        }
        self.samples.push_back(sample);
        // The second one is old enough to begin any window: nobody asks for the first.
        while let (Some(limit), Some(second)) =
            (sample.at.checked_sub(self.reach), self.samples.get(1))
            && second.at <= limit
        {
            self.samples.pop_front();
        }
    }

    /// The newest sample that is not younger than this.
    fn at(&self, begin: Duration) -> Option<&Sample> {
        let after = self.samples.partition_point(|sample| sample.at <= begin);
        self.samples.get(after.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: u64 = 30;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Four good and one bad event a second, looked at as often as the telemetry thread does when nothing comes.
    fn lived(until: u64) -> (History, Counts) {
        let mut history = History::new(Duration::ZERO, Counts::default(), seconds(DAYS * DAY));
        let mut counts = Counts::default();
        for second in 1..=until {
            counts.good += 4;
            counts.bad += 1;
            history.sample(seconds(second), counts);
        }
        (history, counts)
    }

    #[test]
    fn a_window_that_was_not_lived_through_has_no_answer() {
        let (history, counts) = lived(HOUR - 1);
        let now = seconds(HOUR - 1);
        let window = |length| history.window(seconds(length), now, counts);
        assert!(window(5 * MINUTE).is_some() && window(30 * MINUTE).is_some());
        assert_eq!(window(HOUR), None);
        assert_eq!(window(3 * DAY), None);
        assert_eq!(history.budget(now, counts), (counts, now));
    }

    #[test]
    fn a_window_holds_what_happened_in_it_to_a_step() {
        let (history, counts) = lived(4 * DAY);
        let now = seconds(4 * DAY);
        for (length, step) in [
            (5 * MINUTE, 10),
            (30 * MINUTE, 10),
            (HOUR, 10),
            (6 * HOUR, MINUTE),
            (3 * DAY, 15 * MINUTE),
        ] {
            let found = history
                .window(seconds(length), now, counts)
                .expect("lived through");
            assert!((length..=length + step).contains(&found.bad), "{found:?}");
            assert_eq!(found.good, 4 * found.bad);
        }
        assert_eq!(history.budget(now, counts), (counts, now));
    }

    #[test]
    fn the_budgets_window_moves_on_and_memory_does_not_grow() {
        let mut history = History::new(Duration::ZERO, Counts::default(), seconds(DAY));
        let mut counts = Counts::default();
        let mut now = 0;
        while now < 10 * DAY {
            now += 10;
            counts.good += 10;
            counts.bad += u64::from(now == DAY); // one failure, on the first day
            history.sample(seconds(now), counts);
        }
        let (found, lived) = history.budget(seconds(now), counts);
        assert_eq!(found.bad, 0, "it is nine days old");
        assert!(lived >= seconds(DAY) && lived <= seconds(DAY + DAY / 120));
        let samples: usize = history.rings.iter().map(|ring| ring.samples.len()).sum();
        assert!(samples <= 1_140, "{samples}");
        history.set_window(seconds(30 * DAY));
        assert!(history.budget(seconds(now), counts).1 >= seconds(DAY));
    }

    #[test]
    fn a_pause_of_the_process_makes_a_window_longer_and_never_shorter() {
        let (mut history, counts) = lived(HOUR);
        // Nobody looked for twenty minutes, in which nothing happened.
        let now = seconds(HOUR + 20 * MINUTE);
        let found = history.window(seconds(5 * MINUTE), now, counts);
        assert_eq!(found, Some(Counts::default()));
        history.sample(now, counts);
        let found = history.window(seconds(30 * MINUTE), now, counts);
        assert_eq!(found.map(|counts| counts.bad), Some(10 * MINUTE));
    }
}
