//! No text makes the reader panic, and none is refused without a reason.

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::{Severity, parse};
use super::supported;

/// A file that is right, or one that is not.
fn file() -> impl Strategy<Value = String> {
    let wrong = include_str!("../testdata/mistakes.yaml").to_owned();
    prop_oneof![Just(supported()), Just(wrong)]
}

/// Pieces that mean something to YAML or to us.
const PIECES: [&str; 24] = [
    "",
    "\n",
    "  ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "*a",
    "&a ",
    "<<: ",
    "~",
    "null",
    "true",
    "-1",
    "1e9",
    "%",
    "é",
    "\"",
    "'",
    "\t",
    "name: ",
    "endpoints",
];

/// Holds for every text: problems have places inside it, and a refusal has an error.
fn check(text: &str) -> Result<(), TestCaseError> {
    let lines = text.split(['\n', '\r']).count() + 1;
    match parse(text, "f") {
        Ok(loaded) => {
            let is_warning = |severity| severity == Severity::Warning;
            prop_assert!(
                loaded
                    .warnings
                    .iter()
                    .all(|problem| is_warning(problem.severity))
            );
            prop_assert!(!loaded.plan.listeners.is_empty() && !loaded.plan.routes.is_empty());
        }
        Err(problems) => {
            prop_assert!(
                problems.errors() > 0,
                "refused without an error: {problems}"
            );
            for problem in &problems.0 {
                prop_assert!(
                    problem.line >= 1 && problem.line as usize <= lines,
                    "{problem}"
                );
                prop_assert!(problem.column >= 1, "{problem}");
            }
        }
    }
    Ok(())
}

/// The text with what is at these places replaced by other pieces.
fn mutated(text: &str, cuts: &[(Index, usize, usize)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (place, length, piece) in cuts {
        let at = place.index(chars.len().max(1)).min(chars.len());
        let end = (at + length).min(chars.len());
        chars.splice(at..end, PIECES[*piece].chars());
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_mutated_file_is_read_or_refused_with_reasons(
        file in file(),
        cuts in prop::collection::vec((any::<Index>(), 0_usize..12, 0..PIECES.len()), 1..6),
    ) {
        check(&mutated(&file, &cuts))?;
    }

    #[test]
    fn a_file_whose_lines_are_shuffled_out_is_read_or_refused_with_reasons(
        file in file(),
        dropped in prop::collection::vec(any::<Index>(), 1..12),
    ) {
        let mut lines: Vec<&str> = file.lines().collect();
        for index in dropped {
            lines.remove(index.index(lines.len()));
        }
        check(&lines.join("\n"))?;
    }

    #[test]
    fn any_text_is_read_or_refused_with_reasons(text in "\\PC{0,80}|[-a-z:{}\\[\\]&*!|>'\"%@ \n]{0,80}") {
        check(&text)?;
    }
}
