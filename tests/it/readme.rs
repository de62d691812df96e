//! What the README tells people to type and to write is true.

use super::command_line::{check, root, stdout, try_line};

const README: &str = include_str!("../../README.md");

/// The fenced blocks of this language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        if let Some(tag) = line.trim_start().strip_prefix("```") {
            let block: Vec<_> = lines
                .by_ref()
                .take_while(|line| !line.trim_start().starts_with("```"))
                .collect();
            if tag == language {
                blocks.push(block.join("\n") + "\n");
            }
        }
    }
    blocks
}

#[test]
fn every_configuration_in_it_is_accepted() {
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let blocks = blocks("yaml");
    assert!(!blocks.is_empty());
    for block in blocks {
        let file = dir.path().join("readme.yaml");
        std::fs::write(&file, &block).expect("it takes files");
        let output = check(&file);
        assert!(output.status.success(), "{block}\n{}", stdout(&output));
        assert!(!stdout(&output).contains("warning"), "{}", stdout(&output));
    }
}

#[test]
fn every_command_in_it_is_one() {
    let file = root("config/quickstart.yaml");
    let mut tried = 0;
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        let line = line.split(" #").next().unwrap_or_default().trim();
        let line = line.replace("cargo run --release -- ", "sightglass ");
        let line = line.trim_start_matches("target/release/");
        assert!(!line.contains("target/"), "{line}");
        if line.starts_with("sightglass ") {
            try_line(line, &file);
            tried += 1;
        }
        for word in line
            .split_whitespace()
            .filter(|word| word.starts_with("deploy/"))
        {
            assert!(root(word).exists(), "{line}");
        }
    }
    assert!(tried >= 6, "only {tried} were found");
}

/// What a page links to in the repository: the file, from that page's folder, and the heading in it.
fn links(page: &str) -> Vec<(&str, Option<&str>)> {
    let targets = page
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.starts_with("http") && !target.contains(' '))
        .map(|target| match target.split_once('#') {
            Some((file, heading)) => (file, Some(heading)),
            None => (target, None),
        })
        .collect()
}

/// The headings of a page, as links name them.
fn headings(page: &str) -> Vec<String> {
    let lines = page.lines().filter(|line| line.starts_with('#'));
    let name = |line: &str| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|it| it.is_alphanumeric() || [' ', '-', '_'].contains(it));
        kept.map(|it| if it == ' ' { '-' } else { it })
            .collect::<String>()
    };
    lines.map(name).collect()
}

#[test]
fn every_file_and_heading_that_the_docs_link_to_is_there() {
    let docs = std::fs::read_dir(root("docs")).expect("there are docs");
    let docs = docs.map(|entry| entry.expect("an entry").path());
    let mut pages: Vec<_> = docs
        .filter(|path| path.extension().is_some_and(|it| it == "md"))
        .collect();
    pages.extend([root("README.md"), root("CONTRIBUTING.md")]);
    let mut count = 0;
    for page in &pages {
        let text = std::fs::read_to_string(page).expect("it is text");
        for (file, heading) in links(&text) {
            count += 1;
            let target = match file {
                "" => page.clone(),
                file => page.with_file_name(file),
            };
            let about = format!("{} links to {file}#{heading:?}", page.display());
            assert!(target.exists(), "{about}");
            if let Some(heading) = heading {
                let text = std::fs::read_to_string(&target).expect("it is text");
                assert!(headings(&text).iter().any(|it| it == heading), "{about}");
            }
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn it_leads_from_the_demo_to_ones_own_service() {
    for needed in [
        "cargo run --release -- demo",
        "cargo test",
        "--to",
        "config/full.yaml",
        "http://127.0.0.1:9901/",
    ] {
        assert!(README.contains(needed), "{needed}");
    }
}
