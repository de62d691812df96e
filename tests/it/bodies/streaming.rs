//! Bodies of any size pass piece by piece: nothing waits for the end, and whoever is slower sets the pace.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::rig::{
    Client, Config, Ended, Gate, Http2Client, Proxy, Script, Upstream, reply, wait_until,
};
use super::assert_counts;

const MIB: usize = 1 << 20;

/// The most memory that the process has held, in MiB.
fn peak_memory(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid()))
        .expect("a running process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.expect("a status tells the peak") >> 10
}

fn assert_small(proxy: &Proxy) {
    let peak = peak_memory(proxy);
    assert!(peak < 100, "the proxy has held {peak} MiB");
}

fn large_answer(size: usize) -> Upstream {
    Upstream::script(
        Script::new()
            .read_head()
            .send(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n"))
            .send_repeated([b'x'; MIB >> 2], size / (MIB >> 2)),
    )
}

fn large_upload() -> Upstream {
    Upstream::script(
        Script::new()
            .read_head()
            .discard_body()
            .answer(|request| reply(200, &[], request.body_length.to_string())),
    )
}

#[test]
fn a_gibibyte_comes_down_in_constant_memory() {
    const SIZE: usize = 1024 * MIB;
    let upstream = large_answer(SIZE);
    let proxy = Proxy::start(Config::new(upstream.address()));

    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    assert_eq!(client.read_response_length().body_length, SIZE as u64);

    assert_counts(&proxy, 0, SIZE as u64);
    assert_small(&proxy);
    proxy.finish();
}

#[test]
fn a_gibibyte_goes_up_in_constant_memory() {
    const SIZE: usize = 1024 * MIB;
    let upstream = large_upload();
    let proxy = Proxy::start(Config::new(upstream.address()));

    let mut client = Client::connect(proxy.public());
    client.request("POST", "/", &[("content-length", &SIZE.to_string())], "");
    client.send_repeated(vec![b'x'; MIB], SIZE / MIB);
    assert_eq!(client.read_response().text(), SIZE.to_string());

    assert_counts(&proxy, SIZE as u64, SIZE.to_string().len() as u64);
    assert_small(&proxy);
    proxy.finish();
}

#[test]
fn a_large_body_comes_down_over_http2_in_constant_memory() {
    const SIZE: usize = 256 * MIB;
    let upstream = large_answer(SIZE);
    let proxy = Proxy::start(Config::new(upstream.address()));

    let client = Http2Client::connect(proxy.public());
    let mut stream = client.open("GET", "/", &[]).expect("a stream");
    stream.send_last("", &[]).expect("an open stream");
    stream.read_head().expect("a head");
    let mut read = 0;
    while let Some(piece) = stream.read_piece().expect("a whole body") {
        read += piece.len();
    }
    assert_eq!(read, SIZE);

    assert_counts(&proxy, 0, SIZE as u64);
    assert_small(&proxy);
    proxy.finish();
}

/// A peer that writes as much as is taken, and counts it.
fn write_endlessly(stream: &mut TcpStream, written: &AtomicU64) {
    let piece = [b'x'; 1 << 16];
    stream.set_nonblocking(true).expect("a socket");
    loop {
        match stream.write(&piece) {
            Ok(count) => {
                written.fetch_add(count as u64, Ordering::SeqCst);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(_) => return,
        }
    }
}

/// Waits until a counter has stood still for a while, and says where.
fn standstill(counter: &AtomicU64) -> u64 {
    let (mut last, mut since) = (0, Instant::now());
    wait_until("the writer is made to wait", || {
        let now = counter.load(Ordering::SeqCst);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        last > 0 && since.elapsed() > Duration::from_millis(500)
    });
    last
}

/// What the kernel buffers of two connections, at the most; the proxy's own share is small beside it.
const BUFFERED: u64 = 40 * MIB as u64;

/// An upstream that answers one request with an endless body, and how much of it was taken.
fn endless_upstream() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let written = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&written);
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 4096]).expect("a request");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffff\r\n")
            .expect("a head");
        write_endlessly(&mut stream, &counter);
    });
    (address, written)
}

#[test]
fn a_slow_reader_makes_the_upstream_wait() {
    let (address, taken) = endless_upstream();
    let proxy = Proxy::start(Config::new(address));

    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    client.read_head();
    let stands = standstill(&taken);
    assert!(stands < BUFFERED, "the upstream could send {stands} bytes");
    // It goes on when the client does.
    client.read_bytes(usize::try_from(stands).expect("below BUFFERED"));
    proxy.wait_until("more is taken", || taken.load(Ordering::SeqCst) > stands);

    client.reset();
    assert_eq!(proxy.wait_log_lines(1)[0]["outcome"], "client_closed");
    assert_small(&proxy);
    proxy.finish();
}

#[test]
fn a_slow_http2_reader_makes_the_upstream_wait() {
    let (address, taken) = endless_upstream();
    let proxy = Proxy::start(Config::new(address));

    let client = Http2Client::connect(proxy.public());
    let mut stream = client.open("GET", "/", &[]).expect("a stream");
    stream.send_last("", &[]).expect("an open stream");
    stream.read_head().expect("a head");
    let stands = standstill(&taken);
    assert!(stands < BUFFERED, "the upstream could send {stands} bytes");
    stream.reset(h2::Reason::CANCEL);
    drop(stream);

    assert_eq!(proxy.wait_log_lines(1)[0]["outcome"], "client_closed");
    assert_small(&proxy);
    proxy.finish();
}

#[test]
fn a_slow_upstream_makes_the_client_wait() {
    let gate = Gate::new();
    let upstream = Upstream::script(Script::new().read_head().wait(&gate).reset());
    let proxy = Proxy::start(Config::new(upstream.address()));

    let mut client = TcpStream::connect(proxy.public()).expect("a connection");
    client
        .write_all(
            b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nfffffffff\r\n",
        )
        .expect("a head");
    let written = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&written);
    let writer = std::thread::spawn(move || write_endlessly(&mut client, &counter));
    let stands = standstill(&written);
    assert!(stands < BUFFERED, "the client could send {stands} bytes");

    gate.open();
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "connection_terminated", "{line}");
    assert_eq!(line["status"], 502);
    writer.join().expect("the writer ends with its connection");
    assert_small(&proxy);
    proxy.finish();
}

#[test]
fn a_piece_is_passed_on_before_the_next_one_comes() {
    let gate = Gate::new();
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            .wait(&gate)
            .send("6\r\nsecond\r\n0\r\n\r\n"),
    );
    let proxy = Proxy::start(Config::new(upstream.address()));

    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    client.read_head();
    assert_eq!(client.read_bytes(10), b"5\r\nfirst\r\n");
    gate.open();
    assert_eq!(client.read_bytes(16), b"6\r\nsecond\r\n0\r\n\r\n");

    assert_counts(&proxy, 0, 11);
    proxy.finish();
}

#[test]
fn request_and_response_may_stream_at_once() {
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nearly\r\n")
            .read_body()
            .send("4\r\nlate\r\n0\r\n\r\n"),
    );
    let proxy = Proxy::start(Config::new(upstream.address()));

    let client = Http2Client::connect(proxy.public());
    let mut stream = client.open("POST", "/", &[]).expect("a stream");
    stream.send("one ").expect("an open stream");
    assert_eq!(stream.read_head().expect("a head").status(), 200);
    let piece = stream.read_piece().expect("a piece");
    assert_eq!(piece.as_deref(), Some(b"early".as_slice()));
    stream.send_last("two", &[]).expect("an open stream");
    let piece = stream.read_piece().expect("a piece");
    assert_eq!(piece.as_deref(), Some(b"late".as_slice()));
    // The end may be an empty piece of its own.
    while let Some(rest) = stream.read_piece().expect("the end") {
        assert!(rest.is_empty(), "{rest:?}");
    }

    assert_eq!(upstream.only_request().body, b"one two");
    assert_counts(&proxy, 7, 9);
    proxy.finish();
}

/// More than the buffers on the way hold, so that a client which writes all of it first is still writing when the
/// answer is there.
const UPLOAD: usize = 16 * MIB;

fn early_answer() -> Script {
    Script::new().read_head().send(reply(403, &[], "no need"))
}

#[test]
fn an_early_answer_reaches_a_client_that_still_uploads() {
    let upstream = Upstream::script(early_answer().read_to_end());
    let proxy = Proxy::start(Config::new(upstream.address()));

    let mut client = Client::connect(proxy.public());
    client.request(
        "POST",
        "/",
        &[("content-length", &UPLOAD.to_string())],
        "some",
    );
    let response = client.read_response();
    assert_eq!(
        (response.status, response.text().as_str()),
        (403, "no need")
    );

    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(
        (&line["outcome"], &line["bytes_out"]),
        (&"served".into(), &7.into())
    );
    // Its rest of a request is none of ours: the connection is not used for another.
    proxy.wait_until("the upstream's connection is closed", || {
        upstream.ended(0) == Some(Ended::ByPeer)
    });
    proxy.finish();
}

#[test]
fn an_early_answer_reaches_a_client_that_reads_only_when_all_is_sent() {
    let upstream = Upstream::script(early_answer().read_to_end());
    let proxy = Proxy::start(Config::new(upstream.address()));

    for _ in 0..5 {
        let mut client = Client::connect(proxy.public());
        client.request("POST", "/", &[("content-length", &UPLOAD.to_string())], "");
        client.send_repeated([b'x'; MIB], UPLOAD / MIB);
        let response = client.read_response();
        assert_eq!(
            (response.status, response.text().as_str()),
            (403, "no need")
        );
    }
    proxy.wait_log_lines(5);
    proxy.finish();
}

#[test]
fn after_an_early_answer_the_next_exchange_is_its_own() {
    let upstream = Upstream::connections([
        early_answer().read_to_end(),
        Script::new()
            .read_head()
            .answer(|request| reply(200, &[], &request.target)),
    ]);
    let proxy = Proxy::start(Config::new(upstream.address()).workers(1));

    let client = Http2Client::connect(proxy.public());
    let mut stream = client.open("POST", "/first", &[]).expect("a stream");
    stream
        .send("GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n")
        .expect("an open stream");
    let response = stream.read_response().expect("an early answer");
    assert_eq!(response.status, 403);
    assert_eq!(client.get("/second").text(), "/second");

    let targets: Vec<_> = upstream
        .all_requests()
        .into_iter()
        .map(|request| (request.connection, request.target))
        .collect();
    assert_eq!(targets, [(0, "/first".into()), (1, "/second".into())]);
    proxy.wait_log_lines(2);
    proxy.finish();
}

#[test]
fn a_request_body_that_fails_after_the_answers_head_is_the_clients() {
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n")
            .discard_body(),
    );
    let proxy = Proxy::start(Config::new(upstream.address()).route("max_body: 1KiB"));
    let mut client = Client::connect(proxy.public());
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n");
    assert_eq!(client.read_head().word(1), "200");
    client.send(format!("800\r\n{}\r\n", "x".repeat(0x800)));
    client.read_to_end();
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "http_request_error", "{line}");
    assert_eq!(line["side"], "client");
    drop(client);
    proxy.finish();
}
