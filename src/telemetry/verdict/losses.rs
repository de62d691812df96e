//! What telemetry itself has lost of late: a verdict on incomplete evidence must say so.

use super::rising::Rising;
use crate::telemetry::ledger::{Balance, DropReason, Ledger, Signal};

/// The losses of each signal.
#[derive(Debug)]
pub(super) struct Losses([Rising; Signal::ALL.len()]);

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

// === impl Losses ===

impl Losses {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Rising::default()))
    }

    /// Looks at the books now; to be called once a second.
    pub(super) fn look(&mut self, now: u64, ledger: &Ledger) -> Vec<Losing> {
        let balances = ledger.snapshot();
        let losing = self.0.iter_mut().zip(&balances);
        losing.filter_map(|(lost, it)| of(lost, now, it)).collect()
    }
}

fn of(rising: &mut Rising, now: u64, balance: &Balance) -> Option<Losing> {
    let lost = balance.dropped.iter().map(|(_, count)| count).sum();
    let (since, lost) = rising.look(now, lost)?;
    let worst = balance.dropped.iter().max_by_key(|(_, count)| *count)?;
    Some(Losing {
        signal: balance.signal,
        since,
        lost,
        reason: worst.0,
    })
}
