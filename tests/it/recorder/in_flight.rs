//! What is in the proxy now: where each exchange hangs, and what each connection does.

use std::time::Duration;

use serde_json::Value;

use super::encoded;
use crate::rig::{
    Authority, Client, Config, Gate, Http2Client, Proxy, Script, Upstream, reply, try_wait_until,
};

fn in_flight(proxy: &Proxy, query: &str) -> Value {
    let answer = proxy.get_admin(&format!("/api/v1/inflight{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn millis(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn an_exchange_that_waits_for_its_first_byte_shows_as_exactly_that() {
    let gate = Gate::new();
    let stalled = Script::new().read_head().read_body().wait(&gate);
    let upstream = Upstream::requests([stalled.send(reply(200, &[], "late"))]);
    let patient = "timeout: {total: 5m, head: 4m, idle: 4m}";
    let proxy = Proxy::start(Config::new(upstream.address()).workers(2).route(patient));
    let mut client = Client::connect(proxy.public());
    client.request(
        "POST",
        "/cart?token=abc",
        &[("host", "shop.test")],
        b"12345",
    );
    proxy.wait_until("it waits", || {
        in_flight(&proxy, "")["exchanges"][0]["phase"] == "wait"
    });
    let first = in_flight(&proxy, "");
    // The half minute after which people come and look.
    let age = |it: &Value| millis(&it["exchanges"][0]["age_ms"]);
    assert!(age(&first) < 30_000.0);
    let is_old = || age(&in_flight(&proxy, "")) >= 30_000.0;
    assert!(try_wait_until(Duration::from_secs(40), is_old));
    let later = in_flight(&proxy, "");
    assert_eq!(later["total"]["exchanges"], 1);
    assert_eq!(later["silent_workers"], serde_json::json!([]));
    let it = &later["exchanges"][0];
    for (name, value) in [
        ("phase", "wait"),
        ("route", "web"),
        ("upstream", "web"),
        ("endpoint", &upstream.address().to_string()),
        ("method", "POST"),
        ("path", "/cart"),
        ("query", "token=REDACTED"),
        ("client", "127.0.0.1"),
        ("peer", &client.address().to_string()),
        ("listener", "public"),
    ] {
        assert_eq!(it[name], value, "{name}: {it}");
    }
    assert_eq!(
        (&it["bytes_in"], &it["bytes_out"], &it["attempts"]),
        (&5.into(), &0.into(), &1.into())
    );
    assert!(
        it["status"].is_null() && it["outcome"].is_null(),
        "it has not ended"
    );
    let (age, in_phase) = (millis(&it["age_ms"]), millis(&it["in_phase_ms"]));
    assert!(in_phase > age - 2_000.0 && in_phase <= age, "{it}");
    let phases: f64 = it["phases_ms"]
        .as_object()
        .expect("phases")
        .values()
        .map(millis)
        .sum();
    assert!((phases - age).abs() < 0.1, "they add up: {it}");
    let waiting = &later["connections"][0];
    assert_eq!(
        (&waiting["state"], &waiting["carries"]),
        (&"active".into(), &1.into())
    );

    let filtered = |filter: &str| {
        let told = in_flight(&proxy, &format!("?filter={}", encoded(filter)));
        told["exchanges"].as_array().map(Vec::len)
    };
    assert_eq!(
        filtered("duration>=30s && phase.wait>28s && method==\"POST\""),
        Some(1)
    );
    assert_eq!(filtered("duration>1h"), Some(0));
    assert_eq!(filtered("status==200"), Some(0), "it has no status yet");
    gate.open();
    assert_eq!(client.read_response().text(), "late");
    proxy.wait_until("it is over", || {
        in_flight(&proxy, "")["total"]["exchanges"] == 0
    });
    proxy.finish();
}

#[test]
fn connections_that_idle_shake_hands_or_stop_in_a_head_show_as_that() {
    let upstream = Upstream::ok("hello");
    let authority = Authority::new();
    let certificate = authority.server(&["shop.test"]).yaml();
    let tls = format!("tls: {{certificates: [{certificate}]}}");
    let proxy = Proxy::start(Config::new(upstream.address()).listener(&tls));
    let silent = Client::connect(proxy.public());
    let state = |peer: &Client| {
        let told = in_flight(&proxy, "");
        let all = told["connections"].as_array().expect("a list").clone();
        let peer = peer.address().to_string();
        all.into_iter().find(|it| it["peer"] == peer.as_str())
    };
    proxy.wait_until("a handshake", || {
        state(&silent).is_some_and(|it| it["state"] == "handshaking")
    });
    let seen = state(&silent).expect("it is there");
    assert_eq!(
        (&seen["exchanges"], &seen["listener"]),
        (&0.into(), &"public".into())
    );
    proxy.wait_until("its age rises", || {
        state(&silent).is_some_and(|it| millis(&it["age_ms"]) > 100.0)
    });
    drop(silent);
    drop(proxy);

    let proxy = Proxy::start(Config::new(upstream.address()));
    let state = |peer: &Client, wanted: &str| {
        proxy.wait_until(wanted, || {
            let told = in_flight(&proxy, "");
            let all = told["connections"].as_array().expect("a list").clone();
            let peer = peer.address().to_string();
            all.iter()
                .any(|it| it["peer"] == peer.as_str() && it["state"] == wanted)
        });
    };
    let mut client = Client::connect(proxy.public());
    state(&client, "idle");
    client.send("GET / HT");
    state(&client, "receiving");
    client.send("TP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
    state(&client, "idle");
    let told = in_flight(&proxy, "");
    assert_eq!(told["connections"][0]["exchanges"], 1);
    proxy.finish();
}

#[test]
fn what_a_drain_waits_for_can_be_seen() {
    let gate = Gate::new();
    let stalled = Script::new().read_head().wait(&gate);
    let upstream = Upstream::requests([stalled.send(reply(200, &[], "late"))]);
    let mut proxy = Proxy::start(Config::new(upstream.address()).runtime("drain: {deadline: 20s}"));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/slow", &[("host", "a")], b"");
    proxy.wait_until("it waits", || {
        in_flight(&proxy, "")["exchanges"][0]["phase"] == "wait"
    });
    proxy.signal("TERM");
    proxy.wait_until("the drain", || proxy.get_admin("/readyz").status == 503);
    let told = in_flight(&proxy, "");
    assert_eq!(told["exchanges"][0]["path"], "/slow");
    gate.open();
    assert_eq!(client.read_response().text(), "late");
    assert!(proxy.wait_exit().success());
}

#[test]
fn a_limit_gives_the_oldest_and_says_how_many_there_are() {
    let gate = Gate::new();
    let script = || {
        Script::new()
            .read_head()
            .wait(&gate)
            .send(reply(200, &[], "late"))
    };
    let upstream = Upstream::requests((0..6).map(|_| script()));
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut clients = Vec::new();
    for number in 0..6 {
        let mut client = Client::connect(proxy.public());
        client.request("GET", &format!("/{number}"), &[("host", "a")], b"");
        proxy.wait_until("one more", || {
            in_flight(&proxy, "")["total"]["exchanges"] == number + 1
        });
        clients.push(client);
    }
    let told = in_flight(&proxy, "?limit=2");
    let paths: Vec<&Value> = (0..2).map(|at| &told["exchanges"][at]["path"]).collect();
    assert_eq!(paths, ["/0", "/1"]);
    assert_eq!(
        (&told["matched"], &told["exchanges"][2]),
        (&6.into(), &Value::Null)
    );
    gate.open();
    for mut client in clients {
        client.read_response();
    }
    proxy.finish();
}

#[test]
fn streams_of_http2_are_each_an_exchange_on_one_connection() {
    let gate = Gate::new();
    let script = || {
        Script::new()
            .read_head()
            .wait(&gate)
            .send(reply(200, &[], "late"))
    };
    let upstream = Upstream::requests((0..3).map(|_| script()));
    let proxy = Proxy::start(Config::new(upstream.address()));
    let client = Http2Client::connect(proxy.public());
    let asked: Vec<_> = (0..3)
        .map(|number| client.ask("GET", &format!("/{number}")).expect("a stream"))
        .collect();
    proxy.wait_until("three wait", || {
        let told = in_flight(&proxy, "");
        let told = told["exchanges"].as_array().expect("a list");
        told.len() == 3 && told.iter().all(|it| it["phase"] == "wait")
    });
    let told = in_flight(&proxy, "");
    let carried: Vec<&Value> = told["exchanges"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["protocol"])
        .collect();
    assert_eq!(carried, ["HTTP/2", "HTTP/2", "HTTP/2"]);
    let connection = &told["connections"][0];
    assert_eq!(
        (&connection["state"], &connection["carries"]),
        (&"active".into(), &3.into())
    );
    gate.open();
    for stream in asked {
        assert_eq!(stream.read_response().expect("an answer").text(), "late");
    }
    proxy.wait_until("they are over", || {
        in_flight(&proxy, "")["total"]["exchanges"] == 0
    });
    proxy.finish();
}
