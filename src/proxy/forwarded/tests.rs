//! What the upstream is told.

use http::Version;

use super::*;
use crate::exchange::{Text, Words};
use crate::proxy::testing::{End, now, request};

/// The fields that reach the upstream, each with its lines joined by ` | `.
fn run(peer: &str, version: Version, gives_id: bool, host: &str, lines: &[&str]) -> HeaderMap {
    let end = End::default();
    let mut layer = Forwarded {
        inner: end.clone(),
        shared: Forwarded::new((), &[], "sightglass-1").shared,
    };
    Rc::get_mut(&mut layer.shared)
        .expect("not shared yet")
        .gives_id = [gives_id].into();
    let request = request(peer, version, "GET", "/", lines);
    request.exchange.note_words(Text::new(&Words {
        host,
        ..Words::default()
    }));
    assert!(now(layer.call(request)).is_ok());
    end.got.take().expect("the request").headers
}

fn field(headers: &HeaderMap, name: &str) -> String {
    let lines = headers.get_all(name).iter();
    let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    lines.join(" | ")
}

#[test]
fn the_upstream_is_told_who_called() {
    let headers = run(
        "192.0.2.1:5",
        Version::HTTP_11,
        true,
        "a.test:80",
        &["host: a.test:80"],
    );
    for (name, expected) in [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a.test:80"),
        ("forwarded", "for=192.0.2.1;host=\"a.test:80\";proto=http"),
        ("via", "1.1 sightglass-1"),
    ] {
        assert_eq!(field(&headers, name), expected, "{name}");
    }
    let id = field(&headers, "x-request-id");
    assert!(
        id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "{id}"
    );
}

#[test]
fn an_ipv6_address_stands_in_quotes() {
    let headers = run("[2001:db8::1]:5", Version::HTTP_2, true, "[::1]", &[]);
    assert_eq!(field(&headers, "x-forwarded-for"), "2001:db8::1");
    let expected = "for=\"[2001:db8::1]\";host=\"[::1]\";proto=http";
    assert_eq!(field(&headers, "forwarded"), expected);
    assert_eq!(field(&headers, "via"), "2 sightglass-1");
}

#[test]
fn a_mapped_address_is_the_one_it_maps() {
    let headers = run("[::ffff:192.0.2.1]:5", Version::HTTP_11, true, "a", &[]);
    assert_eq!(
        field(&headers, "forwarded"),
        "for=192.0.2.1;host=a;proto=http"
    );
}

#[test]
fn what_a_trusted_proxy_said_is_kept_and_added_to() {
    let headers = run(
        "10.0.0.1:5",
        Version::HTTP_11,
        true,
        "inner.test",
        &[
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-for: 10.0.0.2",
            "x-forwarded-proto: https",
            "x-forwarded-host: shop.test",
            "forwarded: for=192.0.2.1;proto=https",
            "via: 1.1 edge",
            "x-request-id: mine",
        ],
    );
    for (name, expected) in [
        ("x-forwarded-for", "192.0.2.1, 10.0.0.2, 10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.test"),
        (
            "forwarded",
            "for=192.0.2.1;proto=https, for=10.0.0.1;host=inner.test;proto=http",
        ),
        ("via", "1.1 edge | 1.1 sightglass-1"),
        ("x-request-id", "mine"),
    ] {
        assert_eq!(field(&headers, name), expected, "{name}");
    }
}

#[test]
fn a_broken_line_does_not_swallow_what_is_added_to_it() {
    let ours = "for=10.0.0.1;host=a;proto=http";
    for broken in [
        "for=\"",
        "for=192.0.2.1, for=\"[::1]",
        "for=192.0.2.1 x",
        "for=192.0.2.1;for=192.0.2.2",
        "192.0.2.1",
    ] {
        let lines = ["forwarded: for=192.0.2.9", &format!("forwarded: {broken}")];
        let headers = run("10.0.0.1:5", Version::HTTP_11, true, "a", &lines);
        let expected = format!("for=192.0.2.9, {ours}");
        assert_eq!(field(&headers, "forwarded"), expected, "{broken}");
    }
}

#[test]
fn nothing_is_said_of_a_host_that_nobody_named() {
    let headers = run("192.0.2.1:5", Version::HTTP_10, false, "", &[]);
    assert_eq!(field(&headers, "forwarded"), "for=192.0.2.1;proto=http");
    assert!(!headers.contains_key("x-forwarded-host"));
    assert!(
        !headers.contains_key("x-request-id"),
        "the listener gives none"
    );
    assert_eq!(field(&headers, "via"), "1.0 sightglass-1");
}
