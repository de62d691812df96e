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

#[test]
fn every_file_that_it_links_to_is_there() {
    let targets = README
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let files: Vec<_> = targets
        .filter(|target| !target.starts_with("http"))
        .collect();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let path = file.split('#').next().unwrap_or_default();
        assert!(path.is_empty() || root(path).exists(), "{file}");
    }
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
