//! What nobody can make of an upgrade: a way past the proxy.

use super::super::rig::{
    Client, Config, Http2Client, Proxy, Script, Upstream, reply, request_bytes,
};
use super::{HANDSHAKE, KEY, ask, config, listener};

#[test]
fn an_answer_that_does_not_prove_itself_is_a_502() {
    let accept = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for fields in [
        String::new(),
        "upgrade: websocket\r\nconnection: Upgrade\r\n".into(),
        "upgrade: websocket\r\nsec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n".into(),
        format!("upgrade: websocket\r\n{accept}{accept}"),
        format!("upgrade: h2c\r\n{accept}"),
        accept.into(),
    ] {
        let upstream = Upstream::script(Script::new().read_head().send(format!(
            "HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nraw"
        )));
        let proxy = Proxy::start(Config::new(upstream.address()));
        let mut client = Client::connect(proxy.public());
        ask(&mut client, "/");
        let response = client.read_response();
        assert_eq!(response.status, 502, "{fields:?}");
        assert!(response.text().contains("http_protocol_error"));
        assert!(!response.text().contains("raw"));
        proxy.finish();
    }
}

#[test]
fn what_follows_a_handshake_that_was_not_granted_is_a_request_like_any_other() {
    let upstream = Upstream::answering(|request| {
        reply(
            if request.target == "/chat" { 426 } else { 200 },
            &[],
            &request.target,
        )
    });
    let proxy = Proxy::start(
        Config::new(upstream.address())
            .more_routes("- {name: private, match: {path: {prefix: /private}}, upstream: web, rate_limit: {rate: 1/m, key: all}}"),
    );
    let mut client = Client::connect(proxy.public());
    let mut bytes = request_bytes("GET", "/chat", &HANDSHAKE, "");
    // The way past a proxy that takes an upgrade for granted (Mikhail Egorov, "WebSocket smuggling", 2019).
    bytes.extend(request_bytes("GET", "/private", &[], ""));
    bytes.extend(request_bytes("GET", "/private/more", &[], ""));
    client.send(bytes);
    let statuses: Vec<_> = (0..3).map(|_| client.read_response().status).collect();
    assert_eq!(statuses, [426, 200, 429], "each went through its route");
    assert_eq!(upstream.request_count(), 2);
    let lines = proxy.wait_log_lines(3);
    assert_eq!(
        lines
            .iter()
            .filter(|line| line["route"] == "private")
            .count(),
        2
    );
    proxy.finish();
}

/// A method, fields, a body.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn nothing_but_a_websocket_is_asked_of_the_upstream() {
    let key = ("sec-websocket-key", KEY);
    let (connection, upgrade) = (("connection", "Upgrade"), ("upgrade", "websocket"));
    let cases: [Case<'_>; 8] = [
        (
            "GET",
            &[
                ("connection", "Upgrade, HTTP2-Settings"),
                ("upgrade", "h2c"),
                ("http2-settings", "AAMAAABk"),
                key,
            ],
            "",
        ),
        ("GET", &[connection, ("upgrade", "TLS/1.0"), key], ""),
        ("GET", &[connection, upgrade], ""),
        ("GET", &[connection, upgrade, key, key], ""),
        ("GET", &[upgrade, key], ""),
        ("GET", &[("connection", "keep-alive"), upgrade, key], ""),
        ("POST", &[connection, upgrade, key], ""),
        ("GET", &[connection, upgrade, key], "body"),
    ];
    let upstream = Upstream::ok("plain");
    let proxy = Proxy::start(Config::new(upstream.address()));
    for (method, fields, body) in cases {
        let mut client = Client::connect(proxy.public());
        client.request(method, "/", fields, body);
        assert_eq!(client.read_response().text(), "plain", "{fields:?}");
    }
    for request in upstream.all_requests() {
        for name in ["upgrade", "connection", "http2-settings"] {
            assert!(!request.headers.contains(name), "{request:#?}");
        }
    }
    assert_eq!(upstream.request_count(), cases.len());
    proxy.finish();
}

#[test]
fn of_several_protocols_only_the_websocket_goes_on() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    let mut client = Client::connect(proxy.public());
    client.request(
        "GET",
        "/",
        &[
            ("connection", "keep-alive, UPGRADE, x-secret"),
            ("upgrade", "h2c, WebSocket"),
            ("sec-websocket-key", KEY),
            ("x-secret", "1"),
        ],
        "",
    );
    let mut peer = Client::accept(&socket);
    let asked = peer.read_head();
    assert_eq!(asked.headers.all("upgrade"), ["websocket"]);
    assert_eq!(asked.headers.all("connection"), ["Upgrade"]);
    assert!(!asked.headers.contains("x-secret"));
    peer.send(reply(400, &[], ""));
    assert_eq!(client.read_response().status, 400);
    proxy.finish();
}

#[test]
fn an_unknown_protocol_over_http2_is_refused_here() {
    let upstream = Upstream::ok("plain");
    let proxy = Proxy::start(Config::new(upstream.address()).route("connect: true"));
    let client = Http2Client::connect(proxy.public());
    for protocol in ["connect-udp", "WEBSOCKET", "h2c"] {
        let stream = client.upgrade(protocol, "/", &[]).expect("a stream");
        assert_eq!(stream.read_response().expect("an answer").status, 501);
    }
    // gRPC's way of saying no is a 200, which would be a yes here.
    let stream = client
        .upgrade("h2c", "/", &[("content-type", "application/grpc")])
        .expect("a stream");
    assert_eq!(stream.read_response().expect("an answer").status, 501);
    assert_eq!(upstream.request_count(), 0);
    proxy.finish();
}

#[test]
fn limits_hold_for_tunnels_and_the_permit_is_kept_until_their_end() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket).route("concurrency: 1"));
    let (client, peer) = super::agreed(proxy.public(), &socket);
    let mut other = Client::connect(proxy.public());
    ask(&mut other, "/");
    assert_eq!(other.read_response().status, 503);
    drop((client, peer));
    proxy.wait_until("the tunnel has ended", || proxy.log_lines().len() == 2);
    let (client, peer) = super::agreed(proxy.public(), &socket);
    drop((client, peer));
    proxy.finish();
}
