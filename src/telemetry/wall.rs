//! What time of day a moment was.
//!
//! Records carry monotonic moments only, since reading the time of day at each would cost another clock call. A worker
//! pairs both clocks once a batch; every reader of the batch places a moment by the same pair, so that the log, the
//! spans and the recorder agree to the nanosecond. A pair made once a process was rejected: it would never follow a
//! clock that is set right.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    instant: Instant,
    unix: Duration,
}

// === impl Wall ===

impl Wall {
    /// Both clocks, read now.
    #[must_use]
    pub fn now() -> Self {
        Self {
            instant: Instant::now(),
            unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    /// A pair that says this moment was so long after the epoch.
    #[must_use]
    pub fn new(instant: Instant, unix: Duration) -> Self {
        Self { instant, unix }
    }

    /// When this pair was made.
    #[must_use]
    pub fn instant(&self) -> Instant {
        self.instant
    }

    /// How long after 1970-01-01 00:00 UTC a moment was.
    #[must_use]
    pub fn unix(&self, at: Instant) -> Duration {
        match at.checked_duration_since(self.instant) {
            Some(later) => self.unix + later,
            None => self
                .unix
                .saturating_sub(self.instant.saturating_duration_since(at)),
        }
    }

    /// The same as the system writes it.
    #[must_use]
    pub fn time(&self, at: Instant) -> SystemTime {
        UNIX_EPOCH + self.unix(at)
    }

    /// The same in milliseconds.
    #[must_use]
    pub fn unix_millis(&self, at: Instant) -> u64 {
        u64::try_from(self.unix(at).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_moments_before_and_after_the_pair() {
        let instant = Instant::now();
        let wall = Wall::new(instant, Duration::from_secs(1000));
        assert_eq!(
            wall.unix_millis(instant + Duration::from_millis(5)),
            1_000_005
        );
        assert_eq!(
            wall.unix_millis(instant - Duration::from_millis(5)),
            999_995
        );
        assert_eq!(wall.time(instant), UNIX_EPOCH + Duration::from_secs(1000));
    }
}
