//! The worker's sweep over its connections: closes those whose request head is late or that idle too long.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::rest;
use crate::exchange::{Activity, Connection, Cut, LiveConnection};

/// How long the clients of one listener may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) head: Duration,
    pub(super) idle: Duration,
}

/// How long a peer may take to say goodbye.
const GRACE: Duration = Duration::from_secs(5);

/// The connections of one worker.
#[derive(Default)]
pub(super) struct Connections {
    slots: RefCell<Vec<Option<Seated>>>,
    free: RefCell<Vec<usize>>,
    draining_since: Cell<Option<Instant>>,
    /// How all of them were cut at the end of the process.
    cut: Cell<Option<Cut>>,
}

/// A connection in its place.
type Seated = (Weak<Connection>, Patience);

/// A place among them; free again when dropped.
pub(super) struct Seat {
    connections: Rc<Connections>,
    place: usize,
}

// === impl Connections ===

impl Connections {
    /// Takes a place for a connection.
    pub(super) fn seat(self: &Rc<Self>, connection: &Rc<Connection>, patience: Patience) -> Seat {
        if let Some(why) = self.cut.get() {
            connection.cut(why); // it comes too late
        }
        let mut slots = self.slots.borrow_mut();
        let entry = Some((Rc::downgrade(connection), patience));
        let place = match self.free.borrow_mut().pop() {
            Some(place) => {
                slots[place] = entry;
                place
            }
            None => {
                slots.push(entry);
                slots.len() - 1
            }
        };
        Seat {
            connections: Rc::clone(self),
            place,
        }
    }

    /// Cuts what has taken too long.
    pub(super) fn sweep(&self, now: Instant) {
        self.each(|connection, patience| {
            let late =
                |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
            match connection.activity() {
                Activity::Head(since) if late(since, patience.head) => {
                    connection.cut(Cut::HeadTimeout);
                }
                // A client that has gone without a word would hold up the whole drain.
                Activity::Idle(since)
                    if (self.draining_since.get()).is_some_and(|drain| {
                        late(since.max(drain).max(connection.last_write()), GRACE)
                    }) =>
                {
                    connection.cut(Cut::Now);
                }
                Activity::Idle(since) if late(since, patience.idle + GRACE) => {
                    connection.cut(Cut::Now);
                }
                Activity::Idle(since) if late(since, patience.idle) => {
                    connection.cut(Cut::IdleTimeout);
                }
                Activity::Idle(since) if late(since, rest::AFTER) => connection.put_to_rest(),
                _ => {}
            }
        });
    }

    /// Cuts all of them.
    pub(super) fn cut(&self, why: Cut) {
        if why == Cut::Drain {
            self.draining_since.set(Some(Instant::now()));
        }
        self.cut.set(Some(why));
        self.each(|connection, _| connection.cut(why));
    }

    /// All of them as they stand, the oldest first.
    pub(super) fn look(&self) -> Vec<LiveConnection> {
        let now = Instant::now();
        let seen = RefCell::new(Vec::new());
        self.each(|connection, _| seen.borrow_mut().push(connection.look(now)));
        let mut seen = seen.into_inner();
        seen.sort_by_key(|it| std::cmp::Reverse(it.age));
        seen
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.slots.borrow().len() - self.free.borrow().len()
    }

    fn each(&self, visit: impl Fn(&Connection, &Patience)) {
        // Cutting only wakes a task; nothing of ours runs while the slots are borrowed.
        for (connection, patience) in self.slots.borrow().iter().flatten() {
            if let Some(connection) = connection.upgrade() {
                visit(&connection, patience);
            }
        }
    }
}

// === impl Seat ===

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.slots.borrow_mut()[self.place] = None;
        self.connections.free.borrow_mut().push(self.place);
    }
}
