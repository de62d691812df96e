//! Any head through the sanitizer: what goes on has one meaning, and judged once more nothing of it changes.
//!
//! The first line is `VERSION METHOD TARGET`, with `!` before it where the peer is trusted; the others are fields.

#![no_main]

use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri, Version};
use libfuzzer_sys::fuzz_target;
use sightglass::proxy::canonical::canonical;
use sightglass::proxy::sanitize::host;
use sightglass_fuzz::{STRANGER, TRUSTED, fields, sanitize};

/// What no upstream may be told by a client, `_` counting as `-`.
const GONE: [&str; 13] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "te",
    "host",
];

fuzz_target!(|data: &[u8]| {
    let (first, rest) = data.split_at(
        data.iter()
            .position(|it| *it == b'\n')
            .unwrap_or(data.len()),
    );
    let is_trusted = first.starts_with(b"!");
    let peer = if is_trusted { TRUSTED } else { STRANGER };
    let Some(head) = head(first.trim_prefix_byte(b'!'), rest) else {
        return;
    };
    let (method, before) = (head.method.clone(), head.headers.clone());
    let Ok(once) = sanitize(head, peer) else {
        return;
    };
    check(&once, is_trusted);
    assert_eq!(once.method, method, "the method is the client's");
    check_kept(&before, &once.headers);

    let mut once = once;
    once.headers.remove("max-forwards"); // it is counted down each time
    let twice = sanitize(Parts::clone(&once), peer).expect("what went on once goes on again");
    assert_eq!(once.uri, twice.uri);
    assert_eq!(once.headers, twice.headers);
});

fn check(head: &Parts, is_trusted: bool) {
    assert!(
        head.uri.authority().is_none() && head.uri.scheme().is_none(),
        "{}",
        head.uri
    );
    let target = head.uri.path_and_query().expect("a target");
    assert!(
        matches!(canonical(target), Ok(None)),
        "{target} is not canonical"
    );
    assert_ne!(head.method, Method::CONNECT);
    assert_ne!(head.method, Method::TRACE);
    let hosts: Vec<_> = head.headers.get_all("host").iter().collect();
    assert!(hosts.len() == 1 || hosts.is_empty() && head.version == Version::HTTP_10);
    assert!(
        hosts.iter().all(|it| host::is_valid(it.as_bytes())),
        "{hosts:?}"
    );
    assert!(head.headers.get_all("content-length").iter().count() <= 1);
    assert!(head.headers.get_all("x-request-id").iter().count() <= 1);
    for (name, value) in &head.headers {
        let plain = name.as_str().replace('_', "-");
        match name.as_str() {
            "host" => {}
            "te" => assert_eq!(value, "trailers"),
            _ => assert!(!GONE.contains(&plain.as_str()), "{name}: {value:?} went on"),
        }
        // `Client-Cert` and `Client-Cert-Chain` (RFC 9440) besides what names an address.
        let names_client = plain.starts_with("x-forwarded-")
            || plain.starts_with("client-cert") && matches!(&plain[11..], "" | "-chain")
            || plain == "forwarded"
            || plain == "x-real-ip";
        assert!(
            !names_client || is_trusted && plain == name.as_str(),
            "{name}: {value:?} went on"
        );
        assert!(
            !value
                .as_bytes()
                .iter()
                .any(|it| matches!(it, b'\r' | b'\n' | 0)),
            "{name}: {value:?}"
        );
    }
}

/// `Connection` can list away nothing that a later decision goes by.
fn check_kept(before: &HeaderMap, after: &HeaderMap) {
    for name in ["authorization", "content-length", "cookie", "user-agent"] {
        assert_eq!(
            before.contains_key(name),
            after.contains_key(name),
            "{name}"
        );
    }
}

fn head(first: &[u8], rest: &[u8]) -> Option<Parts> {
    let mut words = first.splitn(3, |byte| *byte == b' ');
    let version = match words.next()? {
        b"0" => Version::HTTP_10,
        b"1" => Version::HTTP_11,
        b"2" => Version::HTTP_2,
        _ => return None,
    };
    let method = Method::from_bytes(words.next()?).ok()?;
    let uri = Uri::try_from(words.next()?).ok()?;
    let request = Request::builder().version(version).method(method).uri(uri);
    let (mut head, ()) = request.body(()).ok()?.into_parts();
    head.headers = fields(rest);
    // At the listener's limit of a hundred a Host set from the target would be one more.
    (head.headers.len() < 100).then_some(head)
}

trait TrimPrefix {
    fn trim_prefix_byte(&self, byte: u8) -> &[u8];
}

impl TrimPrefix for [u8] {
    fn trim_prefix_byte(&self, byte: u8) -> &[u8] {
        self.strip_prefix(&[byte]).unwrap_or(self)
    }
}
