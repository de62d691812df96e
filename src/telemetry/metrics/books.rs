//! The ledger on the page: what became of every span, line and record.

use super::family;
use super::page::{Draw, Page};
use crate::telemetry::ledger::Ledger;

impl Draw for Ledger {
    fn draw(&self, page: &mut Page) {
        for balance in self.snapshot() {
            let signal = balance.signal.as_str();
            let mut items = |state, reason, count| {
                page.count(&family::TELEMETRY_ITEMS, &[signal, state, reason], count);
            };
            items("created", "", balance.created);
            items("exported", "", balance.exported);
            for (reason, count) in balance.dropped {
                if count > 0 {
                    items("dropped", reason.as_str(), count);
                }
            }
            page.count(&family::TELEMETRY_QUEUED, &[signal], balance.queued);
        }
        for (reason, count) in self.shed_traces().filter(|(_, count)| *count > 0) {
            page.count(&family::TRACES_SHED, &[reason.as_str()], count);
        }
    }
}
