//! Every way in which a handshake fails: counted by reason, told as an event, and never more than this one connection.

use std::time::Duration;

use super::super::rig::{Authority, Client, ONLY_TLS12, Proxy, TlsCaller, Upstream, get};
use super::{config, errors, start, wait_error};

#[test]
fn a_client_that_speaks_http_in_clear_text_is_told_so() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let proxy = start(&authority, &upstream);
    let mut client = Client::connect(proxy.public());
    client.request("POST", "/", &[], vec![b'x'; 100_000]);
    let response = client.read_response();
    assert_eq!(response.status, 400);
    assert!(response.text().contains("HTTPS"), "{}", response.text());
    wait_error(&proxy, "tls_not_tls");
    proxy.finish();
}

#[test]
fn other_bytes_are_no_handshake_either() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let proxy = start(&authority, &upstream);
    let mut client = Client::connect(proxy.public());
    client.send([0_u8; 64]);
    client.expect_close();
    wait_error(&proxy, "tls_not_tls");

    // A record of the right type with nonsense in it.
    let mut client = Client::connect(proxy.public());
    client.send([22, 3, 1, 0, 4, 9, 9, 9, 9]);
    client.read_to_end();
    proxy.wait_until("it is counted", || errors(&proxy, "tls_protocol") == 1.0);
    let way = TlsCaller::new(&authority, "shop.test").to(proxy.public());
    assert_eq!(get(way.address(), "/").text(), "hello");
    proxy.finish();
}

#[test]
fn a_handshake_that_takes_too_long_is_cut() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let server = authority.server(&["shop.test"]);
    let config = config(&upstream, &[&server], "").listener("timeout: {head: 200ms}");
    let proxy = Proxy::start(config);
    let mut silent = Client::connect(proxy.public());
    let mut slow = Client::connect(proxy.public());
    slow.send([22, 3, 1, 2, 0, 1]);
    silent.expect_close();
    slow.expect_close();
    proxy.wait_until("both are counted", || errors(&proxy, "tls_timeout") == 2.0);
    // A connection whose handshake is over is given the time of an idle one.
    let way = TlsCaller::new(&authority, "shop.test").to(proxy.public());
    let mut client = Client::connect(way.address());
    proxy.wait_until("the handshake is over", || !way.handshakes().is_empty());
    client.expect_silence(Duration::from_millis(600));
    client.request("GET", "/", &[], "");
    assert_eq!(client.read_response().text(), "hello");
    proxy.finish();
}

#[test]
fn a_late_request_head_is_answered_through_the_session() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let server = authority.server(&["shop.test"]);
    let config = config(&upstream, &[&server], "").listener("timeout: {head: 300ms}");
    let proxy = Proxy::start(config);
    let way = TlsCaller::new(&authority, "shop.test").to(proxy.public());
    let mut client = Client::connect(way.address());
    client.send("GET / HTTP/1.1\r\n");
    assert_eq!(client.read_response().status, 408);
    client.expect_close();
    wait_error(&proxy, "head_timeout");
    proxy.finish();
}

#[test]
fn an_answer_to_a_bad_request_is_not_lost_while_its_body_comes() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let proxy = start(&authority, &upstream);
    let way = TlsCaller::new(&authority, "shop.test").to(proxy.public());
    let mut client = Client::connect(way.address());
    client.send("GET / HTTP/1.1\r\nbad header\r\n\r\n");
    client.send(vec![b'x'; 200_000]);
    assert_eq!(client.read_response().status, 400);
    wait_error(&proxy, "malformed");
    proxy.finish();
}

#[test]
fn an_old_version_and_an_unknown_name_are_refused_where_that_is_asked_for() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let server = authority.server(&["shop.test"]);
    let strict = "min_version: \"1.3\", unknown_server_name: refuse";
    let proxy = Proxy::start(config(&upstream, &[&server], strict));
    let caller = TlsCaller::new(&authority, "shop.test");
    let cases = [
        (caller.clone().versions(ONLY_TLS12), "tls_no_shared_version"),
        (TlsCaller::new(&authority, "other.test"), "tls_unknown_name"),
        (caller.clone().alpn(&["smtp"]), "tls_no_shared_protocol"),
        (
            TlsCaller::new(&Authority::new(), "shop.test"),
            "tls_refused_by_client",
        ),
    ];
    for (caller, reason) in cases {
        let way = caller.to(proxy.public());
        Client::connect(way.address()).expect_close();
        assert!(way.handshakes()[0].is_err(), "{reason}");
        proxy.wait_until(reason, || errors(&proxy, reason) == 1.0);
    }
    // Who names nothing names nothing that is known.
    let way = caller.clone().without_sni().to(proxy.public());
    Client::connect(way.address()).expect_close();
    proxy.wait_until("no name", || errors(&proxy, "tls_unknown_name") == 2.0);
    let way = caller.to(proxy.public());
    assert_eq!(get(way.address(), "/").text(), "hello");
    proxy.finish();
}

#[test]
fn a_client_that_connects_and_says_nothing_is_no_error() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let proxy = start(&authority, &upstream);
    drop(Client::connect(proxy.public()));
    let way = TlsCaller::new(&authority, "shop.test").to(proxy.public());
    assert_eq!(get(way.address(), "/").text(), "hello");
    let mut half = Client::connect(proxy.public());
    half.send([22, 3, 1]);
    half.half_close();
    half.expect_close();
    wait_error(&proxy, "tls_closed");
    proxy.finish();
}
