//! Where problems are noted while a file is read and checked, and the cursor that knows where we are in it.
//!
//! The sections as written are plain values without places. Whoever checks one is given the cursor [`At`] of its node
//! and asks it for the cursor of a key where something is wrong: the place is looked up only then.

use std::cell::RefCell;
use std::sync::Arc;

use super::problem::{Place, Problem, Problems, Severity};
use super::tree::{Kind, Node};

/// The problems noted so far.
#[derive(Debug)]
pub(super) struct Notes {
    file: Arc<str>,
    list: RefCell<Vec<Problem>>,
}

/// A place in the tree, with the path of keys that leads there.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    notes: &'a Notes,
    node: Option<&'a Node>,
    place: Place,
    key: String,
    quiet: bool,
}

impl Notes {
    /// No problems yet of this file.
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: Arc::from(file),
            list: RefCell::default(),
        }
    }

    /// Notes a problem.
    pub(super) fn note(
        &self,
        at: Place,
        key: &str,
        severity: Severity,
        what: String,
        hint: Option<String>,
    ) {
        self.list.borrow_mut().push(Problem {
            file: Arc::clone(&self.file),
            line: at.line.max(1),
            column: at.column.max(1),
            key: key.to_owned(),
            what,
            hint,
            severity,
        });
    }

    /// Notes an error.
    pub(super) fn error(&self, at: Place, key: &str, what: String, hint: Option<String>) {
        self.note(at, key, Severity::Error, what, hint);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.borrow().len()
    }

    /// Whether one of them is an error.
    pub(super) fn has_errors(&self) -> bool {
        let list = self.list.borrow();
        list.iter().any(|one| one.severity == Severity::Error)
    }

    /// All of them, in the order of the file.
    pub(super) fn into_problems(self) -> Problems {
        let mut list = self.list.into_inner();
        list.sort_by(|a, b| (a.line, a.column, &a.key).cmp(&(b.line, b.column, &b.key)));
        list.dedup();
        Problems(list)
    }
}

impl<'a> At<'a> {
    /// The whole file.
    pub(super) fn root(notes: &'a Notes, root: &'a Node) -> Self {
        Self {
            notes,
            node: Some(root),
            place: root.at,
            key: String::new(),
            quiet: root.quiet,
        }
    }

    /// The value of a key; where it was not written, the place is ours.
    pub(super) fn key(&self, key: &str) -> Self {
        self.step(
            self.node.and_then(|node| node.get(key)),
            joined(&self.key, key),
        )
    }

    /// A key itself, not its value.
    pub(super) fn name_of(&self, key: &str) -> Self {
        let mut at = self.key(key);
        if let Some(entry) = self.node.and_then(|node| node.entry(key)) {
            at.place = entry.key_at;
        }
        at
    }

    /// The value at this position of a list as it was read.
    pub(super) fn item(&self, position: usize) -> Self {
        let item = self.node.and_then(|node| node.items().get(position));
        let index = item.map_or(position, |item| item.index);
        self.step(item.map(|item| &item.node), indexed(&self.key, index))
    }

    fn step(&self, node: Option<&'a Node>, key: String) -> Self {
        Self {
            notes: self.notes,
            node,
            place: node.map_or(self.place, |node| node.at),
            key,
            quiet: self.quiet || node.is_some_and(|node| node.quiet),
        }
    }

    /// Whether the value was written at all.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.node.is_some_and(|node| node.get(key).is_some())
    }

    /// Whether a value stands for one that is missing, or was reported already.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
            || self
                .node
                .is_some_and(|node| matches!(node.kind, Kind::Absent))
    }

    /// Whether all that was written here could be read, so that conclusions from what is missing hold.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_quiet() && !self.node.is_some_and(|node| node.damaged)
    }

    /// Whether no value of this list was cut out of it, whatever was cut out of its values.
    pub(super) fn is_complete(&self) -> bool {
        !self.is_quiet() && self.node.is_some_and(|node| node.cut.is_empty())
    }

    /// The line, to point there from elsewhere.
    pub(super) fn line(&self) -> u32 {
        self.place.line
    }

    /// Whether no error was noted so far, anywhere.
    pub(super) fn is_all_right(&self) -> bool {
        !self.notes.has_errors()
    }

    /// Notes that something is wrong here.
    pub(super) fn error(&self, what: impl Into<String>) {
        self.say(Severity::Error, what.into(), None);
    }

    /// Notes that something is wrong here, and what would be right.
    pub(super) fn error_hint(&self, what: impl Into<String>, hint: impl Into<String>) {
        self.say(Severity::Error, what.into(), Some(hint.into()));
    }

    /// Notes that something here hardly means what was wanted.
    pub(super) fn warn(&self, what: impl Into<String>, hint: impl Into<String>) {
        self.say(Severity::Warning, what.into(), Some(hint.into()));
    }

    /// Notes that this comes with a later version.
    pub(super) fn not_yet(&self, what: &str) {
        self.error(format!("{what} is not supported yet"));
    }

    fn say(&self, severity: Severity, what: String, hint: Option<String>) {
        if !self.is_quiet() {
            self.notes.note(self.place, &self.key, severity, what, hint);
        }
    }
}

/// The path of a key in a map.
pub(super) fn joined(path: &str, key: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let key = if !key.is_empty() && key.chars().all(is_plain) {
        key.to_owned()
    } else {
        super::tree::quoted(key)
    };
    if path.is_empty() {
        return key;
    }
    format!("{path}.{key}")
}

/// The path of a value in a list.
pub(super) fn indexed(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
