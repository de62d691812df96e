//! How often, and how many at once: who is refused, and what the refusal says.

use std::time::{Duration, Instant};

use super::rig::{Client, Config, Gate, Proxy, Response, Script, Upstream, get, get_with};

/// The numbers of a `RateLimit` field, by name.
fn rate_limit(response: &Response, name: &str) -> u64 {
    let field = response
        .header("ratelimit")
        .unwrap_or_else(|| panic!("no RateLimit: {:?}", response.headers));
    let number = field
        .split(", ")
        .find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{name} in {field}"))
}

fn limited(upstream: &Upstream, rule: &str) -> Config {
    Config::new(upstream.address()).route(&format!("rate_limit: {rule}"))
}

#[test]
fn a_burst_passes_and_the_rest_is_told_when_to_come_back() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(limited(&upstream, "{rate: 2/m, burst: 3}"));
    for remaining in [2, 1, 0] {
        let response = get(proxy.public(), "/");
        assert_eq!(response.status, 200);
        assert_eq!(rate_limit(&response, "limit"), 3);
        assert_eq!(rate_limit(&response, "remaining"), remaining);
        assert!(!response.headers.contains("retry-after"));
    }
    for _ in 0..2 {
        let response = get(proxy.public(), "/");
        assert_eq!(response.status, 429);
        let after: u64 = response
            .header("retry-after")
            .and_then(|after| after.parse().ok())
            .expect("Retry-After");
        assert!((1..=30).contains(&after), "{after}");
        assert_eq!(rate_limit(&response, "remaining"), 0);
        assert_eq!(rate_limit(&response, "reset"), after);
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(response.json()["outcome"], "rate_limited");
        let status = response.header("proxy-status").unwrap_or_default();
        assert!(
            status.contains("error=http_request_denied") && status.contains("rate_limited"),
            "{status}"
        );
    }
    assert_eq!(upstream.request_count(), 3);
    let lines = proxy.wait_log_lines(5);
    assert_eq!(
        (&lines[4]["outcome"], &lines[4]["side"]),
        (&"rate_limited".into(), &"client".into())
    );
    let metrics = proxy.metrics();
    let refused = metrics.samples("sightglass_rate_limited_total", &[("route", "web")]);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].value, 2.0);
    proxy.finish();
}

#[test]
fn who_waits_as_told_passes() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(limited(&upstream, "{rate: 2/s, burst: 1}"));
    assert_eq!(get(proxy.public(), "/").status, 200);
    let begun = Instant::now();
    proxy.wait_until("the next is free", || {
        get(proxy.public(), "/").status == 200
    });
    // The allowance was whole again half a second after it was taken, which was a moment before `begun`.
    assert!(
        begun.elapsed() > Duration::from_millis(250),
        "{:?}",
        begun.elapsed()
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    proxy.finish();
}

#[test]
fn clients_are_told_apart_by_what_trusted_proxies_say() {
    let upstream = Upstream::ok("hello");
    let rule = "{rate: 1/m, burst: 1, key: client_ip}";
    let from = |proxy: &Proxy, client| {
        get_with(proxy.public(), "/", &[("x-forwarded-for", client)]).status
    };

    let proxy = Proxy::start(limited(&upstream, rule).listener("trusted_proxies: [127.0.0.0/8]"));
    assert_eq!(from(&proxy, "203.0.113.1"), 200);
    assert_eq!(from(&proxy, "203.0.113.1"), 429);
    assert_eq!(
        from(&proxy, "198.51.100.9, 203.0.113.1"),
        429,
        "what a client says itself is no new client"
    );
    assert_eq!(from(&proxy, "203.0.113.2"), 200);
    assert_eq!(from(&proxy, "2001:db8::1"), 200);
    assert_eq!(from(&proxy, "2001:db8::2"), 429, "a /64 is one client");
    proxy.finish();

    let proxy = Proxy::start(limited(&upstream, rule));
    assert_eq!(from(&proxy, "203.0.113.1"), 200);
    assert_eq!(
        from(&proxy, "203.0.113.2"),
        429,
        "a stranger's word makes no client"
    );
    proxy.finish();
}

#[test]
fn a_header_field_can_be_the_key() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(limited(
        &upstream,
        "{rate: 1/m, burst: 1, key: \"header:X-User\"}",
    ));
    let from = |fields: &[(&str, &str)]| get_with(proxy.public(), "/", fields).status;
    assert_eq!(from(&[("x-user", "ann")]), 200);
    assert_eq!(from(&[("X-USER", "ann")]), 429);
    assert_eq!(from(&[("x-user", "bob")]), 200);
    // Those that have none share an allowance.
    assert_eq!(from(&[]), 200);
    assert_eq!(from(&[]), 429);
    proxy.finish();
}

#[test]
fn a_limit_is_one_routes_own() {
    let upstream = Upstream::ok("hello");
    let config = limited(&upstream, "{rate: 1/m, burst: 1}")
        .more_routes("- {name: free, match: {path: {exact: /free}}, upstream: web}");
    let proxy = Proxy::start(config);
    assert_eq!(get(proxy.public(), "/").status, 200);
    assert_eq!(get(proxy.public(), "/").status, 429);
    let free = get(proxy.public(), "/free");
    assert_eq!(free.status, 200);
    assert!(!free.headers.contains("ratelimit"));
    proxy.finish();
}

/// Sends the head of an answer, and its body when the gate opens.
fn stalling(gate: &Gate) -> Upstream {
    Upstream::script(
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
            .wait(gate)
            .send("hello"),
    )
}

fn overloaded(proxy: &Proxy) -> f64 {
    let labels = [("route", "web"), ("limiter", "concurrency")];
    proxy.metrics().sum("sightglass_overloaded_total", &labels)
}

#[test]
fn a_place_is_held_until_the_end_of_the_body() {
    let gate = Gate::new();
    let upstream = stalling(&gate);
    let proxy = Proxy::start(Config::new(upstream.address()).route("concurrency: 2"));
    let mut held: Vec<_> = (0..2).map(|_| Client::connect(proxy.public())).collect();
    for client in &mut held {
        client.request("GET", "/", &[], "");
        assert_eq!(client.read_head().word(1), "200");
        assert_eq!(client.read_bytes(5), b"hello");
    }
    let refused = get(proxy.public(), "/");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["outcome"], "overloaded");
    let status = refused.header("proxy-status").unwrap_or_default();
    assert!(
        status.contains("error=http_request_denied") && status.contains("overloaded"),
        "{status}"
    );
    assert_eq!(overloaded(&proxy), 1.0);
    assert_eq!(upstream.request_count(), 2);

    gate.open();
    for client in &mut held {
        assert_eq!(client.read_bytes(5), b"hello");
    }
    proxy.wait_until("their places are free", || {
        get(proxy.public(), "/").status == 200
    });
    drop(held);
    proxy.finish();
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let gate = Gate::new();
    let upstream = stalling(&gate);
    let proxy = Proxy::start(Config::new(upstream.address()).route("concurrency: 1"));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    assert_eq!(client.read_bytes(5).len(), 5);
    assert_eq!(get(proxy.public(), "/").status, 503);
    drop(client);
    let mut next = Client::connect(proxy.public());
    proxy.wait_until("the place is free", || {
        next.request("GET", "/", &[], "");
        let head = next.read_head();
        let is_free = head.word(1) == "200";
        if !is_free {
            next.read_body(&head);
        }
        is_free
    });
    gate.open();
    assert_eq!(next.read_bytes(10), b"hellohello");
    let has_left = |line: &serde_json::Value| line["outcome"] == "client_closed";
    proxy.wait_until("it is in the log", || {
        proxy.log_lines().iter().any(has_left)
    });
    drop(next);
    proxy.finish();
}

#[test]
fn a_refused_request_costs_no_attempt_and_no_place() {
    let upstream = Upstream::ok("hello");
    let config = limited(&upstream, "{rate: 1/m, burst: 1}").route("concurrency: 1");
    let proxy = Proxy::start(config);
    let mut client = Client::connect(proxy.public());
    let mut statuses = Vec::new();
    for _ in 0..5 {
        client.request("GET", "/", &[], "");
        statuses.push(client.read_response().status);
    }
    assert_eq!(statuses, [200, 429, 429, 429, 429]);
    assert_eq!(overloaded(&proxy), 0.0);
    for line in &proxy.wait_log_lines(5)[1..] {
        assert!(line.get("attempts").is_none(), "{line}");
    }
    drop(client);
    proxy.finish();
}
