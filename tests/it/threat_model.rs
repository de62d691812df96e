//! `docs/threat-model.md` names a test for each defence: they exist.

use std::collections::HashSet;
use std::path::Path;

/// The names of all tests below a folder.
fn tests_below(folder: &Path, names: &mut HashSet<String>) {
    for entry in std::fs::read_dir(folder).expect("the source is there") {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(&path).expect("source is text");
            // proptest's stand in a macro, so the attribute and the name are looked for in any place.
            for piece in text.split("#[test]").skip(1) {
                let name = piece
                    .split("fn ")
                    .nth(1)
                    .and_then(|it| it.split('(').next());
                names.extend(name.map(str::to_owned));
            }
        }
    }
}

/// The words in backticks that are names of tests: sentences with underscores.
fn named(page: &str) -> Vec<&str> {
    let words = page.split('`').skip(1).step_by(2);
    let is_sentence = |word: &&str| {
        word.matches('_').count() >= 3
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    words.filter(is_sentence).collect()
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page =
        std::fs::read_to_string(root.join("docs/threat-model.md")).expect("the page is there");
    let mut known = HashSet::new();
    tests_below(&root.join("tests/it"), &mut known);
    tests_below(&root.join("src"), &mut known);
    let named = named(&page);
    assert!(named.len() > 50, "only {} tests are named", named.len());
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !known.contains(**name))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}
