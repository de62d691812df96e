//! What is wrong with a configuration, told so that it can be put right: the place, the key, what is wrong, a hint.
//!
//! Owns the words in which problems are printed. All problems of a file are told at once and in the order of the
//! file: one a run would make a person start the proxy fifteen times to find fifteen mistakes.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A place in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The line, from 1; 0 where it is not known.
    pub(super) line: u32,
    /// The column in characters, from 1.
    pub(super) column: u32,
}

/// One thing that is wrong with a configuration, or that looks so.
///
/// Prints as `FILE:LINE:COLUMN: key: what (hint)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The dotted path of the key, with the indices of lists from 0: `routes[1].retry.attempts`; empty where the text
    /// as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub hint: Option<String>,
    /// Whether the file is refused for it.
    pub severity: Severity,
}

/// Whether a file is refused for a [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is.
    Error,
    /// It is not, but it hardly means what was wanted.
    Warning,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a file, in its order; at least one is an error. Prints one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// How many of them are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        let is_error = |problem: &&Problem| problem.severity == Severity::Error;
        self.0.iter().filter(is_error).count()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.0.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Why there is no plan of a file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nothing is there.
    #[error("cannot read {}: there is no such file", .0.display())]
    Missing(PathBuf),
    /// It may not be read.
    #[error("cannot read {}: permission denied", .0.display())]
    NotPermitted(PathBuf),
    /// It is a directory.
    #[error("cannot read {}: it is a directory, not a file", .0.display())]
    Directory(PathBuf),
    /// It is not text.
    #[error("cannot read {}: it is not UTF-8 text (byte {at})", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first byte that is not, from 0.
        at: usize,
    },
    /// It is larger than a configuration can sensibly be.
    #[error("cannot read {}: it is larger than {limit}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How large a file may be.
        limit: super::ByteSize,
    },
    /// The system says why it cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// It was read, and this is wrong with it.
    #[error(transparent)]
    Problems(#[from] Problems),
}
