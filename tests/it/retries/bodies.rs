//! A request's body is sent again whole, or not at all.

use super::super::rig::{Client, Config, Proxy, Script, Upstream, reply};
use super::{attempts, first_then_ok, told};

/// Bytes in which every value occurs, and no period that a buffer's size could hide.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(next).collect()
}

fn chunked(body: &[u8], piece: usize) -> Vec<u8> {
    let mut out =
        b"PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"
            .to_vec();
    for piece in body.chunks(piece) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\nx-sum: 7\r\n\r\n");
    out
}

#[test]
fn a_body_is_sent_again_whole() {
    let body = bytes(60_000);
    let upstream = first_then_ok(503);
    let proxy = Proxy::start(
        Config::new(upstream.address()).route("retry: {attempts: 2, backoff: 1ms..1ms}"),
    );
    let mut client = Client::connect(proxy.public());
    client.request("PUT", "/", &[], &body);
    assert_eq!(client.read_response().status, 200);
    let requests = upstream.all_requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert!(request.body == body, "{} bytes differ", request.body.len());
        assert_eq!(request.headers.all("content-length"), ["60000"]);
    }
    assert_eq!(
        proxy.wait_log_lines(1)[0]["bytes_in"],
        60_000,
        "once a body, not once an attempt"
    );
    drop(client);
    proxy.finish();
}

#[test]
fn a_chunked_body_is_sent_again_with_its_trailers() {
    let body = bytes(50_000);
    let upstream = first_then_ok(503);
    let proxy = Proxy::start(
        Config::new(upstream.address()).route("retry: {attempts: 2, backoff: 1ms..1ms}"),
    );
    let mut client = Client::connect(proxy.public());
    client.send(chunked(&body, 777));
    assert_eq!(client.read_response().status, 200);
    let requests = upstream.all_requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert!(request.body == body, "{} bytes differ", request.body.len());
        assert_eq!(request.trailers.all("x-sum"), ["7"]);
    }
    drop(client);
    proxy.finish();
}

#[test]
fn an_answer_in_the_middle_of_the_body_is_tried_again_with_all_of_it() {
    let body = bytes(40_000);
    let upstream = Upstream::requests([
        // It has seen nothing of the body, and says so before it comes.
        Script::new()
            .read_head()
            .send(reply(503, &[("connection", "close")], "busy"))
            .close(),
        Script::new()
            .read_head()
            .read_body()
            .send(reply(200, &[], "hello")),
    ]);
    let proxy = Proxy::start(
        Config::new(upstream.address()).route("retry: {attempts: 2, backoff: 1ms..1ms}"),
    );
    let mut client = Client::connect(proxy.public());
    client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 40000\r\n\r\n");
    client.send(&body[..10_000]);
    proxy.wait_until("the second attempt has begun", || {
        upstream.request_count() == 2
    });
    client.send(&body[10_000..]);
    assert_eq!(client.read_response().text(), "hello");
    assert!(upstream.all_requests()[1].body == body, "the body differs");
    drop(client);
    proxy.finish();
}

#[test]
fn a_body_larger_than_what_is_kept_is_not_tried_again() {
    let body = bytes(3_000);
    let rule = "retry: {attempts: 3, backoff: 1ms..1ms, max_replay: 2KiB}";
    for bytes in [
        [
            b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 3000\r\n\r\n",
            body.as_slice(),
        ]
        .concat(),
        chunked(&body, 500),
    ] {
        let upstream = first_then_ok(503);
        let proxy = Proxy::start(Config::new(upstream.address()).route(rule));
        let mut client = Client::connect(proxy.public());
        client.send(bytes);
        assert_eq!(client.read_response().status, 503);
        assert_eq!(upstream.request_count(), 1);
        assert!(upstream.only_request().body == body, "the body differs");
        let line = &proxy.wait_log_lines(1)[0];
        assert_eq!(attempts(line), told(&[(503, "served")]));
        drop(client);
        proxy.finish();
    }
}

#[test]
fn a_body_as_large_as_what_is_kept_is_tried_again() {
    let body = bytes(2_048);
    let upstream = first_then_ok(503);
    let rule = "retry: {attempts: 3, backoff: 1ms..1ms, max_replay: 2KiB}";
    let proxy = Proxy::start(Config::new(upstream.address()).route(rule));
    let mut client = Client::connect(proxy.public());
    client.request("PUT", "/", &[], &body);
    assert_eq!(client.read_response().status, 200);
    assert!(upstream.all_requests()[1].body == body, "the body differs");
    drop(client);
    proxy.finish();
}

#[test]
fn a_body_that_is_announced_as_too_large_is_not_tried_again_at_all() {
    let (dead, alive) = (Upstream::refuse(), Upstream::ok("hello"));
    let config = Config::new(dead.address())
        .endpoint(alive.address())
        .upstream("balance: round_robin")
        .route(
            "retry: {attempts: 2, when: [connect_failure], max_replay: 1KiB, backoff: 1ms..1ms}",
        );
    let proxy = Proxy::start(config);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(proxy.public());
        client.request("PUT", "/", &[], bytes(2_000));
        statuses.push(client.read_response().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502]);
    proxy.finish();
}

#[test]
fn the_wait_after_a_body_that_was_sent_again_is_a_wait() {
    let upstream = Upstream::requests([
        Script::new()
            .read_head()
            .read_body()
            .send(reply(503, &[], "no")),
        Script::new()
            .read_head()
            .read_body()
            .pause(std::time::Duration::from_millis(300))
            .send(reply(200, &[], "yes")),
    ]);
    let proxy = Proxy::start(
        Config::new(upstream.address()).route("retry: {attempts: 2, backoff: 1ms..1ms}"),
    );
    let mut client = Client::connect(proxy.public());
    client.request("PUT", "/", &[], "some body");
    assert_eq!(client.read_response().status, 200);
    let line = &proxy.wait_log_lines(1)[0];
    let wait = line["phases_ms"]["wait"].as_f64().unwrap_or_default();
    assert!(wait > 200.0, "{line}");
    drop(client);
    proxy.finish();
}
