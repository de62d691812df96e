//! How long to wait before a request is sent again.

use std::time::Duration;

/// The pauses between tries of one request: each about twice the one before, so that whoever lost a collector at the
/// same moment does not come back to it at the same moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses(Duration);

/// The first pause, before jitter.
pub(super) const FIRST: Duration = Duration::from_millis(200);
/// The longest, likewise.
pub(super) const LONGEST: Duration = Duration::from_secs(3);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pauses {
    /// The next one.
    pub(super) fn take(&mut self) -> Duration {
        let pause = self.0.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.0 = (self.0 * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_about_twice_the_one_before_up_to_the_longest() {
        let (mut pauses, mut usual) = (Pauses::default(), FIRST);
        for _ in 0..10 {
            let pause = pauses.take();
            assert!(
                pause >= usual / 2 && pause <= usual,
                "{pause:?} of {usual:?}"
            );
            usual = (usual * 2).min(LONGEST);
        }
        assert_eq!(usual, LONGEST);
    }
}
