//! When another attempt follows, and that it changes nothing for anybody but the client, who gets its answer.
//!
//! [`limits`] has what ends the trying: the budget, the clock, the client.

mod bodies;
mod limits;

use std::time::Duration;

use serde_json::Value;

use super::rig::{Client, Config, Gate, Proxy, Script, Upstream, get, reply};

/// Answers this status first, and 200 from then on.
fn first_then_ok(status: u16) -> Upstream {
    let answer = |status| {
        Script::new()
            .read_head()
            .read_body()
            .answer(move |_| reply(status, &[], status.to_string()))
    };
    Upstream::requests([answer(status), answer(200)])
}

/// Its attempts' statuses (0 where there was none) and outcomes.
fn attempts(line: &Value) -> Vec<(u64, String)> {
    let attempts = line["attempts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let told = attempts.iter().map(|attempt| {
        let outcome = attempt["outcome"].as_str().unwrap_or_default();
        (attempt["status"].as_u64().unwrap_or(0), outcome.to_owned())
    });
    told.collect()
}

fn told(attempts: &[(u64, &str)]) -> Vec<(u64, String)> {
    attempts
        .iter()
        .map(|(status, outcome)| (*status, (*outcome).to_owned()))
        .collect()
}

fn retries(proxy: &Proxy, reason: &str) -> f64 {
    let labels = [("route", "web"), ("reason", reason)];
    proxy.metrics().sum("sightglass_retries_total", &labels)
}

#[test]
fn a_refused_connection_is_tried_elsewhere() {
    let (dead, alive) = (Upstream::refuse(), Upstream::ok("hello"));
    let config = Config::new(dead.address())
        .endpoint(alive.address())
        .upstream("balance: round_robin")
        .route("retry: {attempts: 2, when: [connect_failure], backoff: 1ms..1ms}");
    let proxy = Proxy::start(config);
    for _ in 0..20 {
        assert_eq!(get(proxy.public(), "/").text(), "hello");
    }
    assert_eq!(alive.request_count(), 20);
    let lines = proxy.wait_log_lines(20);
    let twice: Vec<_> = lines
        .iter()
        .filter(|line| attempts(line).len() == 2)
        .collect();
    assert!(twice.len() >= 5, "{} were tried twice", twice.len());
    for line in &lines {
        assert_eq!(line["outcome"], "served");
        assert_eq!(line["endpoint"], alive.address().to_string());
    }
    for line in &twice {
        assert_eq!(
            attempts(line),
            told(&[(0, "connection_refused"), (200, "served")])
        );
        assert_eq!(line["attempts"][0]["endpoint"], dead.address().to_string());
    }
    let count = twice.len() as f64;
    proxy.wait_until("they are counted", || {
        retries(&proxy, "connect_failure") == count
    });
    proxy.finish();
}

#[test]
fn a_status_is_retried_where_the_route_says_so() {
    for status in [502, 503, 504, 429, 500] {
        let upstream = first_then_ok(status);
        let rule = format!("retry: {{attempts: 3, when: [{status}], backoff: 1ms..1ms}}");
        let proxy = Proxy::start(Config::new(upstream.address()).route(&rule));
        let response = get(proxy.public(), "/");
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "200"),
            "{status}"
        );
        assert_eq!(upstream.request_count(), 2, "{status}");
        let line = &proxy.wait_log_lines(1)[0];
        let status = u64::from(status);
        assert_eq!(attempts(line), told(&[(status, "served"), (200, "served")]));
        proxy.wait_until("it is counted", || {
            retries(&proxy, &status.to_string()) == 1.0
        });
        proxy.finish();
    }
}

#[test]
fn another_status_is_handed_on() {
    let upstream = Upstream::status(500);
    let proxy = Proxy::start(Config::new(upstream.address()).route("retry: {attempts: 3}"));
    assert_eq!(get(proxy.public(), "/").status, 500);
    assert_eq!(upstream.request_count(), 1);
    assert_eq!(retries(&proxy, "500"), 0.0);
    proxy.finish();
}

#[test]
fn the_last_answer_is_handed_on_whole() {
    let upstream = Upstream::answering(|_| reply(503, &[("x-own", "yes")], "own words"));
    let rule = "retry: {attempts: 3, backoff: 1ms..1ms}";
    let proxy = Proxy::start(Config::new(upstream.address()).route(rule));
    let response = get(proxy.public(), "/");
    assert_eq!(
        (response.status, response.text().as_str()),
        (503, "own words")
    );
    assert_eq!(response.header("x-own"), Some("yes"));
    assert!(!response.headers.contains("proxy-status"));
    assert_eq!(upstream.request_count(), 3);
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "served");
    assert_eq!(
        attempts(line),
        told(&[(503, "served"), (503, "served"), (503, "served")])
    );
    proxy.wait_until("both are counted", || retries(&proxy, "503") == 2.0);
    proxy.finish();
}

#[test]
fn without_a_policy_there_is_one_attempt() {
    let upstream = Upstream::status(503);
    let proxy = Proxy::start(Config::new(upstream.address()));
    assert_eq!(get(proxy.public(), "/").status, 503);
    assert_eq!(upstream.request_count(), 1);
    proxy.finish();
}

#[test]
fn a_reset_before_the_head_is_tried_again() {
    let upstream = Upstream::requests([
        Script::new().read_head().reset(),
        Script::new().read_head().close(),
        Script::new().read_head().send(reply(200, &[], "hello")),
    ]);
    let rule = "retry: {attempts: 3, when: [reset], backoff: 1ms..1ms}";
    let proxy = Proxy::start(Config::new(upstream.address()).route(rule));
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    let lost = (0, "connection_terminated");
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(attempts(line), told(&[lost, lost, (200, "served")]));
    proxy.wait_until("both are counted", || retries(&proxy, "reset") == 2.0);
    proxy.finish();
}

#[test]
fn a_condition_that_is_not_named_ends_the_exchange() {
    let reset = Upstream::script(Script::new().read_head().reset());
    let rule = "retry: {attempts: 3, when: [connect_failure, 503], backoff: 1ms..1ms}";
    let proxy = Proxy::start(Config::new(reset.address()).route(rule));
    let response = get(proxy.public(), "/");
    assert_eq!(response.status, 502);
    assert_eq!(response.json()["outcome"], "connection_terminated");
    assert_eq!(reset.request_count(), 1);
    proxy.finish();
}

#[test]
fn an_attempt_has_its_own_time() {
    let gate = Gate::new();
    let upstream = Upstream::requests([
        Script::new().read_head().wait(&gate),
        Script::new().read_head().send(reply(200, &[], "hello")),
    ]);
    let rule = "retry: {attempts: 2, when: [timeout], per_try_timeout: 150ms, backoff: 1ms..1ms}";
    let proxy = Proxy::start(Config::new(upstream.address()).route(rule));
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(
        attempts(line),
        told(&[(0, "http_response_timeout"), (200, "served")])
    );
    let first = line["attempts"][0]["duration_ms"]
        .as_f64()
        .unwrap_or_default();
    assert!((149.0..900.0).contains(&first), "{line}");
    proxy.wait_until("it is counted", || retries(&proxy, "timeout") == 1.0);
    gate.open();
    proxy.finish();
}

#[test]
fn the_time_of_an_attempt_ends_with_its_head() {
    let pause = Duration::from_millis(400);
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
            .pause(pause)
            .send("hello"),
    );
    let rule = "retry: {attempts: 2, when: [timeout], per_try_timeout: 150ms}";
    let proxy = Proxy::start(Config::new(upstream.address()).route(rule));
    assert_eq!(get(proxy.public(), "/").text(), "hellohello");
    assert_eq!(upstream.request_count(), 1);
    proxy.finish();
}

#[test]
fn nothing_is_tried_again_once_an_answer_has_begun() {
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
            .reset(),
    );
    let rule = "retry: {attempts: 3, when: [reset, 502], backoff: 1ms..1ms}";
    let proxy = Proxy::start(Config::new(upstream.address()).route(rule));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    assert!(client.try_read_response("GET").is_err(), "half is no whole");
    assert_eq!(upstream.request_count(), 1);
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "http_response_incomplete");
    assert_eq!(line["status"], 200);
    assert_eq!(attempts(line), told(&[(200, "http_response_incomplete")]));
    proxy.finish();
}

#[test]
fn a_retry_avoids_the_endpoints_already_tried() {
    for balance in ["round_robin", "random", "least_requests", "peak_ewma"] {
        let upstreams = [503, 503, 503].map(Upstream::status);
        let config = Config::new(upstreams[0].address())
            .endpoint(upstreams[1].address())
            .endpoint(upstreams[2].address())
            .upstream(&format!("balance: {balance}"))
            .route("retry: {attempts: 3, when: [503], backoff: 1ms..1ms}");
        let proxy = Proxy::start(config);
        for _ in 0..10 {
            assert_eq!(get(proxy.public(), "/").status, 503);
        }
        let counts = upstreams.each_ref().map(Upstream::request_count);
        assert_eq!(counts, [10, 10, 10], "{balance}");
        proxy.finish();
    }
}

#[test]
fn only_idempotent_methods_are_tried_again_unless_configured() {
    let upstream = Upstream::status(503);
    let config = Config::new(upstream.address())
        .route("retry: {attempts: 2, backoff: 1ms..1ms}")
        .more_routes(
            "- {name: own, match: {path: {prefix: /own}}, upstream: web, \
             retry: {attempts: 2, backoff: 1ms..1ms, methods: [POST]}}",
        );
    let proxy = Proxy::start(config);
    let cases = [
        ("GET", "/", 2),
        ("HEAD", "/", 2),
        ("OPTIONS", "/", 2),
        ("PUT", "/", 2),
        ("DELETE", "/", 2),
        ("POST", "/", 1),
        ("PATCH", "/", 1),
        ("PURGE", "/", 1),
        ("POST", "/own", 2),
        ("GET", "/own", 1),
    ];
    for (method, path, expected) in cases {
        let before = upstream.request_count();
        let mut client = Client::connect(proxy.public());
        client.request(method, path, &[], "");
        assert_eq!(client.read_response_to(method).status, 503);
        assert_eq!(
            upstream.request_count() - before,
            expected,
            "{method} {path}"
        );
    }
    proxy.finish();
}

#[test]
fn every_attempt_is_the_same_request() {
    let upstream = Upstream::status(503);
    let config = Config::new(upstream.address())
        .route("retry: {attempts: 3, backoff: 1ms..1ms}")
        .route("rewrite: {prefix: /v2}");
    let proxy = Proxy::start(config);
    get(proxy.public(), "/x?y=1");
    let requests = upstream.all_requests();
    assert_eq!(requests.len(), 3);
    let fields = |at: usize| -> Vec<(String, String)> {
        let fields = requests[at]
            .headers
            .iter()
            .filter(|(name, _)| *name != "traceparent");
        fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    for request in &requests {
        assert_eq!(request.target, "/v2/x?y=1");
        assert_eq!(request.headers.all("via").len(), 1);
    }
    assert_eq!(fields(0), fields(1));
    assert_eq!(fields(1), fields(2));
    let parents: std::collections::BTreeSet<_> = requests
        .iter()
        .filter_map(|request| request.headers.get("traceparent"))
        .collect();
    assert_eq!(parents.len(), 3, "each attempt has a span of its own");
    proxy.finish();
}
