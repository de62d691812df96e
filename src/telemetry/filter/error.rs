//! What is wrong with a filter, told so that it can be put right: the column, what is wrong, what would fit.

use std::fmt;

/// What is wrong with a filter. Prints as `column 9: what (hint)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Where it begins, in characters from 1; one past the last where something is missing at the end.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub hint: Option<String>,
}

/// The longest part of a filter that is shown with a caret, in characters.
const SHOWN: usize = 100;

// === impl FilterError ===

impl FilterError {
    /// A mistake at this byte of `text`.
    pub(super) fn at(text: &str, byte: usize, what: impl Into<String>) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        Self {
            column: before.chars().count() + 1,
            what: what.into(),
            hint: None,
        }
    }

    /// With what would be right.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The text of the filter with a caret below the mistake, in two lines; of a long text the part around it. Control
    /// characters are shown as `·`.
    #[must_use]
    pub fn caret(&self, text: &str) -> String {
        let first = self.column.saturating_sub(SHOWN * 3 / 4);
        let shown: String = text
            .chars()
            .map(|it| if steers(it) { '·' } else { it })
            .skip(first)
            .take(SHOWN)
            .collect();
        let indent = self.column.saturating_sub(1 + first);
        format!("{shown}\n{:indent$}^", "")
    }
}

/// Whether a character would move what is printed after it.
fn steers(it: char) -> bool {
    it.is_control() || matches!(it, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.what)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FilterError {}
