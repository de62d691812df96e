//! The slowest of each route in the last hour.
//!
//! An exchange takes its place by its length, not by its age, and leaves it after an hour, so that one bad night does not
//! hold the places for ever. Event streams and tunnels are left out: their length says nothing about speed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::kept::Kept;

/// The slowest of each route.
#[derive(Debug)]
pub(super) struct Slowest {
    /// The most bytes.
    budget: u64,
    bytes: u64,
    count: usize,
    lanes: HashMap<Arc<str>, Lane, foldhash::fast::RandomState>,
    by_size: BTreeSet<(u64, Arc<str>)>,
}

/// The slowest of one route, the slowest first.
#[derive(Debug, Default)]
struct Lane {
    bytes: u64,
    entries: Vec<Arc<Kept>>,
    /// When it was last looked through for old ones, in seconds since 1970.
    swept: u64,
}

/// How many of a route.
const OF_A_ROUTE: usize = 32;
/// How long one stays, in seconds, and how often a lane is looked through for that.
const HOUR: u64 = 3600;
const SWEEP: u64 = 60;

// === impl Slowest ===

impl Slowest {
    pub(super) fn new(budget: u64) -> Self {
        Self {
            budget,
            bytes: 0,
            count: 0,
            lanes: HashMap::default(),
            by_size: BTreeSet::new(),
        }
    }

    /// Takes one in if it is among the slowest; what must go for it is put into `gone`.
    pub(super) fn push(&mut self, kept: &Arc<Kept>, gone: &mut Vec<Arc<Kept>>) {
        if kept.record.is_stream || kept.record.tunnel.is_some() {
            return;
        }
        let (now, length) = (kept.ended_unix(), kept.record.duration());
        let name = match self.lanes.get_key_value(kept.route()) {
            Some((_, lane))
                if now < lane.swept + SWEEP
                    && lane.entries.len() >= OF_A_ROUTE
                    && (lane.entries.last()).is_some_and(|it| it.record.duration() >= length) =>
            {
                return; // the way of nearly all of them
            }
            Some((name, _)) => Arc::clone(name),
            None => kept.route().into(),
        };
        self.change(&name, gone, |lane, gone| {
            if now >= lane.swept + SWEEP {
                lane.swept = now;
                gone.extend(
                    lane.entries
                        .extract_if(.., |it| it.ended_unix() + HOUR <= now),
                );
            }
            let place = lane
                .entries
                .partition_point(|it| it.record.duration() >= length);
            if place < OF_A_ROUTE {
                lane.entries.insert(place, Arc::clone(kept));
                gone.extend(lane.entries.drain(OF_A_ROUTE.min(lane.entries.len())..));
            }
        });
        while self.bytes > self.budget {
            let Some((_, name)) = self.by_size.last().cloned() else {
                return;
            };
            self.change(&name, gone, |lane, gone| gone.extend(lane.entries.pop()));
        }
    }

    /// Changes a lane, and the sums and the order with it; an empty one goes.
    fn change(
        &mut self,
        name: &Arc<str>,
        gone: &mut Vec<Arc<Kept>>,
        change: impl FnOnce(&mut Lane, &mut Vec<Arc<Kept>>),
    ) {
        let lane = self.lanes.entry(Arc::clone(name)).or_default();
        let (before, count) = (lane.bytes, lane.entries.len());
        change(lane, gone);
        lane.bytes = lane.entries.iter().map(|it| it.bytes).sum();
        self.bytes = self.bytes + lane.bytes - before;
        self.count = self.count + lane.entries.len() - count;
        self.by_size.remove(&(before, Arc::clone(name)));
        if lane.entries.is_empty() {
            self.lanes.remove(name);
        } else {
            self.by_size.insert((lane.bytes, Arc::clone(name)));
        }
    }

    /// The routes that have something.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.lanes.keys().cloned().collect()
    }

    /// All of this route, the slowest first.
    pub(super) fn of(&self, name: &str) -> Vec<Arc<Kept>> {
        self.lanes
            .get(name)
            .map_or_else(Vec::new, |lane| lane.entries.clone())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}
