//! What is in the proxy now: the answer to "what hangs, and where".
//!
//! Workers own what they carry, so each is asked, and answers between two requests with copies of the oldest
//! [`MOST`] exchanges and connections that it has. One that does not answer in time is named: a worker that hangs is the
//! first thing that whoever asks should know.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

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
    /// Who holds them, all of them.
    pub holders: Holders,
}

/// Who holds how many connections, by the address at their other end.
#[derive(Debug, Default)]
pub struct Holders(HashMap<IpAddr, Held>);

/// What one address holds.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    connections: u64,
    idle: u64,
    active: u64,
    oldest: Duration,
}

/// What all of them carry.
#[derive(Debug, Default)]
pub struct InFlight {
    /// What those carry that have answered.
    pub workers: Vec<OfWorker>,
    /// The workers that did not answer in time.
    pub silent: Vec<usize>,
}

/// How many of those who hold most are told.
const MOST_HOLDERS: usize = 20;

// === impl Holders ===

impl Holders {
    /// Who holds these.
    #[must_use]
    pub fn of(connections: &[LiveConnection]) -> Self {
        let mut all: HashMap<IpAddr, Held> = HashMap::new();
        for live in connections {
            let held = all.entry(live.peer.ip().to_canonical()).or_default();
            held.connections += 1;
            held.idle += u64::from(live.state == "idle");
            held.active += u64::from(live.state == "active");
            held.oldest = held.oldest.max(live.age);
        }
        Self(all)
    }

    /// Together with others.
    fn add(&mut self, others: &Self) {
        for (peer, other) in &others.0 {
            let held = self.0.entry(*peer).or_default();
            held.connections += other.connections;
            held.idle += other.idle;
            held.active += other.active;
            held.oldest = held.oldest.max(other.oldest);
        }
    }

    /// Those who hold most first; in order of their addresses where they hold as many.
    fn most(&self) -> Vec<(IpAddr, Held)> {
        let mut all: Vec<_> = self.0.iter().map(|(peer, held)| (*peer, *held)).collect();
        all.sort_by_key(|(peer, held)| (Reverse(held.connections), *peer));
        all.truncate(MOST_HOLDERS);
        all
    }
}

// === impl InFlight ===

impl InFlight {
    /// The exchanges that the filter takes and the connections, `limit` of each at most, the oldest first, with how many
    /// there are in all, and the 20 addresses that hold most connections, of all of them:
    /// `{"total": {…}, "silent_workers": [], "exchanges": [...], "connections": [...], "holders": [...]}`.
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
        let mut holders = Holders::default();
        self.workers.iter().for_each(|it| holders.add(&it.holders));
        let sum = |count: fn(&OfWorker) -> usize| self.workers.iter().map(count).sum::<usize>();
        let mut out = format!(
            "{{\"total\":{{\"exchanges\":{},\"connections\":{},\"peers\":{}}},\"matched\":{},\"silent_workers\":{:?},\"exchanges\":[",
            sum(|it| it.exchange_count),
            sum(|it| it.connection_count),
            holders.0.len(),
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
        out.extend_from_slice(b"],\"holders\":[");
        for (index, (peer, held)) in holders.most().into_iter().enumerate() {
            let Held {
                connections,
                idle,
                active,
                oldest,
            } = held;
            let comma = if index > 0 { "," } else { "" };
            let oldest = oldest.as_secs_f64() * 1e3;
            let told = format!(
                "{comma}{{\"peer\":\"{peer}\",\"connections\":{connections},\"idle\":{idle},\"active\":{active},\"oldest_ms\":{oldest:.3}}}"
            );
            out.extend_from_slice(told.as_bytes());
        }
        out.extend_from_slice(b"]}");
        out
    }
}
