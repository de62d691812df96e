//! Where lines go. On the telemetry thread alone, so that a slow disk holds up lines and never a request.
//!
//! Lines of a batch are written at once. What cannot be written is dropped and counted, and a file is opened anew before
//! the next batch: a full disk or a vanished folder costs lines until it is put right.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::LogError;
use crate::config::LogOutput;

/// Where lines go.
#[derive(Debug)]
pub(super) struct Destination {
    output: LogOutput,
    file: Option<File>,
    failed: Option<Instant>,
}

/// How long a file that could not be opened is left alone.
const RETRY: Duration = Duration::from_secs(1);

// === impl Destination ===

impl Destination {
    /// Opens it; a file is created where there is none.
    pub(super) fn open(output: &LogOutput) -> Result<Self, LogError> {
        let file = match output {
            LogOutput::File(path) => Some(append(path)?),
            LogOutput::Stdout | LogOutput::Stderr | LogOutput::Off => None,
        };
        Ok(Self {
            output: output.clone(),
            file,
            failed: None,
        })
    }

    /// One whose file is opened before the first line.
    pub(super) fn closed(output: &LogOutput) -> Self {
        Self {
            output: output.clone(),
            file: None,
            failed: None,
        }
    }

    pub(super) fn output(&self) -> &LogOutput {
        &self.output
    }

    /// Whether a person is looking.
    pub(super) fn is_terminal(&self) -> bool {
        match self.output {
            LogOutput::Stdout => io::stdout().is_terminal(),
            LogOutput::Stderr => io::stderr().is_terminal(),
            LogOutput::Off | LogOutput::File(_) => false,
        }
    }

    /// Lets go of the file: the next line goes to whatever then has its name.
    pub(super) fn reopen(&mut self) {
        self.file = None;
        self.failed = None;
    }

    /// Writes lines. Not all of them may be there after an error.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), LogError> {
        let result = match &self.output {
            LogOutput::Off => return Ok(()),
            LogOutput::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines).and_then(|()| out.flush())
            }
            LogOutput::Stderr => io::stderr().lock().write_all(lines),
            LogOutput::File(path) => {
                let path = path.clone();
                self.file(&path)?.write_all(lines)
            }
        };
        result.map_err(|error| {
            self.file = None;
            self.failed = Some(Instant::now());
            LogError::Write(error)
        })
    }

    fn file(&mut self, path: &Path) -> Result<&mut File, LogError> {
        if self.file.is_none() {
            if self.failed.is_some_and(|failed| failed.elapsed() < RETRY) {
                return Err(LogError::Closed);
            }
            self.failed = Some(Instant::now());
            self.file = Some(append(path)?);
            self.failed = None;
        }
        self.file.as_mut().ok_or(LogError::Closed)
    }
}

fn append(path: &Path) -> Result<File, LogError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| LogError::Open(path.to_owned(), error))
}
