//! Connections that idle for seconds: they cost little, and nobody notices.

use std::time::Duration;

use super::super::rig::{Authority, Client, Config, Proxy, TlsCaller, Upstream};

/// Longer than a connection idles before it is put to rest.
const A_WHILE: Duration = Duration::from_millis(1600);

fn ask(client: &mut Client, path: &str) {
    client.request("GET", path, &[("host", "shop.test")], "");
    let response = client.read_response();
    assert_eq!((response.status, response.text().as_str()), (200, path));
}

#[test]
fn a_connection_that_rested_goes_on_as_if_nothing_had_been() {
    let authority = Authority::new();
    let upstream =
        Upstream::answering(|request| super::super::rig::reply(200, &[], &request.target));
    let clear = Proxy::start(Config::new(upstream.address()));
    let identity = authority.server(&["shop.test"]);
    let tls = format!("tls: {{certificates: [{}]}}", identity.yaml());
    let sealed = Proxy::start(Config::new(upstream.address()).listener(&tls));
    let caller = TlsCaller::new(&authority, "shop.test").alpn(&["http/1.1"]);
    let way = caller.to(sealed.public());

    let mut in_clear = Client::connect(clear.public());
    let mut over_tls = Client::connect(way.address());
    let mut silent = Client::connect(way.address());
    for path in ["/1", "/2"] {
        ask(&mut in_clear, path);
        ask(&mut over_tls, path);
        in_clear.expect_silence(A_WHILE);
    }
    // A head in two pieces, the first of which wakes it.
    in_clear.send("GET /3 HTTP/1.1\r\nho");
    in_clear.expect_silence(Duration::from_millis(20));
    in_clear.send("st: shop.test\r\n\r\n");
    assert_eq!(in_clear.read_response().text(), "/3");
    // Two requests at once, and one that never came before.
    over_tls.send("GET /4 HTTP/1.1\r\nhost: a\r\n\r\nGET /5 HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(over_tls.read_response().text(), "/4");
    assert_eq!(over_tls.read_response().text(), "/5");
    ask(&mut silent, "/6");

    // Asleep when its client goes, and when the process does.
    over_tls.expect_silence(A_WHILE);
    drop(silent);
    sealed.wait_until("one is left", || super::active_connections(&sealed) == 1.0);
    sealed.finish();
    over_tls.expect_close();
    clear.finish();
}

#[test]
fn connections_that_idle_leave_their_buffers_to_others() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let resident = || proxy.metrics().get("process_resident_memory_bytes", &[]);
    if resident().is_none() {
        return; // only Linux tells
    }
    let mut all = Vec::new();
    let mut grown_by = || {
        let before = resident().expect("as before");
        for _ in 0..800 {
            let mut client = Client::connect(proxy.public());
            client.request("GET", "/", &[], "");
            assert_eq!(client.read_response().status, 200);
            all.push(client);
        }
        resident().expect("as before") - before
    };
    let first = grown_by();
    std::thread::sleep(A_WHILE); // nothing tells that they rest
    let second = grown_by();
    assert!(
        second < first * 0.8,
        "{first} bytes for the first, {second} for as many more"
    );
    drop(all);
    proxy.finish();
}
