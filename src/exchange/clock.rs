//! The worker's coarse clock: what the sweep last saw.
//!
//! Progress of a socket need only be known as precisely as the sweep looks, so the IO path stamps it with a time that is
//! already there instead of reading the clock at each read and write.

use std::cell::Cell;

use tokio::time::Instant;

thread_local! {
    static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The time of the last sweep on this thread; on a thread without one, now.
#[must_use]
pub fn coarse() -> Instant {
    NOW.get().unwrap_or_else(Instant::now)
}

/// Sets the coarse clock: the sweep alone calls this.
pub(super) fn set(now: Instant) {
    NOW.set(Some(now));
}
