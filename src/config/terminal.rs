//! What is written on a terminal: text of strangers, and colours. It stands in this room because whoever writes for people may know it.

use std::fmt::Write as _;
use std::io::IsTerminal;

/// A stranger's text that leaves the terminal as it is: control characters and those that turn the line around are
/// written as their numbers.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        if it.is_control() || turns(it) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(it)); // a text takes everything
        } else {
            out.push(it);
        }
    }
    out
}

/// Whether people want colours there: it is a terminal, and `NO_COLOR` does not say otherwise (no-color.org).
#[must_use]
pub fn wants_colours(out: &impl IsTerminal) -> bool {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    out.is_terminal() && !is_plain
}

/// Whether it ends a line or turns what follows round (UAX #9).
fn turns(it: char) -> bool {
    matches!(it, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_a_terminal_is_a_number_and_all_else_stays() {
        assert_eq!(harmless("\u{1b}[2J\r\n"), "\\u{1b}[2J\\u{d}\\u{a}");
        assert_eq!(harmless("\u{9b}2J\u{7f}"), "\\u{9b}2J\\u{7f}");
        assert_eq!(harmless("a\u{202e}b\u{61c}"), "a\\u{202e}b\\u{61c}");
        assert_eq!(harmless("/käse?a=\"ü\" 🧀"), "/käse?a=\"ü\" 🧀");
    }

    proptest! {
        #[test]
        fn nothing_that_steers_gets_by(text in any::<String>()) {
            let out = harmless(&text);
            prop_assert!(!out.chars().any(|it| it.is_control() || turns(it)));
            if !text.chars().any(|it| it.is_control() || turns(it)) {
                prop_assert_eq!(out, text);
            }
        }
    }
}
