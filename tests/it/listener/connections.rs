//! Protocols on one port, connections kept, capped and spread.

use super::super::rig::{
    Client, Config, Gate, Http2Client, Proxy, Script, Upstream, get, reply, request_bytes,
};
use super::{active_connections, wait_error};

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
