//! `/api/v1/live`: rounds as they come, over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::rig::{Config, Proxy, Upstream, get, wait_until};

/// A viewer that has sent its request.
fn viewer(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.admin()).expect("it listens");
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("it can be set");
    let host = proxy.admin();
    let head = format!("GET /api/v1/live HTTP/1.1\r\nhost: {host}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it is sent");
    stream
}

/// Reads until so many rounds have come; gives the head and the rounds.
fn rounds(stream: &mut TcpStream, count: usize) -> (String, Vec<Value>) {
    let mut text = String::new();
    let mut piece = [0; 16384];
    while text.matches("}\n\n").count() < count {
        let read = stream.read(&mut piece).expect("something comes");
        assert!(read > 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    let (head, _) = text.split_once("\r\n\r\n").expect("a head");
    let told = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let told = told.filter_map(|line| serde_json::from_str(line).ok());
    (head.to_owned(), told.collect())
}

#[test]
fn a_viewer_is_told_a_round_a_second_until_the_process_ends() {
    let upstream = Upstream::ok("hello");
    let mut proxy = Proxy::start(Config::new(upstream.address()));
    assert_eq!(get(proxy.public(), "/").status, 200);
    let mut stream = viewer(&proxy);
    let (head, told) = rounds(&mut stream, 3);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(told.len() >= 2, "{told:?}");
    for round in &told {
        for part in [
            "routes",
            "upstreams",
            "telemetry",
            "process",
            "verdict",
            "map",
        ] {
            assert!(round[part].is_object(), "{part}: {round}");
        }
    }
    wait_until("the exchange is told", || {
        let (_, told) = rounds(&mut viewer(&proxy), 2);
        told.iter()
            .any(|round| round["map"]["routes"][0]["count"] == 1)
    });
    let status = proxy.stop();
    assert!(status.success(), "{status}");
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    assert!(ended.is_ok(), "{ended:?}: the stream ends with the port");
}

#[test]
fn a_viewer_too_many_is_told_so_and_a_place_comes_back() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut viewers: Vec<_> = (0..32).map(|_| viewer(&proxy)).collect();
    for stream in &mut viewers {
        rounds(stream, 1);
    }
    let refused = proxy.get_admin("/api/v1/live");
    assert_eq!(refused.status, 503, "{}", refused.text());
    viewers.truncate(16);
    wait_until("a place is free", || {
        let mut stream = viewer(&proxy);
        let mut start = [0; 12];
        stream.read_exact(&mut start).expect("a head");
        start.ends_with(b"200")
    });
    drop(viewers);
    proxy.finish();
}
