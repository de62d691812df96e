//! Any text as a configuration: it is read, or refused with reasons whose places are inside the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sightglass::config::{Problem, Severity, parse};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let problems = match parse(text, "f") {
        Ok(loaded) => {
            assert!(
                loaded
                    .warnings
                    .iter()
                    .all(|it| it.severity == Severity::Warning)
            );
            assert!(!loaded.plan.listeners.is_empty() && !loaded.plan.routes.is_empty());
            loaded.warnings
        }
        Err(problems) => {
            assert!(
                problems.errors() > 0,
                "refused without an error: {problems}"
            );
            problems.0
        }
    };
    let lines: Vec<&str> = lines(text);
    for problem in &problems {
        check(problem, &lines);
    }
});

fn check(problem: &Problem, lines: &[&str]) {
    let told = problem.to_string();
    assert!(told.starts_with("f:") && !problem.what.is_empty());
    let line = problem.line.checked_sub(1).expect("lines begin at 1") as usize;
    assert!(
        line < lines.len(),
        "{told}: there are {} lines",
        lines.len()
    );
    let length = lines[line].chars().count();
    let column = problem.column.checked_sub(1).expect("columns begin at 1") as usize;
    assert!(column <= length, "{told}: the line has {length} characters");
}

/// YAML's lines: they end in LF, CRLF or CR (YAML 1.2 §5.4).
fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while let Some(end) = rest.find(['\n', '\r']) {
        lines.push(&rest[..end]);
        let length = if rest[end..].starts_with("\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + length..];
    }
    lines.push(rest);
    lines
}
