//! The end: what was asked is answered, nothing new is taken in, and after the deadline what is left is cut and told.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::rig::{
    Client, Collector, Config, Gate, Http2Client, Mode, Proxy, Script, Upstream, get, reply,
    try_wait_until,
};

/// An upstream that answers when the gate is open.
fn stalled(gate: &Gate) -> Upstream {
    Upstream::script(
        Script::new()
            .read_head()
            .wait(gate)
            .send(reply(200, &[], "late")),
    )
}

fn is_refused(proxy: &Proxy) -> bool {
    TcpStream::connect_timeout(&proxy.public(), Duration::from_secs(1)).is_err()
}

#[test]
fn a_drain_answers_what_was_asked_and_takes_nothing_new() {
    for signal in ["TERM", "INT"] {
        let gate = Gate::new();
        let upstream = stalled(&gate);
        let mut proxy = Proxy::start(Config::new(upstream.address()));
        assert_eq!(proxy.get_admin("/readyz").status, 200);

        let mut busy = Client::connect(proxy.public());
        busy.request("GET", "/busy", &[], "");
        let mut fresh = Client::connect(proxy.public());
        proxy.wait_until("the request is stalled", || {
            let metrics = proxy.metrics();
            gate.waiting() == 1 && metrics.sum("sightglass_active_connections", &[]) == 2.0
        });
        proxy.signal(signal);

        proxy.wait_until("it is not ready", || {
            proxy.get_admin("/readyz").status == 503
        });
        assert_eq!(proxy.get_admin("/livez").status, 200);
        proxy.wait_until("new connections are refused", || is_refused(&proxy));
        fresh.expect_close();
        gate.open();
        let response = busy.read_response();
        assert_eq!((response.status, response.text().as_str()), (200, "late"));
        busy.expect_close();

        assert!(proxy.wait_exit().success());
        let lines = proxy.log_lines();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["outcome"], "served");
    }
}

#[test]
fn a_connection_that_is_kept_is_closed_by_a_drain() {
    let upstream = Upstream::ok("hello");
    let mut proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    client.read_response();
    let since = Instant::now();
    assert!(proxy.stop().success());
    client.expect_close();
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "nothing was left to wait for"
    );
}

#[test]
fn http2_streams_are_finished_and_no_new_ones_taken() {
    let gate = Gate::new();
    // What still gets in before the drain does not wait at the gate, as this test would with it.
    let upstream = Upstream::requests([
        Script::new()
            .read_head()
            .wait(&gate)
            .send(reply(200, &[], "late")),
        Script::new().read_head().send(reply(200, &[], "early")),
    ]);
    let mut proxy = Proxy::start(Config::new(upstream.address()));
    let client = Http2Client::connect(proxy.public());
    let mut stream = client.open("GET", "/", &[]).expect("a stream");
    stream.send_last("", &[]).expect("an open stream");
    proxy.wait_until("the request is stalled", || gate.waiting() == 1);
    proxy.signal("TERM");
    // GOAWAY has come when the client opens no stream any more.
    assert!(try_wait_until(Duration::from_secs(5), || {
        client.request("GET", "/more", &[], "", &[]).is_err()
    }));
    gate.open();
    assert_eq!(stream.read_response().expect("an answer").text(), "late");
    assert!(proxy.wait_exit().success());
    assert!(
        proxy
            .log_lines()
            .iter()
            .all(|line| line["outcome"] == "served")
    );
}

#[test]
fn the_deadline_cuts_what_is_left_and_tells_of_it() {
    let gate = Gate::new();
    let upstream = Upstream::requests([
        Script::new().read_head().wait(&gate).read_to_end(),
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nsome")
            .wait(&gate)
            .read_to_end(),
    ]);
    let mut proxy =
        Proxy::start(Config::new(upstream.address()).runtime("drain: {deadline: 300ms}"));
    let mut before_head = Client::connect(proxy.public());
    before_head.request("GET", "/before", &[], "");
    proxy.wait_until("the first is stalled", || gate.waiting() == 1);
    let mut in_body = Client::connect(proxy.public());
    in_body.request("GET", "/in", &[], "");
    in_body.read_head();
    let over_http2 = Http2Client::connect(proxy.public());
    let mut stream = over_http2.open("GET", "/stream", &[]).expect("a stream");
    stream.send_last("", &[]).expect("an open stream");
    stream.read_head().expect("a head");

    let since = Instant::now();
    assert!(proxy.stop().success());
    assert!(
        since.elapsed() > Duration::from_millis(250),
        "the deadline is waited for"
    );
    assert!(since.elapsed() < Duration::from_secs(8), "and no longer");
    assert!(before_head.try_read_response("GET").is_err());
    in_body.read_to_end();
    gate.open();

    let mut lines = proxy.log_lines();
    lines.sort_by_key(|line| line["path"].to_string());
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["path"].as_str(),
                line["status"].as_u64(),
                line["outcome"].as_str(),
            )
        })
        .collect();
    let cut = Some("proxy_internal_error");
    assert_eq!(
        told,
        [
            (Some("/before"), Some(500), cut),
            (Some("/in"), Some(200), cut),
            (Some("/stream"), Some(200), cut)
        ]
    );
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (first, second, code) in [
        ("TERM", "TERM", 143),
        ("INT", "INT", 130),
        ("TERM", "INT", 130),
    ] {
        let gate = Gate::new();
        let upstream = stalled(&gate);
        let mut proxy = Proxy::start(Config::new(upstream.address()));
        let mut client = Client::connect(proxy.public());
        client.request("GET", "/", &[], "");
        proxy.wait_until("the request is stalled", || gate.waiting() == 1);
        proxy.signal(first);
        proxy.wait_until("it drains", || proxy.get_admin("/readyz").status == 503);
        let since = Instant::now();
        proxy.signal(second);
        assert_eq!(proxy.wait_exit().code(), Some(code));
        assert!(since.elapsed() < Duration::from_secs(5));
        gate.open();
    }
}

#[test]
fn during_the_delay_it_is_not_ready_but_serves() {
    let upstream = Upstream::ok("hello");
    let mut proxy = Proxy::start(Config::new(upstream.address()).runtime("drain: {delay: 2s}"));
    let since = Instant::now();
    proxy.signal("TERM");
    proxy.wait_until("it is not ready", || {
        proxy.get_admin("/readyz").status == 503
    });
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    assert!(proxy.wait_exit().success());
    assert!(since.elapsed() > Duration::from_millis(1900));
    assert_eq!(proxy.log_lines().len(), 1);
}

#[test]
fn an_answer_during_the_drain_says_that_the_connection_closes() {
    let gate = Gate::new();
    let upstream = Upstream::script(Script::new().read_head().wait(&gate).send(reply(
        200,
        &[],
        "late",
    )));
    let mut proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    proxy.wait_until("the request is stalled", || gate.waiting() == 1);
    proxy.signal("TERM");
    proxy.wait_until("new connections are refused", || is_refused(&proxy));
    gate.open();
    let response = client.read_response();
    assert!(
        response.headers.lists("connection", "close"),
        "{:?}",
        response.headers
    );
    assert!(proxy.wait_exit().success());
}

#[test]
fn an_http2_client_that_has_gone_without_a_word_does_not_hold_up_the_drain() {
    let upstream = Upstream::ok("hello");
    let mut proxy = Proxy::start(Config::new(upstream.address()));
    // Its connection is open, and nobody answers the PING that goes with GOAWAY.
    let mut client = Client::connect(proxy.public());
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    client.read_bytes(9);
    let since = Instant::now();
    assert!(proxy.stop().success());
    assert!(
        since.elapsed() < Duration::from_secs(15),
        "the deadline is 30 s: {:?}",
        since.elapsed()
    );
}

#[test]
fn a_second_signal_does_not_wait_for_a_collector_either() {
    let upstream = Upstream::ok("hello");
    let collector = Collector::start();
    collector.set(Mode::Stall);
    let mut proxy = Proxy::start(Config::new(upstream.address()).traces(collector.address()));
    assert_eq!(get(proxy.public(), "/").status, 200);
    proxy.signal("TERM");
    proxy.wait_stderr("drained");
    proxy.wait_until("the last export stalls", || collector.stalled_exports() > 0);
    proxy.signal("TERM");
    assert_eq!(proxy.wait_exit().code(), Some(143));
}
