//! The policy as a table, and its properties.

use proptest::prelude::*;

use super::*;

/// What it becomes; `Err` is the status of a refusal.
fn run(text: &str) -> Result<String, u16> {
    let target = PathAndQuery::try_from(text).expect("the HTTP parser takes it");
    match canonical(&target) {
        Ok(Some(changed)) => {
            assert_ne!(
                changed.as_str(),
                target.as_str(),
                "a change that changes nothing"
            );
            Ok(changed.as_str().to_owned())
        }
        Ok(None) => Ok(target.as_str().to_owned()),
        Err(fault) => {
            assert_eq!(fault.outcome(), Outcome::HttpRequestError);
            Err(fault.status())
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn the_policy_holds() {
    const R: Result<&str, u16> = Err(400);
    let table: &[(&str, Result<&str, u16>)] = &[
        // As it is.
        ("/", Ok("/")),
        ("*", Ok("*")),
        ("/a", Ok("/a")),
        ("/a/", Ok("/a/")),
        ("/a/b.c/d-e_f~g", Ok("/a/b.c/d-e_f~g")),
        ("/a!$&'()*+,;=:@z", Ok("/a!$&'()*+,;=:@z")),
        ("/a;v=1/b;x", Ok("/a;v=1/b;x")),
        ("/a%20b", Ok("/a%20b")),
        ("/a%2Fb", Ok("/a%2Fb")),
        ("/a%5Cb", Ok("/a%5Cb")),
        ("/a%252e%252e/b", Ok("/a%252e%252e/b")),
        ("/...", Ok("/...")),
        ("/..a/b", Ok("/..a/b")),
        ("/.well-known/x", Ok("/.well-known/x")),
        ("/a.%2Fb", Ok("/a.%2Fb")),
        ("/%FF", Ok("/%FF")),
        // The query is the upstream's.
        ("/?", Ok("/?")),
        ("/?a=1&b=2", Ok("/?a=1&b=2")),
        ("/?b=2&a=1&a=0", Ok("/?b=2&a=1&a=0")),
        ("/?q=/../x//y", Ok("/?q=/../x//y")),
        ("/?q=%7e%2f%00", Ok("/?q=%7e%2f%00")),
        ("/?q=100%", Ok("/?q=100%")),
        ("/?a[]=1", Ok("/?a[]=1")),
        ("/?q=a?b", Ok("/?q=a?b")),
        ("/?q=é", Ok("/?q=%C3%A9")),
        ("/?q={a|b}", Ok("/?q=%7Ba%7Cb%7D")),
        ("/?q=\\^`", Ok("/?q=%5C%5E%60")),
        ("?x=1", Ok("/?x=1")),
        // Escapes.
        ("/%7euser", Ok("/~user")),
        ("/%41%5a%61%7a%30%39%2d%5f", Ok("/AZaz09-_")),
        ("/a%c3%a9", Ok("/a%C3%A9")),
        ("/a%2fb", Ok("/a%2Fb")),
        ("/a%5cb", Ok("/a%5Cb")),
        ("/a%3bb", Ok("/a%3Bb")),
        ("/%", R),
        ("/%4", R),
        ("/a%zz", R),
        ("/a%4/", R),
        ("/a%+1", R),
        ("/%25", Ok("/%25")),
        ("/%2541", Ok("/%2541")),
        ("/%00", R),
        ("/a%0a", R),
        ("/a%0D%0Ab", R),
        ("/a%1f", R),
        ("/a%7F", R),
        ("/a%80", Ok("/a%80")),
        // Raw bytes outside the grammar.
        ("/é", Ok("/%C3%A9")),
        ("/日本", Ok("/%E6%97%A5%E6%9C%AC")),
        ("/a\"b", Ok("/a%22b")),
        ("/a{b|c}", Ok("/a%7Bb%7Cc%7D")),
        ("/a^b", Ok("/a%5Eb")),
        ("/[slug]", Ok("/%5Bslug%5D")),
        ("/a\\b", Ok("/a%5Cb")),
        // Slashes and dots.
        ("//", Ok("/")),
        ("///a", Ok("/a")),
        ("/a//b", Ok("/a/b")),
        ("/a//", Ok("/a/")),
        ("//evil.test/a", Ok("/evil.test/a")),
        ("/.", Ok("/")),
        ("/./a", Ok("/a")),
        ("/a/.", Ok("/a/")),
        ("/a/./b", Ok("/a/b")),
        ("/a/..", Ok("/")),
        ("/a/../", Ok("/")),
        ("/a/b/..", Ok("/a/")),
        ("/a/b/../c", Ok("/a/c")),
        ("/a//../b", Ok("/b")),
        ("/a/%2e%2e/b", Ok("/b")),
        ("/a/.%2E/b", Ok("/b")),
        ("/a/%2e/b", Ok("/a/b")),
        ("/a/b/../../c", Ok("/c")),
        ("/a/../b/%2e%2e//c\\d", Ok("/c%5Cd")),
        ("/..", R),
        ("/../a", R),
        ("/a/../../b", R),
        ("/%2e%2e/a", R),
        ("//..", R),
        ("/./..", R),
        // Dot segments behind something that others decode or cut off.
        ("/a/..%2Fb", R),
        ("/a/..%2fb", R),
        ("/a/%2e%2e%2fb", R),
        ("/a%2F..", R),
        ("/a%2F.", R),
        ("/a%2F..%2Fb", R),
        ("/a/..%5Cb", R),
        ("/a%5C..", R),
        ("/a\\..\\b", R),
        ("/a/..;/b", R),
        ("/a/..;x=1/b", R),
        ("/a/.;/b", R),
        ("/a/..%3Bx/b", R),
        ("/a;x%2F../b", R),
        ("/a;..", Ok("/a;..")),
        ("/a;v=1..2", Ok("/a;v=1..2")),
        ("/a%2Fb.%2Fc", Ok("/a%2Fb.%2Fc")),
    ];
    for (given, expected) in table {
        assert_eq!(run(given), expected.map(str::to_owned), "of {given}");
    }
}

#[test]
fn an_absolute_uri_without_a_path_gets_the_root() {
    let uri: http::Uri = "http://a.test?x=1".parse().expect("a URI");
    let target = uri.path_and_query().expect("a path");
    let changed = canonical(target).expect("taken").expect("changed");
    assert_eq!(changed.as_str(), "/?x=1");
}

#[test]
fn what_grows_too_long_is_too_long() {
    let text = format!("/{}", "é".repeat(20_000));
    assert_eq!(run(&text), Err(414));
}

/// Paths made of the pieces that matter.
fn paths() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "/", ".", "..", "a", "b", "%2e", "%2E", "%2f", "%5C", "\\", ";", "%3b", "%25",
        "%7e", "%c3%A9", "é", "{", "[", "%", "%0", "%00", "%zz", "=", "|", "api", "x",
    ]);
    let query = prop::option::of("[a-z=&%{}/.?é]{0,8}");
    (prop::collection::vec(piece, 0..12), query).prop_map(|(pieces, query)| {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("/{}{query}", pieces.concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn canonical_is_canonical(text in paths()) {
        let target = PathAndQuery::try_from(text.as_str()).expect("a path");
        if let Ok(changed) = canonical(&target) {
            let result = changed.as_ref().unwrap_or(&target);
            // Idempotent: match(p) = match(forwarded p) for whoever makes it canonical again.
            prop_assert_eq!(canonical(result), Ok(None));
            let path = result.path();
            prop_assert!(path.starts_with('/'));
            prop_assert!(!path.contains("//"), "{}", path);
            prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{}", path);
            prop_assert!(path.is_ascii() && !path.contains('\\'));
            // Not even one who decodes everything once finds a way up.
            let decoded = path.replace("%2F", "/").replace("%5C", "/");
            prop_assert!(decoded.split('/').all(|segment| segment != ".."), "{}", path);
            // The query keeps its words in their order.
            prop_assert_eq!(result.query().is_some(), target.query().is_some());
        }
    }

    #[test]
    fn nothing_makes_it_panic(text in "/[ -~é]{0,24}") {
        if let Ok(target) = PathAndQuery::try_from(text.as_str()) {
            let _ = canonical(&target);
        }
    }

    #[test]
    fn the_short_way_agrees_with_the_long_one(text in "/[a-z./]{0,10}(\\?[a-z/.]{0,4})?") {
        let target = PathAndQuery::try_from(text.as_str()).expect("a path");
        if is_plain(&text) {
            let mut out = Vec::new();
            write_path(target.path(), &mut out).expect("plain");
            prop_assert_eq!(String::from_utf8(out).expect("ASCII"), target.path());
        }
    }
}
