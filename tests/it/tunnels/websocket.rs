//! WebSockets: the two versions of HTTP on both sides, in all four combinations.

use serde_json::Value;

use super::super::rig::{Client, Config, Http2Client, Http2Peer, Proxy, Script, Upstream, reply};
use super::{
    ACCEPT, Ahead, HANDSHAKE, KEY, TALKED, agree, ask, config, http2_peer, listener, switching,
    talk,
};

fn assert_told(proxy: Proxy, method: &str, protocol: &str, status: u16) {
    let line: Value = proxy.wait_log_lines(1).remove(0);
    assert_eq!(line["outcome"], "served", "{line}");
    assert_eq!(line["method"], method, "{line}");
    assert_eq!(line["protocol"], protocol, "{line}");
    assert_eq!(line["status"], status, "{line}");
    assert_eq!(line["tunnel"], "websocket", "{line}");
    assert_eq!(line["bytes_in"], TALKED.0, "{line}");
    assert_eq!(line["bytes_out"], TALKED.1, "{line}");
    proxy.finish();
}

#[test]
fn from_http1_to_http1() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    let mut client = Client::connect(proxy.public());
    client.request(
        "GET",
        "/chat?room=1",
        &[
            &HANDSHAKE[..],
            &[
                ("sec-websocket-protocol", "a, b"),
                ("sec-websocket-extensions", "permessage-deflate"),
                ("origin", "http://page.test"),
            ],
        ]
        .concat(),
        "",
    );
    let mut peer = Client::accept(&socket);
    let asked = peer.read_head();
    assert_eq!(asked.first, "GET /chat?room=1 HTTP/1.1");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "a, b"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("origin", "http://page.test"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(asked.headers.all(name), [value], "{name}");
    }
    assert!(asked.headers.contains("traceparent"));
    let answer = switching(KEY).replace("\r\n\r\n", "\r\nsec-websocket-protocol: b\r\n\r\n");
    peer.send(answer);
    let answered = client.read_head();
    assert_eq!(answered.first, "HTTP/1.1 101 Switching Protocols");
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", ACCEPT),
        ("sec-websocket-protocol", "b"),
    ] {
        assert_eq!(answered.headers.all(name), [value], "{name}");
    }
    assert!(!answered.headers.contains("content-length"));
    assert!(answered.headers.contains("x-request-id"));
    talk(&mut client, &mut peer);
    assert_told(proxy, "GET", "HTTP/1.1", 101);
}

#[test]
fn from_http2_to_http1() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    let client = Http2Client::connect(proxy.public());
    let mut stream = client
        .upgrade(
            "websocket",
            "/chat?room=1",
            &[
                ("sec-websocket-version", "13"),
                ("sec-websocket-protocol", "a, b"),
                // No business of HTTP/2's: what it says is not believed.
                ("sec-websocket-key", "x"),
            ],
        )
        .expect("a stream");
    let mut peer = Client::accept(&socket);
    let asked = agree(&mut peer);
    assert_eq!(asked.first, "GET /chat?room=1 HTTP/1.1");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "a, b"),
    ] {
        assert_eq!(asked.headers.all(name), [value], "{name}");
    }
    let keys = asked.headers.all("sec-websocket-key");
    assert!(keys.len() == 1 && keys[0].len() == 24, "{keys:?}");
    let head = stream.read_head().expect("a head");
    assert_eq!(head.status(), 200);
    for name in ["connection", "upgrade", "sec-websocket-accept"] {
        assert!(!head.headers().contains_key(name), "{name}");
    }
    talk(&mut Ahead::new(stream), &mut peer);
    assert_told(proxy, "CONNECT", "HTTP/2", 200);
}

#[test]
fn from_http1_to_http2() {
    let (peer, config) = http2_peer();
    let proxy = Proxy::start(config);
    let mut client = Client::connect(proxy.public());
    ask(&mut client, "/chat?room=1");
    let mut stream = peer.accept();
    let head = &stream.head;
    assert_eq!(head.method, "CONNECT");
    assert_eq!(
        head.uri.path_and_query().map(|it| it.as_str()),
        Some("/chat?room=1")
    );
    assert_eq!(head.uri.authority().map(|it| it.as_str()), Some("test"));
    let protocol = head.extensions.get::<h2::ext::Protocol>();
    assert_eq!(protocol.map(h2::ext::Protocol::as_str), Some("websocket"));
    for name in ["connection", "upgrade", "sec-websocket-key"] {
        assert!(!head.headers.contains_key(name), "{name}");
    }
    assert_eq!(head.headers["sec-websocket-version"], "13");
    stream.respond(200, &[("sec-websocket-protocol", "b")]);
    let answered = client.read_head();
    assert_eq!(answered.first, "HTTP/1.1 101 Switching Protocols");
    assert_eq!(answered.headers.all("sec-websocket-accept"), [ACCEPT]);
    assert_eq!(answered.headers.all("sec-websocket-protocol"), ["b"]);
    talk(&mut client, &mut Ahead::new(stream));
    assert_told(proxy, "GET", "HTTP/1.1", 101);
}

#[test]
fn from_http2_to_http2() {
    let (peer, config) = http2_peer();
    let proxy = Proxy::start(config);
    let client = Http2Client::connect(proxy.public());
    let mut stream = client
        .upgrade("websocket", "/chat", &[("sec-websocket-version", "13")])
        .expect("a stream");
    let mut up = peer.accept();
    assert_eq!(up.head.method, "CONNECT");
    up.respond(200, &[]);
    assert_eq!(stream.read_head().expect("a head").status(), 200);
    talk(&mut Ahead::new(stream), &mut Ahead::new(up));
    assert_told(proxy, "CONNECT", "HTTP/2", 200);
}

#[test]
fn what_follows_the_heads_at_once_is_not_lost_in_either_direction() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    let mut client = Client::connect(proxy.public());
    let mut first = super::super::rig::request_bytes("GET", "/", &HANDSHAKE, "");
    first.extend_from_slice(b"early bird");
    client.send(first);
    let mut peer = Client::accept(&socket);
    peer.read_head();
    peer.send(switching(KEY) + "early worm");
    assert_eq!(peer.read_bytes(10), b"early bird");
    assert_eq!(client.read_head().word(1), "101");
    assert_eq!(client.read_bytes(10), b"early worm");
    drop((client, peer));
    proxy.finish();
}

#[test]
fn a_refusal_by_the_upstream_is_an_ordinary_answer() {
    for (status, body) in [(426, "upgrade please"), (403, "no"), (200, "a page")] {
        let upstream = Upstream::answering(move |_| reply(status, &[("x-own", "1")], body));
        let proxy = Proxy::start(Config::new(upstream.address()));
        let mut client = Client::connect(proxy.public());
        for _ in 0..2 {
            // On the same connection: it goes on being HTTP.
            ask(&mut client, "/chat");
            let response = client.read_response();
            assert_eq!(response.status, status);
            assert_eq!(response.text(), body);
            assert_eq!(response.header("x-own"), Some("1"));
            assert_eq!(response.header("upgrade"), None);
        }
        let lines = proxy.wait_log_lines(2);
        assert_eq!(lines[0]["outcome"], "served");
        assert!(lines[0].get("tunnel").is_none());
        proxy.finish();
    }
}

#[test]
fn http2_has_no_status_for_an_answer_instead_of_a_tunnel() {
    // A 2xx to CONNECT is a yes (RFC 8441 §4): a page would be read as the tunnel's bytes.
    for (status, expected) in [(200, 502), (426, 426)] {
        let upstream = Upstream::status(status);
        let proxy = Proxy::start(Config::new(upstream.address()));
        let client = Http2Client::connect(proxy.public());
        let stream = client.upgrade("websocket", "/", &[]).expect("a stream");
        let response = stream.read_response().expect("an answer");
        assert_eq!(response.status, expected);
        proxy.finish();
    }
}

#[test]
fn an_upstream_that_takes_none_over_http2_is_told_as_such() {
    let peer = Http2Peer::listen(false);
    let config = Config::new(peer.address()).upstream("protocol: http2");
    let proxy = Proxy::start(config);
    for _ in 0..2 {
        let mut client = Client::connect(proxy.public());
        ask(&mut client, "/");
        let response = client.read_response();
        assert_eq!(response.status, 502);
        assert!(response.text().contains("http_protocol_error"));
    }
    proxy.finish();
}

#[test]
fn a_refused_connection_is_retried_and_an_agreed_one_is_not() {
    let socket = listener();
    let dead = Upstream::refuse();
    let proxy = Proxy::start(
        Config::new(dead.address())
            .endpoint(socket.local_addr().expect("an address"))
            .upstream("balance: round_robin")
            .workers(1)
            .route("retry: {attempts: 2, when: [connect_failure, reset]}"),
    );
    // Whichever endpoint comes first, every handshake ends at the one that lives.
    for _ in 0..2 {
        let mut client = Client::connect(proxy.public());
        ask(&mut client, "/");
        let mut peer = Client::accept(&socket);
        agree(&mut peer);
        assert_eq!(client.read_head().word(1), "101");
        peer.reset();
        client.expect_close();
    }
    let lines = proxy.wait_log_lines(2);
    for line in &lines {
        let outcomes: Vec<_> = line["attempts"]
            .as_array()
            .expect("attempts")
            .iter()
            .map(|attempt| &attempt["outcome"])
            .collect();
        assert_eq!(outcomes, ["connection_refused", "connection_terminated"]);
    }
    proxy.finish();
}

#[test]
fn a_pooled_connection_becomes_a_tunnel_and_never_returns_to_the_pool() {
    let upstream = Upstream::requests([
        Script::new().read_head().send(reply(200, &[], "plain")),
        Script::new()
            .read_head()
            .answer(|request| {
                let key = request.headers.get("sec-websocket-key").expect("a key");
                switching(key).into_bytes()
            })
            .read_to_end(),
        Script::new().read_head().send(reply(200, &[], "again")),
    ]);
    let proxy = Proxy::start(Config::new(upstream.address()).workers(1));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    assert_eq!(client.read_response().text(), "plain");
    ask(&mut client, "/chat");
    assert_eq!(client.read_head().word(1), "101");
    let mut other = Client::connect(proxy.public());
    other.request("GET", "/", &[], "");
    assert_eq!(other.read_response().text(), "again");
    assert_eq!(upstream.connection_count(), 2);
    client.half_close();
    client.expect_close();
    let lines = proxy.wait_log_lines(3);
    assert_eq!(
        lines
            .iter()
            .filter(|line| line["tunnel"] == "websocket")
            .count(),
        1
    );
    proxy.finish();
}

#[test]
fn a_route_that_allows_none_refuses_them_and_takes_all_else() {
    let upstream = Upstream::ok("page");
    let proxy = Proxy::start(Config::new(upstream.address()).route("upgrade: []"));
    let mut client = Client::connect(proxy.public());
    ask(&mut client, "/");
    let response = client.read_response();
    assert_eq!(response.status, 403);
    assert!(response.text().contains("http_request_denied"));
    client.request("GET", "/", &[], "");
    assert_eq!(client.read_response().text(), "page");
    assert_eq!(upstream.request_count(), 1);
    proxy.finish();
}
