//! What telemetry itself has lost of late: a verdict on incomplete evidence must say so.

use std::collections::VecDeque;

use crate::telemetry::ledger::{Balance, DropReason, Ledger, Signal};

/// The losses of each signal over the last half minute.
#[derive(Debug)]
pub(super) struct Losses([Loss; Signal::ALL.len()]);

#[derive(Debug, Default)]
struct Loss {
    /// Second and all that was lost until then.
    samples: VecDeque<(u64, u64)>,
    since: Option<(u64, u64)>,
}

/// What a signal is losing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Losing {
    pub(super) signal: Signal,
    pub(super) since: u64,
    /// How much since then.
    pub(super) lost: u64,
    /// Why most of all that is lost was lost.
    pub(super) reason: DropReason,
}

/// It is over when nothing was lost for so many seconds.
const CALM: u64 = 30;

// === impl Losses ===

impl Losses {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Loss::default()))
    }

    /// Looks at the books now; to be called once a second.
    pub(super) fn look(&mut self, now: u64, ledger: &Ledger) -> Vec<Losing> {
        let balances = ledger.snapshot();
        let losing = self.0.iter_mut().zip(&balances);
        losing.filter_map(|(loss, it)| loss.look(now, it)).collect()
    }
}

// === impl Loss ===

impl Loss {
    fn look(&mut self, now: u64, balance: &Balance) -> Option<Losing> {
        let lost = balance.dropped.iter().map(|(_, count)| count).sum();
        let before = self.samples.back().map_or(lost, |(_, lost)| *lost);
        if lost > before && self.since.is_none() {
            self.since = Some((now, before));
        }
        self.samples.push_back((now, lost));
        while self.samples.front().is_some_and(|(at, _)| at + CALM < now) {
            self.samples.pop_front();
        }
        if self
            .samples
            .front()
            .is_some_and(|(at, first)| at + CALM == now && *first == lost)
        {
            self.since = None;
        }
        let (since, before) = self.since?;
        let worst = balance.dropped.iter().max_by_key(|(_, count)| *count)?;
        Some(Losing {
            signal: balance.signal,
            since,
            lost: lost - before,
            reason: worst.0,
        })
    }
}
