//! What is in the proxy now: the answer to "what hangs, and where".
//!
//! Workers own what they carry, so each is asked, and answers between two requests with copies of the oldest
//! [`MOST`] exchanges and connections that it has. One that does not answer in time is named: a worker that hangs is the
//! first thing that whoever asks should know.

use std::sync::Arc;

use super::filter::Filter;
use super::log::live;
use super::wall::Wall;
use crate::config::Plan;
use crate::exchange::{LiveConnection, LiveExchange};

/// How many exchanges, and how many connections, a worker tells of at most: its oldest.
pub const MOST: usize = 4096;

/// What one worker carries.
#[derive(Debug)]
pub struct OfWorker {
    /// Which worker.
    pub worker: usize,
    /// How many exchanges it carries.
    pub exchange_count: usize,
    /// The oldest of them, each with the plan of its generation.
    pub exchanges: Vec<(Arc<Plan>, LiveExchange)>,
    /// How many connections it has.
    pub connection_count: usize,
    /// The oldest of them.
    pub connections: Vec<LiveConnection>,
}

/// What all of them carry.
#[derive(Debug, Default)]
pub struct InFlight {
    /// What those carry that have answered.
    pub workers: Vec<OfWorker>,
    /// The workers that did not answer in time.
    pub silent: Vec<usize>,
}

// === impl InFlight ===

impl InFlight {
    /// The exchanges that the filter takes and the connections, `limit` of each at most, the oldest first, with how many
    /// there are in all: `{"total": {…}, "silent_workers": [], "exchanges": [...], "connections": [...]}`.
    #[must_use]
    pub fn json(&self, plan: &Plan, filter: Option<&Filter>, limit: usize) -> Vec<u8> {
        let wall = Wall::now();
        let all = self.workers.iter().flat_map(|it| &it.exchanges);
        let mut exchanges: Vec<_> = all
            .filter(|(plan, live)| filter.is_none_or(|it| it.takes_live(plan, &live.record)))
            .collect();
        exchanges.sort_by_key(|(_, live)| live.record.started);
        let mut connections: Vec<_> = self.workers.iter().flat_map(|it| &it.connections).collect();
        connections.sort_by_key(|it| std::cmp::Reverse(it.age));
        let sum = |count: fn(&OfWorker) -> usize| self.workers.iter().map(count).sum::<usize>();
        let mut out = format!(
            "{{\"total\":{{\"exchanges\":{},\"connections\":{}}},\"matched\":{},\"silent_workers\":{:?},\"exchanges\":[",
            sum(|it| it.exchange_count),
            sum(|it| it.connection_count),
            exchanges.len(),
            self.silent,
        )
        .into_bytes();
        for (index, (plan, live)) in exchanges.into_iter().take(limit).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            live::exchange(&mut out, plan, wall, live);
        }
        out.extend_from_slice(b"],\"connections\":[");
        for (index, connection) in connections.into_iter().take(limit).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            live::connection(&mut out, plan, connection);
        }
        out.extend_from_slice(b"]}");
        out
    }
}
