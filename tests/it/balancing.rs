//! Which endpoint gets how much, over real endpoints.

use std::time::Duration;

use super::rig::{Client, Config, Gate, Proxy, Script, Upstream, get, reply};

/// Sends so many requests one after the other; the answers' statuses.
fn send(proxy: &Proxy, requests: usize) -> Vec<u16> {
    let mut client = Client::connect(proxy.public());
    let one = |_| {
        client.request("GET", "/", &[], "");
        client.read_response().status
    };
    (0..requests).map(one).collect()
}

/// A proxy in front of these endpoints, each with its weight.
fn proxy(balance: &str, endpoints: &[(&Upstream, u32)]) -> Proxy {
    let list: Vec<_> = endpoints
        .iter()
        .map(|(upstream, weight)| {
            format!("{{address: \"{}\", weight: {weight}}}", upstream.address())
        })
        .collect();
    // `web` is not asked: its endpoint is only there because every upstream has one.
    let config = Config::new(endpoints[0].0.address())
        .more_upstreams(&format!(
            "- {{name: many, balance: {balance}, endpoints: [{}]}}",
            list.join(", ")
        ))
        .more_routes("- {name: all, match: {path: {exact: /}}, upstream: many}");
    Proxy::start(config)
}

#[test]
fn round_robin_goes_round_also_from_many_connections() {
    let upstreams = ["a", "b", "c"].map(Upstream::ok);
    let [a, b, c] = &upstreams;
    let proxy = proxy("round_robin", &[(a, 1), (b, 1), (c, 1)]);
    send(&proxy, 30);
    // Other connections land on other workers; the turn is the upstream's.
    (0..30).for_each(|_| drop(get(proxy.public(), "/")));
    assert_eq!(
        upstreams.each_ref().map(Upstream::request_count),
        [20, 20, 20]
    );
    proxy.finish();
}

#[test]
fn round_robin_keeps_to_weights() {
    let (heavy, light) = (Upstream::ok("heavy"), Upstream::ok("light"));
    let proxy = proxy("round_robin", &[(&heavy, 3), (&light, 1)]);
    send(&proxy, 80);
    let light = light.request_count();
    assert!((18..=22).contains(&light), "{light} of 80");
    proxy.finish();
}

#[test]
fn random_keeps_to_weights_by_and_large() {
    let (heavy, light) = (Upstream::ok("heavy"), Upstream::ok("light"));
    let proxy = proxy("random", &[(&heavy, 3), (&light, 1)]);
    send(&proxy, 400);
    // 100 are due, with a standard deviation of 9.
    let light = light.request_count();
    assert!((55..=145).contains(&light), "{light} of 400");
    proxy.finish();
}

#[test]
fn idle_endpoints_share_by_weight_whatever_the_balance() {
    let (heavy, light) = (Upstream::ok("heavy"), Upstream::ok("light"));
    let proxy = proxy("least_requests", &[(&heavy, 3), (&light, 1)]);
    send(&proxy, 400);
    let light = light.request_count();
    assert!((55..=145).contains(&light), "{light} of 400");
    proxy.finish();
}

#[test]
fn least_requests_goes_round_an_endpoint_that_is_busy() {
    let gate = Gate::new();
    let busy = Upstream::script(Script::new().read_head().wait(&gate).send(reply(
        200,
        &[],
        "busy",
    )));
    let free = Upstream::ok("free");
    let proxy = proxy("least_requests", &[(&busy, 1), (&free, 1)]);
    let mut held = Vec::new();
    while busy.request_count() == 0 {
        let before = free.request_count();
        let mut client = Client::connect(proxy.public());
        client.request("GET", "/", &[], "");
        proxy.wait_until("one of the two has it", || {
            busy.request_count() == 1 || free.request_count() > before
        });
        held.push(client);
    }
    let before = free.request_count();
    send(&proxy, 50);
    assert_eq!(
        (busy.request_count(), free.request_count() - before),
        (1, 50)
    );
    gate.open();
    for client in &mut held {
        assert_eq!(client.read_response().status, 200);
    }
    drop(held);
    proxy.finish();
}

#[test]
fn peak_ewma_leaves_a_slow_endpoint_alone() {
    let slow = Upstream::script(
        Script::new()
            .read_head()
            .pause(Duration::from_millis(150))
            .send(reply(200, &[], "slow")),
    );
    let fast = Upstream::ok("fast");
    let proxy = proxy("peak_ewma", &[(&slow, 1), (&fast, 1)]);
    send(&proxy, 200);
    let slow = slow.request_count();
    assert!(slow <= 20, "the slow one got {slow} of 200");
    proxy.finish();
}

#[test]
fn peak_ewma_is_not_drawn_to_an_endpoint_that_fails_fast() {
    let failing = Upstream::status(503);
    let honest = Upstream::script(
        Script::new()
            .read_head()
            .pause(Duration::from_millis(5))
            .send(reply(200, &[], "ok")),
    );
    let proxy = proxy("peak_ewma", &[(&failing, 1), (&honest, 1)]);
    let statuses = send(&proxy, 200);
    let failed = statuses.iter().filter(|status| **status == 503).count();
    assert!(failed <= 20, "{failed} of 200 failed");
    proxy.finish();
}

#[test]
fn peak_ewma_leaves_an_endpoint_alone_that_is_gone() {
    let (gone, alive) = (Upstream::refuse(), Upstream::ok("hello"));
    let proxy = proxy("peak_ewma", &[(&gone, 1), (&alive, 1)]);
    let statuses = send(&proxy, 200);
    let failed = statuses.iter().filter(|status| **status == 502).count();
    assert!(failed <= 20, "{failed} of 200 failed");
    proxy.finish();
}

#[test]
fn peak_ewma_comes_back_to_an_endpoint_that_is_alone() {
    let upstream = Upstream::requests([
        Script::new().read_head().send(reply(503, &[], "busy")),
        Script::new().read_head().send(reply(200, &[], "hello")),
    ]);
    let proxy = proxy("peak_ewma", &[(&upstream, 1)]);
    assert_eq!(send(&proxy, 3), [503, 200, 200]);
    proxy.finish();
}
