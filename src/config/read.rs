//! Reads the tree into the sections as written, and finds every mistake on the way: read, note, cut, read again.
//!
//! serde stops at its first error. So the error is noted at its node, the node is cut out of the tree, and the tree is
//! read again, until it reads. What is required and missing is noted and replaced by a node that reads as empty, so
//! that the rest of its section is still read and checked; nothing is told about that node again. Hand-written readers
//! that collect errors were the other way: every section twice, as a struct for the schema and as code.

use serde::de::DeserializeOwned;

use super::later;
use super::notes::{Notes, indexed, joined};
use super::tree::{Entry, Kind, Node, quoted};
use super::typed::{Fault, ReadError, SECTION};

/// After so many problems the rest is hardly worth reading.
const MOST_PROBLEMS: usize = 200;

/// Reads the tree. `None` when nothing was left to read.
pub(super) fn read<T: DeserializeOwned>(root: &mut Node, notes: &Notes) -> Option<T> {
    drop_duplicates(root, "", notes);
    // Each round takes a node out of a finite tree, or puts an empty one in at most once a required key.
    loop {
        match T::deserialize(&*root) {
            Ok(value) => return Some(value),
            Err(error) => {
                let left = mend(root, &error, notes);
                if notes.len() > MOST_PROBLEMS {
                    let what = format!("more than {MOST_PROBLEMS} problems: the rest is not told");
                    notes.error(root.at, "", what, None);
                    return None;
                }
                if !left {
                    return None;
                }
            }
        }
    }
}

/// Notes keys that are written twice, and takes the later ones out.
fn drop_duplicates(node: &mut Node, path: &str, notes: &Notes) {
    match &mut node.kind {
        Kind::List(items) => {
            for item in items {
                drop_duplicates(&mut item.node, &indexed(path, item.index), notes);
            }
        }
        Kind::Map(entries) => {
            let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
            for mut entry in entries.drain(..) {
                let key = joined(path, &entry.key);
                if let Some(first) = kept.iter().find(|other| other.key == entry.key) {
                    let what = format!("written twice, first at line {}", first.key_at.line);
                    notes.error(entry.key_at, &key, what, None);
                    continue;
                }
                drop_duplicates(&mut entry.node, &key, notes);
                kept.push(entry);
            }
            *entries = kept;
        }
        _ => {}
    }
}

/// A node on the way to an error, told for the note.
struct Found {
    path: String,
    /// The path without indices, as `later` has it.
    section: String,
    /// What is wrong was told before.
    quiet: bool,
}

/// Notes the error and makes the tree readable past it. Says whether anything is left.
fn mend(root: &mut Node, error: &ReadError, notes: &Notes) -> bool {
    let way = error.way();
    match &error.fault {
        Fault::UnknownKey { expected } => mend_unknown_key(root, &way, expected, notes),
        Fault::MissingKey(key) => mend_missing_key(root, &way, key, notes),
        fault => {
            let found = follow(root, &way);
            let Some(node) = node_at(root, &way) else {
                return false;
            };
            // A map out of which something was cut fails a second time for that reason only.
            let is_told = found.quiet || node.damaged || matches!(node.kind, Kind::Absent);
            if !is_told {
                let (what, hint) = told(fault, node, holds_secrets(&found.section));
                let hint = match &node.kind {
                    // The file as a whole is no key's value.
                    _ if way.is_empty() => None,
                    Kind::Unsigned(port) if found.path.ends_with(".address") => {
                        Some(format!("such as 127.0.0.1:{port}"))
                    }
                    _ => hint,
                };
                notes.error(node.at, &found.path, what, hint);
            }
            cut(root, &way)
        }
    }
}

/// Notes the key, and cuts it out or takes it for the one that is meant.
fn mend_unknown_key(root: &mut Node, way: &[usize], expected: &[&str], notes: &Notes) -> bool {
    let Some((&position, parent_way)) = way.split_last() else {
        return false;
    };
    let found = follow(root, parent_way);
    let Some(Kind::Map(entries)) = node_at(root, parent_way).map(|node| &node.kind) else {
        return false;
    };
    let Some((key, key_at)) = entries
        .get(position)
        .map(|entry| (entry.key.clone(), entry.key_at))
    else {
        return false;
    };
    let is_free = |name: &&&str| !entries.iter().any(|entry| entry.key == **name);
    let free: Vec<&str> = expected.iter().filter(is_free).copied().collect();
    let is_later = later::is_later(&found.section, &key);
    let meant = if is_later {
        None
    } else {
        resembling(&key, &free)
    };
    if !found.quiet {
        let path = joined(&found.path, &key);
        if is_later {
            notes.error(key_at, &path, "not supported yet".to_owned(), None);
        } else {
            let hint = match meant.or_else(|| resembling(&key, expected)) {
                Some(other) => format!("did you mean {other}?"),
                None => format!("known here: {}", expected.join(", ")),
            };
            notes.error(key_at, &path, "unknown key".to_owned(), Some(hint));
        }
    }
    let Some(parent) = node_at_mut(root, parent_way) else {
        return false;
    };
    match meant {
        // Read on as if it had been written right, so that it is not missing; one problem is enough.
        Some(other) => {
            if let Kind::Map(entries) = &mut parent.kind
                && let Some(entry) = entries.get_mut(position)
            {
                other.clone_into(&mut entry.key);
                entry.node.quiet = true;
            }
            damage(root, parent_way);
        }
        None => {
            if is_later && let Some(other) = later::stands_for(&key) {
                parent.cut.push(other.to_owned());
            }
            cut(root, way);
        }
    }
    true
}

/// Notes that the key is missing, and puts an empty value in its place.
fn mend_missing_key(root: &mut Node, way: &[usize], key: &str, notes: &Notes) -> bool {
    let found = follow(root, way);
    let Some(node) = node_at_mut(root, way) else {
        return false;
    };
    let is_told = found.quiet
        || matches!(node.kind, Kind::Absent)
        || node.cut.iter().any(|other| other == key);
    if !is_told {
        let path = joined(&found.path, key);
        let hint = example(key).map(|example| format!("such as {key}: {example}"));
        notes.error(node.at, &path, "missing".to_owned(), hint);
    }
    // Nothing reads as text, lists and sections, but not as a rate.
    let kind = match key {
        "rate" => Kind::Text("1/s".to_owned()),
        _ => Kind::Absent,
    };
    let absent = Entry {
        key: key.to_owned(),
        key_at: node.at,
        node: Node {
            at: node.at,
            kind,
            quiet: true,
            ..Node::default()
        },
    };
    match &mut node.kind {
        Kind::Map(entries) => entries.push(absent),
        kind => *kind = Kind::Map(vec![absent]),
    }
    damage(root, way);
    true
}

/// Takes the node out, or its parent where the node only stands for a missing one. Says whether anything is left.
fn cut(root: &mut Node, way: &[usize]) -> bool {
    let Some((&position, parent_way)) = way.split_last() else {
        return false;
    };
    let is_absent = node_at(root, way).is_some_and(|node| matches!(node.kind, Kind::Absent));
    if is_absent {
        return cut(root, parent_way);
    }
    let Some(parent) = node_at_mut(root, parent_way) else {
        return false;
    };
    parent.cut(position);
    damage(root, parent_way);
    true
}

/// Marks the nodes on this way as no longer whole.
fn damage(root: &mut Node, way: &[usize]) {
    let mut node = root;
    node.damaged = true;
    for &position in way {
        match node.child_mut(position) {
            Some(child) => node = child,
            None => return,
        }
        node.damaged = true;
    }
}

fn node_at<'a>(root: &'a Node, way: &[usize]) -> Option<&'a Node> {
    way.iter().try_fold(root, |node, &at| node.child(at))
}

fn node_at_mut<'a>(root: &'a mut Node, way: &[usize]) -> Option<&'a mut Node> {
    way.iter().try_fold(root, |node, &at| node.child_mut(at))
}

fn follow(root: &Node, way: &[usize]) -> Found {
    let mut found = Found {
        path: String::new(),
        section: String::new(),
        quiet: root.quiet,
    };
    let mut node = root;
    for &position in way {
        match &node.kind {
            Kind::List(items) => {
                let index = items.get(position).map_or(position, |item| item.index);
                found.path = indexed(&found.path, index);
                found.section.push_str("[]");
            }
            Kind::Map(entries) => {
                let key = entries.get(position).map_or("", |entry| entry.key.as_str());
                found.path = joined(&found.path, key);
                found.section = joined(&found.section, key);
            }
            _ => {}
        }
        match node.child(position) {
            Some(child) => node = child,
            None => break,
        }
        found.quiet |= node.quiet;
    }
    found
}

// === Words ===

/// The one of the names that was probably meant.
pub(super) fn resembling<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let word = plain(word);
    let distance = |name: &str| {
        let name = plain(name);
        // A word that was cut short or drawn out by a plural is near, whatever the count of letters says.
        let is_part = word.len() >= 4
            && name.len() >= 4
            && (name.starts_with(&word) || word.starts_with(&name));
        if is_part {
            1
        } else {
            strsim::damerau_levenshtein(&word, &name)
        }
    };
    let near = 1 + word.chars().count() / 4;
    names
        .iter()
        .map(|name| (distance(name), *name))
        .filter(|(distance, name)| *distance <= near && *distance < name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// What is wrong with the node, in words for people, and what would be right.
fn told(fault: &Fault, node: &Node, is_secret: bool) -> (String, Option<String>) {
    let is_scalar = !matches!(node.kind, Kind::Null | Kind::List(_) | Kind::Map(_));
    match fault {
        Fault::Said(said) => (said.clone(), None),
        Fault::UnknownWord { word, expected } => told_word(word, expected),
        Fault::NotOne(expected) => (
            format!("expected exactly one of the keys {}", expected.join(", ")),
            None,
        ),
        Fault::NeedsValue(word) => (
            format!("{word} needs a value"),
            Some(format!("{{{word}: …}}")),
        ),
        Fault::WrongKind { .. } if matches!(node.kind, Kind::Null) => (
            "has no value".to_owned(),
            Some("give it one, or take the key out".to_owned()),
        ),
        // What was written may be a secret in the wrong place: neither the words nor the hint repeat it.
        Fault::WrongKind { expected } | Fault::OutOfRange { expected }
            if is_secret && is_scalar =>
        {
            let expected = expected_of(expected, &Node::default()).0;
            (format!("expected {expected}, found something else"), None)
        }
        Fault::WrongKind { expected } | Fault::OutOfRange { expected } => {
            let (expected, hint) = expected_of(expected, node);
            let written = node.describe();
            (format!("expected {expected}, found {written}"), hint)
        }
        // Mended elsewhere.
        Fault::UnknownKey { .. } | Fault::MissingKey(_) => ("unknown".to_owned(), None),
    }
}

/// Whether passwords or their hashes stand in this section, or in one above it.
fn holds_secrets(section: &str) -> bool {
    section.split('.').any(|key| key == "basic")
}

/// What is wrong with a word, and which would be right.
fn told_word(word: &str, expected: &[&'static str]) -> (String, Option<String>) {
    let what = format!("{} is not known here", quoted(word));
    // A path where a key with a path as its value is meant.
    let meant = ["prefix", "file"]
        .into_iter()
        .find(|key| expected.contains(key));
    if let Some(key) = meant.filter(|_| word.starts_with(['/', '.'])) {
        return (what, Some(format!("write {{{key}: {word}}}")));
    }
    let is_now = |word: &&'static str| !later::is_later_word(word);
    let expected: Vec<&str> = expected.iter().copied().filter(is_now).collect();
    let hint = match resembling(word, &expected) {
        Some(other) => format!("did you mean {other}?"),
        None => format!("known here: {}", expected.join(", ")),
    };
    (what, Some(hint))
}

/// serde's word for what it expects as people would say it, and an example made from what was written.
fn expected_of(expected: &str, node: &Node) -> (String, Option<String>) {
    let scalar = match &node.kind {
        Kind::Bool(value) => Some(value.to_string()),
        Kind::Unsigned(value) => Some(value.to_string()),
        Kind::Signed(value) => Some(value.to_string()),
        Kind::Float(value) => Some(value.to_string()),
        Kind::Text(text) => Some(text.clone()),
        _ => None,
    };
    match expected {
        "a string" => (
            "text".to_owned(),
            scalar.map(|text| format!("in quotes it is text: \"{text}\"")),
        ),
        "u8" | "u16" | "u32" | "u64" | "usize" => {
            let is_number = scalar
                .as_ref()
                .is_some_and(|text| text.parse::<u64>().is_ok());
            let hint = match scalar {
                Some(number) if is_number && matches!(node.kind, Kind::Text(_)) => {
                    format!("without quotes: {number}")
                }
                _ => "such as 3".to_owned(),
            };
            let most = match expected {
                "u8" => u64::from(u8::MAX),
                "u16" => u64::from(u16::MAX),
                "u32" => u64::from(u32::MAX),
                _ => u64::MAX,
            };
            let range = match node.kind {
                Kind::Unsigned(_) => format!("a whole number of at most {most}"),
                _ => "a whole number, 0 or more".to_owned(),
            };
            (range, Some(hint))
        }
        "a boolean" => {
            let hint = match scalar.as_deref().map(str::to_ascii_lowercase).as_deref() {
                Some("yes" | "on" | "1") => Some("write true".to_owned()),
                Some("no" | "off" | "0") => Some("write false".to_owned()),
                _ => None,
            };
            ("true or false".to_owned(), hint)
        }
        "a sequence" => {
            let hint = match (scalar, &node.kind) {
                (Some(text), _) => Some(format!("such as [{text}]")),
                (None, Kind::Map(_)) => {
                    Some("the values of a list begin with a dash and a space".to_owned())
                }
                _ => None,
            };
            ("a list".to_owned(), hint)
        }
        "a map" => ("a map of keys and values".to_owned(), None),
        "path string" => ("a path".to_owned(), None),
        other => {
            // A section that was written as its first key's value.
            let first = other
                .strip_prefix(SECTION)
                .and_then(|keys| keys.split(", ").next());
            let hint = match (first, &node.kind) {
                (Some(key), Kind::Text(text)) => Some(format!("such as {{{key}: {text}}}")),
                _ => None,
            };
            (other.to_owned(), hint)
        }
    }
}

/// How the value of a required key looks.
fn example(key: &str) -> Option<&'static str> {
    match key {
        "address" => Some("127.0.0.1:8080"),
        "ca" => Some("clients.pem"),
        "cert" => Some("site.pem"),
        "certificates" => Some("[{cert: site.pem, key: site.key}]"),
        "endpoint" => Some("http://127.0.0.1:4317"),
        "endpoints" => Some("[{address: 127.0.0.1:9001}]"),
        "key" => Some("site.key"),
        "match" => Some("{path: {prefix: /}}"),
        "rate" => Some("100/s"),
        "upstream" | "name" => Some("web"),
        _ => None,
    }
}
