//! From a file, or its text, to a plan: the door of this room.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use super::notes::{At, Notes};
use super::plan::FileWritten;
use super::problem::Place;
use super::read;
use super::tree::{Kind, Node};
use super::{ByteSize, LoadError, Plan, Problem, Problems, Severity};

/// A configuration that may run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it asks for.
    pub plan: Plan,
    /// What hardly means what was wanted, in the order of the file.
    pub warnings: Vec<Problem>,
    /// The text, for problems that show only when more than the text is looked at.
    source: Source,
}

/// The text of a configuration.
#[derive(Clone, Debug)]
struct Source {
    file: Arc<str>,
    text: Arc<str>,
}

/// The largest file that is read. Ten thousand routes take less than a tenth of it.
const LARGEST: ByteSize = ByteSize(64 << 20);

/// Reads and checks a file. Paths in it stay as they are written: relative to the working directory.
///
/// # Errors
/// Why it cannot be read, or everything that is wrong with it.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let bytes = read_bytes(path)?;
    let text = String::from_utf8(bytes).map_err(|error| LoadError::NotText {
        path: path.to_owned(),
        at: error.utf8_error().valid_up_to(),
    })?;
    Ok(parse(&text, &path.display().to_string())?)
}

/// Reads and checks the text of a file.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text; warnings are among it.
pub fn parse(text: &str, file_name: &str) -> Result<Loaded, Problems> {
    let notes = Notes::new(file_name);
    let plan = read_plan(text, &notes);
    match plan.filter(|_| !notes.has_errors()) {
        Some(plan) => Ok(Loaded {
            plan,
            warnings: notes.into_problems().0,
            source: Source {
                file: Arc::from(file_name),
                text: Arc::from(text),
            },
        }),
        None => Err(notes.into_problems()),
    }
}

// === impl Loaded ===

impl Loaded {
    /// A problem with what a key of this file names, such as a file that is not there. `key` is its path, as
    /// [`Problem::key`] has it; where it was not written, the place is that of the nearest section that was.
    #[must_use]
    pub fn problem(&self, key: &str, what: String, hint: Option<String>) -> Problem {
        self.told(Severity::Error, key, what, hint)
    }

    /// The same where the file is not refused for it.
    #[must_use]
    pub fn warning(&self, key: &str, what: String, hint: Option<String>) -> Problem {
        self.told(Severity::Warning, key, what, hint)
    }

    fn told(&self, severity: Severity, key: &str, what: String, hint: Option<String>) -> Problem {
        let text = without_mark(&self.source.text);
        let root = Node::read(text).ok();
        let at = root
            .as_ref()
            .map_or_else(Place::default, |root| place(root, key));
        Problem {
            file: Arc::clone(&self.source.file),
            line: at.line.max(1),
            column: at.column.max(1),
            key: key.to_owned(),
            what,
            hint,
            severity,
        }
    }
}

/// Where the value of this key stands.
fn place(root: &Node, key: &str) -> Place {
    let mut node = root;
    let steps = key.split(['.', '[', ']']).filter(|step| !step.is_empty());
    for step in steps {
        let next = match step.parse::<usize>() {
            Ok(position) => node.items().get(position).map(|item| &item.node),
            Err(_) => node.get(step),
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node.at
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn read_plan(text: &str, notes: &Notes) -> Option<Plan> {
    let text = without_mark(text);
    let mut root = match Node::read(text) {
        Ok(root) => root,
        Err(error) => {
            notes.error(error.at, "", error.what, error.hint);
            return None;
        }
    };
    if matches!(root.kind, Kind::Null) {
        let hint = "sightglass run --to ADDRESS --print-config prints one to grow from".to_owned();
        notes.error(root.at, "", "the file is empty".to_owned(), Some(hint));
        return None;
    }
    let written: FileWritten = read::read(&mut root, notes)?;
    written.check(hash(text), &At::root(notes, &root))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    // One byte more than is allowed shows that there is more.
    let read = File::open(path).and_then(|file| file.take(LARGEST.0 + 1).read_to_end(&mut bytes));
    let path = path.to_owned();
    match read {
        Ok(length) if length as u64 > LARGEST.0 => Err(LoadError::TooLarge {
            path,
            limit: LARGEST,
        }),
        Ok(_) => Ok(bytes),
        Err(cause) => Err(match cause.kind() {
            ErrorKind::NotFound => LoadError::Missing(path),
            ErrorKind::PermissionDenied => LoadError::NotPermitted(path),
            ErrorKind::IsADirectory => LoadError::Directory(path),
            _ => LoadError::Unreadable { path, cause },
        }),
    }
}

/// A short hash of the text: FNV-1a, 64 bits, as 16 hexadecimal digits. It tells versions of a file apart on a
/// dashboard and must be the same on every machine, which a keyed or seeded hash is not; nobody is protected by it.
pub(super) fn hash(text: &str) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    format!("{:016x}", text.bytes().fold(OFFSET, step))
}
