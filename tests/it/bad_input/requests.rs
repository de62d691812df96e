//! Requests that cannot be taken: the proxy's own refusals, and what hyper's parser rejects before there is an exchange.

use super::super::rig::{Client, Config, Http2Client, Proxy, Upstream, get, get_with};
use super::{errors, fault};

/// Sends one request as it is, by itself, and reads the answer.
fn send(proxy: &Proxy, bytes: impl AsRef<[u8]>) -> super::Response {
    let mut client = Client::connect(proxy.public());
    client.send(bytes);
    client.read_response()
}

/// The first line of a request and a body, with a good Host.
fn with(first: &str, rest: &str) -> String {
    format!("{first} HTTP/1.1\r\nhost: test\r\n{rest}")
}

#[test]
fn what_the_parser_rejects_is_answered_bare_and_is_a_connection_error() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "two lengths",
            with(
                "POST /",
                "content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
            )
            .into(),
        ),
        (
            "a list of lengths",
            with("POST /", "content-length: 3, 3\r\n\r\nabc").into(),
        ),
        (
            "a signed length",
            with("POST /", "content-length: +3\r\n\r\nabc").into(),
        ),
        (
            "identity",
            with("POST /", "transfer-encoding: identity\r\n\r\n").into(),
        ),
        (
            "not chunked at last",
            with(
                "POST /",
                "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            )
            .into(),
        ),
        (
            "chunks in 1.0",
            b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
        ),
        ("a bare CR", with("GET /", "x: a\rb\r\n\r\n").into()),
        ("NUL", with("GET /", "x: a\0b\r\n\r\n").into()),
        ("a folded line", with("GET /", "x: a\r\n b\r\n\r\n").into()),
        (
            "a space before the colon",
            with("GET /", "x : a\r\n\r\n").into(),
        ),
        (
            "a space before the name",
            b"GET / HTTP/1.1\r\n x: a\r\nhost: a\r\n\r\n".to_vec(),
        ),
        (
            "a control byte in the path",
            with("GET /\x01", "\r\n").into(),
        ),
        ("HTTP/1.2", b"GET / HTTP/1.2\r\nhost: a\r\n\r\n".to_vec()),
        ("HTTP/2.0", b"GET / HTTP/2.0\r\nhost: a\r\n\r\n".to_vec()),
        ("two spaces", b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        (
            "no HTTP at all",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        ),
    ];
    for (count, (name, bytes)) in (1..).zip(&cases) {
        let response = send(&proxy, bytes);
        assert_eq!((response.status, response.body_length), (400, 0), "{name}");
        proxy.wait_until(&format!("{name} is counted"), || {
            errors(&proxy, "malformed") == f64::from(count)
        });
    }

    assert_eq!(upstream.request_count(), 0);
    assert!(proxy.log_lines().is_empty());
    proxy.finish();
}

#[test]
fn a_head_beyond_its_limits_is_answered_bare_and_is_a_connection_error() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    for (name, status, bytes) in [
        (
            "a long head",
            431,
            with("GET /", &format!("x: {}\r\n\r\n", "x".repeat(66_000))),
        ),
        (
            "many fields",
            431,
            with("GET /", &format!("{}\r\n", "x: y\r\n".repeat(101))),
        ),
    ] {
        assert_eq!(send(&proxy, bytes).status, status, "{name}");
    }
    proxy.wait_until("two heads too large", || {
        errors(&proxy, "head_too_large") == 2.0
    });

    assert_eq!(upstream.request_count(), 0);
    assert!(proxy.log_lines().is_empty());
    proxy.finish();
}

#[test]
fn a_target_beyond_what_the_parser_takes_is_414_where_the_head_may_be_so_large() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).listener("limits: {head: 256KiB}"));
    let long = format!("GET /{}", "x".repeat(70_000));
    assert_eq!(send(&proxy, with(&long, "\r\n")).status, 414);
    proxy.wait_until("it is counted", || errors(&proxy, "head_too_large") == 1.0);
    proxy.finish();
}

#[test]
fn a_431_reaches_a_client_that_reads_only_when_all_is_sent() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    for _ in 0..5 {
        let mut client = Client::connect(proxy.public());
        client.send(with("GET /", "x: "));
        client.send_repeated([b'x'; 1 << 16], 32);
        assert_eq!(client.read_response().status, 431);
    }
    proxy.finish();
}

#[test]
fn what_the_proxy_refuses_is_an_exchange_with_its_status() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let cases: Vec<(u16, &str, String)> = vec![
        (400, "http_request_error", "GET / HTTP/1.1\r\n\r\n".into()),
        (400, "http_request_error", with("GET /", "host: b\r\n\r\n")),
        (
            400,
            "http_request_error",
            "GET / HTTP/1.1\r\nhost: a b/..@c\r\n\r\n".into(),
        ),
        (400, "http_request_error", with("GET /../..", "\r\n")),
        (400, "http_request_error", with("GET /%00", "\r\n")),
        (400, "http_request_error", with("GET /a%zz", "\r\n")),
        (400, "http_request_error", with("GET /a/..%2fb", "\r\n")),
        (400, "http_request_error", with("GET *", "\r\n")),
        (
            400,
            "http_request_error",
            with(
                "POST /",
                "transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            ),
        ),
        (
            501,
            "http_request_error",
            with(
                "POST /",
                "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            ),
        ),
        (
            417,
            "http_request_error",
            with("POST /", "expect: foo\r\ncontent-length: 0\r\n\r\n"),
        ),
        (
            414,
            "http_request_error",
            with(&format!("GET /{}", "x".repeat(9000)), "\r\n"),
        ),
        (405, "http_request_denied", with("TRACE /", "\r\n")),
        (
            405,
            "http_request_denied",
            "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n".into(),
        ),
    ];
    for (number, (status, outcome, bytes)) in (1..).zip(&cases) {
        let response = send(&proxy, bytes);
        let first = bytes.lines().next().unwrap_or_default();
        println!("{}", &first[..first.len().min(60)]);
        let fault = fault(*status, outcome, "client");
        fault.assert_answer(&response);
        let lines = proxy.wait_log_lines(number);
        fault.assert_told(&proxy, lines.last().expect("a line"));
        assert_eq!(response.headers.contains("allow"), *status == 405);
    }
    assert_eq!(upstream.request_count(), 0);
    let metrics = proxy.metrics();
    assert_eq!(metrics.sum("sightglass_connection_errors_total", &[]), 0.0);
    proxy.finish();
}

#[test]
fn an_unknown_host_or_path_is_404() {
    let upstream = Upstream::ok("hello");
    let yaml = Config::new(upstream.address())
        .workers(1)
        .to_string()
        .replace(
            "match: {path: {prefix: /}}",
            "match: {hosts: [shop.test], path: {prefix: /api}}",
        );
    let proxy = Proxy::start(yaml);
    let not_found = fault(404, "destination_not_found", "proxy");

    let known = get_with(proxy.public(), "/api/x", &[("host", "shop.test")]);
    assert_eq!(known.status, 200);
    for (path, host) in [("/other", "shop.test"), ("/api", "other.test")] {
        not_found.assert_answer(&get_with(proxy.public(), path, &[("host", host)]));
    }
    let line = &proxy.wait_log_lines(3)[2];
    not_found.assert_told(&proxy, line);
    assert!(
        line.get("route").is_none() && line.get("upstream").is_none(),
        "{line}"
    );
    let labels = [("route", "_unmatched")];
    let metrics = proxy.metrics();
    assert_eq!(
        metrics.sum("http_server_request_duration_seconds_count", &labels),
        2.0
    );
    proxy.finish();
}

#[test]
fn a_browser_is_told_in_html_and_grpc_in_its_trailers() {
    let upstream = Upstream::refuse();
    let proxy = Proxy::start(Config::new(upstream.address()).workers(1));

    let page = get_with(proxy.public(), "/<b>", &[("accept", "text/html,*/*;q=0.8")]);
    assert_eq!(page.status, 400, "hyper refuses the raw bracket");
    let page = get_with(
        proxy.public(),
        "/?q=%3Cb%3E",
        &[("accept", "text/html,*/*;q=0.8")],
    );
    assert_eq!(page.status, 502);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let line = proxy.wait_log_lines(1).remove(0);
    assert!(page.text().contains("connection_refused"));
    assert!(
        page.text()
            .contains(line["trace_id"].as_str().expect("an id"))
    );
    assert!(
        !page.text().contains("127.0.0.1"),
        "nothing internal is told"
    );

    let client = Http2Client::connect(proxy.public());
    let answer = client
        .request(
            "POST",
            "/svc/Do",
            &[("content-type", "application/grpc"), ("te", "trailers")],
            "x",
            &[],
        )
        .expect("an answer");
    assert_eq!(
        (answer.status.as_u16(), answer.header("grpc-status")),
        (200, Some("14"))
    );
    let line = &proxy.wait_log_lines(2)[1];
    assert_eq!(line["outcome"], "connection_refused");
    assert_eq!(line["grpc_status"], 14);
    proxy.finish();
}

#[test]
fn a_head_request_that_fails_gets_no_body() {
    let upstream = Upstream::refuse();
    let proxy = Proxy::start(Config::new(upstream.address()).workers(1));
    let mut client = Client::connect(proxy.public());
    for _ in 0..2 {
        client.request("HEAD", "/", &[], "");
        assert_eq!(client.read_response_to("HEAD").status, 502);
    }
    let line = &proxy.wait_log_lines(2)[0];
    assert_eq!(
        (&line["outcome"], &line["bytes_out"]),
        (&"connection_refused".into(), &0.into())
    );
    proxy.finish();
}

#[test]
fn a_body_over_the_limit_is_413_announced_or_streamed() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(
        Config::new(upstream.address())
            .workers(1)
            .route("max_body: 1KiB"),
    );
    let too_large = fault(413, "http_request_error", "client");

    let announced = send(&proxy, with("POST /", "content-length: 1025\r\n\r\n"));
    too_large.assert_answer(&announced);
    let lines = proxy.wait_log_lines(1);
    too_large.assert_told(&proxy, &lines[0]);
    assert_eq!(upstream.request_count(), 0);

    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let head = with("POST /", "transfer-encoding: chunked\r\n\r\n");
    let streamed = send(&proxy, format!("{head}{chunk}{chunk}"));
    too_large.assert_answer(&streamed);
    let lines = proxy.wait_log_lines(2);
    too_large.assert_told(&proxy, &lines[1]);

    let fitting = send(&proxy, format!("{head}{chunk}0\r\n\r\n"));
    assert_eq!(fitting.status, 200);
    let over_http2 = Http2Client::connect(proxy.public())
        .request("POST", "/", &[], vec![b'x'; 5000], &[])
        .expect("an answer");
    assert_eq!(over_http2.status, 413);
    let lines = proxy.wait_log_lines(4);
    assert_eq!(
        (&lines[2]["outcome"], &lines[2]["bytes_in"]),
        (&"served".into(), &1024.into())
    );
    too_large.assert_told(&proxy, &lines[3]);
    proxy.finish();
}

#[test]
fn a_413_reaches_a_client_that_reads_only_when_all_is_sent() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).route("max_body: 1MiB"));
    for _ in 0..5 {
        let mut client = Client::connect(proxy.public());
        client.request(
            "POST",
            "/",
            &[("content-length", &(16 << 20).to_string())],
            "",
        );
        client.send_repeated([b'x'; 1 << 16], (16 << 20) >> 16);
        assert_eq!(client.read_response().status, 413);
    }
    proxy.wait_log_lines(5);
    proxy.finish();
}

#[test]
fn chunks_that_are_none_fail_the_request() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).workers(1));
    let malformed = fault(400, "http_request_error", "client");
    for (number, chunks) in (1..).zip([
        "0x3\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabcd\r\n0\r\n\r\n",
    ]) {
        let head = with("POST /", "transfer-encoding: chunked\r\n\r\n");
        malformed.assert_answer(&send(&proxy, format!("{head}{chunks}")));
        let lines = proxy.wait_log_lines(number);
        malformed.assert_told(&proxy, &lines[number - 1]);
    }
    // What had gone up of them poisons nothing.
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    proxy.wait_log_lines(5);
    proxy.finish();
}

#[test]
fn bad_http2_is_refused_and_counted() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()).workers(1));
    let client = Http2Client::connect(proxy.public());
    let denied = client
        .request("TRACE", "/", &[], "", &[])
        .expect("an answer");
    assert_eq!(denied.status, 405);
    let many: Vec<_> = (0..101).map(|_| ("x", "y")).collect();
    assert_eq!(
        client
            .request("GET", "/", &many, "", &[])
            .expect("an answer")
            .status,
        431
    );
    assert_eq!(client.get("/").status, 200);
    proxy.wait_log_lines(3);

    let mut broken = Client::connect(proxy.public());
    broken.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x01\x04\0\0\0\0\0x");
    broken.read_to_end();
    proxy.wait_until("it is counted", || errors(&proxy, "http2_protocol") == 1.0);
    proxy.finish();
}
