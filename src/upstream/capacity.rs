//! The room on the HTTP/2 connections of one worker to one endpoint: who waits for it, and how many open more.
//!
//! A burst that finds no room must not open a connection for each of its requests, and must not wait in line for one
//! connection after the other either. So one connection is opened at a time, or as many as those who wait would fill, and
//! whoever waits looks again whenever a stream has ended, a connection has come, or its peer has said how many streams it
//! takes. Worker-local: cells, no locks.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::exchange::Fault;

/// The most streams at once on one connection, whatever the peer allows: what RFC 9113 §6.5.2 recommends that a peer
/// should allow at least. One connection is one lock in h2 and one lossy TCP stream; above this another is opened.
pub(super) const STREAMS: u32 = 100;

/// Who waits for a stream, and how many connections are on their way.
#[derive(Debug)]
pub(super) struct Capacity {
    changed: Notify,
    waiting: Cell<u32>,
    opening: Cell<u32>,
    /// How many streams this endpoint was last known to take on one connection.
    usual: Cell<u32>,
    /// How many connections could not be opened, and why the last one was not.
    failures: Cell<(u64, Option<Fault>)>,
}

/// A connection on its way, until nobody has to wait for it any more.
#[derive(Debug)]
pub(super) struct Opening(Rc<Capacity>);

/// One who waits.
struct Waiting<'a>(&'a Capacity);

impl Default for Capacity {
    fn default() -> Self {
        Self {
            changed: Notify::default(),
            waiting: Cell::default(),
            opening: Cell::default(),
            usual: Cell::new(STREAMS),
            failures: Cell::default(),
        }
    }
}

// === impl Capacity ===

impl Capacity {
    /// Leave to open a connection, where not enough are on their way.
    pub(super) fn open(self: &Rc<Self>) -> Option<Opening> {
        let wanted = 1 + self.waiting.get() / self.usual.get().max(1);
        if self.opening.get() >= wanted {
            return None;
        }
        self.opening.set(self.opening.get() + 1);
        Some(Opening(Rc::clone(self)))
    }

    /// Waits until there may be capacity. Cancel safe: who does not take it leaves it to the next.
    ///
    /// # Errors
    /// Why a connection could not be opened meanwhile: the one that waits would have shared it.
    pub(super) async fn change(&self) -> Result<(), Fault> {
        let _waiting = Waiting::new(self);
        let (before, _) = self.failures.get();
        self.changed.notified().await;
        match self.failures.get() {
            (count, Some(fault)) if count != before => Err(fault),
            _ => Ok(()),
        }
    }

    /// A stream has ended: one who waits may have it.
    pub(super) fn tell_one(&self) {
        // Without this a change that nobody waited for would be kept for the next.
        if self.waiting.get() > 0 {
            self.changed.notify_one();
        }
    }

    /// A connection takes this many streams from now on.
    pub(super) fn tell_all(&self, streams: u32) {
        self.usual.set(streams);
        self.changed.notify_waiters();
    }

    /// A connection could not be opened: those who wait for it need not each find out.
    pub(super) fn fail(&self, fault: Fault) {
        self.failures.set((self.failures.get().0 + 1, Some(fault)));
        self.changed.notify_waiters();
    }
}

// === impl Opening ===

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.opening.set(self.0.opening.get() - 1);
        self.0.changed.notify_waiters();
    }
}

// === impl Waiting ===

impl<'a> Waiting<'a> {
    fn new(capacity: &'a Capacity) -> Self {
        capacity.waiting.set(capacity.waiting.get() + 1);
        Self(capacity)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Outcome;

    fn wait(capacity: &Rc<Capacity>) -> tokio::task::JoinHandle<Result<(), Fault>> {
        let capacity = Rc::clone(capacity);
        tokio::task::spawn_local(async move { capacity.change().await })
    }

    #[test]
    fn one_connection_is_opened_at_a_time_and_more_where_one_would_not_do() {
        let capacity = Rc::new(Capacity::default());
        let first = capacity.open();
        assert!(first.is_some());
        assert!(capacity.open().is_none());
        capacity.usual.set(2);
        let waiting: Vec<_> = (0..4).map(|_| Waiting::new(&capacity)).collect();
        let more = [capacity.open(), capacity.open()];
        assert!(more.iter().all(Option::is_some));
        assert!(capacity.open().is_none());
        drop((first, more, waiting));
        assert!(capacity.open().is_some());
    }

    #[tokio::test(flavor = "local")]
    async fn a_stream_that_ended_wakes_one_and_a_failure_all() {
        let capacity = Rc::new(Capacity::default());
        capacity.tell_one(); // nobody waits: it is not kept
        let [first, second] = [wait(&capacity), wait(&capacity)];
        tokio::task::yield_now().await;
        capacity.tell_one();
        assert_eq!(first.await.expect("not cancelled"), Ok(()));
        assert!(!second.is_finished());
        let fault = Fault::new(Outcome::ConnectionRefused, "refused");
        capacity.fail(fault);
        assert_eq!(second.await.expect("not cancelled"), Err(fault));
        let third = wait(&capacity);
        tokio::task::yield_now().await;
        capacity.tell_all(5);
        assert_eq!(third.await.expect("not cancelled"), Ok(()));
    }
}
