//! Where the time of an exchange goes: each side's slowness is found in its own phase, in both directions, and all phases
//! add up to the whole; what the proxy itself took stands beside them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::rig::{Client, Config, Proxy, Script, Upstream, get, reply};

/// How slow somebody is, in milliseconds.
const SLOW: f64 = 400.0;

const PAUSE: Duration = Duration::from_millis(400);

/// What the kernel holds between two sides of one connection is less than this.
const LARGE: usize = 24 << 20;

const OVERHEAD: &str = "sightglass_proxy_overhead_seconds";

/// The phases of the only exchange, once they were found to add up.
fn phases(proxy: &Proxy) -> impl Fn(&str) -> f64 + use<> {
    let line = proxy.wait_log_lines(1).remove(0);
    let phases = line["phases_ms"].clone();
    let all = phases.as_object().expect("an object").values();
    let sum: f64 = all.filter_map(serde_json::Value::as_f64).sum();
    let whole = line["duration_ms"].as_f64().expect("a number");
    // Each of at most twelve is rounded to a thousandth.
    assert!((sum - whole).abs() < 0.013, "{sum} of {whole}: {line}");
    move |phase| phases[phase].as_f64().unwrap_or(0.0)
}

/// That the slowness is in this phase and in no other, and none of it is the proxy's.
fn assert_slow(proxy: &Proxy, slow: &str) {
    let phase = phases(proxy);
    assert!(phase(slow) >= SLOW * 0.9, "{slow}: {}", phase(slow));
    for other in [
        "receive",
        "send_client",
        "send_upstream",
        "wait",
        "body_upstream",
        "body_client",
    ] {
        let limit = SLOW / 2.0;
        assert!(
            other == slow || phase(other) < limit,
            "{other} is {} where {slow} is slow",
            phase(other)
        );
    }
    let metrics = proxy.metrics();
    assert_eq!(metrics.sum(&format!("{OVERHEAD}_count"), &[]), 1.0);
    let ours = metrics.sum(&format!("{OVERHEAD}_sum"), &[]) * 1e3;
    let told = phase("admit") + phase("pick");
    assert!(ours > 0.0 && ours <= told + 0.01, "{ours} of {told}");
    assert!(ours < SLOW / 4.0, "{ours} ms are said to be ours");
}

#[test]
fn a_client_that_is_slow_with_its_head_is_found_in_receive() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.send("GET / HTTP/1.1\r\nhost: shop");
    std::thread::sleep(PAUSE);
    client.send(".test\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
    assert_slow(&proxy, "receive");
    proxy.finish();
}

#[test]
fn a_client_that_is_slow_with_its_body_is_found_in_send_client() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.send("POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 10\r\n\r\nfirst");
    std::thread::sleep(PAUSE);
    client.send("other");
    assert_eq!(client.read_response().status, 200);
    assert_slow(&proxy, "send_client");
    proxy.finish();
}

/// An upstream that reads nothing of a body for a while, with a small buffer of its own.
fn slow_taker() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let socket = socket2::SockRef::from(&listener);
    socket.set_recv_buffer_size(64 << 10).expect("an option");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        std::thread::sleep(PAUSE * 2);
        let mut piece = vec![0; 1 << 17];
        let (mut taken, mut head) = (0, 0);
        while taken < LARGE + head {
            let Ok(count @ 1..) = stream.read(&mut piece) else {
                return;
            };
            if head == 0 {
                let end = piece.windows(4).position(|bytes| bytes == b"\r\n\r\n");
                head = end.expect("a whole head") + 4;
            }
            taken += count;
        }
        stream.write_all(&reply(200, &[], "done")).ok();
    });
    address
}

#[test]
fn an_upstream_that_is_slow_to_take_the_request_is_found_in_send_upstream() {
    let proxy = Proxy::start(Config::new(slow_taker()));
    let mut client = Client::connect(proxy.public());
    client.request("POST", "/", &[("content-length", &LARGE.to_string())], "");
    client.send_repeated([b'x'; 1 << 16], LARGE >> 16);
    assert_eq!(client.read_response().status, 200);
    assert_slow(&proxy, "send_upstream");
    proxy.finish();
}

#[test]
fn an_upstream_that_is_slow_to_answer_is_found_in_wait() {
    let script = Script::new().read_head().pause(PAUSE);
    let upstream = Upstream::script(script.send(reply(200, &[], "hello")));
    let proxy = Proxy::start(Config::new(upstream.address()));
    assert_eq!(get(proxy.public(), "/").status, 200);
    assert_slow(&proxy, "wait");
    proxy.finish();
}

#[test]
fn an_upstream_that_is_slow_with_its_body_is_found_in_body_upstream() {
    let script = Script::new()
        .read_head()
        .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst")
        .pause(PAUSE)
        .send("other");
    let upstream = Upstream::script(script);
    let proxy = Proxy::start(Config::new(upstream.address()));
    assert_eq!(get(proxy.public(), "/").text(), "firstother");
    assert_slow(&proxy, "body_upstream");
    proxy.finish();
}

#[test]
fn a_client_that_is_slow_to_take_the_response_is_found_in_body_client() {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
    let script = Script::new()
        .read_head()
        .send(head)
        .send_repeated([b'x'; 1 << 16], LARGE >> 16);
    let upstream = Upstream::script(script);
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    std::thread::sleep(PAUSE * 2);
    client.read_response_length();
    assert_slow(&proxy, "body_client");
    proxy.finish();
}

#[test]
fn a_pause_between_attempts_is_not_the_proxys() {
    let failing = Upstream::requests([
        Script::new().read_head().send(reply(503, &[], "no")),
        Script::new().read_head().send(reply(200, &[], "hello")),
    ]);
    let config = Config::new(failing.address());
    let proxy =
        Proxy::start(config.route("retry: {attempts: 2, when: [503], backoff: 500ms..500ms}"));
    assert_eq!(get(proxy.public(), "/").status, 200);
    let phase = phases(&proxy);
    let ours = proxy.metrics().sum(&format!("{OVERHEAD}_sum"), &[]) * 1e3;
    assert!(
        ours <= phase("admit") + phase("pick") + 0.01,
        "{ours} ms are said to be ours"
    );
    proxy.finish();
}
