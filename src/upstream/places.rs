//! The places for connections of one upstream, counted over all workers.
//!
//! Pools are worker-local, so the worker that needs a place may find it taken by an idle connection of another. It then
//! says that it waits, and every worker that would keep an idle connection closes one instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for connections of one upstream.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// One place; free again when dropped.
pub(super) type Place = OwnedSemaphorePermit;

// === impl Places ===

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        }
    }

    /// A place, if one comes free within `limit`. Cancel safe.
    pub(super) async fn take(&self, limit: Duration) -> Option<Place> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        let _waiting = Waiting::new(&self.waiting);
        tokio::time::timeout(limit, Arc::clone(&self.free).acquire_owned())
            .await
            .ok()?
            .ok()
    }

    /// Whether somebody waits for a place that an idle connection holds.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// Counts one that waits, also where it is cancelled.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
