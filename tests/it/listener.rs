//! Where clients come in: protocols on one port, connections kept and closed, and what slow clients get.

use std::time::{Duration, Instant};

use super::rig::{
    Client, Config, Gate, Http2Client, Proxy, Script, Upstream, get, reply, request_bytes,
};

/// How many connections of `public` ended badly for this reason.
fn errors(proxy: &Proxy, reason: &str) -> f64 {
    let labels = [("listener", "public"), ("reason", reason)];
    proxy
        .metrics()
        .sum("sightglass_connection_errors_total", &labels)
}

fn wait_error(proxy: &Proxy, reason: &str) {
    proxy.wait_until(&format!("one connection error {reason}"), || {
        errors(proxy, reason) == 1.0
    });
}

fn active_connections(proxy: &Proxy) -> f64 {
    proxy.metrics().sum("sightglass_active_connections", &[])
}

#[test]
fn http1_and_http2_share_the_port() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).workers(1));

    assert_eq!(get(proxy.public(), "/one").text(), "hello");
    assert_eq!(
        Http2Client::connect(proxy.public()).get("/two").text(),
        "hello"
    );

    let lines = proxy.wait_log_lines(2);
    assert_eq!(lines[0]["protocol"], "HTTP/1.1");
    assert_eq!(lines[1]["protocol"], "HTTP/2");
    proxy.finish();
}

#[test]
fn an_http10_client_without_host_is_served_and_its_connection_closed() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));

    let mut client = Client::connect(proxy.public());
    client.send("GET /old HTTP/1.0\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    client.expect_close();

    let request = upstream.only_request();
    assert_eq!(request.version, "HTTP/1.1");
    assert_eq!(
        request.headers.all("host"),
        [upstream.address().to_string()]
    );
    assert_eq!(proxy.wait_log_lines(1)[0]["protocol"], "HTTP/1.0");
    proxy.finish();
}

#[test]
fn an_http10_client_that_asks_for_it_keeps_its_connection() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));

    let mut client = Client::connect(proxy.public());
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nhost: test\r\nconnection: keep-alive\r\n\r\n");
        let response = client.read_response();
        assert_eq!(response.text(), "hello");
        assert!(response.headers.lists("connection", "keep-alive"));
    }

    let lines = proxy.wait_log_lines(2);
    assert_eq!(lines[0]["connection"], lines[1]["connection"]);
    proxy.finish();
}

#[test]
fn an_http10_client_gets_a_chunked_answer_up_to_the_close() {
    let upstream = Upstream::script(Script::new().read_head().send(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    ));
    let proxy = Proxy::start(Config::new(upstream.address()));

    let mut client = Client::connect(proxy.public());
    client.send("GET / HTTP/1.0\r\nhost: test\r\n\r\n");
    let response = client.read_response();
    assert_eq!(response.text(), "abcde");
    assert!(!response.headers.contains("transfer-encoding"));

    assert_eq!(proxy.wait_log_lines(1)[0]["outcome"], "served");
    proxy.finish();
}

#[test]
fn a_listener_speaks_only_what_it_was_told() {
    let upstream = Upstream::ok("hello");
    let only_1 = Proxy::start(Config::new(upstream.address()).listener("protocols: [http1]"));
    let only_2 = Proxy::start(Config::new(upstream.address()).listener("protocols: [http2]"));

    assert_eq!(get(only_1.public(), "/").text(), "hello");
    let mut stranger = Client::connect(only_1.public());
    stranger.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    stranger.read_to_end();
    wait_error(&only_1, "malformed");

    assert_eq!(
        Http2Client::connect(only_2.public()).get("/").text(),
        "hello"
    );
    let mut stranger = Client::connect(only_2.public());
    stranger.request("GET", "/", &[], "");
    stranger.read_to_end();
    wait_error(&only_2, "http2_protocol");

    assert_eq!(upstream.request_count(), 2);
    only_1.finish();
    only_2.finish();
}

#[test]
fn the_preface_may_come_in_pieces_and_half_of_one_is_not_waited_for_long() {
    let upstream = Upstream::ok("hello");
    let proxy =
        Proxy::start(Config::new(upstream.address()).listener("timeout: {head: 300ms, idle: 60s}"));

    // A request that begins like the preface.
    let mut client = Client::connect(proxy.public());
    client.send_slowly("PRI", 1, Duration::from_millis(5));
    client.send("NT /x HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
    assert_eq!(upstream.only_request().method, "PRINT");

    // The preface in two pieces: the server's SETTINGS come when it is whole.
    let mut client = Client::connect(proxy.public());
    client.send("PRI * HTTP/2.0\r\n\r\nSM");
    client.expect_silence(Duration::from_millis(20));
    client.send("\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert_eq!(client.read_bytes(4)[3], 4, "a SETTINGS frame");

    // Half of it and no more.
    let mut client = Client::connect(proxy.public());
    client.send("PRI * HT");
    client.read_to_end();
    wait_error(&proxy, "head_timeout");
    proxy.finish();
}

#[test]
fn pipelined_requests_are_answered_in_order_and_each_is_an_exchange() {
    let gate = Gate::new();
    let slow_first = gate.clone();
    let upstream = Upstream::requests([
        Script::new()
            .read_head()
            .wait(&slow_first)
            .send(reply(200, &[], "first")),
        Script::new()
            .read_head()
            .answer(|request| reply(200, &[], &request.target)),
    ]);
    let proxy = Proxy::start(Config::new(upstream.address()));

    let mut client = Client::connect(proxy.public());
    client.send(
        [
            request_bytes("GET", "/1", &[], ""),
            request_bytes("POST", "/2", &[], "body"),
            request_bytes("GET", "/3", &[], ""),
        ]
        .concat(),
    );
    proxy.wait_until("the first request is stalled", || gate.waiting() == 1);
    assert_eq!(upstream.request_count(), 1);
    gate.open();
    assert_eq!(client.read_response().text(), "first");
    assert_eq!(client.read_response().text(), "/2");
    assert_eq!(client.read_response().text(), "/3");

    let lines = proxy.wait_log_lines(3);
    let paths: Vec<_> = lines.iter().map(|line| &line["path"]).collect();
    assert_eq!(paths, ["/1", "/2", "/3"]);
    assert_eq!(lines[1]["bytes_in"], 4);
    assert_ne!(lines[0]["trace_id"], lines[1]["trace_id"]);
    proxy.finish();
}

#[test]
fn a_client_that_ends_its_side_before_the_answer_has_gone_away() {
    let gate = Gate::new();
    let upstream = Upstream::script(Script::new().read_head().wait(&gate).send(reply(
        200,
        &[],
        "late",
    )));
    let proxy = Proxy::start(Config::new(upstream.address()));

    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    proxy.wait_until("the request is stalled", || gate.waiting() == 1);
    client.half_close();

    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(
        (&line["outcome"], &line["status"]),
        (&"client_closed".into(), &499.into())
    );
    gate.open();
    proxy.finish();
}

#[test]
fn a_connection_above_the_cap_is_closed_and_counted() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).listener("limits: {connections: 2}"));

    let mut kept: Vec<_> = (0..2).map(|_| Client::connect(proxy.public())).collect();
    for client in &mut kept {
        client.request("GET", "/", &[], "");
        client.read_response();
    }
    Client::connect(proxy.public()).expect_close();
    wait_error(&proxy, "limit");
    assert_eq!(active_connections(&proxy), 2.0);

    kept.pop();
    proxy.wait_until("a place is free", || active_connections(&proxy) == 1.0);
    assert_eq!(get(proxy.public(), "/").status, 200);
    proxy.finish();
}

/// The most connections of a worker, and their mean.
fn spread(proxy: &Proxy) -> (f64, f64) {
    let metrics = proxy.metrics();
    let samples = metrics.samples("sightglass_worker_connections", &[]);
    let loads: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    assert_eq!(loads.len(), 8, "one series a worker");
    let busiest = loads.iter().copied().fold(0.0, f64::max);
    (busiest, loads.iter().sum::<f64>() / 8.0)
}

#[test]
fn connections_are_spread_evenly_over_eight_workers() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).workers(8));
    // What a shell grants by default is 1,024 descriptors; the rig's end of 1,000 connections has to fit as well.
    let mut clients = Vec::new();
    for count in [100, 1000] {
        while clients.len() < count {
            let Ok(client) = std::net::TcpStream::connect(proxy.public()) else {
                break;
            };
            clients.push(client);
        }
        if clients.len() < count {
            println!("only {} connections can be opened here", clients.len());
            break;
        }
        proxy.wait_until("all are taken in", || {
            active_connections(&proxy) >= count as f64
        });
        let (busiest, mean) = spread(&proxy);
        assert!(
            busiest <= 1.2 * mean,
            "{count} connections: the busiest worker has {busiest}, the mean is {mean}"
        );
    }
    drop(clients);
    proxy.wait_until("all are gone", || active_connections(&proxy) == 0.0);
    proxy.finish();
}

#[test]
fn an_idle_connection_is_closed_in_silence() {
    let upstream = Upstream::ok("hello");
    let proxy =
        Proxy::start(Config::new(upstream.address()).listener("timeout: {idle: 300ms, head: 60s}"));

    // Never used, and used once.
    let mut fresh = Client::connect(proxy.public());
    let mut used = Client::connect(proxy.public());
    used.request("GET", "/", &[], "");
    used.read_response();
    let since = Instant::now();
    fresh.expect_close();
    used.expect_close();
    assert!(since.elapsed() > Duration::from_millis(150));

    proxy.wait_until("none is left", || active_connections(&proxy) == 0.0);
    let metrics = proxy.metrics();
    assert_eq!(metrics.sum("sightglass_connection_errors_total", &[]), 0.0);
    proxy.finish();
}

/// HEADERS with END_STREAM and END_HEADERS: GET / of http://a.
fn http2_get(stream: u8) -> Vec<u8> {
    let mut frame = b"\0\0\x06\x01\x05\0\0\0".to_vec();
    frame.extend([stream, 0x82, 0x86, 0x84, 0x41, 0x01, b'a']);
    frame
}

#[test]
fn an_http2_connection_is_idle_between_requests_and_not_a_slow_head() {
    let upstream = Upstream::ok("hello");
    let proxy =
        Proxy::start(Config::new(upstream.address()).listener("timeout: {idle: 60s, head: 200ms}"));

    let mut client = Client::connect(proxy.public());
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(b"\0\0\0\x04\0\0\0\0\0"); // SETTINGS
    client.send(http2_get(1));
    proxy.wait_log_lines(1);
    // A PING is no head, however long nothing follows it.
    client.send(b"\0\0\x08\x06\0\0\0\0\0pingpong");
    std::thread::sleep(Duration::from_millis(600));
    client.send(http2_get(3));
    proxy.wait_log_lines(2);
    assert_eq!(errors(&proxy, "head_timeout"), 0.0);

    let lines = proxy.wait_log_lines(2);
    assert_eq!(lines[0]["connection"], lines[1]["connection"]);
    assert!(
        lines[1]["duration_ms"].as_f64().expect("a number") < 500.0,
        "the clock of an HTTP/2 request starts with its head: {}",
        lines[1]
    );
    proxy.finish();
}

#[test]
fn an_idle_http2_connection_is_closed() {
    let upstream = Upstream::ok("hello");
    let proxy =
        Proxy::start(Config::new(upstream.address()).listener("timeout: {idle: 300ms, head: 60s}"));

    let client = Http2Client::connect(proxy.public());
    assert_eq!(client.get("/").text(), "hello");
    proxy.wait_until("it is closed", || active_connections(&proxy) == 0.0);
    let metrics = proxy.metrics();
    assert_eq!(metrics.sum("sightglass_connection_errors_total", &[]), 0.0);
    proxy.finish();
}

#[test]
fn a_slow_head_gets_408_and_is_a_connection_error() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {head: 300ms}"));

    let mut client = Client::connect(proxy.public());
    client.send("GET / HTTP/1.1\r\nhost:");
    assert_eq!(client.read_response().status, 408);
    client.expect_close();
    wait_error(&proxy, "head_timeout");

    // The same for the second request of a connection.
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    assert_eq!(client.read_response().status, 200);
    client.send("GET /");
    assert_eq!(client.read_response().status, 408);
    proxy.wait_until("two connection errors", || {
        errors(&proxy, "head_timeout") == 2.0
    });

    assert_eq!(proxy.wait_log_lines(1).len(), 1);
    proxy.finish();
}

#[test]
fn the_time_of_a_slow_head_is_the_phase_receive() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));

    let mut client = Client::connect(proxy.public());
    client.send("GET / HTTP/1.1\r\nho");
    std::thread::sleep(Duration::from_millis(150));
    client.send("st: test\r\n\r\n");
    assert_eq!(client.read_response().status, 200);

    let line = &proxy.wait_log_lines(1)[0];
    let receive = line["phases_ms"]["receive"].as_f64().expect("a number");
    assert!((140.0..5000.0).contains(&receive), "{line}");
    assert!(line["duration_ms"].as_f64().expect("a number") >= receive);
    proxy.finish();
}

#[test]
fn a_body_that_stalls_gets_408() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {body: 300ms}"));

    let mut client = Client::connect(proxy.public());
    client.request("POST", "/", &[("content-length", "100")], "");
    client.send("some");
    let response = client.read_response();
    assert_eq!(response.status, 408);
    assert_eq!(response.json()["outcome"], "http_request_error");
    client.expect_close();

    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "http_request_error");
    assert_eq!(line["side"], "client");
    assert_eq!(line["status"], 408);
    assert_eq!(line["bytes_in"], 4);
    proxy.finish();
}

#[test]
fn a_body_that_comes_slowly_but_steadily_is_taken() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {body: 400ms}"));

    let mut client = Client::connect(proxy.public());
    client.request("POST", "/", &[("content-length", "10")], "");
    client.send_slowly("0123456789", 1, Duration::from_millis(80));
    assert_eq!(client.read_response().status, 200);
    assert_eq!(upstream.only_request().body, b"0123456789");
    proxy.finish();
}

/// Far more than all buffers between the upstream and a client that does not read can hold.
const MUCH: usize = 64 << 20;

fn much() -> Script {
    Script::new()
        .read_head()
        .send(format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n"))
        .send_repeated([b'x'; 1 << 16], MUCH >> 16)
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let upstream = Upstream::script(much());
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {body: 300ms}"));

    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "connection_write_timeout");
    assert_eq!(line["side"], "client");
    assert_eq!(line["status"], 200);
    wait_error(&proxy, "write_timeout");
    assert!(client.try_read_response("GET").is_err());
    proxy.finish();
}

#[test]
fn an_http2_client_that_opens_no_window_is_cut_off() {
    let upstream = Upstream::script(much());
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {body: 300ms}"));

    let client = Http2Client::connect(proxy.public());
    let mut stream = client.open("GET", "/", &[]).expect("a stream");
    stream.send_last("", &[]).expect("a stream");
    // The head is read; the window that h2 grants by default is all that comes.
    assert_eq!(stream.read_head().expect("a head").status(), 200);

    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "connection_write_timeout");
    assert_eq!(line["status"], 200);
    proxy.finish();
}

#[test]
fn an_http2_client_that_never_opens_a_window_is_cut_off() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {body: 300ms}"));

    let mut client = Client::connect(proxy.public());
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0"); // SETTINGS_INITIAL_WINDOW_SIZE = 0
    client.send(http2_get(1));

    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "connection_write_timeout");
    proxy.finish();
}

#[test]
fn each_listener_has_its_own_limits_and_name() {
    let upstream = Upstream::ok("hello");
    let yaml = Config::new(upstream.address()).workers(1).to_string().replace(
        "routes:",
        "  - name: second\n    address: 127.0.0.1:0\n    limits: {uri: 1KiB}\n    request_id: false\nroutes:",
    );
    let proxy = Proxy::start(yaml);
    let long = format!("/{}", "x".repeat(2000));

    let first = get(proxy.public(), &long);
    assert_eq!(first.status, 200);
    assert!(first.headers.contains("x-request-id"));
    let second = get(proxy.listener("second"), &long);
    assert_eq!(second.status, 414);
    assert!(!second.headers.contains("x-request-id"));

    let lines = proxy.wait_log_lines(2);
    assert_eq!(lines[0]["listener"], "public");
    assert_eq!(lines[1]["listener"], "second");
    let metrics = proxy.metrics();
    for name in ["public", "second"] {
        let count = metrics.sum("sightglass_connections_total", &[("listener", name)]);
        assert_eq!(count, 1.0, "{name}");
    }
    proxy.finish();
}
