//! Edits of paths, hosts and fields.

use http::{HeaderName, Version};

use super::*;
use crate::proxy::testing::{End, now, request, route};

fn prefix(path: &str) -> PathPattern {
    PathPattern::Prefix(path.into())
}

/// The target that goes upstream.
fn rewritten(pattern: PathPattern, rewrite: (Option<&str>, Option<&str>), uri: &str) -> String {
    let mut route = route("r", pattern);
    route.rewrite.strip_prefix = rewrite.0.map(str::to_owned);
    route.rewrite.prefix = rewrite.1.map(str::to_owned);
    let end = End::default();
    let mut layer = Rewrite::new(end.clone(), &route);
    let method = if uri == "*" { "OPTIONS" } else { "GET" };
    assert!(now(layer.call(request("127.0.0.1:1", Version::HTTP_11, method, uri, &[]))).is_ok());
    end.got.take().expect("the request").uri.to_string()
}

#[test]
fn a_prefix_is_taken_off_or_replaced() {
    for (matched, strip, put, uri, expected) in [
        ("/api", Some("/api"), None, "/api", "/"),
        ("/api", Some("/api"), None, "/api/", "/"),
        ("/api", Some("/api"), None, "/api/x?y=1", "/x?y=1"),
        ("/api", Some("/api"), None, "/api?y=1", "/?y=1"),
        ("/api", Some("/api/"), None, "/api/x", "/x"),
        ("/", Some("/api"), None, "/apix", "/apix"),
        ("/", Some("/api"), None, "/other", "/other"),
        ("/", Some("/"), None, "/a/b", "/a/b"),
        ("/api", None, Some("/v2"), "/api/x", "/v2/x"),
        ("/api", None, Some("/v2/"), "/api/x", "/v2/x"),
        ("/api", None, Some("/v2/"), "/api", "/v2"),
        ("/api/", None, Some("/v2"), "/api/x", "/v2/x"),
        ("/", None, Some("/v2"), "/x", "/v2/x"),
        ("/", None, Some("/v2"), "/", "/v2/"),
        ("/api", None, Some("/"), "/api/x", "/x"),
        ("/api", None, Some("/"), "/api", "/"),
        ("/api", Some("/api"), Some("/v2"), "/api/x", "/v2/x"),
        // A stripped path cannot become another's: no `//`, nothing above the root.
        ("/api", None, Some("/a/../é//b"), "/api/x", "/%C3%A9/b/x"),
        ("/", None, Some("/v2"), "*", "*"),
    ] {
        let found = rewritten(prefix(matched), (strip, put), uri);
        assert_eq!(found, expected, "{matched} {strip:?} {put:?} {uri}");
    }
    let exact = || PathPattern::Exact("/a/b".into());
    assert_eq!(rewritten(exact(), (None, Some("/z")), "/a/b?q"), "/z?q");
    let regex = PathPattern::Regex(regex::Regex::new("^/v[0-9]+/").expect("a pattern"));
    assert_eq!(rewritten(regex, (None, Some("/z")), "/v1/b"), "/z/v1/b");
}

#[test]
fn a_rewritten_path_may_grow_too_long() {
    let mut route = route("r", prefix("/"));
    route.rewrite.prefix = Some(format!("/{}", "x".repeat(60_000)));
    let mut layer = Rewrite::new(End::default(), &route);
    let uri = format!("/{}", "y".repeat(10_000));
    let fault = now(layer.call(request("127.0.0.1:1", Version::HTTP_11, "GET", &uri, &[])));
    assert_eq!(fault.err().map(|fault| fault.status()), Some(414));
}

#[test]
fn fields_are_removed_then_set_both_ways() {
    let edits = || HeaderEdits {
        set: vec![
            (
                HeaderName::from_static("x-team"),
                HeaderValue::from_static("shop"),
            ),
            (
                HeaderName::from_static("x-both"),
                HeaderValue::from_static("new"),
            ),
        ],
        remove: vec![
            HeaderName::from_static("x-internal"),
            HeaderName::from_static("x-both"),
        ],
    };
    let mut route = route("r", prefix("/"));
    route.rewrite.host = Some(HeaderValue::from_static("internal.test"));
    route.request_headers = edits();
    route.response_headers = edits();
    let end = End {
        answer: vec![
            ("x-internal", "1"),
            ("x-both", "old"),
            ("x-team", "a"),
            ("etag", "x"),
        ],
        ..End::default()
    };
    let mut layer = Rewrite::new(end.clone(), &route);
    let lines = [
        "host: a.test",
        "x-internal: 1",
        "x-both: old",
        "x-both: older",
        "x-team: a",
        "etag: x",
    ];
    let response = now(layer.call(request("127.0.0.1:1", Version::HTTP_11, "GET", "/", &lines)));
    let sent = end.got.take().expect("the request").headers;
    assert_eq!(
        sent.get("host").map(HeaderValue::as_bytes),
        Some(&b"internal.test"[..])
    );
    let back = response.expect("an answer");
    for headers in [&sent, back.headers()] {
        assert!(!headers.contains_key("x-internal"));
        let field = |name: &str| -> Vec<_> { headers.get_all(name).iter().collect() };
        assert_eq!(field("x-both"), ["new"]);
        assert_eq!(field("x-team"), ["shop"]);
        assert_eq!(field("etag"), ["x"]);
    }
}

#[test]
fn a_route_without_edits_has_none() {
    assert!(Edits::new(&route("r", prefix("/api"))).is_none());
}
