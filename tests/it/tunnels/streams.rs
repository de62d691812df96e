//! Event streams: each event as it comes, for as long as it takes. And Early Hints, which end here.

use std::time::Duration;

use super::super::rig::{
    Client, Collector, Config, Gate, Http2Client, Proxy, Script, Upstream, reply,
};
use super::{config, listener};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

#[test]
fn each_event_comes_as_it_is_sent() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/events", &[("accept-encoding", "gzip")], "");
    let mut peer = Client::accept(&socket);
    peer.read_head();
    peer.send(HEAD);
    let head = client.read_head();
    assert_eq!(head.word(1), "200", "the head does not wait for an event");
    for at in 0..20 {
        let event = format!("data: {at}\n\n");
        peer.send(&event);
        let chunk = format!("{:X}\r\n{event}\r\n", event.len());
        assert_eq!(client.read_bytes(chunk.len()), chunk.as_bytes());
    }
    drop(peer);
    assert_eq!(client.read_bytes(5), b"0\r\n\r\n");
    let line = proxy.wait_log_lines(1).remove(0);
    assert_eq!(line["outcome"], "served", "{line}");
    assert_eq!(
        proxy
            .metrics()
            .sum("sightglass_stream_duration_seconds_count", &[]),
        1.0
    );
    proxy.finish();
}

#[test]
fn over_http2_each_event_comes_as_it_is_sent_too() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    let client = Http2Client::connect(proxy.public());
    let mut stream = client.open("GET", "/events", &[]).expect("a stream");
    stream.send_last("", &[]).expect("an end");
    let mut peer = Client::accept(&socket);
    peer.read_head();
    peer.send(HEAD);
    assert_eq!(stream.read_head().expect("a head").status(), 200);
    for at in 0..20 {
        let event = format!("data: {at}\n\n");
        peer.send(&event);
        let piece = stream.read_piece().expect("no reset").expect("an event");
        assert_eq!(piece, event.as_bytes());
    }
    drop(peer);
    drop(stream);
    drop(client);
    proxy.finish();
}

#[test]
fn a_client_that_leaves_ends_the_request_upstream_at_once() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    for is_http2 in [false, true] {
        let http2 = is_http2.then(|| Http2Client::connect(proxy.public()));
        let mut client = Client::connect(proxy.public());
        let mut stream = http2.as_ref().map(|http2| {
            let mut stream = http2.open("GET", "/events", &[]).expect("a stream");
            stream.send_last("", &[]).expect("an end");
            stream
        });
        if stream.is_none() {
            client.request("GET", "/events", &[], "");
        }
        let mut peer = Client::accept(&socket);
        peer.read_head();
        peer.send(HEAD);
        peer.send("data: 1\n\n");
        match &mut stream {
            None => assert_eq!(client.read_head().word(1), "200"),
            Some(stream) => {
                assert_eq!(peer.read_bytes(5), b"0\r\n\r\n", "its empty body");
                stream.read_head().expect("a head");
                stream.reset(h2::Reason::CANCEL);
            }
        }
        drop(client);
        // Nothing more is sent: that it has left is seen without a write.
        peer.expect_close();
    }
    let lines = proxy.wait_log_lines(2);
    assert!(
        lines.iter().all(|line| line["outcome"] == "client_closed"),
        "{lines:#?}"
    );
    proxy.finish();
}

#[test]
fn a_stream_that_pauses_too_long_is_ended() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket).route("timeout: {idle: 300ms}"));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/events", &[], "");
    let mut peer = Client::accept(&socket);
    peer.read_head();
    peer.send(HEAD);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(200));
        peer.send("data: 1\n\n");
    }
    peer.expect_close();
    client.read_to_end();
    let line = proxy.wait_log_lines(1).remove(0);
    assert_eq!(line["outcome"], "connection_read_timeout", "{line}");
    proxy.finish();
}

#[test]
fn early_hints_are_recorded_and_end_here() {
    let gate = Gate::new();
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";
    let upstream = Upstream::requests([
        Script::new()
            .read_head()
            .send(hint)
            .wait(&gate)
            .send([hint.as_bytes(), &reply(200, &[], "page")].concat()),
        Script::new().read_head().send(reply(200, &[], hint)),
    ]);
    let collector = Collector::start();
    let proxy = Proxy::start(
        Config::new(upstream.address())
            .workers(1)
            .traces(collector.address()),
    );
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[("sec-fetch-mode", "navigate")], "");
    proxy.wait_until("the first hint is out", || gate.waiting() == 1);
    gate.open();
    let response = client.read_response();
    assert_eq!((response.status, response.text().as_str()), (200, "page"));
    assert!(response.interim.is_empty(), "{:?}", response.interim);
    client.request("GET", "/", &[], "");
    assert_eq!(
        client.read_response().text(),
        hint,
        "a body that looks like one"
    );
    let lines = proxy.wait_log_lines(2);
    assert_eq!(lines[0]["attempts"][0]["early_hints"], 2, "{}", lines[0]);
    assert!(lines[1]["attempts"][0].get("early_hints").is_none());
    proxy.wait_until("the spans", || collector.attempts().len() == 2);
    let told = collector.attempts();
    let told = told
        .iter()
        .filter_map(|span| span.integer("sightglass.early_hints"));
    assert_eq!(told.collect::<Vec<_>>(), [2]);
    proxy.finish_traced(&collector);
}
