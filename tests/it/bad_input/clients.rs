//! Clients that go away: at every point of an exchange, and what stays behind.

use std::time::Duration;

use super::super::rig::{
    Client, Config, Ended, Gate, Http2Client, Proxy, Script, Upstream, get, reply,
};
use super::{errors, fault};

const GONE: super::Fault = fault(499, "client_closed", "client");

#[test]
fn a_client_that_goes_before_the_head_is_logged_as_499() {
    for is_reset in [true, false] {
        let gate = Gate::new();
        let upstream = Upstream::requests([
            Script::new().read_head().wait(&gate).read_to_end(),
            Script::new().read_head().send(reply(200, &[], "clean")),
        ]);
        let proxy = Proxy::start(Config::new(upstream.address()));
        let mut client = Client::connect(proxy.public());
        client.request("GET", "/", &[], "");
        proxy.wait_until("the request is stalled", || gate.waiting() == 1);
        if is_reset {
            client.reset()
        } else {
            drop(client)
        }

        let line = &proxy.wait_log_lines(1)[0];
        GONE.assert_told(&proxy, line);
        assert_eq!(line["attempts"][0]["outcome"], "client_closed");
        gate.open();
        // The upstream's connection is given up with it.
        proxy.wait_until("the upstream sees it", || {
            upstream.ended(0) == Some(Ended::ByPeer)
        });
        assert_eq!(get(proxy.public(), "/").text(), "clean");
        proxy.wait_log_lines(2);
        proxy.finish();
    }
}

#[test]
fn an_http2_stream_that_is_reset_before_the_head_is_logged_as_499() {
    let gate = Gate::new();
    let upstream = Upstream::script(Script::new().read_head().wait(&gate).read_to_end());
    let proxy = Proxy::start(Config::new(upstream.address()));
    let client = Http2Client::connect(proxy.public());
    for body_is_over in [true, false] {
        let mut stream = client.open("POST", "/", &[]).expect("a stream");
        if body_is_over {
            stream.send_last("body", &[]).expect("an open stream");
        } else {
            stream.send("some").expect("an open stream");
        }
        proxy.wait_until("the request is stalled", || gate.waiting() >= 1);
        stream.reset(h2::Reason::CANCEL);
        let lines = proxy.wait_log_lines(if body_is_over { 1 } else { 2 });
        GONE.assert_told(&proxy, lines.last().expect("a line"));
    }
    gate.open();
    proxy.finish();
}

#[test]
fn a_client_that_goes_in_the_middle_of_its_body_is_gone() {
    for framing in ["content-length: 1000", "transfer-encoding: chunked"] {
        for is_reset in [true, false] {
            let upstream = Upstream::script(Script::new().read_head().read_body());
            let proxy = Proxy::start(Config::new(upstream.address()));
            let mut client = Client::connect(proxy.public());
            client.send(format!(
                "POST / HTTP/1.1\r\nhost: test\r\n{framing}\r\n\r\n4\r\nsome\r\n"
            ));
            proxy.wait_until("the body is on its way", || {
                upstream
                    .received(0)
                    .windows(4)
                    .any(|window| window == b"some")
            });
            if is_reset {
                client.reset()
            } else {
                drop(client)
            }
            let line = &proxy.wait_log_lines(1)[0];
            GONE.assert_told(&proxy, line);
            // The upstream never sees a whole request.
            proxy.wait_until("the upstream sees it", || {
                matches!(upstream.ended(0), Some(Ended::Broken(_)))
            });
            assert!(!upstream.only_request().is_complete);
            proxy.finish();
        }
    }
}

#[test]
fn a_client_that_goes_in_the_middle_of_the_answer_is_gone() {
    let gate = Gate::new();
    let upstream = Upstream::requests([
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nsome")
            .wait(&gate)
            .read_to_end(),
        Script::new().read_head().send(reply(200, &[], "clean")),
    ]);
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    client.read_head();
    client.read_bytes(4);
    client.reset();

    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(
        (&line["outcome"], &line["status"]),
        (&"client_closed".into(), &200.into())
    );
    assert_eq!(
        (&line["side"], &line["bytes_out"]),
        (&"client".into(), &4.into())
    );
    gate.open();
    proxy.wait_until("the upstream sees it", || {
        upstream.ended(0) == Some(Ended::ByPeer)
    });
    // Its half of an answer is not given to the next.
    assert_eq!(get(proxy.public(), "/").text(), "clean");
    proxy.wait_log_lines(2);
    proxy.finish();
}

#[test]
fn an_exchange_tells_of_its_client_and_the_connection_does_not_tell_again() {
    let gate = Gate::new();
    let upstream = Upstream::script(Script::new().read_head().wait(&gate).read_to_end());
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    proxy.wait_until("the request is stalled", || gate.waiting() == 1);
    drop(client);
    proxy.wait_log_lines(1);
    assert_eq!(
        proxy
            .metrics()
            .sum("sightglass_connection_errors_total", &[]),
        0.0
    );

    // Half a head is no exchange: only the connection can tell.
    let mut client = Client::connect(proxy.public());
    client.send("GET / HTTP/1.1\r\nho");
    drop(client);
    proxy.wait_until("it is counted", || errors(&proxy, "closed_early") == 1.0);
    // Nothing at all is nothing to tell.
    drop(Client::connect(proxy.public()));
    proxy.wait_until("all are gone", || {
        proxy.metrics().sum("sightglass_active_connections", &[]) == 0.0
    });
    assert_eq!(
        proxy
            .metrics()
            .sum("sightglass_connection_errors_total", &[]),
        1.0
    );
    gate.open();
    proxy.finish();
}

#[test]
fn a_crowd_that_leaves_at_random_leaks_nothing() {
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .pause(Duration::from_millis(3))
            .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nsome")
            .pause(Duration::from_millis(3))
            .send("whole."),
    );
    let proxy = Proxy::start(Config::new(upstream.address()));
    std::thread::scope(|scope| {
        for worker in 0..8_u64 {
            let address = proxy.public();
            scope.spawn(move || {
                for turn in 0..25 {
                    let mut client = Client::connect(address);
                    client.request("GET", "/", &[], "");
                    match (turn + worker) % 4 {
                        0 => assert_eq!(client.read_response().text(), "somewhole."),
                        1 => client.reset(),
                        2 => drop(client),
                        _ => {
                            std::thread::sleep(Duration::from_millis((turn + worker) % 9));
                            client.reset();
                        }
                    }
                }
            });
        }
    });
    proxy.wait_until("nothing is under way", || {
        let metrics = proxy.metrics();
        let busy = [("upstream", "web"), ("state", "active")];
        metrics.sum("http_server_active_requests", &[]) == 0.0
            && metrics.sum("sightglass_active_connections", &[]) == 0.0
            && metrics.sum("sightglass_upstream_active_connections", &busy) == 0.0
            && metrics.sum("sightglass_endpoint_active_requests", &[]) == 0.0
    });
    assert_eq!(get(proxy.public(), "/").text(), "somewhole.");
    proxy.finish();
}
