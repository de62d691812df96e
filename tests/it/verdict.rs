//! `/api/v1/verdict`: what is wrong, by the real binary.

use serde_json::json;

use super::rig::{Client, Config, Proxy, Upstream, reply};

/// So many exchanges over one connection.
fn send(proxy: &Proxy, count: usize) {
    let mut client = Client::connect(proxy.public());
    for _ in 0..count {
        client.request("GET", "/", &[("host", "shop.test")], b"");
        client.read_response();
    }
}

#[test]
fn a_failing_endpoint_is_named_in_a_sentence_and_healthy_traffic_is_passed_over_in_silence() {
    let (good, bad) = (
        Upstream::ok("hello"),
        Upstream::answering(|_| reply(500, &[], "no")),
    );
    let healthy = Proxy::start(Config::new(good.address()));
    let config = Config::new(good.address()).upstream("balance: round_robin");
    let proxy = Proxy::start(config.endpoint(bad.address()));
    let guilty = bad.address().to_string();
    healthy.wait_until("some traffic", || {
        send(&healthy, 50);
        healthy.get_admin("/api/v1/recorder").json()["seen"].as_u64() >= Some(300)
    });
    proxy.wait_until("a finding with figures", || {
        send(&proxy, 100);
        let told = proxy.get_admin("/api/v1/verdict").json();
        told["findings"][0]["evidence"]["is_thin"] == false
    });
    let told = proxy.get_admin("/api/v1/verdict").json();
    let one = &told["findings"][0];
    assert_eq!(told["findings"].as_array().map(Vec::len), Some(1), "{told}");
    let sentence = one["sentence"].as_str().expect("a sentence");
    for part in [
        "failing since ",
        &format!("all on {guilty}"),
        ", status_500",
    ] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    assert_eq!(one["outcome"], "status_500");
    assert!(one["since"].is_u64(), "{one}");
    let worst = &one["evidence"]["endpoints"][0];
    assert_eq!(worst["endpoint"], json!(guilty));
    assert_eq!(worst["bad"], one["evidence"]["bad"]);

    // Its filter finds the exchanges behind it, and no others.
    let filter = one["filter"].as_str().expect("a filter").bytes();
    let filter: Vec<String> = filter.map(|byte| format!("%{byte:02x}")).collect();
    let found = format!("/api/v1/exchanges?limit=20&filter={}", filter.concat());
    let found = proxy.get_admin(&found).json();
    let found = found["exchanges"].as_array().expect("a list");
    assert_eq!(found.len(), 20);
    assert!(found.iter().all(|it| it["status"] == 500), "{found:?}");

    let silent = healthy.get_admin("/api/v1/verdict").json();
    assert_eq!(silent, json!({"findings": []}));
    healthy.finish();
    proxy.finish();
}

#[test]
fn a_reload_that_leaves_requests_without_a_route_is_named() {
    let upstream = Upstream::ok("hello");
    let config = Config::new(upstream.address());
    let proxy = Proxy::start(&config);
    send(&proxy, 200);
    let told = || proxy.get_admin("/api/v1/verdict").json();
    assert_eq!(told(), json!({"findings": []}));

    let narrow = "match: {path: {prefix: /shop}}";
    let narrowed = config
        .to_string()
        .replacen("match: {path: {prefix: /}}", narrow, 1);
    assert!(narrowed.contains(narrow), "{narrowed}");
    proxy.write_config(narrowed);
    proxy.signal("HUP");
    proxy.wait_stderr("configuration in force");
    proxy.wait_until("a finding", || {
        send(&proxy, 50);
        told()["findings"] != json!([])
    });
    let told = told();
    let one = &told["findings"][0];
    assert_eq!(one["kind"], "unrouted", "{told}");
    let sentence = one["sentence"].as_str().expect("a sentence");
    for part in [
        " of requests find no route since ",
        ", with configuration 2",
    ] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    assert_eq!(one["clauses"][2]["path"], "/api/v1/config", "{told}");
    proxy.finish();
}
