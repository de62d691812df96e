//! Where bodies end: lengths, chunks, trailers, and answers that have none.

use super::super::rig::{
    Client, Config, Http2Client, Http2Upstream, Proxy, Script, Upstream, get, get_with, reply,
    request_bytes,
};
use super::assert_counts;

fn answering(bytes: &str) -> Upstream {
    Upstream::script(Script::new().read_head().read_body().send(bytes))
}

#[test]
fn a_length_and_chunks_are_counted_in_both_directions() {
    let upstream = answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nanswer");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.request("PUT", "/", &[], "question");
    assert_eq!(client.read_response().text(), "answer");
    let request = upstream.only_request();
    assert_eq!(request.headers.all("content-length"), ["8"]);
    assert!(!request.headers.contains("transfer-encoding"));
    assert_counts(&proxy, 8, 6);
    proxy.finish();

    let upstream = answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nans\r\n3\r\nwer\r\n0\r\n\r\n",
    );
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.send("PUT / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n4\r\nques\r\n4\r\ntion\r\n0\r\n\r\n");
    let response = client.read_response();
    assert_eq!(response.text(), "answer");
    assert!(response.headers.lists("transfer-encoding", "chunked"));
    let request = upstream.only_request();
    assert_eq!(request.body, b"question");
    assert!(!request.headers.contains("content-length"));
    assert_counts(&proxy, 8, 6);
    proxy.finish();
}

#[test]
fn a_get_may_have_a_body() {
    for (framing, body) in [
        ("content-length: 4", "body"),
        ("transfer-encoding: chunked", "4\r\nbody\r\n0\r\n\r\n"),
    ] {
        let upstream = Upstream::ok("hello");
        let proxy = Proxy::start(Config::new(upstream.address()));
        let mut client = Client::connect(proxy.public());
        client.send(format!(
            "GET / HTTP/1.1\r\nhost: test\r\n{framing}\r\n\r\n{body}"
        ));
        assert_eq!(client.read_response().status, 200);
        assert_eq!(upstream.only_request().body, b"body", "{framing}");
        assert_counts(&proxy, 4, 5);
        proxy.finish();
    }
}

#[test]
fn an_empty_body_is_empty_however_it_is_framed() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.send("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(client.read_response().json()["body"], "");
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.read_response().json()["body"], "");
    client.send("POST / HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(client.read_response().json()["body"], "");

    let requests = upstream.all_requests();
    assert!(requests.iter().all(|request| request.is_complete));
    // A POST without a body says so (RFC 9110 §8.6).
    assert_eq!(requests[1].headers.all("content-length"), ["0"]);
    assert!(
        proxy
            .wait_log_lines(3)
            .iter()
            .all(|line| line["bytes_in"] == 0 && line["outcome"] == "served")
    );
    proxy.finish();
}

#[test]
fn answers_without_a_body_keep_the_connection_usable() {
    let no_body = |head: &str| Script::new().read_head().send(head);
    let upstream = Upstream::requests([
        no_body("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n"),
        no_body("HTTP/1.1 204 No Content\r\n\r\n"),
        no_body("HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\netag: \"a\"\r\n\r\n"),
        no_body("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        Script::new().read_head().send(reply(200, &[], "body")),
    ]);
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    let mut ask = |method: &str| {
        client.request(method, "/", &[], "");
        client.read_response_to(method)
    };

    let head = ask("HEAD");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("1234"))
    );
    let empty = ask("GET");
    assert_eq!(empty.status, 204);
    assert!(!empty.headers.contains("content-length"));
    assert!(!empty.headers.contains("transfer-encoding"));
    let same = ask("GET");
    assert_eq!((same.status, same.header("etag")), (304, Some("\"a\"")));
    assert_eq!(ask("HEAD").status, 200);
    assert_eq!(ask("GET").text(), "body");

    assert_eq!(upstream.connection_count(), 1);
    let lines = proxy.wait_log_lines(5);
    let sizes: Vec<_> = lines.iter().map(|line| &line["bytes_out"]).collect();
    assert_eq!(sizes, [0, 0, 0, 0, 4]);
    assert!(
        lines.iter().all(|line| line["outcome"] == "served"),
        "{lines:#?}"
    );
    proxy.finish();
}

#[test]
fn answers_without_a_body_are_served_over_http2() {
    let upstream = Upstream::requests([
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n"),
        Script::new()
            .read_head()
            .send("HTTP/1.1 204 No Content\r\n\r\n"),
    ]);
    let proxy = Proxy::start(Config::new(upstream.address()));
    let client = Http2Client::connect(proxy.public());
    let head = client
        .request("HEAD", "/", &[], "", &[])
        .expect("an answer");
    assert_eq!(
        (head.status.as_u16(), head.header("content-length")),
        (200, Some("1234"))
    );
    assert_eq!(client.get("/").status, 204);
    let lines = proxy.wait_log_lines(2);
    assert!(
        lines
            .iter()
            .all(|line| line["outcome"] == "served" && line["bytes_out"] == 0)
    );
    proxy.finish();
}

#[test]
fn an_answer_that_ends_with_the_connection_passes_whole() {
    for head in [
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
    ] {
        let upstream = Upstream::script(
            Script::new()
                .read_head()
                .send(format!("{head}some "))
                .send("body")
                .close(),
        );
        let proxy = Proxy::start(Config::new(upstream.address()));
        let mut client = Client::connect(proxy.public());
        for _ in 0..2 {
            client.request("GET", "/", &[], "");
            let response = client.read_response();
            assert_eq!(response.text(), "some body");
            assert!(response.headers.lists("transfer-encoding", "chunked"));
        }
        assert_eq!(upstream.connection_count(), 2);
        let lines = proxy.wait_log_lines(2);
        assert!(
            lines
                .iter()
                .all(|line| line["bytes_out"] == 9 && line["outcome"] == "served")
        );
        proxy.finish();
    }
}

#[test]
fn an_http10_upstream_that_says_a_length_is_served() {
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .send("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello")
            .close(),
    );
    let proxy = Proxy::start(Config::new(upstream.address()));
    let response = get(proxy.public(), "/");
    assert_eq!(
        (response.version.as_str(), response.text().as_str()),
        ("HTTP/1.1", "hello")
    );
    assert_counts(&proxy, 0, 5);
    proxy.finish();
}

// === trailers ===

const CHUNKED_REQUEST: &str = "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\
    trailer: x-sum\r\nte: trailers\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n";
const CHUNKED_ANSWER: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
    2\r\nde\r\n0\r\nx-sum: 2\r\ncontent-length: 7\r\n\r\n";

#[test]
fn trailers_pass_both_ways_over_http1() {
    let upstream = answering(CHUNKED_ANSWER);
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.send(CHUNKED_REQUEST);
    let response = client.read_response();
    assert_eq!(response.text(), "de");
    assert_eq!(response.header("trailer"), Some("x-sum"));
    assert_eq!(response.trailers.get("x-sum"), Some("2"));
    assert!(!response.trailers.contains("content-length"));

    let request = upstream.only_request();
    assert_eq!(request.headers.get("te"), Some("trailers"));
    assert_eq!(request.trailers.get("x-sum"), Some("3"));
    assert_counts(&proxy, 3, 2);
    proxy.finish();
}

#[test]
fn a_client_that_does_not_ask_for_trailers_gets_the_body_without() {
    let upstream = answering(CHUNKED_ANSWER);
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    let response = client.read_response();
    assert_eq!(response.text(), "de");
    assert!(response.trailers.is_empty(), "{:?}", response.trailers);
    client.request("GET", "/", &[], "");
    assert_eq!(client.read_response().text(), "de");
    proxy.wait_log_lines(2);
    proxy.finish();
}

#[test]
fn trailers_pass_both_ways_over_http2() {
    let upstream = Http2Upstream::echo();
    let proxy = Proxy::start(Config::new(upstream.address()).upstream("protocol: http2"));
    let client = Http2Client::connect(proxy.public());
    let response = client
        .request(
            "POST",
            "/",
            &[("te", "trailers")],
            "abc",
            &[("x-sum", "3"), ("host", "evil")],
        )
        .expect("an answer");
    let trailers = response.trailers.expect("trailers");
    assert_eq!(
        trailers.get("x-sum").map(|value| value.as_bytes()),
        Some(b"3".as_slice())
    );
    let request = &upstream.all_requests()[0];
    assert_eq!(request.body, "abc");
    assert!(!request.trailers.contains_key("host"));
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(
        (&line["bytes_in"], &line["outcome"]),
        (&3.into(), &"served".into())
    );
    proxy.finish();
}

#[test]
fn trailers_pass_from_http1_to_http2_and_back() {
    let upstream = Http2Upstream::echo();
    let proxy = Proxy::start(Config::new(upstream.address()).upstream("protocol: http2"));
    let mut client = Client::connect(proxy.public());
    client.send(CHUNKED_REQUEST);
    let response = client.read_response();
    assert_eq!(response.json()["body"], "abc");
    assert_eq!(upstream.all_requests()[0].trailers["x-sum"], "3");
    proxy.wait_log_lines(1);
    proxy.finish();

    let upstream = answering(CHUNKED_ANSWER);
    let proxy = Proxy::start(Config::new(upstream.address()));
    let client = Http2Client::connect(proxy.public());
    let response = client
        .request(
            "POST",
            "/",
            &[("te", "trailers"), ("trailer", "x-sum")],
            "abc",
            &[("x-sum", "3")],
        )
        .expect("an answer");
    assert_eq!(response.body, "de");
    assert_eq!(response.trailers.expect("trailers")["x-sum"], "2");
    assert_eq!(upstream.only_request().trailers.get("x-sum"), Some("3"));
    assert_counts(&proxy, 3, 2);
    proxy.finish();
}

// === 1xx ===

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";

#[test]
fn a_body_that_waits_to_be_asked_for_is_asked_for_and_goes_up() {
    let upstream = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    client.send(EXPECTING);
    assert_eq!(client.read_head().word(1), "100");
    client.send("body");
    let response = client.read_response();
    assert_eq!(
        (response.text().as_str(), response.interim.len()),
        ("ok", 0)
    );
    let request = upstream.only_request();
    assert_eq!(request.body, b"body");
    assert!(!request.headers.contains("expect"));
    assert_counts(&proxy, 4, 2);
    // The connection is in order.
    client.request("GET", "/", &[], "");
    assert_eq!(client.read_response().text(), "ok");
    proxy.wait_log_lines(2);
    proxy.finish();
}

#[test]
fn a_refusal_comes_without_asking_for_the_body() {
    let refusing = Upstream::refuse();
    let proxy = Proxy::start(Config::new(refusing.address()).route("max_body: 1KiB"));
    let mut client = Client::connect(proxy.public());
    client.send(EXPECTING);
    let response = client.read_response();
    assert_eq!((response.status, response.interim.len()), (502, 0));

    let mut client = Client::connect(proxy.public());
    client.send(EXPECTING.replace("length: 4", "length: 4000"));
    let response = client.read_response();
    assert_eq!((response.status, response.interim.len()), (413, 0));
    let lines = proxy.wait_log_lines(2);
    assert!(lines.iter().all(|line| line["bytes_in"] == 0));
    proxy.finish();
}

#[test]
fn interim_answers_of_the_upstream_leave_the_final_one_as_it_is() {
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
            .send("HTTP/1.1 100 Continue\r\n\r\n")
            .read_body()
            .send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n")
            .send(reply(200, &[("x-final", "yes")], "final")),
    );
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    for body in ["", "body"] {
        client.request("POST", "/", &[], body);
        let response = client.read_response();
        assert_eq!((response.status, response.text().as_str()), (200, "final"));
        assert_eq!(response.header("x-final"), Some("yes"));
        assert!(!response.headers.contains("link"));
    }
    assert_eq!(upstream.connection_count(), 1);
    let over_http2 = Http2Client::connect(proxy.public()).get("/");
    assert_eq!(
        (over_http2.status.as_u16(), over_http2.text().as_str()),
        (200, "final")
    );
    proxy.wait_log_lines(3);
    proxy.finish();
}

// === over the limit of what is announced ===

#[test]
fn bytes_after_the_announced_end_reach_nobody() {
    let upstream = Upstream::requests([
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"),
        Script::new().read_head().send(reply(200, &[], "clean")),
    ]);
    let proxy = Proxy::start(Config::new(upstream.address()).workers(1));
    assert_eq!(get(proxy.public(), "/").text(), "ok");
    assert_eq!(get(proxy.public(), "/").text(), "clean");
    assert_eq!(upstream.connection_count(), 2);
    let lines = proxy.wait_log_lines(2);
    assert_eq!(lines[1]["attempts"][0]["reused"], false);
    proxy.finish();
}

#[test]
fn a_length_beside_chunks_does_not_reach_the_client() {
    let upstream = answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    let proxy = Proxy::start(Config::new(upstream.address()));
    let response = get_with(proxy.public(), "/", &[]);
    assert_eq!(response.text(), "abc");
    assert!(!response.headers.contains("content-length"));
    assert_counts(&proxy, 0, 3);
    proxy.finish();
}

#[test]
fn what_follows_a_doubly_framed_request_is_never_read_as_one() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    let hidden = request_bytes("GET", "/hidden", &[], "");
    client.send(
        [
            b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".as_slice(),
            &hidden,
        ]
        .concat(),
    );
    assert_eq!(client.read_response().status, 200);
    client.expect_close();
    let request = upstream.only_request();
    assert_eq!(request.target, "/");
    assert!(!request.headers.contains("content-length"));
    assert_counts(&proxy, 0, 5);
    proxy.finish();
}
