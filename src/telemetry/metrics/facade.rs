//! What the exporter of the `metrics` facade has written, taken apart and put on our page.
//!
//! The exporter knows Prometheus text alone, in the order of a hash map. Its text is parsed into families here and
//! written anew with ours. Counters that it holds as gauges, since the facade's counters are whole numbers and seconds
//! are not, get the type that our table says.

use super::page::Page;

/// Puts what the exporter has written on the page.
pub(super) fn draw(text: &str, page: &mut Page) {
    let mut help = "";
    let mut name = "";
    let mut kind = "";
    let mut chunk = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            (name, kind) = rest.split_once(' ').unwrap_or((rest, "gauge"));
        } else if line.is_empty() {
            help = "";
        } else {
            sample(line, name, kind, &mut chunk);
            if !matches!(kind, "histogram" | "summary") || is_last(line, name) {
                let name = with_suffix(name, kind);
                page.foreign(&name, kind, &unescape(help), std::mem::take(&mut chunk));
            }
        }
    }
}

/// A counter's name ends in `_total`, here as in OpenMetrics.
fn with_suffix(name: &str, kind: &str) -> String {
    if kind == "counter" && !name.ends_with("_total") {
        format!("{name}_total")
    } else {
        name.to_owned()
    }
}

/// Whether this is the last line of a label set's histogram or summary: its count.
fn is_last(line: &str, name: &str) -> bool {
    line.strip_prefix(name)
        .is_some_and(|rest| rest.starts_with("_count"))
}

/// Writes a sample's line anew.
fn sample(line: &str, name: &str, kind: &str, out: &mut String) {
    let (head, value) = line.rsplit_once(' ').unwrap_or((line, "NaN"));
    let labels = head.strip_prefix(name).unwrap_or_default();
    out.push_str(&with_suffix(name, kind));
    match labels.rsplit_once("le=\"") {
        Some((before, bound)) if kind == "histogram" => {
            let bound = bound.trim_end_matches("\"}");
            out.push_str(before);
            out.push_str("le=\"");
            out.push_str(&canonical(bound));
            out.push_str("\"}");
        }
        _ => out.push_str(labels),
    }
    out.push(' ');
    out.push_str(match value {
        "inf" => "+Inf",
        "-inf" => "-Inf",
        other => other,
    });
    out.push('\n');
}

/// A bound as OpenMetrics writes it: always with a point (§ "Considerations: canonical numbers").
fn canonical(bound: &str) -> String {
    if bound == "+Inf" || bound.contains(['.', 'e']) {
        bound.to_owned()
    } else {
        format!("{bound}.0")
    }
}

fn unescape(help: &str) -> String {
    help.replace("\\n", "\n").replace("\\\\", "\\")
}
