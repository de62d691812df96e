//! Tunnels inside TLS, on both sides: the ends are passed on as they are without it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::super::rig::{Authority, Client, Config, PATIENCE, Proxy, TlsCaller, TlsServer};
use super::{End as _, HANDSHAKE, TALKED, agree, ask, listener, talk};

#[test]
fn tls_on_both_sides_changes_nothing() {
    let authority = Authority::new();
    let identity = authority.server(&["localhost", "127.0.0.1"]);
    let socket = listener();
    let door = TlsServer::new(&identity).before(socket.local_addr().expect("an address"));
    let proxy = Proxy::start(
        Config::new(door.address())
            .listener(&format!("tls: {{certificates: [{}]}}", identity.yaml()))
            .upstream(&format!("tls: {{ca: \"{}\"}}", authority.ca().display()))
            .route("connect: true"),
    );
    let way = TlsCaller::new(&authority, "localhost").alpn(&["http/1.1"]);
    for is_connect in [false, true] {
        let way = way.to(proxy.public());
        let mut client = Client::connect(way.address());
        if is_connect {
            client.send("CONNECT localhost:1 HTTP/1.1\r\nhost: localhost:1\r\n\r\n");
        } else {
            ask(&mut client, "/");
        }
        let mut peer = Client::accept(&socket);
        if !is_connect {
            agree(&mut peer);
        }
        let status = if is_connect { "200" } else { "101" };
        assert_eq!(client.read_head().word(1), status);
        talk(&mut client, &mut peer);
    }
    for line in proxy.wait_log_lines(2) {
        assert_eq!(line["outcome"], "served", "{line}");
        assert_eq!(
            (&line["bytes_in"], &line["bytes_out"]),
            (&TALKED.0.into(), &TALKED.1.into())
        );
    }
    proxy.finish();
}

#[test]
fn a_client_that_ends_its_socket_alone_has_ended_where_the_upstream_had() {
    let authority = Authority::new();
    let identity = authority.server(&["localhost"]);
    let socket = listener();
    let proxy = Proxy::start(
        super::config(&socket)
            .listener(&format!("tls: {{certificates: [{}]}}", identity.yaml()))
            .route("connect: true"),
    );
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows both versions")
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    let config = Arc::new(config);
    let connect = || {
        let name = "localhost".try_into().expect("a name");
        let session = ClientConnection::new(Arc::clone(&config), name).expect("a session");
        let stream = TcpStream::connect(proxy.public()).expect("the proxy listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        StreamOwned::new(session, stream)
    };
    for (is_connect, is_ended) in [(false, true), (false, false), (true, true)] {
        let mut client = connect();
        let mut head = String::from("CONNECT localhost:1 HTTP/1.1\r\nhost: localhost:1\r\n");
        if !is_connect {
            head = String::from("GET /chat HTTP/1.1\r\nhost: localhost\r\n");
            for (name, value) in HANDSHAKE {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        client.write_all((head + "\r\n").as_bytes()).expect("sent");
        let mut peer = Client::accept(&socket);
        if !is_connect {
            agree(&mut peer);
        }
        peer.say(b"bye");
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\nbye") {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("the tunnel is open");
            heard.push(byte[0]);
        }
        if is_ended {
            peer.end();
            assert_eq!(client.read(&mut [0]).expect("an end in order"), 0);
        }
        drop(client); // the socket's end, and no word of the session's
        peer.hear_end();
    }
    let lines = proxy.wait_log_lines(3);
    let outcomes: Vec<_> = lines.iter().map(|line| &line["outcome"]).collect();
    assert_eq!(outcomes, ["served", "client_closed", "client_closed"]);
    proxy.finish();
}
