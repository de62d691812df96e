//! Why an exchange went the way it did, as people read it.

use serde_json::Value;

use super::read::{list, text};

/// The most other routes that are drawn; the answer for programs has more.
const MOST: usize = 10;

const DIM: &str = "\u{1b}[2m";
const END: &str = "\u{1b}[0m";

/// The section below the waterfall.
pub(super) fn draw(it: &Value, is_coloured: bool) -> String {
    let dimmed = |text: String| match is_coloured {
        true => format!("{DIM}{text}{END}"),
        false => text,
    };
    let mut out = String::from("\nwhy this route\n");
    let mut line = |text: &str| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&format!("  {}", text(&it["because"])));
    let (ran, now) = (&it["generation"], &it["generation_in_force"]);
    if ran != now && now.is_number() {
        line(&format!(
            "  decided by configuration {}; {} is in force",
            text(ran),
            text(now)
        ));
    }
    let others = list(&it["others"]);
    for lost in others.iter().take(MOST) {
        line(&format!(
            "  not {}: {}",
            text(&lost["route"]),
            text(&lost["detail"])
        ));
        line(&dimmed(format!(
            "      (it takes {})",
            text(&lost["match"])
        )));
    }
    let more = others.len().saturating_sub(MOST);
    let more = more as u64 + it["others_left_out"].as_u64().unwrap_or_default();
    if more > 0 {
        line(&format!("  and {more} more routes"));
    }
    let attempts = list(&it["attempts"]);
    if !attempts.is_empty() {
        line("");
        line("why these endpoints");
    }
    for attempt in attempts {
        let (nth, endpoint) = (text(&attempt["attempt"]), text(&attempt["endpoint"]));
        line(&format!(
            "  {nth:>2} {endpoint}: {}",
            text(&attempt["because"])
        ));
    }
    let limits = list(&it["limits"]);
    if !limits.is_empty() {
        line("");
        line("what the limits said");
    }
    for limit in limits {
        line(&format!(
            "  {:<11} {}",
            text(&limit["limit"]),
            text(&limit["state"])
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_other_route_is_told_with_its_reason_and_strangers_are_harmless() {
        let others: Vec<Value> = (0..12)
            .map(|at| json!({"route": format!("r{at}"), "match": "path prefix /a", "reason": "path", "detail": "the path /\u{1b}[2J is not"}))
            .collect();
        let told = json!({
            "because": "route web took it: path prefix /", "generation": 1, "generation_in_force": 3,
            "others": others, "others_left_out": 5,
            "attempts": [{"attempt": 1, "endpoint": "127.0.0.1:1", "because": "the only one, of 1 of 1"}],
            "limits": [{"limit": "rate_limit", "state": "let it in"}],
        });
        let page = draw(&told, false);
        for line in [
            "why this route",
            "  route web took it: path prefix /",
            "  decided by configuration 1; 3 is in force",
            "  not r0: the path /\\u{1b}[2J is not",
            "      (it takes path prefix /a)",
            "  and 7 more routes",
            "   1 127.0.0.1:1: the only one, of 1 of 1",
            "  rate_limit  let it in",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
        assert!(!page.contains('\u{1b}') && !page.contains("not r10"));
        assert!(!draw(&json!([]), true).is_empty(), "nothing panics");
    }
}
