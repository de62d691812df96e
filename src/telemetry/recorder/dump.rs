//! Dumps: all that the recorder holds, in a file, for when the process is gone or has forgotten.
//!
//! JSON Lines: a head that says what wrote it and why, then an object an exchange, as `/api/v1/exchanges/{trace_id}` gives
//! it, in no order. A dump is written beside the telemetry thread, a chunk of exchanges at a time, under a name that ends
//! in `.part` until it is whole. What goes wrong is an event and no more. The last ten are kept.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::Recorder;
use super::kept::Kept;
use crate::telemetry::event::{Event, emit};
use crate::telemetry::log::{Clock, JsonWriter};

/// Where dumps go, and when the last one was.
#[derive(Debug)]
pub(super) struct Dumps {
    folder: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_writing: bool,
    /// When the process last dumped by itself.
    last: Option<Instant>,
}

/// A dump that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dumped {
    /// Its file.
    pub file: PathBuf,
    /// How many exchanges are in it.
    pub exchanges: u64,
}

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The configuration names no folder.
    #[error("telemetry.recorder.dump names no folder for dumps")]
    NoFolder,
    /// Another is being written.
    #[error("another dump is being written")]
    Busy,
    /// It could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or the folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How long the process waits after a dump of its own before the next.
const PAUSE: Duration = Duration::from_secs(600);
/// How many dumps are kept.
const FILES: usize = 10;
/// What the names of dumps begin and end with.
const NAME: (&str, &str) = ("sightglass-recorder-", ".jsonl");
/// What a dump's name ends with until it is whole.
const PART: &str = ".part";

// === impl Recorder: its dumps ===

impl Recorder {
    /// Dumps, for a reason that the process has found itself; at most every ten minutes, on a thread of its own. Does
    /// nothing where no folder is configured. Waits for nothing.
    pub fn dump(self: &Arc<Self>, why: String) {
        {
            let mut state = self.dumps.state();
            let is_early = state.last.is_some_and(|last| last.elapsed() < PAUSE);
            if self.dumps.folder.is_none() || is_early {
                return;
            }
            state.last = Some(Instant::now());
        }
        let recorder = Arc::clone(self);
        let thread = std::thread::Builder::new().name("recorder-dump".to_owned());
        let told = why.clone();
        // Not joined: a disk that never answers must not hold up the exit.
        if let Err(source) = thread.spawn(move || recorder.dump_now(&why)) {
            emit(Event::RecorderDumpFailed {
                why: told,
                error: source.to_string(),
            });
        }
    }

    /// Dumps now, and says so as an event. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// Why there is no dump; that is an event as well.
    pub fn dump_now(&self, why: &str) -> Result<Dumped, DumpError> {
        let result = self.write_dump(why);
        let why = why.to_owned();
        emit(match &result {
            Ok(dumped) => Event::RecorderDumped {
                why,
                file: dumped.file.clone(),
                exchanges: dumped.exchanges,
            },
            Err(error) => Event::RecorderDumpFailed {
                why,
                error: error.to_string(),
            },
        });
        result
    }

    fn write_dump(&self, why: &str) -> Result<Dumped, DumpError> {
        let folder = self.dumps.folder.as_deref().ok_or(DumpError::NoFolder)?;
        let _turn = self.dumps.turn().ok_or(DumpError::Busy)?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let (time, file) = free_name(folder, now);
        let mut part = file.clone().into_os_string();
        part.push(PART);
        let part = PathBuf::from(part);
        let failed = |path: &Path, source| DumpError::Write {
            path: path.to_owned(),
            source,
        };
        let written = self.write_to(&part, &time, why);
        let whole = written.and_then(|count| fs::rename(&part, &file).map(|()| count));
        let exchanges = whole.map_err(|source| {
            let _ = fs::remove_file(&part); // what is left of a full disk
            failed(&file, source)
        })?;
        forget_old(folder).map_err(|source| failed(folder, source))?;
        Ok(Dumped { file, exchanges })
    }

    /// Writes all that is held; the answer is how many exchanges that is.
    fn write_to(&self, path: &Path, time: &str, why: &str) -> io::Result<u64> {
        let mut file = BufWriter::with_capacity(256 << 10, create(path)?);
        let head = self.head(time, why);
        writeln!(file, "{head}")?;
        let mut page = Page {
            file: &mut file,
            writer: JsonWriter::default(),
            line: Vec::new(),
            known: HashSet::new(),
            result: Ok(()),
        };
        // Failures first: should the disk become full, they are there.
        self.each_other(u64::MAX, &mut |kept| page.write(kept));
        self.each_recent(&mut |kept| {
            page.write(kept);
            page.result.is_ok()
        });
        let count = page.known.len() as u64;
        page.result?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(count)
    }

    /// The first line: what wrote the dump, and why.
    fn head(&self, time: &str, why: &str) -> serde_json::Value {
        let mut newest = None;
        self.each_recent(&mut |kept| {
            newest = Some((kept.plan.hash.clone(), kept.record.generation));
            false
        });
        let (hash, generation) = newest.unzip();
        serde_json::json!({
            "sightglass_recorder": 1,
            "version": env!("CARGO_PKG_VERSION"),
            "time": time,
            "why": why,
            "config_hash": hash,
            "config_generation": generation,
            "seen": self.figures().seen,
        })
    }
}

/// A dump that is being written.
struct Page<'a> {
    file: &'a mut BufWriter<File>,
    writer: JsonWriter,
    line: Vec<u8>,
    known: HashSet<u64>,
    result: io::Result<()>,
}

// === impl Page ===

impl Page<'_> {
    /// Writes one, unless it is there or the disk takes no more.
    fn write(&mut self, kept: &Kept) {
        if self.result.is_err() || !self.known.insert(kept.number) {
            return;
        }
        self.line.clear();
        let (line, plan) = (&mut self.line, &kept.plan);
        self.writer.exchange(line, plan, kept.wall, &kept.record);
        self.line.push(b'\n');
        self.result = self.file.write_all(&self.line);
    }
}

// === impl Dumps ===

impl Dumps {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to write, which ends when it is dropped; `None` where somebody has it.
    fn turn(&self) -> Option<Turn<'_>> {
        let is_writing = std::mem::replace(&mut self.state().is_writing, true);
        (!is_writing).then_some(Turn(self))
    }
}

struct Turn<'a>(&'a Dumps);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().is_writing = false;
    }
}

/// The time as it is written, and a file of that name which is not there: of two dumps in one millisecond the second has
/// the next.
fn free_name(folder: &Path, mut now: Duration) -> (String, PathBuf) {
    let (begin, end) = NAME;
    loop {
        let mut time = Vec::new();
        Clock::default().write(&mut time, now);
        let time = String::from_utf8_lossy(&time).into_owned();
        let stamp = time.replace(['-', ':'], "");
        let file = folder.join(format!("{begin}{stamp}{end}"));
        if !file.exists() {
            return (time, file);
        }
        now += Duration::from_millis(1);
    }
}

/// A file that was not there and that its owner alone may read: it names clients.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Removes the oldest dumps beyond the ten that are kept, and what a process that was killed has left.
fn forget_old(folder: &Path) -> io::Result<()> {
    let (begin, end) = NAME;
    let mut whole = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(begin)) else {
            continue;
        };
        if name.ends_with(end) {
            whole.push(name.to_owned());
        } else if name.ends_with(PART) {
            fs::remove_file(folder.join(name))?;
        }
    }
    whole.sort_unstable(); // by time
    let old = whole.len().saturating_sub(FILES);
    whole[..old]
        .iter()
        .try_for_each(|name| fs::remove_file(folder.join(name)))
}
