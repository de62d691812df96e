//! How long an exchange has waited for a connection: the part of [`Phase::Pick`](super::Phase) that is not our work.
//!
//! Picking an endpoint is ours; that all connections to it are in use, and none may be added, is not. The wait is noted
//! by whoever waits, since only they know that they do: an exchange that finds a connection at once reads no clock here.

use tokio::time::Instant;

use super::{Exchange, Phase};

/// An exchange that waits for a connection, until this is dropped: it also counts where the wait is given up.
#[derive(Debug)]
pub struct Waits<'a> {
    exchange: &'a Exchange,
    since: Instant,
}

// === impl Exchange ===

impl Exchange {
    /// From now on it waits for a connection that others have.
    #[must_use]
    pub fn waits_for_connection(&self) -> Waits<'_> {
        Waits {
            exchange: self,
            since: Instant::now(),
        }
    }
}

// === impl Waits ===

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let core = &self.exchange.0;
        if core.clock.phase() == Phase::Pick {
            let waited = self.since.elapsed().as_nanos();
            let all = core.waited.get();
            core.waited
                .set(all.saturating_add(u64::try_from(waited).unwrap_or(u64::MAX)));
        }
    }
}
