//! The access log and events as OTLP logs, for those who have a collector and no files.
//!
//! ```text
//! telemetry thread ─ LogSink (a reader) ┐
//! emit ─ tracing ─── EventLayer ────────┴─ queue ─ LogExporter (LogMaker) ─ OTLP
//! ```
//!
//! An exchange is told from the same record as its line and its span, and whether it is told is the access log's
//! `sample` to say, whatever the access log's output is. Events are those that stderr has at info and above; what
//! `SIGHTGLASS_LOG` or the admin port add on stderr stays there. One queue for both, bounded in number and in memory;
//! a collector that is slow or gone costs counted logs and never a request.

mod events;
mod export;
mod maker;
mod queue;

#[cfg(test)]
mod tests;

pub(super) use events::EventLayer;
pub(super) use export::{LogExporter, spawn};
pub(super) use queue::LogSink;

use super::desk::Batch;
use super::log;

/// How many logs a batch makes.
pub(super) fn items(batch: &Batch) -> u64 {
    let telemetry = &batch.plan.telemetry;
    if telemetry.logs.otlp.is_none() {
        return 0;
    }
    let chosen = |record: &&_| log::is_chosen(&telemetry.access_log, record);
    u64::try_from(batch.records.iter().filter(chosen).count()).unwrap_or(u64::MAX)
}
