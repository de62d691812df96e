//! The places for connections of one upstream, counted over all workers.
//!
//! Pools are worker-local, so the worker that needs a place may find it taken by an idle connection of another. It then
//! says that it waits, and as many idle connections as there are who wait are closed instead of kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for connections of one upstream.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// How many wait for a place that nobody has given up yet.
    wanted: AtomicUsize,
}

/// One place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    _permit: OwnedSemaphorePermit,
}

// === impl Places ===

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))),
            wanted: AtomicUsize::new(0),
        }
    }

    /// A place, if one is free.
    pub(super) fn try_take(self: &Arc<Self>) -> Option<Place> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(Place {
            places: Arc::clone(self),
            _permit: permit,
        })
    }

    /// A place, if one comes free within `limit`. Cancel safe.
    pub(super) async fn take(self: &Arc<Self>, limit: Duration) -> Option<Place> {
        if let Some(place) = self.try_take() {
            return Some(place);
        }
        let mut waiting = Waiting::new(self);
        let permit = tokio::time::timeout(limit, Arc::clone(&self.free).acquire_owned())
            .await
            .ok()?
            .ok()?;
        // The place that came free has counted it off.
        waiting.gave_up = false;
        Some(Place {
            places: Arc::clone(self),
            _permit: permit,
        })
    }

    /// Whether somebody waits for a place that an idle connection holds. Whoever holds one and is told so drops it.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > 0
    }

    /// One less waits for a place that nobody has given up.
    fn count_off(&self) {
        let less = |wanted: usize| wanted.checked_sub(1);
        // Where nobody waits there is nothing to count off.
        let _ = self
            .wanted
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        // Before the permit goes back, so that the next that returns a connection sees that this one was enough.
        self.places.count_off();
    }
}

/// Counts one that waits; off again where it gives up.
struct Waiting<'a> {
    places: &'a Places,
    gave_up: bool,
}

impl<'a> Waiting<'a> {
    fn new(places: &'a Places) -> Self {
        places.wanted.fetch_add(1, Ordering::Relaxed);
        Self {
            places,
            gave_up: true,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.gave_up {
            self.places.count_off();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test(flavor = "current_thread")]
    async fn as_many_are_asked_to_give_their_place_up_as_wait_for_one() {
        let places = Arc::new(Places::new(3));
        let mut held = Vec::new();
        for _ in 0..3 {
            held.extend(places.take(SOON).await);
        }
        assert!(!places.is_wanted());
        let waiting = [0, 1].map(|_| {
            let places = Arc::clone(&places);
            tokio::spawn(async move { places.take(SOON).await })
        });
        tokio::task::yield_now().await;
        assert!(places.is_wanted());
        held.pop();
        assert!(places.is_wanted());
        held.pop();
        assert!(!places.is_wanted(), "two wait and two were given up");
        for one in waiting {
            held.push(one.await.expect("nobody cancels it").expect("one is free"));
        }
        assert!(!places.is_wanted());
        assert_eq!(held.len(), 3);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn who_gives_up_waiting_wants_nothing_more() {
        let places = Arc::new(Places::new(1));
        let held = places.take(SOON).await;
        assert!(places.take(Duration::from_millis(5)).await.is_none());
        assert!(!places.is_wanted());
        drop(held);
        assert!(places.take(SOON).await.is_some());
    }
}
