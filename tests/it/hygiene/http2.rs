//! What only HTTP/2 can say: an authority beside a Host, cookies in crumbs, connection fields that must not be there.

use super::super::rig::{Client, Config, Http2Client, Http2Upstream, Proxy, Upstream};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;

/// One request over a connection of its own, its fields as they are written here: h2's own client would refuse most.
/// The answer is the first frame of the stream: its type and payload.
fn send_frames(proxy: &Proxy, fields: &[(&str, &str)]) -> (u8, Vec<u8>) {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0); // a literal that enters no table (RFC 7541 §6.2.2)
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut client = Client::connect(proxy.public());
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let length = u8::try_from(block.len()).expect("short");
    // The end of the headers and of the stream.
    client.send([&[0, 0, length, HEADERS, 5, 0, 0, 0, 1], block.as_slice()].concat());
    loop {
        let head = client.read_bytes(9);
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = client.read_bytes(length);
        if head[8] == 1 {
            return (head[3], payload);
        }
    }
}

/// The pseudo-header fields of a plain request, and these.
fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![(":method", "GET"), (":scheme", "http"), (":path", "/")];
    fields.extend_from_slice(more);
    fields
}

#[test]
fn authority_and_host_agree_or_the_request_is_refused() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    // `:status` 200 and 400 of the static table (RFC 7541 appendix A).
    let (ok, bad) = (0x88, 0x8c);
    let cases: [(&[(&str, &str)], u8); 6] = [
        (&[(":authority", "a.test")], ok),
        (&[(":authority", "a.test"), ("host", "a.test")], ok),
        (&[(":authority", "a.test"), ("host", "A.Test")], ok),
        (&[("host", "a.test")], ok),
        (&[(":authority", "a.test"), ("host", "b.test")], bad),
        (&[], bad),
    ];
    for (fields, status) in cases {
        let (kind, payload) = send_frames(&proxy, &with(fields));
        assert_eq!(
            (kind, payload.first()),
            (HEADERS, Some(&status)),
            "{fields:?}"
        );
    }
    for request in upstream.all_requests() {
        let hosts = request.headers.all("host");
        assert!(
            hosts.len() == 1 && hosts[0].eq_ignore_ascii_case("a.test"),
            "{hosts:?}"
        );
    }
    assert_eq!(upstream.request_count(), 4);
    proxy.finish();
}

#[test]
fn connection_fields_have_no_place_in_http2() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    for field in [
        ("connection", "x-private"),
        ("keep-alive", "1"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "x"),
        ("te", "gzip"),
    ] {
        let (kind, payload) = send_frames(&proxy, &with(&[(":authority", "a.test"), field]));
        let is_refused = kind == RST_STREAM || payload.first() == Some(&0x8c);
        assert!(is_refused, "{field:?}: frame {kind}");
    }
    assert_eq!(upstream.request_count(), 0);
    proxy.finish();
}

#[test]
fn crumbs_of_cookies_are_joined() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let client = Http2Client::connect(proxy.public());
    let crumbs = [("cookie", "a=1"), ("cookie", "b=2; c=3"), ("cookie", "d=4")];
    let response = client.request("GET", "/", &crumbs, b"", &[]);
    assert_eq!(response.expect("it is answered").status, 200);
    let seen = upstream.only_request().headers;
    assert_eq!(seen.all("cookie"), ["a=1; b=2; c=3; d=4"]);
    assert!(seen.all("via").join("").starts_with('2'), "{seen:?}");
    drop(client);
    proxy.finish();
}

#[test]
fn an_http2_upstream_gets_an_authority_and_no_connection_fields() {
    let upstream = Http2Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).upstream("protocol: http2"));
    let mut client = Client::connect(proxy.public());
    client.send(
        "POST /x?y HTTP/1.1\r\nhost: A.test:81\r\nconnection: keep-alive, x-private\r\nx-private: 1\r\n\
         keep-alive: 1\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    assert_eq!(client.read_response().text(), "hello");
    let seen = &upstream.all_requests()[0];
    assert_eq!(
        (seen.authority.as_str(), seen.path.as_str()),
        ("A.test:81", "/x?y")
    );
    assert_eq!(&seen.body[..], b"hello");
    for name in [
        "connection",
        "x-private",
        "keep-alive",
        "transfer-encoding",
        "host",
    ] {
        assert!(
            !seen.headers.contains_key(name),
            "{name}: {:?}",
            seen.headers
        );
    }
    assert_eq!(seen.headers["te"], "trailers");
    drop(client);
    proxy.finish();
}

#[test]
fn a_refused_head_is_answered_without_a_body() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let client = Http2Client::connect(proxy.public());
    let refused = client
        .request("HEAD", "/%zz", &[], b"", &[])
        .expect("DATA would be a protocol error");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.text(), "");
    let length = refused.header("content-length").map(str::parse::<u64>);
    assert!(length.is_some_and(|length| length.is_ok_and(|length| length > 50)));
    drop(client);
    proxy.finish();
}
