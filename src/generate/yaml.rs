//! YAML as it is written here: block maps and lists, texts plain where that is safe, else quoted, and with line breaks as
//! literal blocks.
//!
//! By hand, for the one file that is written: the reader's own writer (`serde-saphyr/serialize`) brings two more crates
//! and does not choose literal blocks for queries. A quoted text is JSON's, which YAML 1.2 takes as it is (§1.3).

/// A value to be written.
#[derive(Clone, Debug)]
pub(super) enum Yaml {
    /// A text.
    Text(String),
    /// Keys that are words of ours, with values, in this order.
    Map(Vec<(&'static str, Yaml)>),
    /// A list of values.
    List(Vec<Yaml>),
}

impl Yaml {
    /// A text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The value as a document.
    pub(super) fn document(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    /// Writes the lines of a value whose first line is already indented.
    fn write(&self, out: &mut String, indent: usize) {
        match self {
            Self::Text(text) => write_text(out, text, indent),
            Self::Map(entries) => {
                for (place, (key, value)) in entries.iter().enumerate() {
                    if place > 0 {
                        pad(out, indent);
                    }
                    out.push_str(key);
                    out.push(':');
                    value.write_below(out, indent);
                }
            }
            Self::List(values) => {
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        pad(out, indent);
                    }
                    out.push_str("- ");
                    value.write(out, indent + 2);
                }
            }
        }
    }

    /// Writes a value after its key.
    fn write_below(&self, out: &mut String, indent: usize) {
        match self {
            Self::Text(text) => {
                out.push(' ');
                write_text(out, text, indent + 2);
            }
            Self::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
            Self::List(values) if values.is_empty() => out.push_str(" []\n"),
            Self::Map(_) | Self::List(_) => {
                out.push('\n');
                pad(out, indent + 2);
                self.write(out, indent + 2);
            }
        }
    }
}

fn write_text(out: &mut String, text: &str, indent: usize) {
    if is_block(text) {
        out.push_str("|-\n");
        for line in text.lines() {
            if !line.is_empty() {
                pad(out, indent);
                out.push_str(line);
            }
            out.push('\n');
        }
    } else if is_plain(text) {
        out.push_str(text);
        out.push('\n');
    } else {
        // JSON leaves DEL, NEL and the like as they are, which YAML does not take (§5.1).
        for c in serde_json::Value::from(text).to_string().chars() {
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            } else {
                out.push(c);
            }
        }
        out.push('\n');
    }
}

/// Whether a literal block says exactly this text: lines that neither begin nor end with something that is lost.
fn is_block(text: &str) -> bool {
    let is_fine = |c: char| {
        c == '\n' || (!c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
    };
    text.contains(['\n', '"'])
        && !text.starts_with([' ', '\n'])
        && !text.ends_with('\n')
        && text.chars().all(is_fine)
        && text
            .lines()
            .all(|line| !line.trim().is_empty() || line.is_empty())
}

/// Whether a text needs no quotes: a word that nobody takes for a number, a truth or nothing.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 10] = [
        "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan",
    ];
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let yaml = Yaml::Map(vec![
            (
                "groups",
                Yaml::List(vec![
                    Yaml::Map(vec![
                        ("name", Yaml::text("a-b.c")),
                        ("no", Yaml::text("no")),
                    ]),
                    Yaml::Map(vec![
                        ("expr", Yaml::text("a\n  > 1\n\nb")),
                        (
                            "labels",
                            Yaml::Map(vec![("x", Yaml::text("{{ $value }}: 'q' # c"))]),
                        ),
                    ]),
                ]),
            ),
            ("empty", Yaml::List(Vec::new())),
        ]);
        let text = yaml.document();
        let wanted = json!({"groups": [
            {"name": "a-b.c", "no": "no"},
            {"expr": "a\n  > 1\n\nb", "labels": {"x": "{{ $value }}: 'q' # c"}},
        ], "empty": []});
        assert_eq!(read(&text), wanted, "{text}");
        assert!(text.contains("expr: |-\n      a\n        > 1\n"), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in "\\PC{0,12}|[ -~\n\t\r\u{0}\u{7f}\u{85}\u{2028}\u{feff}äß:#'\"|>-]{0,24}|true|null|1e3|0x1f|~|-|\\.5|y") {
            let written = Yaml::Map(vec![("key", Yaml::text(&*text))]).document();
            prop_assert_eq!(&read(&written)["key"], &json!(text), "{}", written);
        }
    }
}
