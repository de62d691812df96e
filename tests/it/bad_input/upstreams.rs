//! Upstreams that refuse, hang, break off or talk nonsense.

use std::time::Duration;

use super::super::rig::{
    Client, Config, Ended, Gate, Http2Client, Proxy, Script, Upstream, get, reply,
};
use super::{Fault, fault};

/// One worker, so that every request would find the connection of the one before.
fn single(config: Config) -> Proxy {
    Proxy::start(config.workers(1))
}

/// The first request meets the script and fails so; the second is answered, on another connection.
fn assert_fault(first: Script, route: &str, expected: &Fault) {
    let upstream = Upstream::requests([
        first,
        Script::new().read_head().send(reply(200, &[], "clean")),
    ]);
    let proxy = single(Config::new(upstream.address()).route(route));

    let response = get(proxy.public(), "/");
    let line = expected.assert_only(&proxy, &response);
    assert_eq!(line["attempts"][0]["outcome"], expected.outcome, "{line}");
    assert_eq!(line["attempts"].as_array().map(Vec::len), Some(1));

    assert_eq!(get(proxy.public(), "/").text(), "clean");
    assert_eq!(upstream.connection_count(), 2);
    let labels = [("upstream", "web"), ("outcome", expected.outcome)];
    proxy.wait_log_lines(2);
    let metrics = proxy.metrics();
    assert_eq!(
        metrics.sum("http_client_request_duration_seconds_count", &labels),
        1.0
    );
    // What broke is closed, what is clean is kept.
    proxy.wait_until("one connection is left", || {
        upstream.live_connections() <= 1
            && proxy
                .metrics()
                .sum("sightglass_upstream_active_connections", &[])
                == 1.0
    });
    proxy.finish();
}

#[test]
fn a_refused_connection_is_502() {
    let upstream = Upstream::refuse();
    let proxy = single(Config::new(upstream.address()));
    let refused = fault(502, "connection_refused", "upstream");
    let line = refused.assert_only(&proxy, &get(proxy.public(), "/"));
    assert_eq!(line["attempts"][0]["outcome"], "connection_refused");
    assert_eq!(line["endpoint"], upstream.address().to_string());
    proxy.finish();
}

#[test]
fn a_connection_that_never_comes_is_504() {
    let upstream = Upstream::never_connects();
    let proxy = single(Config::new(upstream.address()).upstream("connect_timeout: 200ms"));
    let timeout = fault(504, "connection_timeout", "upstream");
    timeout.assert_only(&proxy, &get(proxy.public(), "/"));
    proxy.finish();
}

#[test]
fn an_upstream_that_never_answers_is_504() {
    assert_fault(
        Script::new().read_head().read_to_end(),
        "timeout: {head: 200ms}",
        &fault(504, "http_response_timeout", "upstream"),
    );
    assert_fault(
        Script::new().read_head().read_to_end(),
        "timeout: {total: 200ms}",
        &fault(504, "http_response_timeout", "upstream"),
    );
}

#[test]
fn an_upstream_that_never_even_accepts_is_504() {
    let upstream = Upstream::never_accepts();
    let proxy = single(Config::new(upstream.address()).route("timeout: {head: 200ms}"));
    let timeout = fault(504, "http_response_timeout", "upstream");
    timeout.assert_only(&proxy, &get(proxy.public(), "/"));
    proxy.finish();
}

#[test]
fn a_connection_that_ends_before_a_head_is_502() {
    let terminated = fault(502, "connection_terminated", "upstream");
    assert_fault(Script::new().read_head().reset(), "", &terminated);
    assert_fault(Script::new().read_head().close(), "", &terminated);
    assert_fault(
        Script::new().read_head().send("HTTP/1.1 20").close(),
        "",
        &terminated,
    );
}

#[test]
fn what_is_not_http_is_502() {
    let not_http = fault(502, "http_protocol_error", "upstream");
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 99999 Yes\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ] {
        println!("{answer:?}");
        assert_fault(
            Script::new().read_head().send(answer).read_to_end(),
            "",
            &not_http,
        );
    }
}

#[test]
fn a_head_that_is_too_large_is_502() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    assert_fault(
        Script::new().read_head().send(large).read_to_end(),
        "",
        &fault(502, "http_response_header_section_size", "upstream"),
    );
}

/// The answer breaks off after its head: the client sees it, and the next exchange is clean.
fn assert_broken_off(first: Script, route: &str, outcome: &str) {
    let upstream = Upstream::requests([
        first,
        Script::new().read_head().send(reply(200, &[], "clean")),
    ]);
    let proxy = single(Config::new(upstream.address()).route(route));

    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    assert!(
        client.try_read_response("GET").is_err(),
        "the answer must not look whole"
    );
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], outcome, "{line}");
    assert_eq!(
        (&line["status"], &line["side"]),
        (&200.into(), &"upstream".into())
    );
    assert_eq!(line["attempts"][0]["outcome"], outcome);
    assert_eq!(line["bytes_out"], 4);

    assert_eq!(get(proxy.public(), "/").text(), "clean");
    assert_eq!(upstream.connection_count(), 2);
    proxy.wait_log_lines(2);
    proxy.finish();
}

const LENGTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nsome";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsome\r\n";

#[test]
fn a_body_that_ends_early_is_incomplete_for_the_client_too() {
    for body in [LENGTH, CHUNKS] {
        let gate = Gate::new();
        gate.open();
        let short = Script::new()
            .read_head()
            .send(body)
            .pause(Duration::from_millis(50));
        assert_broken_off(short.clone().reset(), "", "http_response_incomplete");
        assert_broken_off(short.close(), "", "http_response_incomplete");
    }
}

#[test]
fn a_body_with_a_broken_chunk_is_incomplete() {
    let broken = Script::new()
        .read_head()
        .send(CHUNKS)
        .pause(Duration::from_millis(50));
    assert_broken_off(
        broken.send("zz\r\nmore").read_to_end(),
        "",
        "http_response_incomplete",
    );
}

#[test]
fn a_body_that_pauses_too_long_is_cut() {
    for body in [LENGTH, CHUNKS] {
        assert_broken_off(
            Script::new().read_head().send(body).read_to_end(),
            "timeout: {idle: 200ms}",
            "connection_read_timeout",
        );
    }
}

#[test]
fn a_body_that_outlasts_the_total_is_cut() {
    assert_broken_off(
        Script::new().read_head().send(CHUNKS).read_to_end(),
        "timeout: {total: 300ms}",
        "http_response_timeout",
    );
}

#[test]
fn a_body_that_comes_slowly_but_steadily_is_not_cut() {
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
            .send_slowly("0123456789", 1, Duration::from_millis(80)),
    );
    let proxy =
        single(Config::new(upstream.address()).route("timeout: {idle: 400ms, head: 400ms}"));
    assert_eq!(get(proxy.public(), "/").text(), "0123456789");
    assert_eq!(proxy.wait_log_lines(1)[0]["outcome"], "served");
    proxy.finish();
}

#[test]
fn an_http2_client_sees_a_reset_where_the_body_ends_early() {
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .send(LENGTH)
            .pause(Duration::from_millis(50))
            .reset(),
    );
    let proxy = single(Config::new(upstream.address()));
    let client = Http2Client::connect(proxy.public());
    assert!(client.request("GET", "/", &[], "", &[]).is_err());
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(
        (&line["outcome"], &line["status"]),
        (&"http_response_incomplete".into(), &200.into())
    );
    // Only the stream is broken: the connection carries on.
    assert!(client.request("GET", "/", &[], "", &[]).is_err());
    let lines = proxy.wait_log_lines(2);
    assert_eq!(lines[0]["connection"], lines[1]["connection"]);
    proxy.finish();
}

#[test]
fn an_answer_before_the_request_is_not_given_to_the_next_one() {
    let upstream = Upstream::connections([
        Script::new()
            .read_head()
            .send(reply(200, &[], "first"))
            .pause(Duration::from_millis(50))
            .send(reply(200, &[], "unasked"))
            .read_to_end(),
        Script::new().read_head().send(reply(200, &[], "second")),
    ]);
    let proxy = single(Config::new(upstream.address()));
    assert_eq!(get(proxy.public(), "/").text(), "first");
    proxy.wait_until("the connection is given up", || {
        upstream.ended(0) == Some(Ended::ByPeer)
    });
    assert_eq!(get(proxy.public(), "/").text(), "second");
    proxy.wait_log_lines(2);
    proxy.finish();
}
