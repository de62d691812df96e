//! The access log: one line an exchange, made from its record on the telemetry thread and written on one of its own.
//!
//! [`AccessLog`] is a reader. It follows the configuration: the first batch of a newer generation with another
//! `access_log` makes it close what it has and open what it should. Which exchanges get a line is decided by the trace
//! id, so that the same exchange is in or out wherever it is asked ([`wants`]).

mod escape;
mod json;
pub(in crate::telemetry) mod live;
mod scribe;
mod text;
mod time;
mod writer;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::config::{AccessLog as Config, LogFormat, LogOutput, Plan, Share};
use crate::exchange::{Record, TraceId};
use crate::telemetry::desk::Batch;
use crate::telemetry::filter::{self, Filter};
use crate::telemetry::ledger::Ledger;
use crate::telemetry::reader::ReadRecords;

pub(in crate::telemetry) use escape::json as json_text;
pub(in crate::telemetry) use json::{JsonWriter, method, place, protocol};
use scribe::Scribe;
pub(in crate::telemetry) use text::TextWriter;
pub(in crate::telemetry) use time::Clock;
use writer::Destination;

/// The access log.
#[derive(Debug)]
pub struct AccessLog {
    config: Config,
    generation: u32,
    format: Format,
    /// Lines that are not yet with the scribe, and how many.
    lines: Vec<u8>,
    count: u64,
    scribe: Scribe,
    /// Where the scribe is still to be sent.
    moving: Option<LogOutput>,
    reopen: Reopen,
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
    /// There is no thread to write it.
    #[error("cannot start a thread for the access log: {0}")]
    Thread(io::Error),
}

#[derive(Debug)]
enum Format {
    Json(JsonWriter),
    Text(TextWriter),
}

/// Lines are handed over when there are so many bytes of them, and when a drain is done.
const BLOCK: usize = 256 << 10;

/// How long the end waits for the last lines to be written.
const LAST_WORDS: Duration = Duration::from_secs(2);

// === impl AccessLog ===

impl AccessLog {
    /// Opens it as the configuration says.
    ///
    /// # Errors
    /// Where its file cannot be opened for appending, or its thread not be started.
    pub fn open(config: &Config, ledger: &Arc<Ledger>) -> Result<Self, LogError> {
        let destination = Destination::open(&config.output)?;
        Ok(Self {
            config: config.clone(),
            generation: 0,
            format: Format::of(config),
            lines: Vec::new(),
            count: 0,
            scribe: Scribe::start(destination, ledger).map_err(LogError::Thread)?,
            moving: None,
            reopen: Reopen::default(),
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
        self.hand_over(); // in the old form, to the old place
        if config.output != self.config.output {
            self.moving = Some(config.output.clone());
        }
        self.format = Format::of(config);
        self.config = config.clone();
    }

    /// Gives the lines to the scribe.
    fn hand_over(&mut self) {
        if self
            .moving
            .as_ref()
            .is_some_and(|to| self.scribe.write_to(to))
        {
            self.moving = None;
        }
        if self.reopen.0.swap(false, Ordering::Relaxed) && !self.scribe.reopen() {
            self.reopen.reopen();
        }
        if self.count > 0 {
            self.scribe.write(&mut self.lines, self.count);
            self.lines.clear();
            self.count = 0;
        }
    }
}

impl ReadRecords for AccessLog {
    fn read(&mut self, batch: &Batch) {
        self.follow(batch);
        // Whether there is a line is the record's own configuration's to say.
        let wanted = Wanted::under(&batch.plan);
        let mut created = 0;
        for record in batch.records.iter().filter(|record| wanted.takes(record)) {
            created += 1;
            let (out, plan) = (&mut self.lines, &batch.plan);
            match &mut self.format {
                Format::Json(writer) => writer.line(out, plan, batch.wall, record),
                Format::Text(writer) => writer.line(out, plan, batch.wall, record),
            }
        }
        self.count += created;
        self.scribe.note_created(created);
        if self.lines.len() >= BLOCK {
            self.hand_over();
        }
    }

    fn tick(&mut self) {
        self.hand_over();
    }

    fn end(&mut self) {
        self.hand_over();
        self.scribe.settle(LAST_WORDS);
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
    fn of(config: &Config) -> Self {
        let is_terminal = match config.output {
            LogOutput::Stdout => io::stdout().is_terminal(),
            LogOutput::Stderr => io::stderr().is_terminal(),
            LogOutput::Off | LogOutput::File(_) => false,
        };
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

/// Whether the share lets a record have a line.
pub(in crate::telemetry) fn wants(config: &Config, record: &Record) -> bool {
    config.output != LogOutput::Off && is_chosen(config, record)
}

/// Whether a record is told line by line, wherever: failures always, of the served below 500 a share, by trace id.
pub(in crate::telemetry) fn is_chosen(config: &Config, record: &Record) -> bool {
    config.sample == Share::ALL || record.is_error() || is_in(config.sample, record.trace.trace_id)
}

/// Which records of a plan get a line.
struct Wanted<'a> {
    plan: &'a Plan,
    filter: Option<Filter>,
}

impl<'a> Wanted<'a> {
    fn under(plan: &'a Plan) -> Self {
        let text = plan.telemetry.access_log.filter.as_deref();
        // It was read when the file was checked: one that cannot be read takes nothing away.
        let filter = text.and_then(filter::remembered);
        Self { plan, filter }
    }

    fn takes(&self, record: &Record) -> bool {
        wants(&self.plan.telemetry.access_log, record)
            && self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.takes(self.plan, record))
    }
}

/// How many lines a batch makes.
pub(in crate::telemetry) fn lines(batch: &Batch) -> u64 {
    let wanted = Wanted::under(&batch.plan);
    let lines = batch.records.iter().filter(|record| wanted.takes(record));
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
