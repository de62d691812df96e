//! The rules as tables: each line a request, and what becomes of it.

use std::io::Write;

use http::Request;

use super::*;

fn access(token: Option<&str>) -> Access {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    if let Some(token) = token {
        writeln!(file, "{token}\nnot this").expect("it can be written");
    }
    let admin = Admin {
        token_file: token.map(|_| file.path().to_owned()),
        allow: vec![
            "172.16.0.0/12".parse().expect("a network"),
            "2001:db8::/32".parse().expect("a network"),
        ],
        hosts: vec!["edge.internal".to_owned()],
        ..Admin::default()
    };
    Access::new(&admin).expect("rules")
}

fn parts(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn peers_on_loopback_or_allowed_need_no_token() {
    let access = access(Some("s3cret"));
    for (peer, token, wanted) in [
        ("127.0.0.1", None, Ok(())),
        ("127.8.9.1", None, Ok(())),
        ("::1", None, Ok(())),
        ("::ffff:127.0.0.1", None, Ok(())),
        ("172.20.1.1", None, Ok(())),
        ("::ffff:172.20.1.1", None, Ok(())),
        ("2001:db8::7", None, Ok(())),
        ("172.32.0.1", None, Err(Refusal::Peer)),
        ("::ffff:10.0.0.1", None, Err(Refusal::Peer)),
        ("10.0.0.1", Some("Bearer s3cret"), Ok(())),
        ("10.0.0.1", Some("bearer  s3cret"), Ok(())),
        ("10.0.0.1", Some("Bearer s3cre"), Err(Refusal::Token)),
        ("10.0.0.1", Some("Bearer s3cretx"), Err(Refusal::Token)),
        ("10.0.0.1", Some("Bearer S3cret"), Err(Refusal::Token)),
        ("10.0.0.1", Some("Bearer "), Err(Refusal::Token)),
        ("10.0.0.1", Some("Bearer not this"), Err(Refusal::Token)),
        ("10.0.0.1", Some("Basic s3cret"), Err(Refusal::Peer)),
        ("10.0.0.1", Some("s3cret"), Err(Refusal::Peer)),
    ] {
        let mut fields = vec![("host", "10.0.0.9:9901")];
        fields.extend(token.map(|token| ("authorization", token)));
        let request = parts("GET", "/api/v1/routes", &fields);
        assert_eq!(access.check(ip(peer), &request), wanted, "{peer} {token:?}");
    }
}

#[test]
fn a_forwarding_field_makes_nobody_a_peer_on_loopback() {
    let fields = [
        ("host", "10.0.0.9"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
    ];
    let request = parts("GET", "/", &fields);
    assert_eq!(
        access(None).check(ip("10.0.0.1"), &request),
        Err(Refusal::Peer)
    );
}

#[test]
fn without_a_token_none_is_right() {
    let fields = [("host", "10.0.0.9"), ("authorization", "Bearer ")];
    assert_eq!(
        access(None).check(ip("10.0.0.1"), &parts("GET", "/", &fields)),
        Err(Refusal::Peer)
    );
}

#[test]
fn a_token_that_is_there_twice_is_none() {
    let fields = [
        ("host", "10.0.0.9"),
        ("authorization", "Bearer s3cret"),
        ("authorization", "Bearer s3cret"),
    ];
    let request = parts("GET", "/", &fields);
    assert_eq!(
        access(Some("s3cret")).check(ip("10.0.0.1"), &request),
        Err(Refusal::Peer)
    );
}

#[test]
fn a_foreign_name_cannot_be_made_to_point_here() {
    let access = access(None);
    for (host, is_ours) in [
        ("127.0.0.1", true),
        ("127.0.0.1:9901", true),
        ("192.0.2.7:9901", true),
        ("[::1]:9901", true),
        ("[2001:db8::1]", true),
        ("localhost", true),
        ("LocalHost:9901", true),
        ("localhost.:9901", true),
        ("app.localhost:1", true),
        ("edge.internal", true),
        ("EDGE.internal:9901", true),
        ("edge.internal.", true),
        ("evil.test", false),
        ("xedge.internal", false),
        ("edge.internal.evil.test", false),
        ("localhost.evil.test", false),
        ("notlocalhost", false),
        ("127.0.0.1.evil.test", false),
        ("127.1", false),
        ("2130706433", false),
        ("0x7f.0.0.1", false),
        ("evil.test@127.0.0.1", false),
        ("127.0.0.1@evil.test", false),
        ("127.0.0.1:9901:80", false),
        ("127.0.0.1:99x", false),
        ("[::1", false),
        ("[::1]x", false),
        ("[localhost]", false),
        ("::1", false),
        ("", false),
    ] {
        let request = parts("GET", "/", &[("host", host)]);
        assert_eq!(
            access.check(ip("127.0.0.1"), &request).is_ok(),
            is_ours,
            "{host}"
        );
    }
}

#[test]
fn every_place_of_a_name_is_checked() {
    let access = access(None);
    let check = |target, fields: &[_]| access.check(ip("127.0.0.1"), &parts("GET", target, fields));
    assert_eq!(check("/", &[]), Err(Refusal::Host));
    assert_eq!(
        check("/", &[("host", "localhost"), ("host", "localhost")]),
        Err(Refusal::Host)
    );
    assert_eq!(
        check("http://evil.test/", &[("host", "localhost")]),
        Err(Refusal::Host)
    );
    assert_eq!(
        check("http://localhost/", &[("host", "evil.test")]),
        Err(Refusal::Host)
    );
    assert_eq!(check("http://localhost/", &[("host", "localhost")]), Ok(()));
}

/// Method, fields beside the Host, whether it may.
type Asked = (&'static str, &'static [(&'static str, &'static str)], bool);

const OUR_PAGE: (&str, &str) = ("origin", "http://localhost:9901");
const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");
const CROSS: (&str, &str) = ("sec-fetch-site", "cross-site");
const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
const DOCUMENT: (&str, &str) = ("sec-fetch-dest", "document");

fn check(asked: &[Asked]) {
    let access = access(None);
    for (method, fields, is_fine) in asked {
        let host = std::iter::once(("host", "localhost:9901"));
        let fields: Vec<_> = host.chain(fields.iter().copied()).collect();
        let request = parts(method, "/api/v1/routes", &fields);
        let got = access.check(ip("127.0.0.1"), &request);
        assert_eq!(got.is_ok(), *is_fine, "{method} {fields:?}: {got:?}");
    }
}

#[test]
fn our_own_page_and_whatever_is_no_browser_may_ask() {
    check(&[
        ("GET", &[], true),
        ("POST", &[], true),
        ("PUT", &[("content-type", "application/json")], true),
        ("GET", &[SAME], true),
        ("GET", &[("sec-fetch-site", "none")], true),
        ("POST", &[OUR_PAGE, SAME], true),
        ("POST", &[("origin", "http://LOCALHOST:9901")], true),
    ]);
}

#[test]
fn a_page_of_another_origin_reads_and_changes_nothing() {
    check(&[
        ("GET", &[("origin", "http://evil.test")], false),
        ("GET", &[("origin", "null")], false),
        ("GET", &[("origin", "")], false),
        ("POST", &[("origin", "http://localhost:9902")], false),
        ("POST", &[("origin", "http://localhost")], false),
        (
            "POST",
            &[("origin", "http://localhost:9901.evil.test")],
            false,
        ),
        ("POST", &[OUR_PAGE, ("origin", "http://evil.test")], false),
        ("POST", &[("origin", "file://localhost:9901")], false),
        ("GET", &[CROSS], false),
        ("GET", &[("sec-fetch-site", "same-site")], false),
        ("GET", &[CROSS, ("sec-fetch-mode", "no-cors")], false),
        ("POST", &[OUR_PAGE, CROSS], false),
    ]);
}

#[test]
fn a_link_may_lead_here_and_a_frame_or_a_form_may_not() {
    check(&[
        ("GET", &[CROSS, NAVIGATE, DOCUMENT], true),
        (
            "GET",
            &[CROSS, NAVIGATE, ("sec-fetch-dest", "iframe")],
            false,
        ),
        ("POST", &[CROSS, NAVIGATE, DOCUMENT], false),
        ("POST", &[("content-type", "text/plain")], false),
        (
            "POST",
            &[(
                "content-type",
                "Application/X-WWW-Form-Urlencoded; charset=utf-8",
            )],
            false,
        ),
        (
            "PUT",
            &[("content-type", "multipart/form-data; boundary=x")],
            false,
        ),
    ]);
}

#[test]
fn default_ports_are_left_out_of_an_origin() {
    assert!(is_same_origin("http://edge.internal", "edge.internal:80"));
    assert!(is_same_origin("https://edge.internal", "edge.internal:443"));
    assert!(!is_same_origin("https://edge.internal", "edge.internal:80"));
    assert!(is_same_origin("http://[::1]:9901", "[::1]:9901"));
}

#[test]
fn a_file_without_a_token_is_an_error() {
    for text in ["", "\n\nlate\n", "   \n", "two words\n", "tök\n"] {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("it can be written");
        let admin = Admin {
            token_file: Some(file.path().to_owned()),
            ..Admin::default()
        };
        assert!(
            matches!(Access::new(&admin), Err(TokenError::NoToken { .. })),
            "{text:?}"
        );
    }
    let admin = Admin {
        token_file: Some("/nowhere/token".into()),
        ..Admin::default()
    };
    let error = Access::new(&admin).expect_err("no file").to_string();
    assert!(
        error.starts_with("cannot read the token from /nowhere/token: "),
        "{error}"
    );
}

#[test]
fn a_token_shows_itself_nowhere() {
    assert!(!format!("{:?}", access(Some("s3cret"))).contains("s3cret"));
}
