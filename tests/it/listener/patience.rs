//! How long a client may take: to begin, to send, to read, and to do nothing.

use std::time::{Duration, Instant};

use super::super::rig::{Client, Config, Http2Client, Proxy, Script, Upstream};
use super::{active_connections, errors, wait_error};

#[test]
fn the_preface_may_come_in_pieces_and_half_of_one_is_not_waited_for_long() {
    let upstream = Upstream::ok("hello");
    let proxy =
        Proxy::start(Config::new(upstream.address()).listener("timeout: {head: 300ms, idle: 60s}"));

    // A request that begins like the preface.
    let mut client = Client::connect(proxy.public());
    client.send_slowly("PRI", 1, Duration::from_millis(5));
    client.send("NT /x HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
    assert_eq!(upstream.only_request().method, "PRINT");

    // The preface in two pieces: the server's SETTINGS come when it is whole.
    let mut client = Client::connect(proxy.public());
    client.send("PRI * HTTP/2.0\r\n\r\nSM");
    client.expect_silence(Duration::from_millis(20));
    client.send("\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert_eq!(client.read_bytes(4)[3], 4, "a SETTINGS frame");
    drop(client);

    // Half of it and no more.
    let mut client = Client::connect(proxy.public());
    client.send("PRI * HT");
    client.read_to_end();
    wait_error(&proxy, "head_timeout");
    proxy.finish();
}

#[test]
fn an_idle_connection_is_closed_in_silence() {
    let upstream = Upstream::ok("hello");
    let proxy =
        Proxy::start(Config::new(upstream.address()).listener("timeout: {idle: 300ms, head: 60s}"));

    // Never used, and used once.
    let mut fresh = Client::connect(proxy.public());
    let mut used = Client::connect(proxy.public());
    used.request("GET", "/", &[], "");
    used.read_response();
    let since = Instant::now();
    fresh.expect_close();
    used.expect_close();
    assert!(since.elapsed() > Duration::from_millis(150));

    proxy.wait_until("none is left", || active_connections(&proxy) == 0.0);
    let metrics = proxy.metrics();
    assert_eq!(metrics.sum("sightglass_connection_errors_total", &[]), 0.0);
    proxy.finish();
}

/// HEADERS with END_STREAM and END_HEADERS: GET / of http://a.
fn http2_get(stream: u8) -> Vec<u8> {
    let mut frame = b"\0\0\x06\x01\x05\0\0\0".to_vec();
    frame.extend([stream, 0x82, 0x86, 0x84, 0x41, 0x01, b'a']);
    frame
}

#[test]
fn an_http2_connection_is_idle_between_requests_and_not_a_slow_head() {
    let upstream = Upstream::ok("hello");
    let proxy =
        Proxy::start(Config::new(upstream.address()).listener("timeout: {idle: 60s, head: 200ms}"));

    let mut client = Client::connect(proxy.public());
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(b"\0\0\0\x04\0\0\0\0\0"); // SETTINGS
    client.send(http2_get(1));
    proxy.wait_log_lines(1);
    // A PING is no head, however long nothing follows it.
    client.send(b"\0\0\x08\x06\0\0\0\0\0pingpong");
    std::thread::sleep(Duration::from_millis(600));
    client.send(http2_get(3));
    proxy.wait_log_lines(2);
    assert_eq!(errors(&proxy, "head_timeout"), 0.0);

    let lines = proxy.wait_log_lines(2);
    assert_eq!(lines[0]["connection"], lines[1]["connection"]);
    assert!(
        lines[1]["duration_ms"].as_f64().expect("a number") < 500.0,
        "the clock of an HTTP/2 request starts with its head: {}",
        lines[1]
    );
    drop(client);
    proxy.finish();
}

#[test]
fn an_idle_http2_connection_is_closed() {
    let upstream = Upstream::ok("hello");
    let proxy =
        Proxy::start(Config::new(upstream.address()).listener("timeout: {idle: 300ms, head: 60s}"));

    let client = Http2Client::connect(proxy.public());
    assert_eq!(client.get("/").text(), "hello");
    proxy.wait_until("it is closed", || active_connections(&proxy) == 0.0);
    let metrics = proxy.metrics();
    assert_eq!(metrics.sum("sightglass_connection_errors_total", &[]), 0.0);
    proxy.finish();
}

#[test]
fn a_slow_head_gets_408_and_is_a_connection_error() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {head: 300ms}"));

    let mut client = Client::connect(proxy.public());
    client.send("GET / HTTP/1.1\r\nhost:");
    assert_eq!(client.read_response().status, 408);
    client.expect_close();
    wait_error(&proxy, "head_timeout");

    // The same for the second request of a connection.
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    assert_eq!(client.read_response().status, 200);
    client.send("GET /");
    assert_eq!(client.read_response().status, 408);
    proxy.wait_until("two connection errors", || {
        errors(&proxy, "head_timeout") == 2.0
    });

    assert_eq!(proxy.wait_log_lines(1).len(), 1);
    proxy.finish();
}

#[test]
fn the_time_of_a_slow_head_is_the_phase_receive() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));

    let mut client = Client::connect(proxy.public());
    client.send("GET / HTTP/1.1\r\nho");
    std::thread::sleep(Duration::from_millis(150));
    client.send("st: test\r\n\r\n");
    assert_eq!(client.read_response().status, 200);

    let line = &proxy.wait_log_lines(1)[0];
    let receive = line["phases_ms"]["receive"].as_f64().expect("a number");
    assert!((140.0..5000.0).contains(&receive), "{line}");
    assert!(line["duration_ms"].as_f64().expect("a number") >= receive);
    proxy.finish();
}

#[test]
fn a_body_that_stalls_gets_408() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {body: 300ms}"));

    let mut client = Client::connect(proxy.public());
    client.request("POST", "/", &[("content-length", "100")], "");
    client.send("some");
    let response = client.read_response();
    assert_eq!(response.status, 408);
    assert_eq!(response.json()["outcome"], "http_request_error");
    client.expect_close();

    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "http_request_error");
    assert_eq!(line["side"], "client");
    assert_eq!(line["status"], 408);
    assert_eq!(line["bytes_in"], 4);
    proxy.finish();
}

#[test]
fn a_body_that_comes_slowly_but_steadily_is_taken() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {body: 400ms}"));

    let mut client = Client::connect(proxy.public());
    client.request("POST", "/", &[("content-length", "10")], "");
    client.send_slowly("0123456789", 1, Duration::from_millis(80));
    assert_eq!(client.read_response().status, 200);
    assert_eq!(upstream.only_request().body, b"0123456789");
    proxy.finish();
}

/// Far more than all buffers between the upstream and a client that does not read can hold.
const MUCH: usize = 64 << 20;

fn much() -> Script {
    Script::new()
        .read_head()
        .send(format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n"))
        .send_repeated([b'x'; 1 << 16], MUCH >> 16)
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let upstream = Upstream::script(much());
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {body: 300ms}"));

    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "connection_write_timeout");
    assert_eq!(line["side"], "client");
    assert_eq!(line["status"], 200);
    wait_error(&proxy, "write_timeout");
    assert!(client.try_read_response("GET").is_err());
    proxy.finish();
}

#[test]
fn an_http2_client_that_opens_no_window_is_cut_off() {
    let upstream = Upstream::script(much());
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {body: 300ms}"));

    let client = Http2Client::connect(proxy.public());
    let mut stream = client.open("GET", "/", &[]).expect("a stream");
    stream.send_last("", &[]).expect("a stream");
    // The head is read; the window that h2 grants by default is all that comes.
    assert_eq!(stream.read_head().expect("a head").status(), 200);

    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "connection_write_timeout");
    assert_eq!(line["status"], 200);
    proxy.finish();
}

#[test]
fn an_http2_client_that_never_opens_a_window_is_cut_off() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {body: 300ms}"));

    let mut client = Client::connect(proxy.public());
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0"); // SETTINGS_INITIAL_WINDOW_SIZE = 0
    client.send(http2_get(1));

    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "connection_write_timeout");
    drop(client);
    proxy.finish();
}

#[test]
fn an_idle_http2_connection_is_closed_also_where_nobody_says_goodbye() {
    let upstream = Upstream::ok("hello");
    let proxy =
        Proxy::start(Config::new(upstream.address()).listener("timeout: {idle: 300ms, head: 60s}"));

    // Nobody answers the PING that goes with GOAWAY; the answer is given five seconds.
    let mut client = Client::connect(proxy.public());
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    client.read_to_end();
    proxy.wait_until("it is closed", || active_connections(&proxy) == 0.0);
    proxy.finish();
}
