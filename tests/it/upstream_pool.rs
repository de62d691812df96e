//! Connections to upstreams: kept and used again, closed when idle, never shared by two answers, and found by name.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use super::rig::{
    Client, Config, Ended, Http2Answer, Http2Client, Http2Ending, Http2Upstream, Proxy, Script,
    Upstream, get, post, reply,
};

/// One worker, so that every request finds the connection of the one before.
fn single(config: Config) -> Proxy {
    Proxy::start(config.workers(1))
}

fn connections(proxy: &Proxy, state: &str) -> f64 {
    let labels = [("upstream", "web"), ("state", state)];
    proxy
        .metrics()
        .sum("sightglass_upstream_active_connections", &labels)
}

fn opened(proxy: &Proxy) -> f64 {
    proxy.metrics().sum(
        "sightglass_upstream_connections_opened_total",
        &[("upstream", "web")],
    )
}

#[test]
fn a_connection_is_used_again() {
    let upstream = Upstream::echo();
    let proxy = single(Config::new(upstream.address()));
    for body in ["", "body", &"x".repeat(1 << 20), ""] {
        assert_eq!(post(proxy.public(), "/", body).status, 200);
    }
    assert_eq!(upstream.connection_count(), 1);
    let lines = proxy.wait_log_lines(4);
    let reused: Vec<_> = lines
        .iter()
        .map(|line| &line["attempts"][0]["reused"])
        .collect();
    assert_eq!(reused, [false, true, true, true]);
    assert_eq!(opened(&proxy), 1.0);
    assert_eq!(
        (connections(&proxy, "idle"), connections(&proxy, "active")),
        (1.0, 0.0)
    );
    proxy.finish();
}

#[test]
fn a_connection_is_used_again_after_trailers_and_after_chunks() {
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nde\r\n0\r\n";
    let upstream = Upstream::requests([
        Script::new()
            .read_head()
            .send(format!("{chunked}x-sum: 2\r\n\r\n")),
        Script::new().read_head().send(format!("{chunked}\r\n")),
        Script::new().read_head().send(reply(200, &[], "last")),
    ]);
    let proxy = single(Config::new(upstream.address()));
    assert_eq!(get(proxy.public(), "/").text(), "de");
    assert_eq!(get(proxy.public(), "/").text(), "de");
    assert_eq!(get(proxy.public(), "/").text(), "last");
    assert_eq!(upstream.connection_count(), 1);
    proxy.wait_log_lines(3);
    proxy.finish();
}

#[test]
fn an_upstream_that_closes_is_not_asked_on_that_connection_again() {
    for head in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\n",
        "HTTP/1.0 200 OK\r\n",
    ] {
        let upstream = Upstream::script(
            Script::new()
                .read_head()
                .send(format!("{head}content-length: 2\r\n\r\nok"))
                .read_to_end(),
        );
        let proxy = single(Config::new(upstream.address()));
        for _ in 0..3 {
            assert_eq!(get(proxy.public(), "/").text(), "ok");
        }
        assert_eq!(upstream.connection_count(), 3);
        let lines = proxy.wait_log_lines(3);
        assert!(lines.iter().all(|line| line["outcome"] == "served"));
        proxy.finish();
    }
}

#[test]
fn an_idle_connection_is_closed() {
    let upstream = Upstream::ok("hello");
    let proxy = single(Config::new(upstream.address()).upstream("idle_timeout: 300ms"));
    assert_eq!(get(proxy.public(), "/").status, 200);
    proxy.wait_until("it is closed", || upstream.ended(0) == Some(Ended::ByPeer));
    assert_eq!(connections(&proxy, "idle"), 0.0);
    assert_eq!(get(proxy.public(), "/").status, 200);
    assert_eq!(upstream.connection_count(), 2);
    proxy.wait_log_lines(2);
    proxy.finish();
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_not_used() {
    let upstream = Upstream::ok("hello").close_after(1);
    let proxy = single(Config::new(upstream.address()));
    for turn in 0..20 {
        assert_eq!(get(proxy.public(), "/").status, 200);
        proxy.wait_until("it is closed", || upstream.ended(turn).is_some());
    }
    let lines = proxy.wait_log_lines(20);
    assert!(lines.iter().all(|line| line["outcome"] == "served"));
    assert_eq!(upstream.connection_count(), 20);
    proxy.finish();
}

#[test]
fn connections_that_die_in_the_moment_they_are_taken_fail_no_exchange_that_was_not_sent() {
    // Cut while idle and asked at once: the proxy may or may not know yet.
    let upstream = Upstream::ok("hello");
    let proxy = single(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    let mut failed = 0;
    for _ in 0..50 {
        client.request("GET", "/", &[], "");
        if client.read_response().status != 200 {
            failed += 1;
        }
        upstream.cut();
    }
    let lines = proxy.wait_log_lines(50);
    for line in &lines {
        let attempts = line["attempts"].as_array().expect("attempts");
        assert!(attempts.len() <= 2, "{line}");
        if let [first, second] = attempts.as_slice() {
            assert_eq!(
                (&first["reused"], &second["reused"]),
                (&true.into(), &false.into())
            );
            assert_eq!(line["outcome"], "served");
        }
    }
    // A request that was written and lost is the upstream's fault, and never sent twice unasked.
    let lost = lines
        .iter()
        .filter(|line| line["outcome"] == "connection_terminated");
    assert_eq!(lost.count(), failed);
    assert_eq!(proxy.metrics().sum("sightglass_retries_total", &[]), 0.0);
    proxy.finish();
}

#[test]
fn an_answer_never_reaches_another_request() {
    let upstream = Upstream::script(Script::new().read_head().answer(|request| {
        std::thread::sleep(Duration::from_millis(2));
        reply(200, &[], request.target.repeat(2000))
    }));
    let proxy = single(Config::new(upstream.address()));
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let address = proxy.public();
            scope.spawn(move || {
                for turn in 0..30 {
                    let path = format!("/{worker}-{turn}");
                    let mut client = Client::connect(address);
                    client.request("GET", &path, &[], "");
                    if turn % 3 == worker % 3 {
                        client.reset();
                    } else {
                        assert_eq!(client.read_response().text(), path.repeat(2000));
                    }
                }
            });
        }
    });
    proxy.finish();
}

// === HTTP/2 ===

fn over_http2(upstream: &Http2Upstream) -> Proxy {
    single(Config::new(upstream.address()).upstream("protocol: http2"))
}

#[test]
fn many_streams_share_one_http2_connection() {
    let upstream = Http2Upstream::answering(|request| {
        std::thread::sleep(Duration::from_millis(1));
        Http2Answer::new(200, &[], request.path.repeat(500))
    });
    let proxy = over_http2(&upstream);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let address = proxy.public();
            scope.spawn(move || {
                let mut client = Client::connect(address);
                for turn in 0..10 {
                    let path = format!("/{worker}-{turn}");
                    client.request("GET", &path, &[], "");
                    assert_eq!(client.read_response().text(), path.repeat(500));
                }
            });
        }
    });
    assert_eq!(upstream.request_count(), 80);
    assert_eq!(upstream.connection_count(), 1);
    let request = &upstream.all_requests()[0];
    assert_eq!(
        (request.authority.as_str(), request.scheme.as_str()),
        ("test", "http")
    );
    assert_eq!((connections(&proxy, "idle"), opened(&proxy)), (1.0, 1.0));
    proxy.finish();
}

#[test]
fn a_reset_stream_breaks_only_its_exchange() {
    use h2::Reason;
    let upstream = Http2Upstream::answering(|request| {
        let answer = Http2Answer::new(200, &[("content-length", "10")], "some");
        match request.path.as_str() {
            "/refused" => answer.ending(Http2Ending::ResetBeforeHead(Reason::REFUSED_STREAM)),
            "/failed" => answer.ending(Http2Ending::ResetBeforeHead(Reason::INTERNAL_ERROR)),
            "/broken" => answer.ending(Http2Ending::ResetAfterBody(Reason::INTERNAL_ERROR)),
            _ => Http2Answer::new(200, &[], "hello"),
        }
    });
    let proxy = over_http2(&upstream);
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    for path in ["/refused", "/failed"] {
        let response = get(proxy.public(), path);
        assert_eq!(response.status, 502, "{path}");
        assert_eq!(
            response.json()["outcome"],
            "connection_terminated",
            "{path}"
        );
    }
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/broken", &[], "");
    let response = client.try_read_response("GET");
    assert!(response.is_err(), "{response:?}");
    assert_eq!(get(proxy.public(), "/").text(), "hello");

    assert_eq!(upstream.connection_count(), 1);
    let lines = proxy.wait_log_lines(5);
    assert_eq!(lines[3]["outcome"], "http_response_incomplete");
    assert_eq!(lines[3]["bytes_out"], 4);
    proxy.finish();
}

#[test]
fn a_client_that_goes_away_resets_its_stream_alone() {
    let upstream = Http2Upstream::answering(|request| match request.path.as_str() {
        "/never" => Http2Answer::new(200, &[], "").ending(Http2Ending::Never),
        "/endless" => Http2Answer::new(200, &[], "some").ending(Http2Ending::NeverEnds),
        _ => Http2Answer::new(200, &[], "hello"),
    });
    let proxy = over_http2(&upstream);
    for (number, path) in [(1, "/never"), (2, "/endless")] {
        let mut client = Client::connect(proxy.public());
        client.request("GET", path, &[], "");
        proxy.wait_until("it is asked", || upstream.request_count() == number);
        if path == "/endless" {
            client.read_head();
        }
        drop(client);
        proxy.wait_until("the stream is reset", || {
            upstream.all_requests()[number - 1].error.is_some()
        });
    }
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    assert_eq!(upstream.connection_count(), 1);
    let lines = proxy.wait_log_lines(3);
    assert_eq!(
        (&lines[0]["outcome"], &lines[0]["status"]),
        (&"client_closed".into(), &499.into())
    );
    assert_eq!(
        (&lines[1]["outcome"], &lines[1]["status"]),
        (&"client_closed".into(), &200.into())
    );
    proxy.finish();
}

#[test]
fn an_http2_connection_that_is_lost_is_opened_anew() {
    let upstream = Http2Upstream::answering(|request| {
        let answer = Http2Answer::new(200, &[], "hello");
        match request.path.as_str() {
            "/cut" => answer.ending(Http2Ending::Disconnect),
            _ => answer,
        }
    });
    let proxy = over_http2(&upstream);
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    assert_eq!(
        get(proxy.public(), "/cut").json()["outcome"],
        "connection_terminated"
    );
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    assert_eq!(upstream.connection_count(), 2);

    upstream.shut();
    assert_eq!(
        get(proxy.public(), "/").json()["outcome"],
        "connection_refused"
    );
    upstream.reopen();
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    proxy.wait_log_lines(5);
    proxy.finish();
}

#[test]
fn an_idle_http2_connection_is_closed() {
    let upstream = Http2Upstream::ok("hello");
    let config = Config::new(upstream.address()).upstream("protocol: http2\nidle_timeout: 300ms");
    let proxy = single(config);
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    assert_eq!(connections(&proxy, "idle"), 1.0);
    proxy.wait_until("it is closed", || connections(&proxy, "idle") == 0.0);
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    assert_eq!(upstream.connection_count(), 2);
    proxy.wait_log_lines(2);
    proxy.finish();
}

#[test]
fn an_upstream_that_does_not_speak_http2_is_a_protocol_error() {
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .send("HTTP/1.1 400 Bad Request\r\n\r\n")
            .close(),
    );
    let proxy = single(Config::new(upstream.address()).upstream("protocol: http2"));
    let response = get(proxy.public(), "/");
    assert_eq!(response.status, 502);
    assert_eq!(response.json()["outcome"], "http_protocol_error");
    proxy.wait_log_lines(1);
    proxy.finish();
}

#[test]
fn http2_on_both_sides_carries_many_streams() {
    let upstream = Http2Upstream::echo();
    let proxy = over_http2(&upstream);
    let client = Http2Client::connect(proxy.public());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let client = &client;
            scope.spawn(move || {
                for turn in 0..20 {
                    let body = format!("{worker}-{turn}").repeat(100);
                    let answer = client
                        .request("POST", "/", &[], &body, &[])
                        .expect("an answer");
                    assert!(answer.text().contains(&body));
                }
            });
        }
    });
    assert_eq!(upstream.connection_count(), 1);
    let lines = proxy.wait_log_lines(80);
    assert!(lines.iter().all(|line| line["outcome"] == "served"));
    proxy.finish();
}

// === names and addresses ===

fn named(address: &str) -> Proxy {
    let placeholder = SocketAddr::from(([127, 0, 0, 1], 1));
    let yaml = Config::new(placeholder).to_string();
    Proxy::start(yaml.replace(
        &format!("address: {placeholder}}}"),
        &format!("address: \"{address}\"}}"),
    ))
}

#[test]
fn a_host_name_is_resolved_and_all_its_addresses_are_tried() {
    // Listens on IPv4 alone, and localhost may be ::1 first.
    let upstream = Upstream::ok("hello");
    let proxy = named(&format!("localhost:{}", upstream.address().port()));
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    let line = &proxy.wait_log_lines(1)[0];
    assert!(line["phases_ms"].get("dns").is_some(), "{line}");
    assert_eq!(
        line["endpoint"],
        format!("localhost:{}", upstream.address().port())
    );
    proxy.finish();
}

#[test]
fn a_name_that_does_not_resolve_is_502_dns_error() {
    let proxy = named("no-such-name.invalid:80");
    let response = get(proxy.public(), "/");
    assert_eq!(response.status, 502);
    assert_eq!(response.json()["outcome"], "dns_error");
    assert_eq!(proxy.wait_log_lines(1)[0]["side"], "upstream");
    proxy.finish();
}

#[test]
fn an_ipv6_endpoint_is_reached() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        println!("this machine has no ::1");
        return;
    };
    let address = listener.local_addr().expect("an address");
    let serving = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 4096];
        let count = stream.read(&mut request).expect("a request");
        stream
            .write_all(&reply(200, &[], "six"))
            .expect("an answer");
        String::from_utf8_lossy(&request[..count]).into_owned()
    });
    let proxy = named(&address.to_string());
    let mut client = Client::connect(proxy.public());
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.read_response().text(), "six");
    let request = serving.join().expect("the upstream serves");
    assert!(
        request.contains(&format!("host: {address}\r\n")),
        "{request}"
    );
    assert_eq!(proxy.wait_log_lines(1)[0]["endpoint"], address.to_string());
    proxy.finish();
}
