//! Who is asked by whom: hosts, paths, limits, clients, ids, traces. [`connection`] has the rest.

use std::cell::Cell;

use http::{HeaderMap, HeaderName, Version};

use super::*;
use crate::config::Name;
use crate::exchange::Record;
use crate::proxy::testing::{End, now, request};

mod connection;

const PEER: &str = "203.0.113.9:4000";
const TRUSTED: &str = "10.0.0.1:4000";

/// Notes whether the context was to be followed.
#[derive(Clone, Debug, Default)]
struct Trace(Rc<Cell<Option<bool>>>);

impl PlaceTrace for Trace {
    fn place(&self, headers: &mut HeaderMap, follow: bool) -> TracePlace {
        headers.remove("traceparent");
        self.0.set(Some(follow));
        let mut place = TracePlace::root(true);
        place.trace_id.0 = [7; 16];
        place
    }
}

/// A listener that trusts 10/8.
fn listener() -> Listener {
    Listener {
        name: Name::new("public"),
        address: "127.0.0.1:0".parse().expect("an address"),
        http1: true,
        http2: true,
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        trace_context: TraceContext::Private,
        request_id: true,
        timeout: crate::config::ListenerTimeouts::default(),
        limits: crate::config::ListenerLimits::default(),
        tls: None,
        proxy_protocol: false,
        redirect_to_https: None,
    }
}

/// What comes of a request: the head as it goes on, or the refusal's status and outcome; and the record.
struct Ran {
    went: Result<Parts, (u16, Outcome)>,
    record: Record,
    followed: Option<bool>,
}

impl Ran {
    fn of_by(listener: &Listener, request: Request) -> Self {
        let (end, trace) = (End::default(), Trace::default());
        let rules = Rc::new([ListenerRules::new(listener)]);
        let mut layer = Sanitize::new(end.clone(), rules, trace.clone(), "sightglass-1".into());
        let exchange = request.exchange.clone();
        let answer = now(layer.call(request));
        let went = match answer {
            Ok(_) => Ok(end.got.take().expect("the request")),
            Err(fault) => Err((fault.status(), fault.outcome())),
        };
        let outcome = went.as_ref().err().map_or(Outcome::Served, |err| err.1);
        Self {
            went,
            record: exchange.finish(outcome).expect("the first end"),
            followed: trace.0.get(),
        }
    }

    fn of(request: Request) -> Self {
        Self::of_by(&listener(), request)
    }

    /// The status of a refusal by `http_request_error`; 0 where it went on.
    fn status(&self) -> u16 {
        match self.went {
            Ok(_) => 0,
            Err((status, outcome)) => {
                assert_eq!(outcome, Outcome::HttpRequestError);
                status
            }
        }
    }

    fn head(&self) -> &Parts {
        self.went.as_ref().expect("it went on")
    }

    /// All lines of a field that went on.
    fn field(&self, name: &str) -> Vec<&str> {
        let lines = self.head().headers.get_all(name);
        lines.iter().filter_map(|line| line.to_str().ok()).collect()
    }
}

fn get(lines: &[&str]) -> Request {
    request(PEER, Version::HTTP_11, "GET", "/", lines)
}

/// A plain request with these fields.
fn with(lines: &[&str]) -> Ran {
    Ran::of(get(&[&["host: a.test"], lines].concat()))
}

#[test]
fn there_is_exactly_one_host() {
    use Version as V;
    let table: &[(Version, &str, &[&str], u16, &str)] = &[
        (V::HTTP_11, "/", &["host: a.test"], 0, "a.test"),
        (V::HTTP_11, "/", &["host: A.test:80"], 0, "A.test:80"),
        (V::HTTP_11, "/", &["host: [::1]:80"], 0, "[::1]:80"),
        (V::HTTP_11, "/", &[], 400, ""),
        (V::HTTP_11, "/", &["host: "], 400, ""),
        (V::HTTP_11, "/", &["host: a", "host: b"], 400, ""),
        (V::HTTP_11, "/", &["host: a", "host: a"], 400, ""),
        (V::HTTP_11, "/", &["host: a b/..@c"], 400, ""),
        (V::HTTP_11, "/", &["host: u@a"], 400, ""),
        (V::HTTP_10, "/", &[], 0, ""),
        (V::HTTP_10, "/", &["host: a.test"], 0, "a.test"),
        (V::HTTP_10, "/", &["host: a", "host: b"], 400, ""),
        (V::HTTP_10, "/", &["host: a,b"], 400, ""),
        // The absolute form wins, and Host has to be there and valid all the same.
        (
            V::HTTP_11,
            "http://evil.test/x",
            &["host: good.test"],
            0,
            "evil.test",
        ),
        (
            V::HTTP_11,
            "https://a.test:1/x",
            &["host: a.test:1"],
            0,
            "a.test:1",
        ),
        (V::HTTP_11, "http://a.test/", &[], 400, ""),
        (V::HTTP_11, "http://a.test/", &["host: b c"], 400, ""),
        (V::HTTP_11, "http://u:p@a.test/", &["host: a.test"], 400, ""),
        (V::HTTP_11, "ftp://a.test/", &["host: a.test"], 400, ""),
        (V::HTTP_10, "http://a.test/", &[], 0, "a.test"),
        // No path: the form of CONNECT.
        (V::HTTP_11, "a.test:80", &["host: a.test"], 400, ""),
        (V::HTTP_2, "http://a.test/", &[], 0, "a.test"),
        (V::HTTP_2, "http://a.test/", &["host: A.test"], 0, "a.test"),
        (V::HTTP_2, "http://a.test/", &["host: b.test"], 400, ""),
        (
            V::HTTP_2,
            "http://a.test/",
            &["host: a.test", "host: a.test"],
            400,
            "",
        ),
        (V::HTTP_2, "/", &["host: a.test"], 0, "a.test"),
        (V::HTTP_2, "/", &[], 400, ""),
        (V::HTTP_2, "gopher://a.test/", &[], 400, ""),
    ];
    for (version, uri, lines, status, host) in table {
        let ran = Ran::of(request(PEER, *version, "GET", uri, lines));
        assert_eq!(ran.status(), *status, "{version:?} {uri} {lines:?}");
        if *status == 0 {
            let hosts: &[&str] = if host.is_empty() { &[] } else { &[host] };
            assert_eq!(ran.field("host"), hosts, "{version:?} {uri} {lines:?}");
            assert!(ran.head().uri.authority().is_none(), "origin form");
        }
    }
}

#[test]
fn the_path_goes_on_in_canonical_form() {
    let ran = Ran::of(request(
        PEER,
        Version::HTTP_11,
        "GET",
        "/a/../b/%7e//c?x=1",
        &["host: a"],
    ));
    assert_eq!(ran.head().uri, "/b/~/c?x=1");
    let words = ran.record.text.words();
    assert_eq!((words.path, words.query), ("/b/~/c", "x=1"));
    for (method, uri, status) in [
        ("GET", "/../x", 400),
        ("GET", "/%00", 400),
        ("GET", "*", 400),
        ("OPTIONS", "*", 0),
    ] {
        let ran = Ran::of(request(PEER, Version::HTTP_11, method, uri, &["host: a"]));
        assert_eq!(ran.status(), status, "{method} {uri}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let mut small = listener();
    small.limits.uri = crate::config::ByteSize(10);
    small.limits.headers = 3;
    let run = |uri: &str, lines: &[&str]| {
        Ran::of_by(&small, request(PEER, Version::HTTP_11, "GET", uri, lines)).status()
    };
    assert_eq!(run("/12345678?", &["host: a"]), 0);
    assert_eq!(run("/123456789?", &["host: a"]), 414);
    assert_eq!(run("http://a/1", &["host: a"]), 0);
    assert_eq!(run("http://a/12", &["host: a"]), 414);
    assert_eq!(run("/", &["host: a", "x: 1", "x: 2"]), 0);
    assert_eq!(run("/", &["host: a", "x: 1", "x: 2", "x: 3"]), 431);
}

#[test]
fn traces_are_denied() {
    let lines = ["host: a.test"];
    let ran = Ran::of(request(PEER, Version::HTTP_11, "TRACE", "/", &lines));
    assert_eq!(ran.went.err(), Some((405, Outcome::HttpRequestDenied)));
}

#[test]
fn a_connect_goes_on_as_a_request_for_the_root_of_its_host() {
    let lines = ["host: other.test"];
    let target = "a.test:80";
    let ran = Ran::of(request(PEER, Version::HTTP_11, "CONNECT", target, &lines));
    let head = ran.head();
    assert_eq!(
        (head.method.as_str(), head.uri.to_string().as_str()),
        ("CONNECT", "/")
    );
    assert_eq!(head.headers["host"], target);
    assert_eq!(ran.record.text.words().host, target);
}

#[test]
fn of_a_handshake_only_the_connections_own_fields_stay_behind() {
    let lines = [
        "host: a.test",
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version: 13",
    ];
    let ran = Ran::of(request(PEER, Version::HTTP_11, "GET", "/chat", &lines));
    let mut names: Vec<_> = ran.head().headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["host", "sec-websocket-key", "sec-websocket-version"]
    );
}

#[test]
fn a_refused_request_has_its_words_and_its_trace() {
    let lines = ["host: a b", "user-agent: probe", "x-request-id: id-1"];
    let ran = Ran::of(request(PEER, Version::HTTP_11, "BREW", "/../x?y", &lines));
    assert_eq!(ran.status(), 400);
    let words = ran.record.text.words();
    assert_eq!((words.host, words.path, words.query), ("a b", "/../x", "y"));
    assert_eq!(
        (words.user_agent, words.request_id, words.method),
        ("probe", "id-1", "BREW")
    );
    assert_eq!(ran.record.trace.trace_id.0, [7; 16]);
    // Credentials in an authority are nobody's to read.
    let ran = Ran::of(request(
        PEER,
        Version::HTTP_11,
        "GET",
        "http://u:p@a/",
        &["host: a"],
    ));
    assert_eq!(ran.record.text.words().host, "a");
}

#[test]
fn a_loop_ends_here() {
    for (via, is_loop) in [
        ("1.1 sightglass-1", true),
        ("1.0 fred, HTTP/2  sightglass-1 (x), 1.1 other", true),
        ("1.1 sightglass-12, 1.1 x-sightglass-1", false),
        ("sightglass-1", false),
    ] {
        let ran = with(&[&format!("via: {via}")]);
        let expected = is_loop.then_some((502, Outcome::ProxyLoopDetected));
        assert_eq!(ran.went.err(), expected, "{via}");
    }
}

#[test]
fn max_forwards_counts_down_for_options() {
    let run = |method: &str, value: &str| {
        let line = format!("max-forwards: {value}");
        Ran::of(request(
            PEER,
            Version::HTTP_11,
            method,
            "/",
            &["host: a", &line],
        ))
    };
    assert_eq!(run("OPTIONS", "5").field("max-forwards"), ["4"]);
    assert_eq!(run("OPTIONS", "x").field("max-forwards"), ["x"]);
    assert_eq!(run("GET", "0").field("max-forwards"), ["0"]);
    let ended = run("OPTIONS", "0").went.err();
    assert_eq!(ended, Some((403, Outcome::HttpRequestDenied)));
}

#[test]
fn a_request_id_is_kept_where_it_is_one() {
    let long = "x".repeat(128);
    for (lines, expected) in [
        (vec!["x-request-id: abc-1".to_owned()], Some("abc-1")),
        (vec![format!("x-request-id: {long}")], Some(long.as_str())),
        (vec![format!("x-request-id: {long}x")], None),
        (vec!["x-request-id: a b".to_owned()], None),
        (vec!["x-request-id: ".to_owned()], None),
        (
            vec!["x-request-id: a".to_owned(), "x-request-id: b".to_owned()],
            None,
        ),
    ] {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let ran = with(&lines);
        assert_eq!(
            ran.field("x-request-id"),
            Vec::from_iter(expected),
            "{lines:?}"
        );
        assert_eq!(
            ran.record.text.words().request_id,
            expected.unwrap_or_default()
        );
    }
    let mut off = listener();
    off.request_id = false;
    let ran = Ran::of_by(&off, get(&["host: a", "x-request-id: a b"]));
    assert_eq!(
        ran.field("x-request-id"),
        ["a b"],
        "then it is a field as any other"
    );
    assert_eq!(ran.record.text.words().request_id, "");
}

#[test]
fn strangers_do_not_say_who_the_client_is() {
    let lines = [
        "host: a",
        "x-forwarded-for: 192.0.2.1",
        "x-forwarded-proto: https",
        "x-forwarded-anything: 1",
        "x-forwarded-o: 1",
        "x_forwarded_o: 1",
        "x-forwarded-client_cert: 1",
        "x-real-ip: 192.0.2.1",
        "forwarded: for=192.0.2.1",
        "x_forwarded_for: 192.0.2.1",
        "x-forwarded_proto: https",
        "content_length: 5",
        "transfer_encoding: chunked",
        "proxy: http://evil.test",
        "x_other: 1",
    ];
    let ran = Ran::of(request(PEER, Version::HTTP_11, "GET", "/", &lines));
    let mut names: Vec<_> = ran.head().headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["host", "x_other"]);
    assert_eq!(ran.record.client.to_string(), "203.0.113.9");

    let ran = Ran::of(request(TRUSTED, Version::HTTP_11, "GET", "/", &lines));
    assert_eq!(ran.record.client.to_string(), "192.0.2.1");
    assert_eq!(ran.field("x-forwarded-proto"), ["https"]);
    assert_eq!(ran.field("x-real-ip"), ["192.0.2.1"]);
    for alias in [
        "x_forwarded_for",
        "x-forwarded_proto",
        "x-forwarded-client_cert",
        "content_length",
        "proxy",
    ] {
        assert!(
            ran.field(alias).is_empty(),
            "{alias} not even from a trusted peer"
        );
    }
}

#[test]
fn a_context_is_followed_as_the_listener_says() {
    use TraceContext::{All, None, Private, Trusted};
    for (context, peer, line, expected) in [
        (Trusted, TRUSTED, "x: 1", true),
        (Trusted, "127.0.0.1:1", "x: 1", false),
        (Private, "127.0.0.1:1", "x: 1", true),
        (Private, "192.168.1.1:1", "x: 1", true),
        (Private, "[fd00::1]:1", "x: 1", true),
        (Private, "[fe80::1]:1", "x: 1", true),
        (Private, "[::ffff:192.168.1.1]:1", "x: 1", true),
        (Private, "100.64.0.1:1", "x: 1", false),
        (Private, PEER, "x: 1", false),
        (Private, PEER, "x-forwarded-for: 127.0.0.1", false),
        (Private, TRUSTED, "x-forwarded-for: 192.0.2.1", true),
        (All, PEER, "x: 1", true),
        (None, TRUSTED, "x: 1", false),
    ] {
        let mut listener = listener();
        listener.trace_context = context;
        let request = request(peer, Version::HTTP_11, "GET", "/", &["host: a", line]);
        let ran = Ran::of_by(&listener, request);
        assert_eq!(ran.followed, Some(expected), "{context:?} {peer} {line}");
    }
}
