//! How many retries there may be beside first attempts.
//!
//! Why a budget and not only a count: three attempts each, on every hop of three, are twenty-seven requests for one, and
//! they come just when the service can bear them least. tower's `retry::budget` argues it in full. Its own `TpsBudget`
//! locks a mutex and reads the clock at every deposit, and rounds ratios; this one implements the same
//! [`Budget`] with one atomic a second of the window.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;
use tower::retry::budget::Budget;

use crate::config;
use crate::exchange::clock;

/// How many seconds a first attempt speaks for retries.
const WINDOW: u32 = 10;
/// What one retry costs.
const COST: i64 = 1000;

/// The retry budget of a route, shared by all workers. Each slot holds one second's balance of deposits and
/// withdrawals: the second in the upper half, the balance in the lower.
#[derive(Debug)]
pub struct RetryBudget {
    epoch: Instant,
    slots: [AtomicU64; WINDOW as usize],
    deposit: i64,
    reserve: i64,
}

// === impl RetryBudget ===

impl RetryBudget {
    /// A budget as configured.
    #[must_use]
    pub fn new(budget: config::RetryBudget) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a share of a thousand")]
        let deposit = (budget.ratio.0.clamp(0.0, 1.0) * 1000.0).round() as i64;
        Self {
            epoch: Instant::now(),
            slots: Default::default(),
            deposit,
            reserve: i64::from(budget.min_per_second) * i64::from(WINDOW) * COST,
        }
    }

    fn second(&self) -> u32 {
        let seconds = clock::coarse()
            .saturating_duration_since(self.epoch)
            .as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    fn add(&self, second: u32, amount: i64) {
        let slot = &self.slots[(second % WINDOW) as usize];
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |packed| {
            let (at, balance) = unpack(packed);
            let balance = if at == second { balance } else { 0 };
            Some(pack(second, balance.saturating_add(amount)))
        });
    }

    fn balance(&self, second: u32) -> i64 {
        let sum: i64 = self
            .slots
            .iter()
            .map(|slot| unpack(slot.load(Ordering::Relaxed)))
            .filter(|(at, _)| second.saturating_sub(*at) < WINDOW)
            .map(|(_, balance)| balance)
            .sum();
        sum + self.reserve
    }

    fn deposit_at(&self, second: u32) {
        self.add(second, self.deposit);
    }

    fn withdraw_at(&self, second: u32) -> bool {
        // Two workers may both see the last place: one retry too many in a window is no harm.
        let is_covered = self.balance(second) >= COST;
        if is_covered {
            self.add(second, -COST);
        }
        is_covered
    }
}

impl Budget for RetryBudget {
    /// A first attempt was made.
    fn deposit(&self) {
        self.deposit_at(self.second());
    }

    /// Asks for a retry.
    fn withdraw(&self) -> bool {
        self.withdraw_at(self.second())
    }
}

fn pack(second: u32, balance: i64) -> u64 {
    let balance = i32::try_from(balance).unwrap_or(if balance < 0 { i32::MIN } else { i32::MAX });
    u64::from(second) << 32 | u64::from(balance.cast_unsigned())
}

fn unpack(packed: u64) -> (u32, i64) {
    let second = u32::try_from(packed >> 32).unwrap_or(0);
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let balance = (packed as u32).cast_signed();
    (second, i64::from(balance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Share;

    fn budget(ratio: f64, min_per_second: u32) -> RetryBudget {
        RetryBudget::new(config::RetryBudget {
            ratio: Share(ratio),
            min_per_second,
        })
    }

    #[test]
    fn allows_the_share_of_first_attempts() {
        let budget = budget(0.2, 0);
        assert!(!budget.withdraw_at(100));
        (0..50).for_each(|_| budget.deposit_at(100));
        let granted = (0..100).filter(|_| budget.withdraw_at(101)).count();
        assert_eq!(granted, 10);
    }

    #[test]
    fn a_first_attempt_speaks_for_ten_seconds() {
        let budget = budget(1.0, 0);
        budget.deposit_at(100);
        assert!(!budget.withdraw_at(110));
        budget.deposit_at(200);
        assert!(budget.withdraw_at(209));
    }

    #[test]
    fn a_few_are_always_allowed() {
        let budget = budget(0.0, 1);
        assert_eq!((0..100).filter(|_| budget.withdraw_at(5)).count(), 10);
        assert_eq!((0..100).filter(|_| budget.withdraw_at(15)).count(), 10);
    }
}
