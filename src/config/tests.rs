//! Tests of the room as a whole: text in, plan or problems out.

use super::*;

/// The lines that a text's problems print, without warnings.
fn errors(text: &str) -> Vec<String> {
    let Err(problems) = parse(text, "f") else {
        return Vec::new();
    };
    let is_error = |problem: &&Problem| problem.severity == Severity::Error;
    problems
        .0
        .iter()
        .filter(is_error)
        .map(Problem::to_string)
        .collect()
}

#[test]
fn names_exactly_the_keys_of_the_contract_that_are_not_supported_yet() {
    assert_eq!(
        errors(include_str!("testdata/contract.yaml")),
        [
            "f:45:5: routes[0].slo: not supported yet",
            "f:60:5: upstreams[0].health: not supported yet",
            "f:63:5: upstreams[0].limits: not supported yet",
        ]
    );
}
