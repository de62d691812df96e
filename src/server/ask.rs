//! Asking the workers what they carry, from a thread that may wait, and handing them a connection to [look
//! through](super::xray).
//!
//! Each worker answers in a task of its own, between its requests, and gives way every few exchanges: whoever looks holds
//! up no request. It answers until its end, so that one can see what a drain waits for.

use std::rc::Rc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::worker::{Team, Worker};
use super::xray::Looked;
use crate::exchange::{look_at, oldest};
use crate::telemetry::in_flight::{Holders, InFlight, MOST, OfWorker};

/// What a worker is asked.
#[derive(Debug)]
pub(super) enum Ask {
    /// What do you carry?
    Carried(SyncSender<OfWorker>),
    /// Take this in.
    LookThrough(Looked),
}

/// How long the workers may take, all together.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many exchanges are copied before others have their turn.
const AT_A_TIME: usize = 32;
/// How many questions may wait for a worker.
pub(super) const QUESTIONS: usize = 4;

// === impl Team ===

impl Team {
    /// What all workers carry. Blocks, a second at most.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        let until = Instant::now() + PATIENCE;
        let asked = self.asks().map(|asks| {
            let (answer, answered) = sync_channel(1);
            // Where questions wait already, nobody hears this one: that is as good as no answer.
            asks.try_send(Ask::Carried(answer)).ok().map(|()| answered)
        });
        let asked: Vec<_> = asked.collect();
        let mut all = InFlight::default();
        for (worker, answered) in asked.into_iter().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            match answered.and_then(|it| it.recv_timeout(left).ok()) {
                Some(told) => all.workers.push(told),
                None => all.silent.push(worker),
            }
        }
        all
    }
}

// === impl Worker ===

impl Worker {
    /// Answers questions, until nobody can ask any more.
    pub(super) async fn answer(self: Rc<Self>, mut asks: mpsc::Receiver<Ask>) {
        while let Some(ask) = asks.recv().await {
            let answer = match ask {
                Ask::Carried(answer) => answer,
                Ask::LookThrough(looked) => {
                    self.look_through(looked);
                    continue;
                }
            };
            let (exchange_count, places) = oldest(MOST);
            let mut exchanges = Vec::with_capacity(places.len());
            for places in places.chunks(AT_A_TIME) {
                let seen = look_at(places).into_iter();
                exchanges.extend(seen.filter_map(|it| {
                    let plan = self.desk().plan(it.record.generation)?;
                    Some((plan, it))
                }));
                tokio::task::yield_now().await;
            }
            let mut connections = self.connections().look();
            let holders = Holders::of(&connections);
            connections.truncate(MOST);
            let _ = answer.try_send(OfWorker {
                worker: self.index(),
                exchange_count,
                exchanges,
                connection_count: self.connections().count(),
                connections,
                holders,
            }); // whoever asked has given up
        }
    }
}
