//! `sightglass tail`: finished exchanges as they come, a line each.

use std::io::{self, Write};
use std::ops::ControlFlow;

use serde_json::Value;

use super::events::Told;
use super::read::{list, number, text};

const RED: &str = "\u{1b}[31m";
const YELLOW: &str = "\u{1b}[33m";
const DIM: &str = "\u{1b}[2m";
const END: &str = "\u{1b}[0m";

/// The longest target that is shown whole.
const TARGET: usize = 80;

/// Where the lines go, and how.
pub(super) struct Lines<'a> {
    pub(super) out: &'a mut dyn Write,
    /// What is told besides the exchanges.
    pub(super) aside: &'a mut dyn Write,
    pub(super) is_json: bool,
    pub(super) is_coloured: bool,
}

// === impl Lines ===

impl Lines<'_> {
    /// Writes these; breaks off where nobody takes them.
    pub(super) fn write(&mut self, told: &[Told]) -> ControlFlow<io::Error> {
        let mut write = || -> io::Result<()> {
            for event in told {
                self.event(event)?;
            }
            self.out.flush()
        };
        match write() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn event(&mut self, event: &Told) -> io::Result<()> {
        match &*event.name {
            "exchange" if self.is_json => writeln!(self.out, "{}", event.data),
            "exchange" => match serde_json::from_str(&event.data) {
                Ok(exchange) => writeln!(self.out, "{}", line(&exchange, self.is_coloured)),
                Err(_) => Ok(()), // of a version that writes another shape
            },
            "missed" => {
                let told: Value = serde_json::from_str(&event.data).unwrap_or_default();
                writeln!(
                    self.aside,
                    "({} more matched and are not shown: a narrower filter shows all)",
                    told["missed"]
                )
            }
            _ => Ok(()),
        }
    }
}

/// An exchange: when, what came of it, how long it took, what was asked, which way it went, how to look closer.
pub(super) fn line(it: &Value, is_coloured: bool) -> String {
    let paint = |text: String, colour: &str| match is_coloured && !colour.is_empty() {
        true => format!("{colour}{text}{END}"),
        false => text,
    };
    let status = number(&it["status"]).unwrap_or_default();
    let outcome = text(&it["outcome"]);
    let is_failed = outcome != "served" || status >= 500.0;
    let colour = match () {
        () if outcome == "client_closed" || (is_failed && (400.0..500.0).contains(&status)) => {
            YELLOW
        }
        () if is_failed => RED,
        () if status >= 400.0 => YELLOW,
        () => "",
    };
    let when = text(&it["time"]);
    let when = when.get(11..23).unwrap_or(&when).to_owned();
    let took = format!("{:.1} ms", number(&it["duration_ms"]).unwrap_or_default());
    let mut parts = vec![
        paint(when, DIM),
        paint(format!("{status:>3}"), colour),
        format!("{took:>11}"),
        format!("{:<4} {}", text(&it["method"]), target(it)),
        way(it),
    ];
    if outcome != "served" {
        parts.push(paint(outcome, colour));
    }
    match list(&it["attempts"]).len() {
        0 | 1 => {}
        count => parts.push(paint(format!("{count} attempts"), YELLOW)),
    }
    parts.push(paint(text(&it["trace_id"]), DIM));
    parts.join("  ")
}

fn target(it: &Value) -> String {
    let mut target = format!("{}{}", text(&it["host"]), text(&it["path"]));
    let query = text(&it["query"]);
    if !query.is_empty() {
        target.push_str(&format!("?{query}"));
    }
    match target.char_indices().nth(TARGET) {
        Some((end, _)) => format!("{}…", &target[..end]),
        None => target,
    }
}

/// The route, and the endpoint that had the last word.
fn way(it: &Value) -> String {
    let route = match text(&it["route"]) {
        route if route.is_empty() => "_unmatched".to_owned(),
        route => route,
    };
    match text(&it["endpoint"]) {
        endpoint if endpoint.is_empty() => route,
        endpoint => format!("{route} -> {endpoint}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(name: &str, data: &Value) -> Told {
        Told {
            name: name.to_owned(),
            data: data.to_string(),
        }
    }

    fn failed() -> Value {
        json!({
            "time": "2026-01-31T23:59:59.123Z", "status": 502, "outcome": "connection_refused", "duration_ms": 3.25,
            "method": "GET", "host": "shop.test", "path": "/cart", "query": "a=1", "route": "checkout",
            "endpoint": "10.0.0.7:9002", "attempts": [{}, {}], "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        })
    }

    fn written(told: &[Told], is_json: bool) -> (String, String) {
        let (mut out, mut aside) = (Vec::new(), Vec::new());
        let mut lines = Lines {
            out: &mut out,
            aside: &mut aside,
            is_json,
            is_coloured: false,
        };
        assert!(lines.write(told).is_continue());
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (text(out), text(aside))
    }

    #[test]
    fn a_line_says_what_where_and_how_to_look_closer() {
        assert_eq!(
            line(&failed(), false),
            "23:59:59.123  502       3.2 ms  GET  shop.test/cart?a=1  checkout -> 10.0.0.7:9002  connection_refused  \
             2 attempts  4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert!(line(&failed(), true).contains("\u{1b}[31mconnection_refused\u{1b}[0m"));
    }

    #[test]
    fn json_is_passed_on_as_it_is_and_what_was_missed_is_told_aside() {
        let told = [
            told("exchange", &failed()),
            told("missed", &json!({"missed": 7})),
        ];
        let (out, aside) = written(&told, true);
        assert_eq!(out, format!("{}\n", failed()));
        assert!(aside.contains("7 more matched"), "{aside}");
        let (out, _) = written(&told, false);
        assert_eq!(out.lines().count(), 1);
    }

    #[test]
    fn nothing_of_a_stranger_steers_the_terminal_and_a_target_is_cut() {
        let mut it = failed();
        for name in [
            "time", "path", "host", "method", "query", "route", "endpoint", "trace_id",
        ] {
            it[name] = json!("\u{1b}]0;x\u{7}\r\n\u{9b}2J\u{202e}é");
        }
        let line = line(&it, false);
        assert!(!line.chars().any(|it| it.is_control() || it == '\u{202e}'));
        let long = json!({"path": "é".repeat(500)});
        assert_eq!(target(&long).chars().count(), TARGET + 1);
        assert!(!super::line(&json!(null), true).is_empty());
    }
}
