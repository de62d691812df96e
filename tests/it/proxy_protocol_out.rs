//! The PROXY protocol towards upstreams: exact bytes, one connection a request.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rig::{
    Authority, Client, Config, Port, Proxy, TlsServer, Upstream, get_with, post, reply,
};

/// An upstream that takes whatever stands before a request's line, answers the request and records every byte.
struct Raw {
    port: Port,
    received: Received,
}

/// What came over each connection, once it has ended.
type Received = Arc<Mutex<Vec<Vec<u8>>>>;

// === impl Raw ===

impl Raw {
    fn start() -> Self {
        let received = Received::default();
        let seen = Arc::clone(&received);
        let port = Port::open(move |arrival| {
            let (mut stream, mut bytes) = (&*arrival.stream, Vec::new());
            let mut piece = [0; 4096];
            let mut is_answered = false;
            while let Ok(length @ 1..) = stream.read(&mut piece) {
                bytes.extend_from_slice(&piece[..length]);
                let is_whole =
                    bytes.ends_with(b"\r\n\r\n") && bytes.windows(5).any(|it| it == b"HTTP/");
                if is_whole && !is_answered {
                    stream.write_all(&reply(200, &[], "ok")).ok();
                    is_answered = true;
                }
            }
            lock(&seen).push(bytes);
        });
        Self { port, received }
    }

    fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Waits until so many connections have ended.
    fn wait(&self, proxy: &Proxy, count: usize) -> Vec<Vec<u8>> {
        proxy.wait_until("they are closed", || lock(&self.received).len() == count);
        lock(&self.received).clone()
    }
}

fn lock(received: &Received) -> MutexGuard<'_, Vec<Vec<u8>>> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn each_connection_begins_with_the_clients_address_and_carries_one_request() {
    for version in ["v1", "v2"] {
        let upstream = Raw::start();
        let config = Config::new(upstream.address()).workers(1);
        let proxy = Proxy::start(config.upstream(&format!("proxy_protocol: {version}")));
        let mut client = Client::connect(proxy.public());
        for _ in 0..2 {
            client.request("GET", "/a", &[], "");
            assert_eq!(client.read_response().text(), "ok");
        }
        let (from, to) = (client.address().port(), proxy.public().port());
        let header = match version {
            "v1" => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\n").into_bytes(),
            _ => [
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".as_slice(),
                &from.to_be_bytes(),
                &to.to_be_bytes(),
            ]
            .concat(),
        };
        for received in upstream.wait(&proxy, 2) {
            let rest = received.strip_prefix(&header[..]);
            let rest = rest.unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&received)));
            let rest = String::from_utf8_lossy(rest).to_lowercase();
            assert!(rest.starts_with("get /a http/1.1\r\n"), "{rest}");
            assert!(rest.contains("\r\nconnection: close\r\n"), "{rest}");
            assert_eq!(rest.matches("http/1.1").count(), 1, "{rest}");
        }
        proxy.wait_log_lines(2);
        proxy.finish();
    }
}

#[test]
fn behind_a_trusted_proxy_the_client_is_whom_it_names() {
    let upstream = Raw::start();
    let config = Config::new(upstream.address()).upstream("proxy_protocol: v1");
    let proxy = Proxy::start(config.listener("trusted_proxies: [127.0.0.0/8]"));
    let forwarded = [("x-forwarded-for", "2001:db8::7")];
    assert_eq!(get_with(proxy.public(), "/", &forwarded).status, 200);
    let port = proxy.public().port();
    let header = format!("PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 0 {port}\r\n");
    let received = upstream.wait(&proxy, 1).remove(0);
    let received = String::from_utf8_lossy(&received);
    assert!(received.starts_with(&header), "{received}");
    proxy.wait_log_lines(1);
    proxy.finish();
}

#[test]
fn over_tls_the_header_comes_before_the_handshake() {
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    let plain = Upstream::ok("hello");
    let door = TlsServer::new(&identity).before(plain.address());
    let config = Config::new(door.address())
        .workers(1)
        .upstream("proxy_protocol: v1")
        .upstream(&format!("tls: {{ca: \"{}\"}}", authority.ca().display()));
    let proxy = Proxy::start(config);
    // A server that expects TLS at once cannot read the header: it must not come inside of it.
    assert_eq!(post(proxy.public(), "/", "x").status, 502);
    assert!(door.handshakes().iter().all(Result::is_err));
    assert_eq!(plain.connection_count(), 0);
    proxy.wait_log_lines(1);
    proxy.finish();
}
