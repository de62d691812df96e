//! A ring that routes share fairly: each has a lane, and who has the most gives first.
//!
//! So the failures of one route push out its own and those of routes that have more, never those of a route that failed
//! once. The lane that gives is found in a tree ordered by size: its cost is logarithmic in the routes that have something.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::kept::Kept;

/// The ring.
#[derive(Debug)]
pub(super) struct Lanes {
    /// The most bytes.
    budget: u64,
    bytes: u64,
    count: usize,
    lanes: HashMap<Arc<str>, Lane, foldhash::fast::RandomState>,
    by_size: BTreeSet<(u64, Arc<str>)>,
}

/// What one route has, the oldest first.
#[derive(Debug, Default)]
struct Lane {
    bytes: u64,
    entries: VecDeque<Arc<Kept>>,
}

// === impl Lanes ===

impl Lanes {
    pub(super) fn new(budget: u64) -> Self {
        Self {
            budget,
            bytes: 0,
            count: 0,
            lanes: HashMap::default(),
            by_size: BTreeSet::new(),
        }
    }

    /// Takes one in; what must go for it is put into `gone`.
    pub(super) fn push(&mut self, kept: &Arc<Kept>, gone: &mut Vec<Arc<Kept>>) {
        let name: Arc<str> = match self.lanes.get_key_value(kept.route()) {
            Some((name, _)) => Arc::clone(name),
            None => kept.route().into(),
        };
        self.change(&name, |lane| {
            lane.bytes += kept.bytes;
            lane.entries.push_back(Arc::clone(kept));
        });
        self.bytes += kept.bytes;
        self.count += 1;
        while self.bytes > self.budget {
            let Some((_, name)) = self.by_size.last().cloned() else {
                return;
            };
            let mut oldest = None;
            self.change(&name, |lane| {
                oldest = lane.entries.pop_front();
                lane.bytes -= oldest.as_ref().map_or(0, |it| it.bytes);
            });
            let Some(oldest) = oldest else { return };
            self.bytes -= oldest.bytes;
            self.count -= 1;
            gone.push(oldest);
        }
    }

    /// Changes a lane and its place in the order; an empty one goes.
    fn change(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Lane)) {
        let lane = self.lanes.entry(Arc::clone(name)).or_default();
        let before = lane.bytes;
        change(lane);
        let after = lane.bytes;
        let is_empty = lane.entries.is_empty();
        self.by_size.remove(&(before, Arc::clone(name)));
        if is_empty {
            self.lanes.remove(name);
        } else {
            self.by_size.insert((after, Arc::clone(name)));
        }
    }

    /// The routes that have something.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.lanes.keys().cloned().collect()
    }

    /// Of this route so many at most, the newest first, of those with a number below this.
    pub(super) fn before(&self, name: &str, number: u64, most: usize) -> Vec<Arc<Kept>> {
        match self.lanes.get(name) {
            Some(lane) => newest_before(&lane.entries, number, most),
            None => Vec::new(),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// So many at most of a queue in the order of numbers, the newest first, of those with a number below this.
pub(super) fn newest_before(
    entries: &VecDeque<Arc<Kept>>,
    number: u64,
    most: usize,
) -> Vec<Arc<Kept>> {
    let end = entries.partition_point(|kept| kept.number < number);
    let from = end.saturating_sub(most);
    entries.range(from..end).rev().cloned().collect()
}
