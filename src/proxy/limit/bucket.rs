//! The generic cell rate algorithm: one number remembers everything.
//!
//! The number is the theoretical arrival time (TAT) of ITU-T I.371: when the next request would come if all came evenly.
//! A request conforms while the TAT is at most a burst ahead of now. Against a token bucket it needs no refill, and one
//! compare-and-swap decides.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::Rate;

/// What one allowance looks like: the algorithm's two parameters, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Between two requests at the sustained rate.
    interval: u64,
    /// How far the TAT may be ahead.
    tolerance: u64,
    burst: u32,
}

/// What the algorithm says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It conforms; so many more may come now, and the allowance is whole again after `reset`.
    Conforms {
        /// How many more may come now.
        remaining: u32,
        /// When the allowance is whole again.
        reset: Duration,
    },
    /// It does not; the next one may come after `retry_after`.
    Exceeds {
        /// When the next one may come.
        retry_after: Duration,
    },
}

// === impl Bucket ===

impl Bucket {
    /// A bucket of this rate that lets `burst` (at least 1) come at once.
    #[must_use]
    pub fn new(rate: Rate, burst: u32) -> Self {
        let interval = u64::try_from(rate.interval().as_nanos())
            .unwrap_or(u64::MAX)
            .max(1);
        let burst = burst.max(1);
        Self {
            interval,
            tolerance: interval.saturating_mul(u64::from(burst)),
            burst,
        }
    }

    /// How many may come at once.
    #[must_use]
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// Asks for one at `now`, in nanoseconds of any steady clock; `tat` is the allowance's memory, 0 when fresh.
    pub fn take(self, tat: &AtomicU64, now: u64) -> Verdict {
        let mut seen = tat.load(Ordering::Relaxed);
        loop {
            let next = seen.max(now).saturating_add(self.interval);
            let ahead = next - now;
            if ahead > self.tolerance {
                return Verdict::Exceeds {
                    retry_after: Duration::from_nanos(ahead - self.tolerance),
                };
            }
            match tat.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let left = (self.tolerance - ahead) / self.interval;
                    return Verdict::Conforms {
                        remaining: u32::try_from(left).unwrap_or(u32::MAX),
                        reset: Duration::from_nanos(ahead),
                    };
                }
                Err(other) => seen = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let bucket = Bucket::new(
            Rate {
                count: 10,
                per: Duration::from_secs(1),
            },
            3,
        );
        let tat = AtomicU64::new(0);
        let now = 5 * SECOND;
        for left in [2, 1, 0] {
            assert!(
                matches!(bucket.take(&tat, now), Verdict::Conforms { remaining, .. } if remaining == left)
            );
        }
        assert_eq!(
            bucket.take(&tat, now),
            Verdict::Exceeds {
                retry_after: Duration::from_millis(100)
            }
        );
        assert!(matches!(
            bucket.take(&tat, now + SECOND / 10),
            Verdict::Conforms { .. }
        ));
        assert!(matches!(
            bucket.take(&tat, now + SECOND / 10),
            Verdict::Exceeds { .. }
        ));
    }

    proptest! {
        /// In any window never more than the burst and what the rate lets through in it; and one who waits as told passes.
        #[test]
        fn never_lets_more_through_than_it_says(
            count in 1_u32..1000, burst in 1_u32..50,
            steps in proptest::collection::vec(0_u64..50_000_000, 1..300),
        ) {
            let bucket = Bucket::new(Rate { count, per: Duration::from_secs(1) }, burst);
            let tat = AtomicU64::new(0);
            let (start, mut now, mut passed) = (SECOND, SECOND, 0_u64);
            for step in steps {
                now += step;
                match bucket.take(&tat, now) {
                    Verdict::Conforms { .. } => passed += 1,
                    Verdict::Exceeds { retry_after } => {
                        now += u64::try_from(retry_after.as_nanos()).expect("short");
                        let passes = matches!(bucket.take(&tat, now), Verdict::Conforms { .. });
                        prop_assert!(passes);
                        passed += 1;
                    }
                }
                let allowed = u64::from(burst) + (now - start) / bucket.interval;
                prop_assert!(passed <= allowed, "{passed} > {allowed}");
            }
        }
    }
}
