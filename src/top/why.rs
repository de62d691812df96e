//! `sightglass why`: the ranking as people read it.

use serde_json::Value;

use super::read::{list, text};
use crate::config::harmless;

/// How wide the longest bar is.
const BAR: usize = 20;

/// The answer as text.
pub(super) fn draw(answer: &Value, filter: Option<&str>) -> String {
    let asked = filter.map_or_else(|| "failed or slow".to_owned(), harmless);
    let minutes = &answer["window"]["minutes"];
    let (matched, rest) = (&answer["matched"], &answer["rest"]);
    let place = match text(&answer["place"]) {
        place if place.is_empty() => String::new(),
        place => format!(" of {place}"),
    };
    let mut page = format!(
        "{matched} exchanges of the last {minutes} minutes were looked at that match ({asked}), beside {rest} others{place}\n"
    );
    if let Some(note) = answer["note"].as_str() {
        page.push_str(&format!("\n{}\n", harmless(note)));
    }
    let differences = list(&answer["differences"]);
    if !differences.is_empty() {
        page.push_str("\nwhat sets them apart                                  share of them / of the others\n");
    }
    for it in differences {
        line(&mut page, it, "");
        for inner in list(&it["within"]) {
            line(&mut page, inner, "  and there ");
        }
    }
    let symptoms = list(&answer["symptoms"]);
    if !symptoms.is_empty() {
        page.push_str("\nhow it shows (follows from the question, not ranked)\n");
    }
    for it in symptoms {
        line(&mut page, it, "");
    }
    page
}

fn line(page: &mut String, it: &Value, before: &str) {
    let fact = format!("{before}{} {}", text(&it["fact"]), text(&it["value"]));
    let (matched, rest) = (share(&it["matched_share"]), share(&it["rest_share"]));
    page.push_str(&format!(
        "  {fact:<44} {:>5.1} % {} {:>5.1} % {}",
        matched * 100.0,
        bar(matched),
        rest * 100.0,
        bar(rest)
    ));
    if let Some(support) = it["support"].as_u64() {
        let risk = share(&it["risk"]) * 100.0;
        page.push_str(&format!(" {risk:.0} % of such match, {support} seen"));
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
}

fn bar(share: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of twenty"
    )]
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("{:<BAR$}", "#".repeat(full))
}

fn share(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shares_are_told_as_figures_and_as_bars_and_strangers_are_harmless() {
        let answer = json!({
            "matched": 40, "rest": 900, "place": "route==\"a\"", "window": {"minutes": 10}, "note": null,
            "differences": [{
                "fact": "endpoint", "value": "10.0.0.7:9002", "support": 40, "matched_share": 1.0, "rest_share": 0.05,
                "risk": 0.5, "within": [{"fact": "user_agent", "value": "evil\u{1b}[2J", "support": 20, "matched_share": 0.5, "rest_share": 0.0, "risk": 1.0}],
            }],
            "symptoms": [{"fact": "status", "value": "502", "matched_share": 1.0, "rest_share": 0.0}],
        });
        let page = draw(&answer, Some("status>=500"));
        assert!(
            page.starts_with("40 exchanges of the last 10 minutes"),
            "{page}"
        );
        assert!(
            page.contains("beside 900 others of route==\"a\"\n"),
            "{page}"
        );
        let first = page
            .lines()
            .find(|it| it.contains("10.0.0.7:9002"))
            .expect("told");
        for part in [
            "100.0 % ####################",
            "  5.0 % #",
            "50 % of such match, 40 seen",
        ] {
            assert!(first.contains(part), "{part}: {first}");
        }
        assert!(page.contains("and there user_agent evil"), "{page}");
        assert!(!page.contains('\u{1b}'), "{page}");
        assert!(page.contains("how it shows"), "{page}");
        let quiet = json!({"matched": 0, "rest": 3, "window": {"minutes": 10}, "note": "nothing matches in these minutes", "differences": [], "symptoms": []});
        assert!(draw(&quiet, None).contains("failed or slow"));
        assert!(draw(&quiet, None).contains("\nnothing matches in these minutes\n"));
    }
}
