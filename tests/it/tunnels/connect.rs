//! CONNECT: only where a route takes it, and never to what the client names.

use super::super::rig::{Client, Config, Http2Client, Proxy, Upstream};
use super::{Ahead, TALKED, config, listener, talk};

#[test]
fn bytes_go_to_an_endpoint_of_the_route_and_not_to_what_the_client_names() {
    let (socket, named) = (listener(), listener());
    let proxy = Proxy::start(config(&socket).route("connect: true"));
    let target = named.local_addr().expect("an address");
    let mut client = Client::connect(proxy.public());
    client.send(format!(
        "CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\nfirst words"
    ));
    let mut peer = Client::accept(&socket);
    let head = client.read_head();
    assert_eq!(head.first, "HTTP/1.1 200 OK");
    for name in [
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
    ] {
        assert!(!head.headers.contains(name), "{name}: {head:?}");
    }
    assert_eq!(peer.read_bytes(11), b"first words", "not a byte of HTTP");
    talk(&mut client, &mut peer);
    let line = proxy.wait_log_lines(1).remove(0);
    assert_eq!(line["tunnel"], "connect", "{line}");
    assert_eq!(line["method"], "CONNECT");
    assert_eq!(line["host"], target.to_string());
    assert_eq!(line["bytes_in"], TALKED.0 + 11);
    assert_eq!(line["bytes_out"], TALKED.1);
    named.set_nonblocking(true).expect("a socket takes options");
    assert!(named.accept().is_err(), "nobody called what was named");
    proxy.finish();
}

#[test]
fn over_http2_it_is_a_stream() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket).route("connect: true"));
    let client = Http2Client::connect(proxy.public());
    let mut stream = client.tunnel("db.test:5432").expect("a stream");
    assert_eq!(stream.read_head().expect("a head").status(), 200);
    let mut peer = Client::accept(&socket);
    talk(&mut Ahead::new(stream), &mut peer);
    let line = proxy.wait_log_lines(1).remove(0);
    assert_eq!(
        (&line["tunnel"], &line["outcome"]),
        (&"connect".into(), &"served".into())
    );
    assert_eq!(line["host"], "db.test:5432");
    proxy.finish();
}

#[test]
fn a_route_is_found_by_its_host() {
    let (socket, web) = (listener(), Upstream::ok("web"));
    let proxy = Proxy::start(
        Config::new(web.address())
            .more_routes("- {name: db, match: {hosts: [db.test], path: {prefix: /}}, upstream: db, connect: true}")
            .more_upstreams(&format!(
                "- {{name: db, endpoints: [{{address: {}}}]}}",
                socket.local_addr().expect("an address")
            )),
    );
    let mut client = Client::connect(proxy.public());
    client.send("CONNECT db.test:5432 HTTP/1.1\r\nhost: db.test:5432\r\n\r\n");
    assert_eq!(client.read_head().word(1), "200");
    let mut peer = Client::accept(&socket);
    peer.send("hi");
    assert_eq!(client.read_bytes(2), b"hi");
    drop((client, peer));
    let mut client = Client::connect(proxy.public());
    client.send("CONNECT web.test:80 HTTP/1.1\r\nhost: web.test:80\r\n\r\n");
    let response = client.read_response();
    assert_eq!(response.status, 405);
    assert_eq!(web.request_count(), 0);
    proxy.finish();
}

#[test]
fn nonsense_is_refused_before_anybody_is_called() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket).route("connect: true"));
    for (request, status) in [
        (
            "CONNECT a.test:1 HTTP/1.1\r\nhost: a.test:1\r\ncontent-length: 3\r\n\r\nabc",
            400,
        ),
        (
            "CONNECT a.test:1 HTTP/1.1\r\nhost: a.test:1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("CONNECT a.test HTTP/1.1\r\nhost: a.test\r\n\r\n", 400),
        ("CONNECT /path HTTP/1.1\r\nhost: a.test\r\n\r\n", 400),
        (
            "CONNECT http://a.test/ HTTP/1.1\r\nhost: a.test\r\n\r\n",
            400,
        ),
        ("CONNECT a.test:1 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT u@a.test:1 HTTP/1.1\r\nhost: a.test\r\n\r\n", 400),
        ("CONNECT a.test:1 HTTP/1.0\r\nhost: a.test:1\r\n\r\n", 405),
    ] {
        let mut client = Client::connect(proxy.public());
        client.send(request);
        assert_eq!(client.read_response().status, status, "{request:?}");
    }
    socket
        .set_nonblocking(true)
        .expect("a socket takes options");
    assert!(socket.accept().is_err(), "nobody was called");
    proxy.finish();
}

#[test]
fn a_refused_connection_is_an_answer() {
    let dead = Upstream::refuse();
    let proxy = Proxy::start(Config::new(dead.address()).route("connect: true"));
    let mut client = Client::connect(proxy.public());
    client.send("CONNECT a.test:1 HTTP/1.1\r\nhost: a.test:1\r\n\r\n");
    let response = client.read_response();
    assert_eq!(response.status, 502);
    assert!(response.text().contains("connection_refused"));
    let client = Http2Client::connect(proxy.public());
    let stream = client.tunnel("a.test:1").expect("a stream");
    assert_eq!(stream.read_response().expect("an answer").status, 502);
    proxy.finish();
}
