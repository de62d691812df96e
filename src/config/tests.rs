//! Tests of the room as a whole: text in, plan or problems out.

mod arguments;
mod messages;
mod random;
mod units;
mod whole;

use super::{Loaded, Plan, Problem, Problems, parse};

/// What is told of a text, without the name of the file.
fn told(text: &str) -> Vec<String> {
    let list = match parse(text, "f") {
        Ok(Loaded { warnings, .. }) => warnings,
        Err(Problems(list)) => list,
    };
    let line = |problem: &Problem| problem.to_string().trim_start_matches("f:").to_owned();
    list.iter().map(line).collect()
}

/// The plan of a text that is right.
fn plan(text: &str) -> Plan {
    match parse(text, "f") {
        Ok(loaded) => loaded.plan,
        Err(problems) => panic!("{problems}"),
    }
}

/// The contract's file without what is not supported yet.
fn supported() -> String {
    const LATER: [&str; 4] = [
        "health:",
        "active:",
        "passive:",
        "limits: {connections: 1024",
    ];
    let is_now = |line: &&str| !LATER.iter().any(|key| line.trim_start().starts_with(key));
    let lines = include_str!("testdata/contract.yaml")
        .lines()
        .filter(is_now);
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Holds what is told against a file of `testdata`. `SIGHTGLASS_BLESS=1` writes the file anew instead, to be read
/// before it is committed.
fn assert_as_in(file: &str, expected: &str, told: &str) {
    if std::env::var_os("SIGHTGLASS_BLESS").is_some() {
        let path = format!("{}/src/config/testdata/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, told).expect("the source can be written");
        return;
    }
    for (told, expected) in told.lines().zip(expected.lines()) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.lines().count(), expected.lines().count());
}

/// A file that is right, with more keys in its sections.
#[derive(Clone, Copy, Default)]
struct Sketch<'a> {
    /// More keys of the listener.
    listener: &'a str,
    /// More keys of the route; its match is `{path: {prefix: /api}}` where they have none.
    route: &'a str,
    /// More keys of the upstream; its endpoint is 127.0.0.1:9001 where they have none.
    upstream: &'a str,
    /// More sections.
    rest: &'a str,
}

impl Sketch<'_> {
    fn text(self) -> String {
        let of = |key: &str, given: &str, default: &str| {
            if given.contains(key) {
                String::new()
            } else {
                format!("{default},")
            }
        };
        let matches = of("match:", self.route, "match: {path: {prefix: /api}}");
        let endpoints = of(
            "endpoints:",
            self.upstream,
            "endpoints: [{address: 127.0.0.1:9001}]",
        );
        format!(
            "listeners: [{{name: public, address: 127.0.0.1:8080, {}}}]\n\
             routes: [{{name: shop, upstream: web, {matches} {}}}]\n\
             upstreams: [{{name: web, {endpoints} {}}}]\n{}\n",
            self.listener, self.route, self.upstream, self.rest
        )
    }

    /// What is told, without places.
    fn told(self) -> Vec<String> {
        let without_place =
            |line: &String| line.splitn(3, ':').last().unwrap_or("").trim().to_owned();
        told(&self.text()).iter().map(without_place).collect()
    }
}
