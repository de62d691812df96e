//! What ends the trying: the budget, the clock, the client.

use std::time::{Duration, Instant};

use super::super::rig::{Client, Config, Gate, Proxy, Script, Upstream, get};
use super::{attempts, retries};

#[test]
fn the_budget_bounds_the_retries_of_a_route() {
    let upstream = Upstream::status(503);
    // One a second, spoken for over ten seconds: ten are there at once.
    let rule = "retry: {attempts: 2, when: [503], backoff: 1ms..1ms, budget: {ratio: 0%, min_per_second: 1}}";
    let proxy = Proxy::start(Config::new(upstream.address()).route(rule));
    for _ in 0..30 {
        assert_eq!(get(proxy.public(), "/").status, 503);
    }
    assert_eq!(upstream.request_count(), 40);
    let exhausted = || {
        let labels = [("route", "web"), ("reason", "503")];
        proxy
            .metrics()
            .sum("sightglass_retry_budget_exhausted_total", &labels)
    };
    proxy.wait_until("all is counted", || {
        exhausted() == 20.0 && retries(&proxy, "503") == 10.0
    });
    proxy.finish();
}

#[test]
fn the_budget_grows_with_the_traffic() {
    let upstream = Upstream::status(503);
    let rule = "retry: {attempts: 2, when: [503], backoff: 1ms..1ms, budget: {ratio: 50%, min_per_second: 0}}";
    let proxy = Proxy::start(Config::new(upstream.address()).route(rule));
    for _ in 0..20 {
        get(proxy.public(), "/");
    }
    assert_eq!(upstream.request_count(), 30);
    proxy.finish();
}

#[test]
fn there_is_a_pause_between_attempts() {
    let upstream = Upstream::status(503);
    let rule = "retry: {attempts: 5, when: [503], backoff: 100ms..100ms}";
    let proxy = Proxy::start(Config::new(upstream.address()).route(rule));
    get(proxy.public(), "/");
    let line = &proxy.wait_log_lines(1)[0];
    // Four pauses of up to 100 ms each: less than 10 ms together once in 240,000 runs.
    let paused = line["phases_ms"]["backoff"].as_f64().unwrap_or_default();
    assert!((10.0..800.0).contains(&paused), "{line}");
    let total = line["duration_ms"].as_f64().unwrap_or_default();
    let tried: f64 = line["attempts"]
        .as_array()
        .map(|attempts| {
            attempts
                .iter()
                .filter_map(|it| it["duration_ms"].as_f64())
                .sum()
        })
        .unwrap_or_default();
    assert!(total >= paused + tried - 1.0, "{line}");
    proxy.finish();
}

#[test]
fn all_attempts_together_have_the_routes_total_time() {
    let gate = Gate::new();
    let upstream = Upstream::script(Script::new().read_head().wait(&gate));
    let config = Config::new(upstream.address())
        .route("timeout: {total: 500ms}")
        .route("retry: {attempts: 20, when: [timeout], per_try_timeout: 150ms, backoff: 1ms..1ms}");
    let proxy = Proxy::start(config);
    let begun = Instant::now();
    let response = get(proxy.public(), "/");
    let took = begun.elapsed();
    assert_eq!(response.status, 504);
    assert_eq!(response.json()["outcome"], "http_response_timeout");
    assert!(
        took >= Duration::from_millis(499) && took < Duration::from_secs(3),
        "{took:?}"
    );
    let line = &proxy.wait_log_lines(1)[0];
    let tried = attempts(line);
    assert!((2..=4).contains(&tried.len()), "{line}");
    assert!(
        tried
            .iter()
            .all(|(_, outcome)| outcome == "http_response_timeout"),
        "{line}"
    );
    gate.open();
    proxy.finish();
}

#[test]
fn the_total_time_ends_a_pause() {
    let upstream = Upstream::status(503);
    let config = Config::new(upstream.address())
        .route("timeout: {total: 2s}")
        .route("retry: {attempts: 2, when: [503], backoff: 60s..60s}");
    let proxy = Proxy::start(config);
    let begun = Instant::now();
    let response = get(proxy.public(), "/");
    assert_eq!(response.status, 504);
    assert!(begun.elapsed() < Duration::from_secs(30));
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "http_response_timeout");
    assert_eq!(attempts(line), [(503, "served".to_owned())]);
    proxy.finish();
}

#[test]
fn a_client_that_leaves_during_a_pause_ends_it() {
    let upstream = Upstream::status(503);
    let rule = "retry: {attempts: 2, when: [503], backoff: 60s..60s}";
    let proxy = Proxy::start(Config::new(upstream.address()).route(rule));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    proxy.wait_until("the first attempt is there", || {
        upstream.request_count() == 1
    });
    drop(client);
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "client_closed", "{line}");
    assert_eq!(line["status"], 499);
    assert_eq!(upstream.request_count(), 1);
    proxy.finish();
}
