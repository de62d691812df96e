//! The filter language: one small expression that picks exchanges, wherever people pick them.
//!
//! ```text
//! status>=500 && route=="checkout" && phase.wait>200ms && header["x-tenant"]=="a"
//! ```
//!
//! `field` names the fields and what each may be compared with, `lexer` and `parser` read the text, `tree` is what they
//! make of it (and prints it), `eval` asks it of a record. Types are checked when it is read: what was read can be asked
//! of every record and cannot fail. A mistake is told with its column ([`FilterError`]).
//!
//! What an exchange does not have (a status of gRPC, a header field) compares with nothing: every test of it is false,
//! `!=` among them. Its name alone asks whether it is there, and `!(…)` turns any test round.
//!
//! Everything is bounded: the text by [`MOST_BYTES`], its nesting by 32, its parts by 256, its expressions by 8 of 256 KiB
//! each. Asking never recurses deeper than that and, save for such an expression over a long text, takes nanoseconds.

mod error;
mod eval;
mod field;
mod lexer;
mod parser;
mod tree;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Plan;
use crate::exchange::Record;

pub use error::FilterError;
use eval::Subject;
use tree::Node;

/// The longest text of a filter, in bytes.
pub const MOST_BYTES: usize = 4096;

/// A filter that was read. Prints as a text that reads back as the same filter. A handle: clones share it.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Arc<Node>);

/// Filters of the configuration that were read lately.
static REMEMBERED: Mutex<Vec<(String, Filter)>> = Mutex::new(Vec::new());

/// The filter of this text, read at most once in a while: for those who meet the same text batch after batch. `None` where
/// it is no filter.
pub(in crate::telemetry) fn remembered(text: &str) -> Option<Filter> {
    let mut known = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, filter)) = known.iter().find(|(it, _)| it == text) {
        return Some(filter.clone());
    }
    let filter = Filter::read(text).ok()?;
    known.insert(0, (text.to_owned(), filter.clone()));
    known.truncate(8);
    Some(filter)
}

// === impl Filter ===

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// The first mistake, with its column.
    pub fn read(text: &str) -> Result<Self, FilterError> {
        parser::read(text).map(|node| Self(Arc::new(node)))
    }

    /// Reads a filter that is to be asked under this plan: the header fields that it names must be among those that are
    /// kept.
    ///
    /// # Errors
    /// The first mistake, with its column.
    pub fn read_for(text: &str, plan: &Plan) -> Result<Self, FilterError> {
        parser::read_for(text, Some(&plan.telemetry.headers)).map(|node| Self(Arc::new(node)))
    }

    /// The fields that it names, each as a filter names it; some more than once.
    #[must_use]
    pub fn fields(&self) -> Vec<String> {
        let mut fields = Vec::new();
        self.0.fields(&mut fields);
        fields
    }

    /// The place that it names: of what must hold together that which tells who asked for what and who was to answer, and
    /// nothing of how it went. `None` where it says nothing of a place, or nothing else.
    #[must_use]
    pub fn place(&self) -> Option<Self> {
        self.0.place().map(|place| Self(Arc::new(place)))
    }

    /// Whether it takes this exchange, which has ended.
    #[must_use]
    pub fn takes(&self, plan: &Plan, record: &Record) -> bool {
        let is_over = true;
        eval::holds(
            &self.0,
            &Subject {
                plan,
                record,
                is_over,
            },
        )
    }

    /// Whether it takes this exchange, which goes on: how it ends is not there yet, and of its length there is what has
    /// passed.
    #[must_use]
    pub fn takes_live(&self, plan: &Plan, record: &Record) -> bool {
        let is_over = false;
        eval::holds(
            &self.0,
            &Subject {
                plan,
                record,
                is_over,
            },
        )
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
