//! A count that only grows when something is wrong: since when it does, and by how much.

use std::collections::VecDeque;

/// Such a count, watched.
#[derive(Debug, Default)]
pub(super) struct Rising {
    /// Second and what it was then.
    samples: VecDeque<(u64, u64)>,
    /// Since when it grows, and what it was before.
    since: Option<(u64, u64)>,
}

/// It is over when it has not grown for so many seconds.
const CALM: u64 = 30;

// === impl Rising ===

impl Rising {
    /// Since when it has been growing, and by how much; to be called once a second with what it is.
    pub(super) fn look(&mut self, now: u64, count: u64) -> Option<(u64, u64)> {
        let before = self.samples.back().map_or(count, |(_, count)| *count);
        if count > before && self.since.is_none() {
            self.since = Some((now, before));
        }
        self.samples.push_back((now, count));
        while self.samples.front().is_some_and(|(at, _)| at + CALM < now) {
            self.samples.pop_front();
        }
        if self
            .samples
            .front()
            .is_some_and(|(at, first)| at + CALM == now && *first == count)
        {
            self.since = None;
        }
        let (since, before) = self.since?;
        Some((since, count.saturating_sub(before)))
    }
}
