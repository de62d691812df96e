//! One exchange as the recorder keeps it, and what that costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::Plan;
use crate::exchange::Record;
use crate::telemetry::label;
use crate::telemetry::wall::Wall;

/// An exchange that is kept: once, however many rings hold it, and as long as one does.
#[derive(Debug)]
pub struct Kept {
    /// Its number in the order of reading, from 1; newer ones have greater numbers.
    pub number: u64,
    /// What the places in the record are places in.
    pub plan: Arc<Plan>,
    /// What time of day its moments were.
    pub wall: Wall,
    /// The exchange.
    pub record: Record,
    /// What it takes of the memory.
    pub(super) bytes: u64,
    held: Arc<Held>,
}

/// What is held now, by rings and by questions that are being answered.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: AtomicU64,
    exchanges: AtomicU64,
}

/// What places in rings, and what the allocator adds, take for each exchange besides the record: two pointers in each of up
/// to three rings of which half the room is spare, and its share of trees.
const BESIDES: u64 = 128;

// === impl Kept ===

impl Kept {
    pub(super) fn new(
        number: u64,
        plan: &Arc<Plan>,
        wall: Wall,
        record: Record,
        held: &Arc<Held>,
    ) -> Arc<Self> {
        let own = size_of::<Self>() + record.heap_bytes();
        let bytes = u64::try_from(own).unwrap_or(u64::MAX) + BESIDES;
        held.bytes.fetch_add(bytes, Ordering::Relaxed);
        held.exchanges.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            number,
            plan: Arc::clone(plan),
            wall,
            record,
            bytes,
            held: Arc::clone(held),
        })
    }

    /// The route by its name, or `_unmatched`.
    #[must_use]
    pub fn route(&self) -> &str {
        let at = self.record.route.map(usize::from);
        let route = at.and_then(|at| self.plan.routes.get(at));
        route.map_or(label::UNMATCHED, |route| route.name.as_str())
    }

    /// When it ended, in seconds since 1970.
    #[must_use]
    pub fn ended_unix(&self) -> u64 {
        let ended = self.record.started + self.record.duration();
        self.wall.unix(ended).as_secs()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.held.exchanges.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Held ===

impl Held {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn exchanges(&self) -> u64 {
        self.exchanges.load(Ordering::Relaxed)
    }
}
