//! Pushes the metrics to a collector, for those who do not scrape: one task, one push an interval, and a last one at the
//! end.
//!
//! What is pushed is what a scrape at that moment would have shown. One request is under way at a time; a collector that is
//! slow delays the next push, and none piles up, since each tells everything anew. So a push that fails loses no figure: the
//! books count its data points as dropped all the same.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use opentelemetry_sdk::Resource;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::Scraper;
use super::otlp::{Request, Writer};
use crate::telemetry::ledger::{Ledger, Signal};
use crate::telemetry::otlp::{Collector, Flight, Health, Sender, Service};

/// The task that pushes. Its owner ends it with [`Pusher::shutdown`]; dropped, it ends at once.
#[derive(Debug)]
pub struct Pusher {
    task: JoinHandle<()>,
    end: Arc<Notify>,
}

/// Why nothing can be pushed.
#[derive(Debug, thiserror::Error)]
#[error("cannot push metrics: {0}")]
pub struct PushError(String);

struct Work {
    scraper: Arc<Scraper>,
    sender: Sender,
    writer: Writer,
    ledger: Arc<Ledger>,
    health: Health,
    end: Arc<Notify>,
}

const METRICS: Service = Service {
    path: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    signal: "METRICS",
};

/// Starts the task on the runtime of `handle`, which must have its time and IO enabled.
///
/// # Errors
/// Where the collector's address cannot be used.
pub fn spawn(
    handle: &Handle,
    (collector, interval): (&Collector, Duration),
    resource: &Resource,
    scraper: &Arc<Scraper>,
    ledger: &Arc<Ledger>,
) -> Result<Pusher, PushError> {
    let _inside = handle.enter(); // tonic's channel spawns its task when it is built
    let sender = Sender::new(collector, METRICS).map_err(|error| PushError(error.to_string()))?;
    let end = Arc::new(Notify::new());
    let work = Work {
        scraper: Arc::clone(scraper),
        sender,
        writer: Writer::new(resource, now()),
        ledger: Arc::clone(ledger),
        health: Health::new(Signal::Metrics),
        end: Arc::clone(&end),
    };
    let task = handle.spawn(work.run(interval));
    Ok(Pusher { task, end })
}

// === impl Pusher ===

impl Pusher {
    /// Pushes once more and ends; after `deadline` what is left is dropped and counted.
    pub async fn shutdown(mut self, deadline: Duration) {
        self.end.notify_one();
        let ended = tokio::time::timeout(deadline, &mut self.task).await;
        if ended.is_err() {
            self.task.abort();
            let _ = (&mut self.task).await; // aborted; now its flight is counted
        }
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Work ===

impl Work {
    async fn run(mut self, interval: Duration) {
        let mut turns = tokio::time::interval(interval);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        turns.tick().await; // at once, when there is nothing to tell
        loop {
            let is_last = tokio::select! {
                _ = turns.tick() => false,
                () = self.end.notified() => true,
            };
            self.push().await;
            if is_last {
                return;
            }
        }
    }

    async fn push(&mut self) {
        let requests = self.writer.write(&self.scraper.families(), now());
        let account = self.ledger.account(Signal::Metrics);
        let flights: Vec<_> = requests
            .into_iter()
            .map(|Request { bytes, points }| {
                account.create(points);
                (bytes, Flight::new(account, points))
            })
            .collect();
        for (bytes, flight) in flights {
            let sent = self.sender.send(Bytes::from(bytes)).await;
            let sent = sent.map_err(|error| error.to_string());
            self.health.settle(flight, sent);
        }
    }
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
