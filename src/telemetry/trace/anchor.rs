//! The calendar's time of what was measured on the monotonic clock.

use std::time::SystemTime;

use tokio::time::Instant;

/// One moment on both clocks: a record has the monotonic one, a span the calendar's.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    instant: Instant,
    time: SystemTime,
}

// === impl Anchor ===

impl Anchor {
    /// This moment. Taken anew for each batch, so that spans follow a calendar clock that is set right.
    #[must_use]
    pub fn now() -> Self {
        Self {
            instant: Instant::now(),
            time: SystemTime::now(),
        }
    }

    /// The calendar's time of an instant.
    #[must_use]
    pub fn time(&self, at: Instant) -> SystemTime {
        match self.instant.checked_duration_since(at) {
            Some(ago) => self.time.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH),
            None => self.time + at.duration_since(self.instant),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_anchor_looks_both_ways() {
        let anchor = Anchor::now();
        let second = Duration::from_secs(1);
        assert_eq!(anchor.time(anchor.instant), anchor.time);
        assert_eq!(anchor.time(anchor.instant + second), anchor.time + second);
        assert_eq!(anchor.time(anchor.instant - second), anchor.time - second);
    }
}
