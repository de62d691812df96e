//! What was seen of an exchange that was looked through, as people read it: a line a step.

use serde_json::Value;

use super::read::{list, number, text};

const DIM: &str = "\u{1b}[2m";
const END: &str = "\u{1b}[0m";

/// How wide the column of who says it is.
const WHO: usize = 28;

/// The steps. Of other crates only what is louder than `trace`, unless `is_all`.
pub(super) fn draw(answer: &Value, is_all: bool, is_coloured: bool) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    let status = match number(&answer["status"]) {
        Some(status) => format!("status {status}"),
        None => "no answer".to_owned(),
    };
    line(&format!(
        "{status}, {} bytes, {}; came in at {} as {}, trace {}",
        text(&answer["bytes"]),
        text(&answer["ended"]),
        text(&answer["listener"]),
        text(&answer["client"]),
        text(&answer["trace_id"]),
    ));
    line("");
    let steps = list(&answer["steps"]);
    let mut hidden = 0;
    for step in steps {
        let who = text(&step["target"]);
        let own = who.strip_prefix("sightglass::");
        if own.is_none() && !is_all && step["level"] == "trace" {
            hidden += 1;
            continue;
        }
        let at = number(&step["at_ms"]).unwrap_or_default();
        let head = format!("{at:>10.3}  {:<WHO$}", own.unwrap_or(&who));
        let what = what(step);
        line(&match is_coloured && own.is_none() {
            true => format!("{DIM}{head}  {what}{END}"),
            false => format!("{head}  {what}"),
        });
    }
    let lost = number(&answer["steps_lost"]).unwrap_or_default();
    if lost > 0.0 {
        line(&format!("{:>12}{lost} more steps were not kept", ""));
    }
    if hidden > 0 {
        line("");
        line(&format!(
            "{hidden} finer steps of h2, rustls and the like: --all"
        ));
    }
    line("");
    out
}

/// What was said, with the facts behind it.
fn what(step: &Value) -> String {
    let mut what = text(&step["message"]);
    let facts = step["fields"].as_object();
    for (name, value) in facts.into_iter().flatten() {
        let between = if what.is_empty() { "" } else { "  " };
        what.push_str(&format!("{between}{name}={}", text(value)));
    }
    what
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_are_lines_in_their_order_and_finer_ones_of_others_are_left_out() {
        let answer = json!({
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "listener": "public", "client": "127.0.0.1",
            "status": 200, "bytes": 12, "ended": "whole", "steps_lost": 2,
            "steps": [
                {"at_ms": 0.021, "level": "trace", "target": "sightglass::proxy::route", "message": "taken", "fields": {"route": "web\u{1b}[2J"}},
                {"at_ms": 0.4, "level": "debug", "target": "rustls::client::hs", "message": "Using ciphersuite", "fields": {}},
                {"at_ms": 0.5, "level": "trace", "target": "h2::codec", "message": "send", "fields": {"frame": "Headers"}},
            ],
        });
        let told = draw(&answer, false, false);
        for line in [
            "status 200, 12 bytes, whole; came in at public as 127.0.0.1, trace 4bf92f3577b34da6a3ce929d0e0e4736",
            "     0.021  proxy::route                  taken  route=web\\u{1b}[2J",
            "     0.400  rustls::client::hs            Using ciphersuite",
            "            2 more steps were not kept",
            "1 finer steps of h2, rustls and the like: --all",
        ] {
            assert!(told.lines().any(|it| it == line), "{line}\n{told}");
        }
        let all = draw(&answer, true, false);
        assert!(all.contains("h2::codec") && !all.contains("--all"), "{all}");
        assert!(!draw(&json!(7), true, true).is_empty(), "nothing panics");
    }
}
