//! Tunnels inside TLS, on both sides: the ends are passed on as they are without it.

use super::super::rig::{Authority, Client, Config, Proxy, TlsCaller, TlsServer};
use super::{TALKED, agree, ask, listener, talk};

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
