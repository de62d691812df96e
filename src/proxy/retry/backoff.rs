//! The pause before a retry: exponential, with full jitter.
//!
//! Full jitter (any pause between nothing and the exponential bound) spreads a crowd of retries best; see Brooker,
//! "Exponential Backoff And Jitter", 2015.

use std::time::Duration;

/// The pause before retry `number` (1 for the first): up to `base`, doubled each time, at most `max`.
pub(super) fn pause(base: Duration, max: Duration, number: u32) -> Duration {
    let bound = base
        .saturating_mul(1_u32.checked_shl(number - 1).unwrap_or(u32::MAX))
        .min(max);
    bound.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_bound() {
        let (base, max) = (Duration::from_millis(25), Duration::from_millis(250));
        for (number, bound) in [(1, 25), (2, 50), (3, 100), (5, 250), (60, 250)] {
            let bound = Duration::from_millis(bound);
            let longest = (0..2000)
                .map(|_| pause(base, max, number))
                .max()
                .expect("some");
            assert!(
                longest <= bound && longest > bound.mul_f64(0.9),
                "{number}: {longest:?}"
            );
        }
    }
}
