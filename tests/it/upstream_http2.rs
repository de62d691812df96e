//! HTTP/2 connections to an upstream, frame by frame: how many streams, what a GOAWAY and a refusal mean, what dies idle.

mod frames;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use self::frames::{Frame, FrameServer, Frames, REFUSED_STREAM};
use super::rig::{Authority, Config, Gate, Http2Client, Http2Stream, Proxy, get, post, wait_until};

fn proxy(server: &FrameServer, more: &[&str]) -> Proxy {
    let config = Config::new(server.address())
        .workers(1)
        .upstream("protocol: http2");
    Proxy::start(
        more.iter()
            .fold(config, |config, line| config.upstream(line)),
    )
}

/// Asks for `path` so many times at once, without bodies.
fn ask<'c>(client: &'c Http2Client, path: &str, count: usize) -> Vec<Http2Stream<'c>> {
    let ask = |_| client.ask("GET", path).expect("the proxy has room");
    (0..count).map(ask).collect()
}

/// The text of each answer, which is a 200.
fn texts(streams: Vec<Http2Stream<'_>>) -> Vec<String> {
    let read = |stream: Http2Stream<'_>| {
        let response = stream.read_response().expect("an answer");
        assert_eq!(response.status.as_u16(), 200);
        response.text()
    };
    streams.into_iter().map(read).collect()
}

#[test]
fn no_more_streams_at_once_than_the_peer_takes_and_more_connections_instead() {
    const STREAMS: usize = 10;
    let gate = Gate::new();
    let (most, now) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(Mutex::new(Vec::new())),
    );
    let (seen, live, hold) = (Arc::clone(&most), Arc::clone(&now), gate.clone());
    let server = FrameServer::start(move |mut frames: Frames| {
        frames.settings(&[(3, 2)]);
        let mut open = HashSet::new();
        while let Some(frame) = frames.read() {
            if let Frame::Request(id) = frame {
                open.insert(id);
                live.lock().expect("no holder panics").push(frames.number());
                seen.fetch_max(open.len(), Ordering::SeqCst);
                if open.len() == 2 {
                    hold.pass(|| false);
                    for id in open.drain() {
                        frames.answer(id, 200, b"ok");
                    }
                }
            }
        }
    });
    let proxy = proxy(&server, &["connect_timeout: 5s"]);
    let client = Http2Client::connect(proxy.public());
    let streams = ask(&client, "/", STREAMS);
    proxy.wait_until("all are at the upstream", || {
        now.lock().expect("no holder panics").len() == STREAMS
    });
    gate.open();
    assert_eq!(texts(streams), ["ok"; STREAMS]);
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert_eq!(server.connection_count(), STREAMS / 2);
    proxy.wait_log_lines(STREAMS);
    proxy.finish();
}

#[test]
fn a_burst_on_a_fresh_connection_waits_for_what_the_peer_takes_and_shares_it() {
    let server = FrameServer::start(|mut frames: Frames| {
        frames.settings(&[(3, 128)]);
        while let Some(frame) = frames.read() {
            if let Frame::Request(id) = frame {
                frames.answer(id, 200, b"ok");
            }
        }
    });
    let proxy = proxy(&server, &[]);
    let client = Http2Client::connect(proxy.public());
    assert_eq!(texts(ask(&client, "/", 50)), ["ok"; 50]);
    assert_eq!(server.connection_count(), 1);
    proxy.wait_log_lines(50);
    proxy.finish();
}

#[test]
fn a_peer_that_names_no_figure_is_shared_too() {
    let server = FrameServer::start(|mut frames: Frames| {
        frames.settings(&[]);
        while let Some(frame) = frames.read() {
            if let Frame::Request(id) = frame {
                frames.answer(id, 200, b"ok");
            }
        }
    });
    let proxy = proxy(&server, &[]);
    let client = Http2Client::connect(proxy.public());
    assert_eq!(texts(ask(&client, "/", 50)), ["ok"; 50]);
    assert_eq!(server.connection_count(), 1);
    proxy.wait_log_lines(50);
    proxy.finish();
}

/// Takes requests until there are `after`, then says GOAWAY: the first half of them was looked at, the others were not.
/// Later connections answer everything.
fn goes_away(after: usize) -> FrameServer {
    FrameServer::start(move |mut frames: Frames| {
        frames.settings(&[(3, 100)]);
        let mut open = Vec::new();
        while let Some(frame) = frames.read() {
            let Frame::Request(id) = frame else { continue };
            if frames.number() > 0 {
                frames.answer(id, 200, b"second");
                continue;
            }
            open.push(id);
            if open.len() == after {
                let last = open[after / 2 - 1];
                frames.goaway(last, 0);
                for id in open.drain(..).take(after / 2) {
                    frames.answer(id, 200, b"first");
                }
            }
        }
    })
}

#[test]
fn a_goaway_in_the_middle_of_fifty_streams_loses_none() {
    let server = goes_away(50);
    let proxy = proxy(&server, &[]);
    let client = Http2Client::connect(proxy.public());
    let answers = texts(ask(&client, "/", 50));
    assert_eq!(answers.iter().filter(|text| *text == "first").count(), 25);
    assert_eq!(answers.iter().filter(|text| *text == "second").count(), 25);
    assert_eq!(server.connection_count(), 2);
    let lines = proxy.wait_log_lines(50);
    let twice = lines
        .iter()
        .filter(|line| line["attempts"].as_array().map(Vec::len) == Some(2));
    assert_eq!(twice.count(), 25);
    assert!(lines.iter().all(|line| line["outcome"] == "served"));
    proxy.finish();
}

#[test]
fn what_a_goaway_left_untouched_with_a_body_is_a_connect_failure_for_the_policy() {
    for (policy, status) in [
        ("", 502),
        (
            "retry: {attempts: 2, when: [connect_failure], methods: [POST], backoff: 1ms..2ms}",
            200,
        ),
    ] {
        let server = FrameServer::start(move |mut frames: Frames| {
            frames.settings(&[]);
            while let Some(frame) = frames.read() {
                let Frame::Request(id) = frame else { continue };
                if frames.number() == 0 {
                    frames.goaway(0, 0);
                    break;
                }
                frames.answer(id, 200, b"second");
            }
            frames.read_to_end();
        });
        let mut config = Config::new(server.address())
            .workers(1)
            .upstream("protocol: http2");
        if !policy.is_empty() {
            config = config.route(policy);
        }
        let proxy = Proxy::start(config);
        assert_eq!(post(proxy.public(), "/", "body").status, status);
        let line = proxy.wait_log_lines(1).remove(0);
        assert_eq!(
            line["attempts"][0]["outcome"], "connection_terminated",
            "{line}"
        );
        assert_eq!(
            get(proxy.public(), "/").text(),
            "second",
            "no new stream on a connection that goes away"
        );
        proxy.wait_log_lines(2);
        proxy.finish();
    }
}

#[test]
fn what_was_in_hand_when_the_connection_was_lost_is_not_sent_again() {
    let server = FrameServer::start(|mut frames: Frames| {
        frames.settings(&[]);
        while let Some(frame) = frames.read() {
            if let Frame::Request(id) = frame {
                frames.goaway(id, 0); // looked at
                return;
            }
        }
    });
    let proxy = proxy(&server, &[]);
    assert_eq!(get(proxy.public(), "/").status, 502);
    assert_eq!(server.request_count(), 1);
    let line = proxy.wait_log_lines(1).remove(0);
    assert_eq!(line["attempts"].as_array().map(Vec::len), Some(1), "{line}");
    proxy.finish();
}

#[test]
fn a_refused_stream_goes_out_once_more() {
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refused);
    let server = FrameServer::start(move |mut frames: Frames| {
        frames.settings(&[]);
        while let Some(frame) = frames.read() {
            if let Frame::Request(id) = frame {
                if counted.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
                    frames.reset(id, REFUSED_STREAM);
                } else {
                    frames.answer(id, 200, b"ok");
                }
            }
        }
    });
    let proxy = proxy(&server, &[]);
    for _ in 0..5 {
        assert_eq!(get(proxy.public(), "/").text(), "ok");
    }
    assert_eq!(refused.load(Ordering::SeqCst), 10);
    assert_eq!(server.connection_count(), 1);
    proxy.wait_log_lines(5);
    proxy.finish();
}

#[test]
fn a_connection_that_goes_away_while_idle_is_let_go() {
    let gate = Gate::new();
    let hold = gate.clone();
    let server = FrameServer::start(move |mut frames: Frames| {
        frames.settings(&[]);
        while let Some(frame) = frames.read() {
            if let Frame::Request(id) = frame {
                frames.answer(id, 200, b"ok");
                if frames.number() == 0 {
                    hold.pass(|| false);
                    frames.goaway(id, 0);
                }
            }
        }
    });
    let proxy = proxy(&server, &[]);
    assert_eq!(get(proxy.public(), "/").status, 200);
    gate.open();
    let idle = [("upstream", "web"), ("state", "idle")];
    let metric = "sightglass_upstream_active_connections";
    proxy.wait_until("it is closed", || proxy.metrics().sum(metric, &idle) == 0.0);
    assert_eq!(get(proxy.public(), "/").status, 200);
    let lines = proxy.wait_log_lines(2);
    assert_eq!(lines[1]["attempts"].as_array().map(Vec::len), Some(1));
    proxy.finish();
}

#[test]
fn nginx_over_tls_and_http2_loses_nothing_where_it_ends_connections() {
    use super::rig::partner::{Nginx, Reserved};
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    let port = Reserved::new();
    let Some(nginx) = Nginx::start_with(&format!(
        "listen {} ssl http2; ssl_certificate {}; ssl_certificate_key {}; keepalive_requests 20; http2_max_concurrent_streams 8;",
        port.address(),
        identity.cert.display(),
        identity.key.display(),
    )) else {
        return;
    };
    let config = Config::new(port.address())
        .upstream("protocol: auto")
        .upstream("connect_timeout: 5s")
        .upstream(&format!("tls: {{ca: \"{}\"}}", authority.ca().display()));
    let proxy = Proxy::start(config);
    let client = Http2Client::connect(proxy.public());
    for _ in 0..10 {
        assert_eq!(texts(ask(&client, "/small", 50)), ["small\n"; 50]);
    }
    wait_until("nginx has logged all", || nginx.log_lines().len() >= 500);
    let lines = proxy.wait_log_lines(500);
    assert!(lines.iter().all(|line| line["outcome"] == "served"));
    proxy.finish();
}
