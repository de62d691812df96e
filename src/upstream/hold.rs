//! An endpoint that somebody has taken out for a while.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::config::HeldState;

/// Whether an endpoint is taken out, and by whom. Shared by all that an endpoint becomes by reloads.
#[derive(Debug, Default)]
pub struct Holding {
    /// What balancers and pools read: 0 where it is not taken out.
    state: AtomicU8,
    hold: Mutex<Option<Hold>>,
    /// Tells one hold from the next.
    turn: AtomicU64,
}

/// That an endpoint is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// How.
    pub state: HeldState,
    /// Until when.
    pub until: SystemTime,
    /// Who asked for it.
    pub who: IpAddr,
}

// === impl Holding ===

impl Holding {
    /// Whether it takes no new attempts.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.state.load(Ordering::Relaxed) != 0
    }

    /// Whether no connection is to idle there.
    pub(super) fn is_off(&self) -> bool {
        self.state.load(Ordering::Relaxed) == HeldState::Off as u8
    }

    /// How it is taken out, if it is.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        *self.lock()
    }

    /// Takes it out, or changes how: the number of this hold.
    #[must_use]
    pub fn take_out(&self, hold: Hold) -> u64 {
        let mut held = self.lock();
        *held = Some(hold);
        self.state.store(hold.state as u8, Ordering::Relaxed);
        self.turn.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Puts it back, if it is out; where `of` is given only if that hold is still the last. Whether it was out.
    pub fn put_back(&self, of: Option<u64>) -> bool {
        let mut held = self.lock();
        if of.is_some_and(|of| of != self.turn.load(Ordering::Relaxed)) {
            return false;
        }
        self.state.store(0, Ordering::Relaxed);
        held.take().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Hold>> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(state: HeldState) -> Hold {
        Hold {
            state,
            until: SystemTime::UNIX_EPOCH,
            who: [127, 0, 0, 1].into(),
        }
    }

    #[test]
    fn a_hold_that_was_changed_is_not_ended_by_the_time_of_the_one_before() {
        let holding = Holding::default();
        assert!(!holding.put_back(None), "it was not out");
        let first = holding.take_out(hold(HeldState::Drain));
        assert!(holding.is_out() && !holding.is_off());
        let second = holding.take_out(hold(HeldState::Off));
        assert!(holding.is_off());
        assert!(!holding.put_back(Some(first)));
        assert_eq!(holding.hold(), Some(hold(HeldState::Off)));
        assert!(holding.put_back(Some(second)));
        assert_eq!((holding.is_out(), holding.hold()), (false, None));
    }
}
