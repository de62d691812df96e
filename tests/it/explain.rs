//! `sightglass explain`: what would become of a request, by the real binary and without a port.

mod recorded;

use std::process::Output;

use serde_json::{Value, json};

use super::command_line::{root, stderr, stdout};
use super::rig::Proxy;

fn explain(more: &[&str]) -> Output {
    let file = root("config/full.yaml").display().to_string();
    Proxy::output(&[&["explain", "--config", &file], more].concat())
}

/// The answer as JSON, and whether a route serves it.
fn told(more: &[&str]) -> (Value, bool) {
    let output = explain(&[more, &["--json"]].concat());
    let is_served = match output.status.code() {
        Some(0) => true,
        Some(1) => false,
        other => panic!("{other:?}: {}", stderr(&output)),
    };
    let text = stdout(&output);
    (serde_json::from_str(&text).expect("JSON"), is_served)
}

fn lost<'a>(answer: &'a Value, route: &str) -> &'a Value {
    let all = answer["others"].as_array().expect("a list");
    let found = all.iter().find(|it| it["route"] == route);
    found.unwrap_or_else(|| panic!("{route}: {answer}"))
}

#[test]
fn the_route_is_named_with_its_upstream_and_why_each_other_one_lost() {
    let (answer, is_served) = told(&["GET", "http://a.test:8080/x/../search?q=1"]);
    assert!(is_served, "{answer}");
    assert_eq!(answer["route"], "search");
    assert_eq!(answer["request"]["path"], "/search");
    assert_eq!(answer["request"]["path_asked"], "/x/../search");
    assert_eq!(answer["upstream_request"]["target"], "/search?q=1");
    assert_eq!(lost(&answer, "checkout")["reason"], "host");
    assert_eq!(lost(&answer, "pay")["reason"], "path");
    let rest = lost(&answer, "everything-else");
    assert_eq!(rest["reason"], "less_specific");
    assert!(
        rest["detail"]
            .as_str()
            .is_some_and(|it| it.contains("search"))
    );
}

#[test]
fn each_condition_that_fails_is_named() {
    let url = "http://shop.test/api/checkout?v=2";
    let gold = "x-tier: gold";
    for (words, reason) in [
        (
            &["GET", "http://other.test/api/checkout?v=2", "-H", gold][..],
            "host",
        ),
        (
            &["GET", "http://shop.test/api/checkouts?v=2", "-H", gold],
            "path",
        ),
        (&["DELETE", url, "-H", gold], "method"),
        (&["GET", url, "-H", "x-tier: tin"], "header"),
        (
            &["GET", "http://shop.test/api/checkout?v=3", "-H", gold],
            "query",
        ),
    ] {
        let (answer, _) = told(words);
        assert_eq!(answer["route"], "everything-else", "{words:?}");
        assert_eq!(lost(&answer, "checkout")["reason"], reason, "{words:?}");
    }
    let (answer, _) = told(&["POST", "http://shop.test/shop.Checkout/Pay"]);
    assert_eq!(lost(&answer, "pay")["reason"], "grpc");
}

#[test]
fn access_rules_ask_for_an_address_and_a_password() {
    let asked = [
        "GET",
        "http://shop.test/api/checkout?v=2",
        "-H",
        "x-tier: gold",
    ];
    let (answer, is_served) = told(&asked);
    assert!(!is_served);
    assert_eq!(answer["answer"]["status"], 401);
    assert_eq!(
        answer["provided"].as_array().map(Vec::len),
        Some(2),
        "{answer}"
    );
    let (answer, _) = told(&[&asked[..], &["--client", "10.0.0.13"]].concat());
    assert_eq!(answer["answer"]["status"], 403);
    assert_eq!(answer["provided"], json!([]));
}

#[test]
fn what_a_listener_answers_itself_is_told() {
    let (answer, is_served) = told(&["GET", "http://shop.test:8081/x"]);
    assert!(!is_served);
    assert_eq!(answer["answer"]["verdict"], "redirected");
    assert_eq!(answer["answer"]["location"], "https://shop.test/x");
    let (answer, is_served) = told(&["GET", "https://shop.test/x"]);
    assert!(!is_served);
    assert_eq!(answer["answer"]["verdict"], "unreachable");
    for (words, status) in [
        (["TRACE", "http://shop.test/x"], 405),
        (["GET", "http://shop.test/../x"], 400),
        (["GET", "http://shop.test/%00"], 400),
    ] {
        let (answer, is_served) = told(&words);
        assert!(
            !is_served && answer["answer"]["status"] == status,
            "{words:?}: {answer}"
        );
    }
}

#[test]
fn bad_input_is_one_clear_sentence() {
    for (words, part) in [
        (&["get", "http://a.test/"][..], "write GET"),
        (&["G T", "http://a.test/"], "is no method"),
        (&["GET", "/x"], "scheme, host and path"),
        (&["GET", "ftp://a.test/x"], "http or https"),
        (&["GET", "http://a.test/a b"], "%20"),
        (&["GET", "http://u:p@a.test/"], "authorization"),
        (&["GET", "http://a.test/", "-H", "x-tier"], "name: value"),
        (&["GET", "http://a.test/", "-H", "x tier: 1"], "its name is"),
        (
            &["GET", "http://a.test/", "--client", "10.0.0.1:80"],
            "without a port",
        ),
    ] {
        let output = explain(words);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(
            said.contains(part) && said.lines().count() == 1,
            "{words:?}: {said}"
        );
    }
}

#[test]
fn the_page_says_the_verdict_first_and_is_plain_where_it_is_no_terminal() {
    let output = explain(&["GET", "http://a.test/search"]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.starts_with("served by route search\n"), "{said}");
    for part in [
        "->public",
        "web (9 of 11)",
        "x-forwarded-for: 192.0.2.1",
        "why each other route lost",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains('\u{1b}'));
}
