//! The checks themselves, and proof that the checker catches what it is there for.

use std::fs;

use super::{LONGEST_FILE, ROOMS, Violation, check, check_form, files_under, root};

#[test]
fn the_source_keeps_the_rules_of_the_house() {
    let files = files_under("src");
    assert!(!files.is_empty(), "there is source to check");
    let violations: Vec<_> = files
        .iter()
        .flat_map(|(path, text)| check(path, text))
        .collect();
    assert!(violations.is_empty(), "\n{}", lines(&violations));
}

#[test]
fn the_tests_keep_the_rules_of_form() {
    let files = files_under("tests/it");
    let violations: Vec<_> = files
        .iter()
        .flat_map(|(path, text)| check_form(path, text))
        .collect();
    assert!(violations.is_empty(), "\n{}", lines(&violations));
}

#[test]
fn the_table_of_rooms_is_the_one_in_the_docs() {
    let docs = fs::read_to_string(root().join("docs/architecture.md"))
        .expect("the house has its plan in docs");
    let table = docs
        .split("```")
        .nth(1)
        .expect("the first block of the plan is the table of rooms");
    let mut found = Vec::new();
    for line in table.lines() {
        // `room room    what it is    room room …`: what may be known is the last column, columns are two spaces apart.
        let columns: Vec<&str> = line
            .split("  ")
            .map(str::trim)
            .filter(|column| !column.is_empty())
            .collect();
        // `(never each other)` is a remark beside the table.
        let last = columns.iter().rfind(|column| !column.starts_with('('));
        let (Some(first), Some(last)) = (columns.first(), last) else {
            continue;
        };
        let known: Vec<&str> = last
            .split_whitespace()
            .filter(|word| ROOMS.iter().any(|(room, _)| room == word))
            .collect();
        // `server  admin   …` has its rooms in two columns.
        let rooms = columns
            .iter()
            .take(2)
            .flat_map(|column| column.split(' ').take(2));
        let is_top = first.starts_with("main");
        for (room, _) in ROOMS
            .iter()
            .filter(|(room, _)| !is_top && rooms.clone().any(|word| word == *room))
        {
            found.push((*room, known.clone()));
        }
    }
    for (room, may) in ROOMS {
        let told = found.iter().find(|(name, _)| *name == room);
        let told = told.unwrap_or_else(|| panic!("docs/architecture.md has no room {room}"));
        assert_eq!(
            told.1, may,
            "what {room} may know: docs/architecture.md (left), tests/it/architecture.rs (right)"
        );
    }
}

#[test]
fn a_room_that_names_one_it_may_not_know_is_caught() {
    broken(
        "src/proxy/stack.rs",
        "use crate::graph::Graph;",
        "proxy may not know graph",
    );
    broken(
        "src/proxy/stack.rs",
        "fn f() -> crate::admin::Page {}",
        "proxy may not know admin",
    );
    broken(
        "src/exchange/mod.rs",
        "use crate::{config::Names, telemetry::{emit, Event}};",
        "exchange may not know telemetry",
    );
    broken(
        "src/server/accept.rs",
        "use super::super::proxy::Stack;",
        "server may not know proxy",
    );
    broken(
        "src/demo.rs",
        "use sightglass::server;",
        "demo may not know server",
    );
    broken("src/attic/mod.rs", "fn f() {}", "attic is no room");
    broken(
        "src/config/mod.rs",
        "use crate::*;",
        "config may not know all",
    );
    kept(
        "src/proxy/stack.rs",
        "use crate::{proxy::route, upstream::Forward};\nuse super::retry;",
    );
    kept(
        "src/proxy/stack.rs",
        "/// See [`crate::graph`].\nconst A: &str = \"crate::graph\"; // crate::graph",
    );
    kept(
        "src/proxy/retry/mod.rs",
        "use super::super::respond;\nuse crate::exchange;",
    );
    kept("src/app/mod.rs", "use crate::{admin, server, graph};");
    kept("src/main.rs", "use sightglass::cli;");
}

#[test]
fn a_room_that_observes_beside_telemetry_is_caught() {
    broken(
        "src/proxy/stack.rs",
        "fn f() { metrics::counter!(\"a\"); }",
        "only telemetry may say metrics",
    );
    broken(
        "src/app/mod.rs",
        "use opentelemetry_sdk::trace;",
        "only telemetry may say opentelemetry_sdk",
    );
    broken(
        "src/app/mod.rs",
        "fn f() { tracing::info!(\"a\"); }",
        "only telemetry may say info!",
    );
    broken(
        "src/upstream/pool.rs",
        "fn f() { error ! (\"a\"); }",
        "only telemetry may say error!",
    );
    broken(
        "src/upstream/pool.rs",
        "use tracing::{debug, warn};",
        "only telemetry may say tracing::warn",
    );
    broken(
        "src/upstream/pool.rs",
        "#[tracing::instrument] fn f() {}",
        "only telemetry may say tracing::instrument",
    );
    kept(
        "src/telemetry/event.rs",
        "fn f() { info!(\"a\"); metrics::gauge!(\"b\"); }",
    );
    kept(
        "src/proxy/stack.rs",
        "use tracing::debug;\nfn f() { debug!(\"a\"); tracing::trace!(\"b\"); }",
    );
    kept(
        "src/proxy/stack.rs",
        "fn f() { let metrics = 1; metrics.render(); if error != x {} compile_error!(\"\") }",
    );
    kept(
        "src/graph/build.rs",
        "use crate::telemetry::{metrics::Catalogue, trace};\nfn f<'a>(x: &'a str) { '\"'; '\\''; }",
    );
}

#[test]
fn a_file_without_form_is_caught() {
    assert!(
        check_form("src/config/mod.rs", "fn f() {}")[0]
            .rule
            .contains("//!")
    );
    assert!(
        check_form("src/proxy/utils.rs", "//! Tour.")[0]
            .rule
            .contains("utils")
    );
    assert!(
        check_form("src/common/mod.rs", "//! Tour.")[0]
            .rule
            .contains("common")
    );
    let long = "//! Tour.\n".repeat(LONGEST_FILE + 1);
    assert_eq!(
        check_form("src/config/mod.rs", &long)[0].line,
        LONGEST_FILE + 1
    );
    assert_eq!(
        check_form("src/config/mod.rs", &"//! Tour.\n".repeat(LONGEST_FILE)),
        []
    );
}

/// Asserts that the code, as the second line of a file, breaks one rule whose text has this part.
fn broken(path: &str, code: &str, part: &str) {
    let found = rules(path, code);
    assert_eq!(
        found.len(),
        1,
        "{path}: {code} should break one rule, it breaks {found:?}"
    );
    assert_eq!(found[0].0, 2, "{path}: {code}: the line is named");
    assert!(
        found[0].1.contains(part),
        "{code}: {part:?} is not in {:?}",
        found[0].1
    );
}

/// Asserts that the code breaks no rule.
fn kept(path: &str, code: &str) {
    assert_eq!(rules(path, code), [], "{path}: {code} breaks no rule");
}

fn rules(path: &str, code: &str) -> Vec<(usize, String)> {
    let found = check(path, &format!("//! Tour.\n{code}")).into_iter();
    found
        .map(|violation| (violation.line, violation.rule))
        .collect()
}

fn lines(violations: &[Violation]) -> String {
    violations
        .iter()
        .map(|violation| format!("{violation}\n"))
        .collect()
}
