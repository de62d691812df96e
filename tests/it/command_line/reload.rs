//! SIGHUP: the file as it is now, or the old one whole, and no request that notices.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::super::rig::{Client, Config, Gate, Proxy, Script, Upstream, get, reply};

fn generation(proxy: &Proxy) -> f64 {
    proxy.metrics().sum("sightglass_config_generation", &[])
}

fn reload(proxy: &Proxy, yaml: impl ToString, expected: f64) {
    proxy.write_config(yaml);
    proxy.signal("HUP");
    proxy.wait_until("the file is taken up", || generation(proxy) == expected);
}

/// Asks over one kept connection until it is told to stop; how often.
fn keep_asking(address: SocketAddr, stop: &AtomicBool) -> usize {
    let mut client = Client::connect(address);
    let mut asked = 0;
    while !stop.load(Ordering::SeqCst) {
        client.request("GET", "/", &[], "");
        assert_eq!(client.read_response().status, 200);
        asked += 1;
    }
    asked
}

#[test]
fn routes_and_upstreams_change_without_a_lost_request() {
    let (old, new) = (Upstream::ok("old"), Upstream::ok("new"));
    let proxy = Proxy::start(Config::new(old.address()));
    let stop = AtomicBool::new(false);
    let asked: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| keep_asking(proxy.public(), &stop)))
            .collect();
        proxy.wait_until("the old one is asked", || old.request_count() > 20);
        let config = Config::new(new.address()).more_routes(
            "- {name: extra, match: {path: {exact: /extra}}, upstream: web, response_headers: {set: {x-new: yes}}}",
        );
        reload(&proxy, config, 2.0);
        proxy.wait_until("the new one is asked", || new.request_count() > 20);
        stop.store(true, Ordering::SeqCst);
        let join = |client: thread::ScopedJoinHandle<'_, usize>| {
            client.join().expect("no request was lost")
        };
        clients.into_iter().map(join).sum()
    });
    assert_eq!(old.request_count() + new.request_count(), asked);
    assert_eq!(get(proxy.public(), "/extra").header("x-new"), Some("yes"));

    let lines = proxy.wait_log_lines(asked + 1);
    for line in &lines {
        let upstream = if line["config_generation"] == 1 {
            &old
        } else {
            &new
        };
        assert_eq!(line["endpoint"], upstream.address().to_string(), "{line}");
    }
    assert_eq!(lines[asked]["config_generation"], 2);
    let metrics = proxy.metrics();
    assert_eq!(
        metrics.sum("sightglass_config_last_reload_success", &[]),
        1.0
    );
    assert_eq!(
        metrics.sum("sightglass_config_reloads_total", &[("result", "success")]),
        1.0
    );
    proxy.finish();
}

#[test]
fn a_request_under_way_ends_as_it_began() {
    let gate = Gate::new();
    let old = Upstream::script(
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
            .wait(&gate)
            .send("there"),
    );
    let new = Upstream::ok("new");
    let proxy = Proxy::start(Config::new(old.address()));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], "");
    let head = client.read_head();
    reload(&proxy, Config::new(new.address()), 2.0);
    assert_eq!(get(proxy.public(), "/").text(), "new");
    gate.open();
    assert_eq!(client.read_body(&head).bytes, b"hellothere");
    // The connection goes on, with the new file.
    client.request("GET", "/", &[], "");
    assert_eq!(client.read_response().text(), "new");
    let lines = proxy.wait_log_lines(3);
    let generations: Vec<_> = lines
        .iter()
        .map(|line| line["config_generation"].clone())
        .collect();
    assert_eq!(generations, [1, 2, 2]);
    drop(client);
    proxy.finish();
}

#[test]
fn a_broken_file_leaves_the_old_one_in_force() {
    let upstream = Upstream::ok("hello");
    let good = Config::new(upstream.address());
    let proxy = Proxy::start(&good);
    proxy.write_config(good.to_string().replace("upstream: web", "upstream: wob"));
    proxy.signal("HUP");
    proxy.wait_until("it is said", || {
        proxy.stderr().contains("the old one stays")
    });
    let said = proxy.stderr();
    assert!(said.contains("did you mean web?"), "{said}");
    let metrics = proxy.metrics();
    assert_eq!(
        metrics.sum("sightglass_config_last_reload_success", &[]),
        0.0
    );
    assert_eq!(
        metrics.sum("sightglass_config_reloads_total", &[("result", "failure")]),
        1.0
    );
    assert_eq!(generation(&proxy), 1.0);
    assert_eq!(get(proxy.public(), "/").text(), "hello");

    std::fs::remove_file(proxy.dir().join("sightglass.yaml")).expect("it was there");
    proxy.signal("HUP");
    proxy.wait_until("it is said", || {
        proxy.stderr().contains("there is no such file")
    });
    assert_eq!(get(proxy.public(), "/").text(), "hello");

    // Put right, it is taken up.
    reload(&proxy, &good, 2.0);
    assert_eq!(
        proxy
            .metrics()
            .sum("sightglass_config_last_reload_success", &[]),
        1.0
    );
    proxy.finish();
}

#[test]
fn what_cannot_change_while_it_serves_needs_a_restart() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let changes = [
        (
            Config::new(upstream.address()).listener("request_id: false"),
            "listeners",
        ),
        (
            Config::new(upstream.address()).telemetry("server_timing: true"),
            "telemetry",
        ),
        (
            Config::new(upstream.address()).admin("hosts: [edge.test]"),
            "admin",
        ),
    ];
    for (config, section) in changes {
        proxy.write_config(config);
        proxy.signal("HUP");
        let sentence = format!("changing {section} needs a restart");
        proxy.wait_until(&sentence, || proxy.stderr().contains(&sentence));
    }
    assert_eq!(generation(&proxy), 1.0);
    let response = get(proxy.public(), "/");
    assert!(response.headers.contains("x-request-id"));
    proxy.finish();
}

#[test]
fn what_a_limit_remembers_outlives_a_reload() {
    let upstream = Upstream::ok("hello");
    let limited = Config::new(upstream.address()).route("rate_limit: {rate: 1/m, burst: 2}");
    let proxy = Proxy::start(&limited);
    assert_eq!(get(proxy.public(), "/").status, 200);
    let config =
        limited.more_routes("- {name: extra, match: {path: {exact: /extra}}, upstream: web}");
    reload(&proxy, config, 2.0);
    assert_eq!(get(proxy.public(), "/").status, 200);
    assert_eq!(get(proxy.public(), "/").status, 429);
    proxy.finish();
}

#[test]
fn an_endpoint_that_is_gone_from_the_file_is_gone_from_the_metrics() {
    let (old, new) = (
        Upstream::answering(|_| reply(200, &[], "old")),
        Upstream::ok("new"),
    );
    let proxy = Proxy::start(Config::new(old.address()));
    get(proxy.public(), "/");
    let endpoints = || {
        proxy
            .metrics()
            .label_values("sightglass_endpoint_active_requests", "endpoint")
    };
    assert_eq!(endpoints(), [old.address().to_string()]);
    reload(&proxy, Config::new(new.address()), 2.0);
    proxy.wait_until("the old one is gone", || {
        endpoints() == [new.address().to_string()]
    });
    proxy.wait_until("its connection is closed", || old.live_connections() == 0);
    proxy.finish();
}
