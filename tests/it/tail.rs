//! `/api/v1/tail`, `sightglass tail` and `sightglass top --once`: the live views of the terminal, by the real binary.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::command_line::{stderr, stdout};
use super::rig::{Client, Config, Program, Proxy, Upstream, get, reply, wait_until};

/// Answers 503 below `/bad`, and 200 elsewhere.
fn picky() -> Upstream {
    Upstream::answering(|request| match request.target.starts_with("/bad") {
        true => reply(503, &[], "no"),
        false => reply(200, &[], "yes"),
    })
}

fn tail(proxy: &Proxy, more: &[&str]) -> Program {
    let admin = format!("http://{}", proxy.admin());
    let command = Proxy::command(&[&["tail", "--admin", &admin], more].concat());
    Program::start("sightglass tail", command)
}

/// Asks until the tail says so much: when it began to look nobody knows.
fn until_lines(tail: &Program, count: usize, ask: impl Fn()) -> Vec<String> {
    wait_until("lines", || {
        ask();
        tail.stdout_lines().len() >= count
    });
    tail.stdout_lines()
}

#[test]
fn what_matches_is_printed_as_it_finishes_and_nothing_else() {
    let upstream = picky();
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut failing = tail(&proxy, &["status>=500 && route==\"web\""]);
    let mut all = tail(&proxy, &["--json"]);
    let ask = || {
        get(proxy.public(), "/bad/cart?a=1");
        get(proxy.public(), "/good");
    };
    for line in until_lines(&failing, 2, ask) {
        let endpoint = format!("web -> {}", upstream.address());
        for part in ["  503  ", "/bad/cart?a=1", &*endpoint, " ms  GET "] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains('\u{1b}'), "no colours in a pipe: {line}");
    }
    let lines = until_lines(&all, 4, ask);
    let read = |line: &String| serde_json::from_str::<Value>(line).expect("an object");
    let lines: Vec<Value> = lines.iter().map(read).collect();
    assert!(
        lines
            .iter()
            .any(|it| it["path"] == "/good" && it["status"] == 200)
    );
    assert!(lines.iter().any(|it| it["path"] == "/bad/cart"));
    proxy.wait_until("the access log's words", || {
        proxy.log_lines().contains(&lines[0])
    });

    let mut proxy = proxy;
    assert!(proxy.stop().success());
    for tail in [&mut failing, &mut all] {
        let status = tail.wait(Duration::from_secs(10));
        assert_eq!(status.code(), Some(1));
        let said = tail.stderr_lines().join("\n");
        assert!(said.contains("has ended the stream"), "{said}");
    }
}

#[test]
fn a_filter_that_cannot_be_read_points_at_its_column() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let answer = proxy.get_admin("/api/v1/tail?filter=status%3E%3D%3E500");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["column"], 9, "{}", answer.text());
    let admin = format!("http://{}", proxy.admin());
    let output = Proxy::output(&["tail", "--admin", &admin, "status>=>500"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("column 9"), "{}", stderr(&output));
    proxy.finish();
}

#[test]
fn a_viewer_that_reads_nothing_holds_up_neither_traffic_nor_other_viewers() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut silent = TcpStream::connect(proxy.admin()).expect("it listens");
    socket2::SockRef::from(&silent)
        .set_recv_buffer_size(4096)
        .expect("a small buffer");
    write!(
        silent,
        "GET /api/v1/tail HTTP/1.1\r\nhost: localhost\r\n\r\n"
    )
    .expect("taken");
    let mut reading = tail(&proxy, &["--json"]);
    let mut client = Client::connect(proxy.public());
    let mut ask = |count: usize| {
        for _ in 0..count {
            let long = format!("/{}", "a".repeat(1_500));
            client.request("GET", &long, &[("host", "shop.test")], b"");
            assert_eq!(client.read_response().status, 200);
        }
    };
    wait_until("the other sees some", || {
        ask(50);
        reading.stdout_lines().len() > 1_000
    });
    reading.signal("TERM");
    reading.wait(Duration::from_secs(10));
    drop(silent);
    proxy.finish();
}

#[test]
fn a_viewer_that_comes_back_to_reading_is_told_what_it_missed() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut slow = TcpStream::connect(proxy.admin()).expect("it listens");
    socket2::SockRef::from(&slow)
        .set_recv_buffer_size(4096)
        .expect("a small buffer");
    slow.set_read_timeout(Some(Duration::from_secs(10)))
        .expect("it is set");
    write!(slow, "GET /api/v1/tail HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("taken");
    let mut client = Client::connect(proxy.public());
    let long = format!("/{}", "a".repeat(4_000));
    // More than the places on the way and the kernel's buffers hold.
    for _ in 0..3_000 {
        client.request("GET", &long, &[("host", "shop.test")], b"");
        assert_eq!(client.read_response().status, 200);
    }
    let mut text = Vec::new();
    let mut piece = [0; 64 << 10];
    wait_until("it is told", || {
        let count = slow.read(&mut piece).expect("something comes");
        text.extend_from_slice(&piece[..count]);
        String::from_utf8_lossy(&text).contains("event: missed\ndata: {\"missed\":")
    });
    drop(slow);
    proxy.finish();
}

#[test]
fn one_look_of_top_tells_routes_endpoints_and_what_is_in_flight() {
    let upstream = picky();
    let proxy = Proxy::start(Config::new(upstream.address()));
    let admin = format!("http://{}", proxy.admin());
    let once = || {
        let output = Proxy::output(&["top", "--once", "--admin", &admin]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    for _ in 0..3 {
        get(proxy.public(), "/bad");
        get(proxy.public(), "/good");
    }
    let endpoint = upstream.address().to_string();
    wait_until("the figures are there", || {
        let text = once();
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with(&endpoint));
        line.is_some_and(|line| line.contains("ready") && line.contains("50.0 %"))
    });
    let text = once();
    for part in [
        "sightglass ",
        "Routes",
        "\n  web ",
        "Upstreams",
        "In flight",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let output = Proxy::output(&["top", "--admin", &admin]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--once"), "{}", stderr(&output));
    proxy.finish();
}

#[test]
fn without_a_proxy_each_view_says_whom_it_asked() {
    for command in [&["top", "--once"][..], &["tail"][..]] {
        let output = Proxy::output(&[command, &["--admin", "http://127.0.0.1:1"]].concat());
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(said.contains("cannot reach http://127.0.0.1:1"), "{said}");
    }
}
