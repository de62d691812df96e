//! Client against Upstream: framing, faults, records.

use std::time::Duration;

use super::super::{Client, Ended, Gate, Script, Upstream, get, reply, request_bytes, wait_until};

#[test]
fn a_request_arrives_byte_for_byte() {
    let upstream = Upstream::ok("hello");
    let mut client = Client::connect(upstream.address());
    client.send("POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-Twice: 1\r\nx-twice:  2 \r\nContent-Length: 3\r\n\r\nabc");
    let response = client.read_response();
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    let request = upstream.only_request();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/a?b=c")
    );
    assert_eq!(request.headers.all("x-twice"), ["1", "2"]);
    assert_eq!(request.body, b"abc");
    assert!(request.is_complete);
    assert!(
        upstream
            .received(0)
            .starts_with(b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-Twice: 1\r\nx-twice:  2 \r\n")
    );
}

#[test]
fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let upstream = Upstream::answering(|request| reply(200, &[], &request.target));
    let mut client = Client::connect(upstream.address());
    client.send(
        [
            request_bytes("GET", "/1", &[], ""),
            request_bytes("GET", "/2", &[], ""),
        ]
        .concat(),
    );
    assert_eq!(client.read_response().text(), "/1");
    assert_eq!(client.read_response().text(), "/2");
    assert_eq!(upstream.connection_count(), 1);
}

#[test]
fn chunks_and_trailers_are_read_on_both_sides() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-End: yes\r\n\r\n";
    let upstream = Upstream::script(Script::new().read_head().read_body().send(answer));
    let mut client = Client::connect(upstream.address());
    client.send("PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\nsum: 4\r\n\r\n");
    let response = client.read_response();
    assert_eq!(response.text(), "abcde");
    assert_eq!(response.trailers.get("x-end"), Some("yes"));
    let request = upstream.only_request();
    assert_eq!(
        (request.body.as_slice(), request.trailers.get("sum")),
        (b"wxyz".as_slice(), Some("4"))
    );
}

#[test]
fn head_and_interim_responses_do_not_confuse_the_next_one() {
    let upstream = Upstream::requests([
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
        Script::new()
            .read_head()
            .send("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
            .send(reply(200, &[], "last")),
    ]);
    let mut client = Client::connect(upstream.address());
    client.request("HEAD", "/", &[], "");
    assert_eq!(
        client.read_response_to("HEAD").header("content-length"),
        Some("9")
    );
    client.request("GET", "/", &[], "");
    let response = client.read_response();
    assert_eq!(
        (response.text().as_str(), response.interim.len()),
        ("last", 1)
    );
}

#[test]
fn a_body_may_wait_for_100_continue() {
    let upstream = Upstream::echo();
    let mut client = Client::connect(upstream.address());
    client.send("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    assert_eq!(client.read_head().word(1), "100");
    client.send("hi");
    assert_eq!(client.read_response().json()["body"], "hi");
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let upstream = Upstream::connections([Script::new()
        .read_head()
        .send("HTTP/1.1 200 OK\r\n\r\nall of it")]);
    assert_eq!(get(upstream.address(), "/").text(), "all of it");
    wait_until("the script is done", || {
        upstream.ended(0) == Some(Ended::ByScript)
    });
}

#[test]
fn a_stalled_script_goes_on_when_its_gate_opens() {
    let gate = Gate::new();
    let upstream = Upstream::script(Script::new().read_head().wait(&gate).send(reply(
        200,
        &[],
        "late",
    )));
    let mut client = Client::connect(upstream.address());
    client.request("GET", "/", &[], "");
    wait_until("the script stalls", || gate.waiting() == 1);
    client.expect_silence(Duration::from_millis(50));
    gate.open();
    assert_eq!(client.read_response().text(), "late");
}

#[test]
fn an_upstream_with_a_shut_gate_can_be_dropped() {
    let upstream = Upstream::script(Script::new().read_head().wait(&Gate::new()));
    let mut client = Client::connect(upstream.address());
    client.request("GET", "/", &[], "");
    wait_until("the request is there", || upstream.request_count() == 1);
    drop(upstream);
    client.expect_close();
}

#[test]
fn a_reset_is_a_reset_and_a_cut_body_is_an_error() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let upstream = Upstream::requests([
        Script::new().read_head().reset(),
        Script::new().read_head().send(half).close(),
    ]);
    let mut client = Client::connect(upstream.address());
    client.request("GET", "/", &[], "");
    let error = client.try_read_response("GET").expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let mut client = Client::connect(upstream.address());
    client.request("GET", "/", &[], "");
    let error = client
        .try_read_response("GET")
        .expect_err("a body that is cut");
    assert!(error.to_string().contains("6 bytes to go"), "{error}");
}

#[test]
fn an_upstream_sees_how_a_client_leaves() {
    let upstream = Upstream::ok("x");
    let mut client = Client::connect(upstream.address());
    client.request("GET", "/", &[], "");
    client.read_response();
    client.half_close();
    wait_until("an orderly end is seen", || {
        upstream.ended(0) == Some(Ended::ByPeer)
    });
    let mut client = Client::connect(upstream.address());
    client.send("POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nhalf");
    wait_until("the head is read", || upstream.request_count() == 2);
    client.reset();
    wait_until(
        "a reset is seen",
        || matches!(upstream.ended(1), Some(Ended::Broken(why)) if why.contains("ConnectionReset")),
    );
    assert!(!upstream.all_requests()[1].is_complete);
}

#[test]
fn connections_are_closed_after_their_share_of_requests() {
    let upstream = Upstream::ok("x").close_after(2);
    let mut client = Client::connect(upstream.address());
    for _ in 0..2 {
        client.request("GET", "/", &[], "");
        client.read_response();
    }
    client.expect_close();
}

#[test]
fn a_shut_upstream_refuses_and_comes_back_on_its_port() {
    let upstream = Upstream::ok("x");
    let mut idle = Client::connect(upstream.address());
    upstream.shut();
    idle.expect_close();
    let refused = std::net::TcpStream::connect(upstream.address()).expect_err("nothing listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    upstream.reopen();
    assert_eq!(get(upstream.address(), "/").status, 200);
}

#[test]
fn deaf_upstreams_are_deaf_each_in_its_way() {
    let connect = |upstream: &Upstream| {
        std::net::TcpStream::connect_timeout(&upstream.address(), Duration::from_millis(200))
            .map_err(|error| error.kind())
    };
    assert_eq!(
        connect(&Upstream::refuse()).map(drop),
        Err(std::io::ErrorKind::ConnectionRefused)
    );
    assert_eq!(
        connect(&Upstream::never_connects()).map(drop),
        Err(std::io::ErrorKind::TimedOut)
    );
    let upstream = Upstream::never_accepts();
    assert!(connect(&upstream).is_ok());
    let mut client = Client::connect(upstream.address());
    client.request("GET", "/", &[], "");
    client.expect_silence(Duration::from_millis(50));
}

#[test]
fn bodies_of_any_size_pass_without_being_kept() {
    let chunk = vec![b'x'; 1024 * 1024];
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
        64 * chunk.len()
    );
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .discard_body()
            .send(head)
            .send_repeated(&chunk, 64),
    );
    let mut client = Client::connect(upstream.address());
    client.send(format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        32 * chunk.len()
    ));
    client.send_repeated(&chunk, 32);
    assert_eq!(
        client.read_response_length().body_length,
        64 * chunk.len() as u64
    );
    let request = upstream.only_request();
    assert_eq!(
        (request.body_length, request.body.len()),
        (32 * chunk.len() as u64, 0)
    );
    assert!(upstream.received(0).len() < 256 * 1024);
}
