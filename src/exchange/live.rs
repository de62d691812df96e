//! The exchanges that are now in this worker, and the sweep that ends those that take too long.
//!
//! One pass over what is live, a hundred times a second, stands in for a timer a request: arming and disarming tokio's
//! costs a microsecond an exchange, and nearly none of them ever fires.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::{Core, clock};

/// How often a worker with live exchanges sweeps.
pub const SWEEP: Duration = Duration::from_millis(10);

thread_local! {
    static LIVE: RefCell<Live> = const { RefCell::new(Live { slots: Vec::new(), free: Vec::new() }) };
}

struct Live {
    slots: Vec<Option<Weak<Core>>>,
    free: Vec<usize>,
}

/// Looks at every exchange of this worker and wakes those whose time is up. Also sets the coarse clock. Returns how
/// many exchanges are live.
pub fn sweep() -> usize {
    let now = Instant::now();
    clock::set(now);
    // Waking runs nothing of ours, so the registry may stay borrowed.
    LIVE.with_borrow(|live| {
        let mut count = 0;
        for core in live.slots.iter().flatten().filter_map(Weak::upgrade) {
            count += 1;
            core.end_if_overdue(now);
        }
        count
    })
}

/// The places of all that are live, with the beginning of each.
pub(super) fn places() -> Vec<(Instant, usize)> {
    LIVE.with_borrow(|live| {
        let all = live.slots.iter().enumerate();
        let live = all.filter_map(|(place, core)| Some((core.as_ref()?.upgrade()?, place)));
        live.map(|(core, place)| (core.clock.started(), place))
            .collect()
    })
}

/// The exchange at this place.
pub(super) fn at(place: usize) -> Option<Rc<Core>> {
    LIVE.with_borrow(|live| live.slots.get(place)?.as_ref()?.upgrade())
}

/// Enters an exchange; the answer is its place, for [`leave`].
pub(super) fn enter(core: &Rc<Core>) -> usize {
    LIVE.with_borrow_mut(|live| {
        let core = Some(Rc::downgrade(core));
        match live.free.pop() {
            Some(place) => {
                live.slots[place] = core;
                place
            }
            None => {
                live.slots.push(core);
                live.slots.len() - 1
            }
        }
    })
}

/// Takes an exchange out.
pub(super) fn leave(place: usize) {
    // At thread exit the registry may be gone before the last exchange; then there is nothing to leave.
    let _ = LIVE.try_with(|live| {
        let mut live = live.borrow_mut();
        live.slots[place] = None;
        live.free.push(place);
    });
}
