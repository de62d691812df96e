//! The access log: one line an exchange, made from its record on the telemetry thread.
//!
//! [`AccessLog`] is a reader. It follows the configuration: the first batch of a newer generation with another
//! `access_log` makes it close what it has and open what it should. Which exchanges get a line is decided by the trace
//! id, so that the same exchange is in or out wherever it is asked ([`wants`]).

mod escape;
mod json;
mod text;
mod time;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::{AccessLog as Config, LogFormat, LogOutput, Share};
use crate::exchange::{Record, TraceId};
use crate::telemetry::desk::Batch;
use crate::telemetry::ledger::{DropReason, Ledger, Signal};
use crate::telemetry::reader::ReadRecords;

pub(in crate::telemetry) use escape::json as json_text;
pub(in crate::telemetry) use json::JsonWriter;
use text::TextWriter;
use writer::Destination;

/// The access log.
#[derive(Debug)]
pub struct AccessLog {
    config: Config,
    generation: u32,
    destination: Destination,
    format: Format,
    buffer: Vec<u8>,
    reopen: Reopen,
    ledger: Arc<Ledger>,
}

/// Makes the access log open its file anew; for SIGHUP, after the file was moved away.
#[derive(Clone, Debug, Default)]
pub struct Reopen(Arc<AtomicBool>);

/// Why a line could not be written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error("cannot open the access log {}: {}", .0.display(), .1)]
    Open(PathBuf, io::Error),
    /// It is open but takes nothing.
    #[error("cannot write the access log: {0}")]
    Write(io::Error),
    /// It could not be opened a moment ago.
    #[error("the access log is closed")]
    Closed,
}

#[derive(Debug)]
enum Format {
    Json(JsonWriter),
    Text(TextWriter),
}

// === impl AccessLog ===

impl AccessLog {
    /// Opens it as the configuration says.
    ///
    /// # Errors
    /// Where its file cannot be opened for appending.
    pub fn open(config: &Config, ledger: &Arc<Ledger>) -> Result<Self, LogError> {
        let destination = Destination::open(&config.output)?;
        Ok(Self {
            config: config.clone(),
            generation: 0,
            format: Format::of(config, &destination),
            destination,
            buffer: Vec::new(),
            reopen: Reopen::default(),
            ledger: Arc::clone(ledger),
        })
    }

    /// What makes it open its file anew.
    #[must_use]
    pub fn reopen(&self) -> Reopen {
        self.reopen.clone()
    }

    /// Follows a newer configuration. A file that cannot be opened now is tried again later.
    fn follow(&mut self, batch: &Batch) {
        if batch.generation <= self.generation {
            return;
        }
        self.generation = batch.generation;
        let config = &batch.plan.telemetry.access_log;
        if config == &self.config {
            return;
        }
        if config.output != *self.destination.output() {
            self.destination = Destination::closed(&config.output);
        }
        self.format = Format::of(config, &self.destination);
        self.config = config.clone();
    }
}

impl ReadRecords for AccessLog {
    fn read(&mut self, batch: &Batch) {
        self.follow(batch);
        if self.reopen.0.swap(false, Ordering::Relaxed) {
            self.destination.reopen();
        }
        // Whether there is a line is the record's own configuration's to say, as it was when it was counted as created.
        let config = &batch.plan.telemetry.access_log;
        let mut lines = 0;
        self.buffer.clear();
        for record in batch.records.iter().filter(|record| wants(config, record)) {
            lines += 1;
            let (out, plan) = (&mut self.buffer, &batch.plan);
            match &mut self.format {
                Format::Json(writer) => writer.line(out, plan, batch.wall, record),
                Format::Text(writer) => writer.line(out, plan, batch.wall, record),
            }
        }
        if lines == 0 {
            return;
        }
        let account = self.ledger.account(Signal::Logs);
        match self.destination.write(&self.buffer) {
            Ok(()) => account.export(lines),
            Err(error) => {
                account.drop(lines, DropReason::WriteFailed);
                account.fail(&error.to_string());
            }
        }
    }
}

// === impl Reopen ===

impl Reopen {
    /// The next line goes to whatever then has the file's name.
    pub fn reopen(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// === impl Format ===

impl Format {
    fn of(config: &Config, destination: &Destination) -> Self {
        let is_terminal = destination.is_terminal();
        match config.format {
            Some(LogFormat::Json) => Self::Json(JsonWriter::default()),
            None if !is_terminal => Self::Json(JsonWriter::default()),
            Some(LogFormat::Text) | None => {
                let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                Self::Text(TextWriter::new(is_terminal && !is_plain))
            }
        }
    }
}

/// Whether a record gets a line: failures always, of the served below 500 a share, by trace id.
pub(in crate::telemetry) fn wants(config: &Config, record: &Record) -> bool {
    config.output != LogOutput::Off
        && (config.sample == Share::ALL
            || record.is_error()
            || is_in(config.sample, record.trace.trace_id))
}

/// How many lines a batch makes.
pub(in crate::telemetry) fn lines(batch: &Batch) -> u64 {
    let config = &batch.plan.telemetry.access_log;
    let lines = batch.records.iter().filter(|record| wants(config, record));
    u64::try_from(lines.count()).unwrap_or(u64::MAX)
}

/// Whether a trace is in a share, by its last seven bytes, which level 2 of Trace Context makes random.
fn is_in(share: Share, id: TraceId) -> bool {
    const WHOLE: f64 = (1_u64 << 56) as f64;
    let [.., a, b, c, d, e, f, g] = id.0;
    let place = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share need not be exact to 2^-53"
    )]
    let place = place as f64;
    place < share.0 * WHOLE
}
