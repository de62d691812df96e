//! A number of things that are there now, which cannot leak: entering gives a guard, and its drop leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// How many are there now. A handle: clones share the number.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

/// One that is there; gone when dropped.
#[derive(Debug)]
pub struct Entered(Gauge);

// === impl Gauge ===

impl Gauge {
    /// One more is there, as long as the guard lives.
    #[must_use]
    pub fn enter(&self) -> Entered {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }

    /// One more is there, unless `limit` are there already.
    #[must_use]
    pub fn enter_below(&self, limit: i64) -> Option<Entered> {
        // One step: two that add first and look afterwards would refuse each other the last place.
        let step = |now| (now < limit).then_some(now + 1);
        let entered = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        entered.is_ok().then(|| Entered(self.clone()))
    }

    /// How many are there now.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Entered ===

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
