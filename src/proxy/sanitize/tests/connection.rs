//! What concerned a connection alone, on both ways.

use http::{HeaderName, Version};
use proptest::prelude::*;

use super::*;

#[test]
fn fields_of_the_connection_stay_behind() {
    let ran = with(&[
        "connection: close, X-Mine, te",
        "Connection: x-other , ,keep-alive",
        "x-mine: 1",
        "x-other: 2",
        "x-third: 3",
        "keep-alive: timeout=5",
        "proxy-connection: keep-alive",
        "proxy-authorization: basic x",
        "proxy-authenticate: basic",
        "upgrade: h2c",
        "http2-settings: AAMAAABkAAQAAP__",
        "te: gzip",
        "transfer-encoding: chunked",
        "trailer: x-checksum",
    ]);
    let mut names: Vec<_> = ran.head().headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["host", "trailer", "x-third"]);
}

#[test]
fn a_connection_list_takes_nothing_away_that_is_for_everybody() {
    let ran = Ran::of(request(
        TRUSTED,
        Version::HTTP_11,
        "POST",
        "/",
        &[
            "host: a",
            "connection: host, content-length, x-forwarded-for, forwarded, authorization, cookie, via, x-request-id, user-agent",
            "content-length: 0",
            "x-forwarded-for: 192.0.2.1",
            "forwarded: for=192.0.2.1",
            "authorization: x",
            "cookie: a=b",
            "via: 1.1 other",
            "x-request-id: r",
            "user-agent: u",
        ],
    ));
    assert_eq!(ran.head().headers.len(), 9, "all but Connection itself");
    assert_eq!(ran.record.client.to_string(), "192.0.2.1");
}

#[test]
fn te_goes_on_only_as_trailers() {
    for (lines, expected) in [
        (&["te: trailers"][..], &["trailers"][..]),
        (&["te: gzip;q=0.5, Trailers"], &["trailers"]),
        (&["te: gzip", "te: trailers"], &["trailers"]),
        (&["te: gzip"], &[]),
        (&[], &[]),
    ] {
        assert_eq!(with(lines).field("te"), expected, "{lines:?}");
    }
}

#[test]
fn a_length_is_said_in_one_form() {
    for (came, expected) in [("0", "0"), ("000", "0"), ("010", "10"), ("10", "10")] {
        let ran = with(&[&format!("content-length: {came}")]);
        assert_eq!(ran.field("content-length"), [expected], "{came}");
    }
}

#[test]
fn white_space_around_a_value_ends_here() {
    let mut came = request(PEER, Version::HTTP_2, "GET", "http://a/", &[]);
    for value in ["a", " a b\t", "\t", ""] {
        let value = http::HeaderValue::from_static(value);
        came.head.headers.append("x", value);
    }
    assert_eq!(Ran::of(came).field("x"), ["a", "a b", "", ""]);
}

#[test]
fn the_body_has_one_framing() {
    for (lines, status) in [
        (&["transfer-encoding: chunked"][..], 0),
        (&["transfer-encoding: Chunked"], 0),
        (&["transfer-encoding: gzip, chunked"], 501),
        (
            &["transfer-encoding: chunked", "transfer-encoding: chunked"],
            400,
        ),
        (&["transfer-encoding: chunked", "transfer-encoding: "], 400),
        (&["transfer-encoding: chunked, chunked"], 400),
        (&["transfer-encoding: "], 400),
        (&["transfer-encoding: x"], 501),
        (&["content-length: 3"], 0),
        (&["content-length: 3", "content-length: 3"], 400),
        (&["content-length: 0 3"], 400),
        (&["content-length: "], 400),
    ] {
        assert_eq!(with(lines).status(), status, "{lines:?}");
    }
    for line in [
        "connection: close",
        "keep-alive: 1",
        "proxy-connection: x",
        "upgrade: x",
        "transfer-encoding: chunked",
    ] {
        let ran = Ran::of(request(PEER, Version::HTTP_2, "GET", "http://a/", &[line]));
        assert_eq!(ran.status(), 400, "{line}");
    }
}

#[test]
fn only_100_continue_may_be_expected() {
    for (version, line, status) in [
        (Version::HTTP_11, "expect: 100-continue", 0),
        (Version::HTTP_11, "expect: 100-Continue", 0),
        (Version::HTTP_11, "expect: foo", 417),
        (Version::HTTP_11, "expect: 100-continue, foo", 417),
        (Version::HTTP_10, "expect: foo", 0),
    ] {
        let ran = Ran::of(request(PEER, version, "PUT", "/", &["host: a", line]));
        assert_eq!(ran.status(), status, "{line}");
        if status == 0 {
            assert!(ran.field("expect").is_empty(), "hyper has answered it");
        }
    }
}

#[test]
fn cookie_crumbs_of_http2_are_joined() {
    let lines = ["cookie: a=1", "cookie: b=2", "cookie: c=3"];
    let ran = Ran::of(request(PEER, Version::HTTP_2, "GET", "http://a/", &lines));
    assert_eq!(ran.field("cookie"), ["a=1; b=2; c=3"]);
    // An empty crumb leaves nothing behind, not even white space at an end.
    let mut came = request(PEER, Version::HTTP_2, "GET", "http://a/", &[]);
    for crumb in ["", "a=1", "", "b=2", ""] {
        let crumb = http::HeaderValue::from_static(crumb);
        came.head.headers.append("cookie", crumb);
    }
    assert_eq!(Ran::of(came).field("cookie"), ["a=1; b=2"]);
}

#[test]
fn the_response_loses_what_concerned_the_upstreams_connection() {
    let answer = |fields: &[(&'static str, &'static str)]| {
        let end = End {
            answer: fields.to_vec(),
            ..End::default()
        };
        let rules = Rc::new([ListenerRules::new(&listener())]);
        let mut layer = Sanitize::new(end, rules, Trace::default(), "p".into());
        let response = now(layer.call(get(&["host: a"]))).expect("an answer");
        let mut names: Vec<_> = response.headers().keys().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(
        answer(&[
            ("connection", "close, x-mine"),
            ("connection", "x-other"),
            ("x-mine", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authenticate", "basic"),
            ("upgrade", "h2"),
            ("te", "x"),
            ("trailer", "x-sum"),
            ("content-length", "5"),
            ("set-cookie", "a"),
        ]),
        ["content-length", "set-cookie", "trailer"]
    );
    assert_eq!(
        answer(&[
            ("content-length", "99"),
            ("transfer-encoding", "chunked"),
            ("etag", "x")
        ]),
        ["etag"]
    );
}

// === properties ===

fn any_field() -> impl Strategy<Value = (String, String)> {
    let name = prop::sample::select(vec![
        "connection",
        "keep-alive",
        "te",
        "transfer-encoding",
        "upgrade",
        "proxy-authorization",
        "http2-settings",
        "x-forwarded-for",
        "x_forwarded_for",
        "X-Forwarded-Host",
        "forwarded",
        "x-real-ip",
        "via",
        "cookie",
        "expect",
        "x-a",
        "x-b",
        "content-length",
        "x-request-id",
        "authorization",
    ]);
    let word = prop::sample::select(vec![
        "close",
        "x-a",
        "x-b, authorization",
        "host",
        "keep-alive, x-forwarded-for",
        "trailers",
        "chunked",
        "1.2.3.4",
        "for=1.2.3.4",
        "",
        ",",
        "\u{e9}",
        "100-continue",
        "transfer-encoding, te",
    ]);
    (name, word).prop_map(|(name, word)| (name.to_owned(), word.to_owned()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_of_the_connection_and_no_stranger_passes(
        fields in prop::collection::vec(any_field(), 0..8),
        is_trusted: bool,
        is_http2: bool,
    ) {
        let lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let mut lines: Vec<_> = lines.iter().map(String::as_str).collect();
        lines.push("host: a");
        let version = if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        let peer = if is_trusted { TRUSTED } else { PEER };
        let authorized = lines.iter().filter(|line| line.starts_with("authorization")).count();
        let ran = Ran::of(request(peer, version, "GET", "/", &lines));
        if let Ok(head) = &ran.went {
            prop_assert_eq!(head.headers.get_all("host").iter().count(), 1);
            prop_assert_eq!(head.headers.get_all("authorization").iter().count(), authorized);
            for (name, value) in &head.headers {
                let name = name.as_str();
                let is_hop = ["connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-authorization",
                    "http2-settings", "expect", "x_forwarded_for"].contains(&name);
                prop_assert!(!is_hop, "{}", name);
                prop_assert!(name != "te" || value == "trailers");
                let says_who = name.starts_with("x-forwarded-") || name == "forwarded" || name == "x-real-ip";
                prop_assert!(is_trusted || !says_who, "{}", name);
            }
        }
        if !is_trusted {
            prop_assert_eq!(ran.record.client.to_string(), "203.0.113.9");
        }
    }
}
