//! What of a message is for the next hop only, who the client is, and what goes on cleaned.
//!
//! [`corpus`] has what attackers send, byte for byte; [`identity`] has request ids, forwarding fields and loops, [`http2`] what only HTTP/2 can say.

mod corpus;
mod http2;
mod identity;

use super::rig::{
    Client, Config, Ended, Proxy, Response, Upstream, get, get_with, reply, wait_until,
};

/// Sends raw bytes on a connection of their own and reads the answer.
fn send_raw(proxy: &Proxy, bytes: &str) -> Response {
    let mut client = Client::connect(proxy.public());
    client.send(bytes);
    client.read_response()
}

#[test]
fn fields_of_the_clients_connection_end_here() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let fields = [
        ("connection", "keep-alive, X-Private"),
        ("connection", "x-other-private , , te"),
        ("x-private", "1"),
        ("x-private", "2"),
        ("X-Other-Private", "3"),
        ("x-public", "4"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("proxy-authenticate", "Basic"),
        ("te", "gzip, deflate"),
        ("http2-settings", "AAMAAABk"),
        ("proxy", "http://evil.test"),
    ];
    assert_eq!(get_with(proxy.public(), "/", &fields).status, 200);
    let seen = upstream.only_request().headers;
    assert_eq!(seen.all("x-public"), ["4"]);
    for (name, _) in fields.iter().filter(|(name, _)| *name != "x-public") {
        assert!(!seen.contains(name), "{name} went on: {seen:?}");
    }
    proxy.finish();
}

#[test]
fn fields_of_the_upstreams_connection_end_here() {
    let upstream = Upstream::answering(|_| {
        let fields = [
            ("connection", "X-Secret, keep-alive"),
            ("connection", "x-more-secret"),
            ("x-secret", "1"),
            ("x-more-secret", "2"),
            ("keep-alive", "timeout=5, max=100"),
            ("proxy-authenticate", "Basic realm=inside"),
            ("proxy-connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
            ("x-public", "3"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ];
        reply(200, &fields, "hello")
    });
    let proxy = Proxy::start(Config::new(upstream.address()));
    let response = get(proxy.public(), "/");
    assert_eq!(response.text(), "hello");
    assert_eq!(response.headers.all("x-public"), ["3"]);
    assert_eq!(response.headers.all("set-cookie"), ["a=1", "b=2"]);
    let gone = [
        "x-secret",
        "x-more-secret",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "upgrade",
        "te",
    ];
    for name in gone {
        assert!(!response.headers.contains(name), "{:?}", response.headers);
    }
    assert!(!response.headers.lists("connection", "x-secret"));
    proxy.finish();
}

#[test]
fn connection_takes_away_nothing_that_is_for_everybody() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let listed = "host, content-length, authorization, cookie, via, user-agent, x-request-id, \
                  x-forwarded-for, x-forwarded-proto, x-forwarded-host, forwarded, traceparent";
    let mut client = Client::connect(proxy.public());
    let fields = [
        ("connection", listed),
        ("authorization", "Bearer x"),
        ("cookie", "a=1"),
        ("user-agent", "test"),
    ];
    client.request("POST", "/", &fields, "hello");
    assert_eq!(client.read_response().status, 200);
    let request = upstream.only_request();
    for name in listed.split(", ") {
        assert!(
            request.headers.contains(name),
            "{name}: {:?}",
            request.headers
        );
    }
    assert_eq!(request.body, b"hello");
    proxy.finish();
}

#[test]
fn there_is_exactly_one_host() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start(Config::new(upstream.address()));
    let endpoint = upstream.address().to_string();
    let taken = [
        ("GET / HTTP/1.1\r\nhost: A.Test:81\r\n\r\n", "A.Test:81"),
        (
            "GET http://b.test/ HTTP/1.1\r\nhost: a.test\r\n\r\n",
            "b.test",
        ),
        ("GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", "[::1]:80"),
        ("GET / HTTP/1.0\r\nhost: a.test\r\n\r\n", "a.test"),
        ("GET / HTTP/1.0\r\n\r\n", endpoint.as_str()),
    ];
    for (bytes, host) in taken {
        let response = send_raw(&proxy, bytes);
        assert_eq!(response.status, 200, "{bytes:?}");
        let echo = response.json();
        let pairs = echo["headers"].as_array().expect("the echo lists fields");
        let hosts: Vec<_> = pairs.iter().filter(|pair| pair[0] == "host").collect();
        assert_eq!(hosts.len(), 1, "{bytes:?}");
        assert_eq!(hosts[0][1], host, "{bytes:?}");
        assert_eq!(echo["target"], "/", "{bytes:?}");
    }
    let refused = [
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://a.test/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test\r\nhost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test\r\nhost: b.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: \r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test, b.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: user@a.test\r\n\r\n",
        "GET http://user:pw@a.test/ HTTP/1.1\r\nhost: a.test\r\n\r\n",
        "GET ftp://a.test/ HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ];
    for bytes in refused {
        let response = send_raw(&proxy, bytes);
        assert_eq!(response.status, 400, "{bytes:?}");
        assert_eq!(
            response.json()["outcome"],
            "http_request_error",
            "{bytes:?}"
        );
    }
    assert_eq!(upstream.request_count(), taken.len());
    let lines = proxy.wait_log_lines(taken.len() + refused.len());
    let is_told = |line: &serde_json::Value| line.to_string().contains("pw@");
    assert!(!lines.iter().any(is_told), "credentials are in the log");
    proxy.finish();
}

#[test]
fn a_name_with_underscores_passes_for_no_other() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let fields = [
        ("X_Forwarded_For", "1.2.3.4"),
        ("x-forwarded_proto", "https"),
        ("content_length", "0"),
        ("X_Request_Id", "forged"),
        ("transfer_encoding", "chunked"),
        ("my_own", "kept"),
    ];
    get_with(proxy.public(), "/", &fields);
    let seen = upstream.only_request().headers;
    assert_eq!(seen.all("my_own"), ["kept"]);
    let passed = |(name, _): &&(&str, &str)| *name != "my_own" && seen.contains(name);
    assert_eq!(fields.iter().find(passed), None, "{seen:?}");
    proxy.finish();
}

#[test]
fn expect_is_answered_here_and_goes_no_further() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    assert_eq!(client.read_head().word(1), "100");
    client.send("hello");
    let response = client.read_response();
    assert_eq!(response.status, 200);
    let seen = upstream.only_request();
    assert_eq!(seen.body, b"hello");
    assert!(!seen.headers.contains("expect"), "{:?}", seen.headers);

    let other = send_raw(
        &proxy,
        "GET / HTTP/1.1\r\nhost: a\r\nexpect: a-miracle\r\n\r\n",
    );
    assert_eq!(other.status, 417);
    assert_eq!(other.json()["outcome"], "http_request_error");
    // RFC 9110 §10.1.1: of an HTTP/1.0 client it is ignored.
    let old = send_raw(
        &proxy,
        "GET / HTTP/1.0\r\nhost: a\r\nexpect: a-miracle\r\n\r\n",
    );
    assert_eq!(old.status, 200);
    assert_eq!(upstream.request_count(), 2);
    proxy.finish();
}

#[test]
fn a_refusal_saves_the_body_that_was_not_sent_yet() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start(Config::new(upstream.address()).route("max_body: 3B"));
    let mut client = Client::connect(proxy.public());
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    let response = client.read_response();
    assert_eq!(response.status, 413);
    assert!(response.interim.is_empty(), "it was asked for the body");
    assert_eq!(upstream.request_count(), 0);
    drop(client);
    proxy.finish();
}

#[test]
fn of_te_only_trailers_goes_on() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let sent = [
        "trailers",
        "gzip, Trailers;q=0.5, trailers",
        "gzip",
        "trailersx",
    ];
    for te in sent {
        get_with(proxy.public(), "/", &[("te", te), ("connection", "TE")]);
    }
    let seen = upstream.all_requests();
    let values: Vec<_> = seen
        .iter()
        .map(|request| request.headers.all("te"))
        .collect();
    assert_eq!(values, [vec!["trailers"], vec!["trailers"], vec![], vec![]]);
    proxy.finish();
}

#[test]
fn tunnels_and_echoes_of_requests_are_refused() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start(Config::new(upstream.address()));
    for bytes in [
        "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n",
        "TRACE / HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ] {
        let response = send_raw(&proxy, bytes);
        assert_eq!(response.status, 405, "{bytes:?}");
        assert!(response.headers.contains("allow"), "{bytes:?}");
        assert_eq!(
            response.json()["outcome"],
            "http_request_denied",
            "{bytes:?}"
        );
    }
    let star = send_raw(&proxy, "OPTIONS * HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(star.json()["target"], "*");
    let last = send_raw(
        &proxy,
        "OPTIONS * HTTP/1.1\r\nhost: a.test\r\nmax-forwards: 0\r\n\r\n",
    );
    assert_eq!(last.status, 403);
    assert_eq!(upstream.request_count(), 1);
    proxy.finish();
}

#[test]
fn an_unasked_switch_of_protocols_is_no_answer() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".to_vec()
    });
    let proxy = Proxy::start(Config::new(upstream.address()));
    let response = get(proxy.public(), "/");
    assert_eq!(response.status, 502);
    assert_eq!(response.json()["outcome"], "http_protocol_error");
    wait_until("the connection is not kept", || {
        matches!(upstream.ended(0), Some(Ended::ByPeer | Ended::Broken(_)))
    });
    proxy.finish();
}
