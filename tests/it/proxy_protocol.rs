//! The PROXY protocol on the way in: who the client is, however the header is cut, and what is no header.

use std::time::Duration;

use super::rig::{
    Authority, Client, Config, Http2Client, Proxy, TlsCaller, Upstream, request_bytes,
};

const V1: &[u8] = b"PROXY TCP4 198.51.100.7 192.0.2.2 40000 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc6\x33\x64\x07\xc0\0\x02\x02\x9c\x40\x01\xbb\x04\0\x04abcd";

fn start(upstream: &Upstream, more: &str) -> Proxy {
    Proxy::start(
        Config::new(upstream.address())
            .listener("proxy_protocol: required")
            .listener(more),
    )
}

fn errors(proxy: &Proxy) -> f64 {
    let labels = [("listener", "public"), ("reason", "proxy_protocol")];
    let name = "sightglass_connection_errors_total";
    proxy.metrics().sum(name, &labels)
}

#[test]
fn the_client_is_whom_the_header_names_wherever_it_is_cut() {
    let upstream = Upstream::ok("hello");
    let proxy = start(&upstream, "");
    let request = request_bytes("GET", "/", &[], "");
    let mut count = 0;
    for header in [V1, V2] {
        let bytes = [header, &request].concat();
        for cut in 0..=header.len() {
            let mut client = Client::connect(proxy.public());
            client.send(&bytes[..cut]);
            std::thread::sleep(Duration::from_millis(1)); // so that it comes in two pieces
            client.send(&bytes[cut..]);
            assert_eq!(client.read_response().text(), "hello", "cut at {cut}");
            // What follows is read as what it is.
            client.send(&request);
            assert_eq!(client.read_response().text(), "hello", "cut at {cut}");
            count += 2;
        }
    }
    for line in proxy.wait_log_lines(count) {
        assert_eq!(line["client"], "198.51.100.7");
        assert_eq!(line["peer"], "198.51.100.7:40000");
    }
    for request in upstream.all_requests() {
        assert_eq!(request.headers.get("x-forwarded-for"), Some("198.51.100.7"));
    }
    assert_eq!(errors(&proxy), 0.0);
    proxy.finish();
}

#[test]
fn a_balancer_that_speaks_for_itself_is_the_client() {
    let upstream = Upstream::ok("hello");
    let proxy = start(&upstream, "");
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for header in [&b"PROXY UNKNOWN\r\n"[..], local] {
        let mut client = Client::connect(proxy.public());
        client.send([header, &request_bytes("GET", "/", &[], "")].concat());
        assert_eq!(client.read_response().text(), "hello");
    }
    for line in proxy.wait_log_lines(2) {
        assert_eq!(line["client"], "127.0.0.1");
    }
    // One that looks whether the port is there is no error.
    drop(Client::connect(proxy.public()));
    proxy.wait_until("it has gone", || {
        proxy.metrics().sum("sightglass_active_connections", &[]) == 0.0
    });
    assert_eq!(errors(&proxy), 0.0);
    proxy.finish();
}

#[test]
fn what_is_no_header_is_closed_and_counted() {
    let upstream = Upstream::ok("hello");
    let proxy = start(&upstream, "timeout: {head: 300ms}");
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100], b"\r\n"].concat();
    let cases = [
        &request_bytes("GET", "/", &[], "")[..],
        b"PROXY TCP4 198.51.100.7 192.0.2.2 40000\r\n",
        b"PROXY TCP4 198.51.100.7 192.0.2.2 40000 443\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
        &long,
        b"PROXY TCP4 198.5", // and no more: too late
    ];
    for (nth, case) in cases.into_iter().enumerate() {
        let mut client = Client::connect(proxy.public());
        let _ = client.try_send(case);
        client.expect_close();
        proxy.wait_until("it is counted", || errors(&proxy) == (nth + 1) as f64);
    }
    let mut half = Client::connect(proxy.public());
    half.send(&V2[..20]);
    half.half_close();
    half.expect_close();
    proxy.wait_until("it is counted", || errors(&proxy) == 7.0);
    assert_eq!(upstream.request_count(), 0);
    proxy.finish();
}

#[test]
fn trust_goes_by_the_client_that_the_header_names() {
    let upstream = Upstream::ok("hello");
    // The balancer's own address is trusted, and the client behind it is not.
    let proxy = start(&upstream, "trusted_proxies: [127.0.0.0/8]");
    let mut client = Client::connect(proxy.public());
    let spoofed = request_bytes("GET", "/", &[("x-forwarded-for", "10.0.0.1")], "");
    client.send([V1, &spoofed].concat());
    assert_eq!(client.read_response().text(), "hello");
    let told = upstream.only_request();
    assert_eq!(told.headers.get("x-forwarded-for"), Some("198.51.100.7"));
    proxy.finish();
}

#[test]
fn the_header_stands_before_tls_and_before_http2() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let server = authority.server(&["shop.test"]);
    let tls = format!("tls: {{certificates: [{}]}}", server.yaml());
    let proxy = start(&upstream, &tls);
    let caller = TlsCaller::new(&authority, "shop.test")
        .alpn(&["h2"])
        .first(V2);
    let way = caller.to(proxy.public());
    assert_eq!(Http2Client::connect(way.address()).get("/").text(), "hello");
    assert_eq!(proxy.wait_log_lines(1)[0]["client"], "198.51.100.7");
    proxy.finish();
}

#[test]
fn connections_are_counted_for_whom_the_header_names() {
    let upstream = Upstream::ok("hello");
    let proxy = start(&upstream, "limits: {connections_per_client: 2}");
    let open = |last: u8| {
        let mut client = Client::connect(proxy.public());
        let header = format!("PROXY TCP4 198.51.100.{last} 192.0.2.2 40000 443\r\n");
        client.send([header.as_bytes(), &request_bytes("GET", "/", &[], "")].concat());
        client
    };
    let served = |last| {
        let mut client = open(last);
        assert_eq!(client.read_response().text(), "hello", "client {last}");
        client
    };
    // All come from one balancer, which is not one client.
    let mut clients: Vec<_> = [1, 1, 2, 2, 3].into_iter().map(served).collect();
    open(1).expect_close();
    let labels = [("listener", "public"), ("reason", "client_limit")];
    proxy.wait_until("it is counted", || {
        let name = "sightglass_connection_errors_total";
        proxy.metrics().sum(name, &labels) == 1.0
    });
    // One that leaves makes room.
    drop(clients.remove(0));
    proxy.wait_until("it has left", || {
        proxy.metrics().sum("sightglass_active_connections", &[]) == 4.0
    });
    clients.push(served(1));
    proxy.finish();
}
