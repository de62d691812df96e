//! The house, checked from its source text: who may know whom, and who may observe.
//!
//! `docs/architecture.md` says the rules; this file holds `src/` against them, because a rule that is only written down is
//! broken by the third person who did not read it. It reads text, not the compiler's view: paths are found by a small
//! scanner ([`scan`]) that leaves out comments and strings and spells grouped imports out. A macro that hides a path would
//! get by; a person would see it.

mod scan;
mod tests;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use scan::{Mention, Source};

/// What each room may know, as the table in `docs/architecture.md` has it; `main`, `lib`, `cli` and `app` may know all.
const ROOMS: [(&str, &[&str]); 13] = [
    (
        "server",
        &["graph", "tls", "telemetry", "exchange", "config"],
    ),
    (
        "admin",
        &["graph", "tls", "telemetry", "exchange", "config"],
    ),
    (
        "graph",
        &[
            "proxy",
            "upstream",
            "tls",
            "telemetry",
            "exchange",
            "config",
        ],
    ),
    ("explain", &["proxy", "telemetry", "exchange", "config"]),
    ("proxy", &["upstream", "telemetry", "exchange", "config"]),
    ("upstream", &["tls", "telemetry", "exchange", "config"]),
    ("tls", &["telemetry", "config"]),
    ("telemetry", &["exchange", "config"]),
    ("exchange", &["config"]),
    ("config", &[]),
    ("generate", &["telemetry", "config"]),
    ("top", &["config"]),
    ("demo", &["config"]),
];
const KNOW_ALL: [&str; 4] = ["main", "lib", "cli", "app"];

/// Crates and macros that only `telemetry` may name. `debug!` and `trace!` are free.
const OBSERVING_CRATES: [&str; 3] = ["metrics", "opentelemetry", "tracing_opentelemetry"];
const OBSERVING_WORDS: [&str; 12] = [
    "info",
    "warn",
    "error",
    "event",
    "span",
    "info_span",
    "warn_span",
    "error_span",
    "debug_span",
    "trace_span",
    "instrument",
    "Instrument",
];

const LONGEST_FILE: usize = 500;
const NAMES_OF_NOTHING: [&str; 8] = [
    "util", "utils", "common", "helper", "helpers", "misc", "types", "type",
];

/// A rule broken at a place.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// Every rule for a file of the source.
fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = check_form(path, text);
    let room = room_of(path);
    let source = Source::new(text);
    if !is_known(room) {
        let rule = format!("{room} is no room of docs/architecture.md");
        violations.push(Violation {
            file: path.to_owned(),
            line: 2,
            rule,
        });
    }
    for mention in source.mentions() {
        let rules = [unknown_room(path, room, &mention), observes(room, &mention)];
        for rule in rules.into_iter().flatten() {
            let violation = Violation {
                file: path.to_owned(),
                line: mention.line,
                rule,
            };
            // A group of imports breaks a rule once, not once a name.
            if violations.last() != Some(&violation) {
                violations.push(violation);
            }
        }
    }
    violations
}

/// The rules that tests keep as well: a tour, a length, a name.
fn check_form(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut add = |line, rule| {
        violations.push(Violation {
            file: path.to_owned(),
            line,
            rule,
        })
    };
    if !text.starts_with("//!") {
        add(1, "a file starts with its tour, `//!`".to_owned());
    }
    let length = text.lines().count();
    if length > LONGEST_FILE {
        add(
            length,
            format!("{length} lines: a file has at most {LONGEST_FILE}"),
        );
    }
    for part in path.split(['/', '.']) {
        if NAMES_OF_NOTHING.contains(&part) {
            add(
                1,
                format!(
                    "{part} names nothing: what is in it lives beside its user or has a name of its own"
                ),
            );
        }
    }
    violations
}

/// The rule that a mention breaks because its room may not know another.
fn unknown_room(path: &str, room: &str, mention: &Mention) -> Option<String> {
    if KNOW_ALL.contains(&room) {
        return None;
    }
    let named = named_room(path, mention)?;
    let may = ROOMS
        .iter()
        .find(|(name, _)| *name == room)
        .map_or(&[][..], |(_, may)| may);
    let is_fine = named == room || may.contains(&named) || (named != "*" && !is_known(named));
    let (all, list) = (if named == "*" { "all" } else { named }, may.join(", "));
    let may = if may.is_empty() {
        "nothing".to_owned()
    } else {
        list
    };
    (!is_fine).then(|| format!("{room} may not know {all}; it may know {may}"))
}

/// The room that a path leads to: behind `crate`, the crate's own name, or as many `super` as lead to the root.
fn named_room<'a>(path: &str, mention: &'a Mention) -> Option<&'a str> {
    let segments = &mention.segments;
    let first = segments.first()?.as_str();
    if first == "crate" || first == "sightglass" {
        return segments.get(1).map(String::as_str);
    }
    let supers = segments
        .iter()
        .take_while(|segment| *segment == "super")
        .count();
    let inside = path.strip_prefix("src/").unwrap_or(path);
    let folders = inside.matches('/').count();
    let depth = if inside.ends_with("mod.rs") {
        folders
    } else {
        folders + 1
    };
    // Fewer stay in the room. In a module inside the file as many may too, but then the name is seldom a room's.
    if supers > 0 && supers >= depth {
        segments.get(supers).map(String::as_str)
    } else {
        None
    }
}

/// The rule that a mention breaks because only `telemetry` observes.
fn observes(room: &str, mention: &Mention) -> Option<String> {
    if room == "telemetry" {
        return None;
    }
    let (first, last) = (
        mention.segments.first()?.as_str(),
        mention.segments.last()?.as_str(),
    );
    let is_word = OBSERVING_WORDS.contains(&last);
    let said = if mention.is_macro && is_word {
        format!("{last}!")
    } else if first == "tracing" && is_word {
        format!("tracing::{last}")
    } else if OBSERVING_CRATES.contains(&first)
        || first.starts_with("opentelemetry_")
        || first.starts_with("metrics_")
    {
        let is_path = mention.segments.len() > 1 || mention.is_import;
        is_path.then(|| first.to_owned())?
    } else {
        return None;
    };
    Some(format!(
        "only telemetry may say {said}; note a fact on the exchange or emit an event"
    ))
}

fn is_known(room: &str) -> bool {
    KNOW_ALL.contains(&room) || ROOMS.iter().any(|(name, _)| *name == room)
}

/// The first folder under `src`, or the name of a file that lies there itself.
fn room_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside
        .split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under a folder, by its path from the root, with its text.
fn files_under(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the source can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(root())
                    .expect("it lies under the root")
                    .display()
                    .to_string();
                found.push((
                    name,
                    fs::read_to_string(&path).expect("a source file is text"),
                ));
            }
        }
    }
    found.sort();
    found
}
