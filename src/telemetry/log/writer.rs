//! Where lines go: standard output, standard error or a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
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
    /// Whether the last line that was begun has no end.
    is_torn: bool,
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
            is_torn: false,
        })
    }

    /// One whose file is opened before the first line.
    pub(super) fn closed(output: &LogOutput) -> Self {
        Self {
            output: output.clone(),
            file: None,
            failed: None,
            is_torn: false,
        }
    }

    /// Lets go of the file and opens whatever then has its name.
    pub(super) fn reopen(&mut self) -> Result<(), LogError> {
        self.file = None;
        self.failed = None;
        match self.output.clone() {
            LogOutput::File(path) => {
                self.file = Some(self.file(&path)?);
                Ok(())
            }
            LogOutput::Stdout | LogOutput::Stderr | LogOutput::Off => Ok(()),
        }
    }

    /// Writes lines. After an error those that are whole are there; how many is told.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), (u64, LogError)> {
        match self.output.clone() {
            LogOutput::Off => Ok(()),
            LogOutput::Stdout => self.write_to(&mut io::stdout().lock(), lines),
            LogOutput::Stderr => self.write_to(&mut io::stderr().lock(), lines),
            LogOutput::File(path) => {
                let mut file = self.file(&path).map_err(|error| (0, error))?;
                let result = self.write_to(&mut file, lines);
                if result.is_ok() {
                    self.file = Some(file);
                }
                result
            }
        }
    }

    fn write_to(&mut self, out: &mut impl Write, lines: &[u8]) -> Result<(), (u64, LogError)> {
        let mut rest = lines;
        let mut result = Ok(());
        if self.is_torn {
            result = out.write_all(b"\n");
        }
        while result.is_ok() && !rest.is_empty() {
            match out.write(rest) {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.is_torn = rest[count - 1] != b'\n';
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
        }
        result.and_then(|()| out.flush()).map_err(|error| {
            self.failed = Some(Instant::now());
            let written = &lines[..lines.len() - rest.len()];
            let whole = written.iter().filter(|byte| **byte == b'\n').count();
            let whole = u64::try_from(whole).unwrap_or(u64::MAX);
            (whole, LogError::Write(error))
        })
    }

    /// Takes the file, opened if need be.
    fn file(&mut self, path: &Path) -> Result<File, LogError> {
        if let Some(file) = self.file.take() {
            return Ok(file);
        }
        if self.failed.is_some_and(|failed| failed.elapsed() < RETRY) {
            return Err(LogError::Closed);
        }
        self.failed = Some(Instant::now());
        let file = append(path)?;
        self.failed = None;
        Ok(file)
    }
}

fn append(path: &Path) -> Result<File, LogError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| LogError::Open(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room.
    struct Disk(Vec<u8>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = (self.1 - self.0.len()).min(bytes.len());
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.extend_from_slice(&bytes[..room]);
            Ok(room)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_cut_is_ended_before_the_next() {
        let mut destination = Destination::closed(&LogOutput::Stdout);
        let mut disk = Disk(Vec::new(), 8);
        let lost = destination.write_to(&mut disk, b"one\ntwo\nthree\n");
        assert_eq!(lost.map_err(|(whole, _)| whole), Err(2));
        let mut disk = Disk(Vec::new(), 3);
        let lost = destination.write_to(&mut disk, b"four\n");
        assert_eq!(lost.map_err(|(whole, _)| whole), Err(0));
        disk.1 = 100;
        assert!(destination.write_to(&mut disk, b"five\n").is_ok());
        assert_eq!(disk.0, b"fou\nfive\n");
    }
}
