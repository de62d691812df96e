//! What becomes of a batch, in the ledger and in what people are told.

use std::time::Duration;

use tokio::time::Instant;

use super::Rejected;
use crate::telemetry::event::{Event, emit};
use crate::telemetry::ledger::{Account, DropReason, Signal};

/// Items that are out of the queue and not yet settled. Dropped unsettled, with the task, they are lost.
pub(in crate::telemetry) struct Flight<'a> {
    account: &'a Account,
    count: u64,
}

/// Whether the collector takes a signal, and when that was last said.
#[derive(Debug)]
pub(in crate::telemetry) struct Health {
    signal: Signal,
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    said: Instant,
    lost: u64,
}

/// How often a failure that goes on is said.
const SAY_EVERY: Duration = Duration::from_secs(60);

// === impl Flight ===

impl<'a> Flight<'a> {
    /// So many items of this account are under way.
    pub(in crate::telemetry) fn new(account: &'a Account, count: u64) -> Self {
        Self { account, count }
    }

    /// The collector has acknowledged them, all but those it refused.
    fn land(mut self, rejected: &Rejected) {
        let count = std::mem::take(&mut self.count);
        let refused = rejected.items.min(count);
        self.account.export(count - refused);
        self.account.drop(refused, DropReason::Rejected);
        if *rejected != Rejected::default() {
            self.account.fail(&rejected.why);
        }
    }

    /// The collector did not take them.
    fn crash(mut self, why: &str) {
        let count = std::mem::take(&mut self.count);
        self.account.drop(count, DropReason::ExportFailed);
        self.account.fail(why);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.account.drop(self.count, DropReason::Shutdown);
    }
}

// === impl Health ===

impl Health {
    /// Nothing is known yet.
    pub(in crate::telemetry) fn new(signal: Signal) -> Self {
        Self {
            signal,
            failing: None,
        }
    }

    /// Enters what became of a batch, in the books and for people: what the collector refused of it, or why it did not
    /// take it.
    pub(in crate::telemetry) fn settle(
        &mut self,
        flight: Flight<'_>,
        sent: Result<Rejected, String>,
    ) {
        match sent {
            Ok(rejected) => {
                self.good(&rejected);
                flight.land(&rejected);
            }
            Err(why) => {
                self.bad(&why, flight.count);
                flight.crash(&why);
            }
        }
    }

    /// The collector took a batch, all but what it refused.
    fn good(&mut self, rejected: &Rejected) {
        if let Some(failing) = self.failing.take() {
            emit(Event::ExportRecovered {
                signal: self.signal,
                lost: failing.lost,
                after: failing.since.elapsed(),
            });
        }
        if rejected.items > 0 {
            emit(Event::ExportRejected {
                signal: self.signal,
                count: rejected.items,
                why: rejected.why.clone(),
            });
        }
    }

    /// The collector did not take a batch of so many.
    fn bad(&mut self, why: &str, lost: u64) {
        let now = Instant::now();
        let is_new = self.failing.is_none();
        let failing = self.failing.get_or_insert(Failing {
            since: now,
            said: now,
            lost: 0,
        });
        failing.lost += lost;
        if is_new || now.duration_since(failing.said) >= SAY_EVERY {
            failing.said = now;
            emit(Event::ExportFailing {
                signal: self.signal,
                why: why.to_owned(),
                lost: failing.lost,
            });
        }
    }
}
