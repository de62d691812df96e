//! The admin port: its pages, the flight recorder's questions, readiness, and Server-Timing; [`access`] has who may.

mod access;
mod control;
mod live;

use serde_json::{Value, json};

use super::rig::{Client, Collector, Config, Gate, Proxy, Response, Script, Upstream, get, reply};

/// Every page, and the type that it has.
const PAGES: [(&str, &str); 19] = [
    ("/", "text/html; charset=utf-8"),
    ("/style.css", "text/css; charset=utf-8"),
    ("/app.js", "text/javascript; charset=utf-8"),
    ("/favicon.ico", "image/svg+xml"),
    ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
    ("/livez", "text/plain; charset=utf-8"),
    ("/readyz", "text/plain; charset=utf-8"),
    ("/api/v1/exchanges", "application/json"),
    ("/api/v1/inflight", "application/json"),
    ("/api/v1/recorder", "application/json"),
    ("/api/v1/upstreams", "application/json"),
    ("/api/v1/routes", "application/json"),
    ("/api/v1/map", "application/json"),
    ("/api/v1/history", "application/json"),
    ("/api/v1/events", "application/json"),
    ("/api/v1/telemetry", "application/json"),
    ("/api/v1/slo", "application/json"),
    ("/api/v1/config", "application/json"),
    ("/api/v1/process", "application/json"),
];

/// A request of any method, as a client of the admin port writes it.
fn ask(proxy: &Proxy, method: &str, path: &str) -> Response {
    let mut client = Client::connect(proxy.admin());
    let host = proxy.admin().to_string();
    client.request(method, path, &[("host", &host)], b"");
    client.read_response_to(method)
}

fn exchanges(proxy: &Proxy, query: &str) -> Vec<Value> {
    let answer = proxy.get_admin(&format!("/api/v1/exchanges{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["exchanges"]
        .as_array()
        .expect("a list")
        .clone()
}

/// Waits until the recorder has so many.
fn wait_exchanges(proxy: &Proxy, count: usize) {
    proxy.wait_until(&format!("{count} exchanges"), || {
        exchanges(proxy, "?limit=1000").len() == count
    });
}

#[test]
fn every_page_is_there_and_heads_are_told_without_bodies() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    for (path, media) in PAGES {
        let answer = ask(&proxy, "GET", path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some(media), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert!(!answer.body.is_empty(), "{path}");
        let head = ask(&proxy, "HEAD", path);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-type"), Some(media), "{path}");
    }
    proxy.finish();
}

#[test]
fn a_wrong_method_and_a_wrong_path_are_told_so() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    for (path, _) in PAGES {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = ask(&proxy, method, path);
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method} {path}");
        }
    }
    for path in [
        "/nothing",
        "/api",
        "/api/v1/exchanges/",
        "/api/v1/exchanges/a/b",
    ] {
        let answer = ask(&proxy, "GET", path);
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        let paths = answer.json()["paths"].clone();
        assert!(paths.to_string().contains("/api/v1/exchanges"), "{paths}");
    }
    proxy.finish();
}

#[test]
fn the_dashboard_loads_nothing_from_elsewhere() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let page = proxy.get_admin("/");
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for file in ["app.js", "verdict.js", "style.css"] {
        assert!(page.text().contains(file), "{file}");
    }
    proxy.finish();
}

#[test]
fn the_recorder_answers_questions() {
    let upstream = Upstream::answering(|request| match request.target.as_str() {
        "/slow" => {
            std::thread::sleep(std::time::Duration::from_millis(120));
            reply(200, &[], "slow")
        }
        _ => reply(200, &[], "fast"),
    });
    let dead = Upstream::refuse();
    let collector = Collector::start();
    let config = Config::new(upstream.address())
        .more_routes("- {name: dead, match: {path: {exact: /dead}}, upstream: dead}")
        .more_upstreams(&format!(
            "- {{name: dead, endpoints: [{{address: {}}}]}}",
            dead.address()
        ))
        .traces(collector.address());
    let proxy = Proxy::start(config);
    for path in ["/one", "/slow", "/dead", "/dead", "/last"] {
        get(proxy.public(), path);
    }
    wait_exchanges(&proxy, 5);
    let paths = |query: &str| {
        let mut paths: Vec<String> = exchanges(&proxy, query)
            .iter()
            .map(|exchange| exchange["path"].as_str().unwrap_or_default().to_owned())
            .collect();
        paths.sort();
        paths
    };
    for (query, wanted) in [
        ("", vec!["/dead", "/dead", "/last", "/one", "/slow"]),
        ("?route=dead", vec!["/dead", "/dead"]),
        ("?route=web&min_duration=100ms", vec!["/slow"]),
        ("?outcome=connection_refused", vec!["/dead", "/dead"]),
        ("?outcome=served&route=dead", vec![]),
        ("?route=_unmatched", vec![]),
        ("?outcome=connection_refused&limit=1", vec!["/dead"]),
    ] {
        assert_eq!(paths(query), wanted, "{query}");
    }
    for query in ["?outcome=bad", "?min_duration=5", "?limit=0", "?rout=web"] {
        let answer = proxy.get_admin(&format!("/api/v1/exchanges{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["detail"].is_string(), "{query}");
    }

    let dead = exchanges(&proxy, "?route=dead&limit=1").remove(0);
    let id = dead["trace_id"].as_str().expect("an id");
    let alone = proxy.get_admin(&format!("/api/v1/exchanges/{id}")).json();
    assert_eq!(alone, dead);
    assert_eq!(alone["sampling_reason"], "error");
    assert!(alone["detail"].is_string(), "{alone:#}");
    assert!(alone["attempt_phases"][0]["entered_ms"]["connect"].is_number());
    let span = &alone["attempt_phases"][0]["span_id"];
    proxy.wait_until("its spans", || {
        collector
            .trace(id)
            .iter()
            .any(|known| *span == known.span_id.as_str())
    });
    let unknown = "0".repeat(31) + "1";
    for id in [unknown.as_str(), "nonsense", &"0".repeat(32)] {
        let answer = proxy.get_admin(&format!("/api/v1/exchanges/{id}"));
        assert_eq!(answer.status, 404, "{id}");
    }
    proxy.finish_traced(&collector);
}

#[test]
fn the_recorder_and_the_log_tell_the_same() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    for _ in 0..5 {
        get(proxy.public(), "/?token=hush");
    }
    let lines = proxy.wait_log_lines(5);
    wait_exchanges(&proxy, 5);
    for exchange in exchanges(&proxy, "") {
        let line = lines
            .iter()
            .find(|line| line["span_id"] == exchange["span_id"])
            .expect("a line of each");
        for (key, value) in line.as_object().expect("an object") {
            assert_eq!(&exchange[key], value, "{key}");
        }
    }
    proxy.finish();
}

#[test]
fn the_recorder_gives_a_thousand_at_most_and_a_hundred_by_itself() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = Client::connect(proxy.public());
    for number in 0..1_100 {
        client.request("GET", &format!("/{number}"), &[], b"");
        client.read_response();
    }
    proxy.wait_log_lines(1_100);
    proxy.wait_until("the last of them", || {
        exchanges(&proxy, "?limit=1")[0]["path"] == "/1099"
    });
    let all = exchanges(&proxy, "?limit=1000");
    let paths: Vec<_> = all
        .iter()
        .map(|exchange| exchange["path"].clone())
        .collect();
    let wanted: Vec<_> = (100..1_100)
        .rev()
        .map(|number| json!(format!("/{number}")))
        .collect();
    assert_eq!(paths, wanted, "the newest first");
    assert_eq!(
        exchanges(&proxy, "").len(),
        100,
        "a hundred where nobody said"
    );
    proxy.finish();
}

#[test]
fn upstreams_and_their_endpoints_are_told_as_they_are_now() {
    let gate = Gate::new();
    let stalled = Upstream::script(
        Script::new()
            .read_head()
            .wait(&gate)
            .send(reply(200, &[], "")),
    );
    let proxy = Proxy::start(Config::new(stalled.address()).upstream("balance: least_requests"));
    let mut client = Client::connect(proxy.public());
    client.request("GET", "/", &[], b"");
    proxy.wait_until("it is at the upstream", || gate.waiting() == 1);
    let upstreams = || proxy.get_admin("/api/v1/upstreams").json()["upstreams"][0].clone();
    let now = upstreams();
    assert_eq!(
        (&now["upstream"], &now["balance"]),
        (&json!("web"), &json!("least_requests"))
    );
    let endpoint = &now["endpoints"][0];
    assert_eq!(endpoint["endpoint"], stalled.address().to_string());
    assert_eq!(
        (&endpoint["active_requests"], &endpoint["weight"]),
        (&json!(1), &json!(1))
    );
    gate.open();
    assert_eq!(client.read_response().status, 200);
    proxy.wait_until("it is over", || {
        let now = upstreams();
        let endpoint = &now["endpoints"][0];
        endpoint["active_requests"] == 0
            && endpoint["requests"] == json!({"served": 1})
            && now["connections"] == json!({"active": 0, "idle": 1, "opened": 1})
    });
    proxy.finish();
}

#[test]
fn routes_process_and_telemetry_are_told() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    for _ in 0..20 {
        get(proxy.public(), "/");
    }
    proxy.wait_log_lines(20);
    let process = proxy.get_admin("/api/v1/process").json();
    assert_eq!(process["pid"], proxy.pid());
    assert_eq!(process["ready"], true);
    assert_eq!(process["config_generation"], 1);
    assert_eq!(process["routes"], json!(["web"]));
    assert_eq!(
        process["listeners"][0]["address"],
        proxy.public().to_string()
    );
    let hash = proxy
        .metrics()
        .label_values("sightglass_config_info", "hash");
    assert_eq!(process["config_hash"], hash[0].as_str());

    proxy.wait_until("the second is over and the figures are there", || {
        let routes = proxy.get_admin("/api/v1/routes").json();
        let web = &routes["routes"][0];
        let sum = |list: &Value| -> u64 {
            let list = list.as_array().expect("a list");
            list.iter().filter_map(Value::as_u64).sum()
        };
        web["route"] == "web" && sum(&web["requests"]) == 20 && sum(&web["errors"]) == 0
    });
    let books = proxy.get_admin("/api/v1/telemetry").json();
    let metrics = proxy.metrics();
    for signal in books["signals"].as_array().expect("a list") {
        let name = signal["signal"].as_str().expect("a name");
        let labels = [("signal", name), ("state", "created")];
        let created = metrics.sum("sightglass_telemetry_items_total", &labels);
        assert_eq!(signal["created"].as_f64(), Some(created), "{name}");
    }
    proxy.finish();
}

#[test]
fn readiness_ends_with_the_start_of_a_drain_and_service_goes_on() {
    let gate = Gate::new();
    let upstream = Upstream::answering(|_| reply(200, &[], "hello"));
    let stalled = Upstream::script(Script::new().read_head().wait(&gate).send(reply(
        200,
        &[],
        "late",
    )));
    let config = Config::new(upstream.address())
        .runtime("drain: {delay: 1s, deadline: 20s}")
        .more_routes("- {name: slow, match: {path: {exact: /slow}}, upstream: slow}")
        .more_upstreams(&format!(
            "- {{name: slow, endpoints: [{{address: {}}}]}}",
            stalled.address()
        ));
    let mut proxy = Proxy::start(config);
    assert_eq!(proxy.get_admin("/readyz").status, 200);
    let mut under_way = Client::connect(proxy.public());
    under_way.request("GET", "/slow", &[], b"");
    proxy.wait_until("it is at the upstream", || gate.waiting() == 1);
    proxy.signal("TERM");
    proxy.wait_until("readiness is down", || {
        proxy.get_admin("/readyz").status == 503
    });
    let why = proxy.get_admin("/readyz").text();
    assert!(why.contains("draining"), "{why}");
    assert_eq!(proxy.get_admin("/livez").status, 200);
    assert_eq!(
        get(proxy.public(), "/").text(),
        "hello",
        "within the delay it still serves"
    );
    proxy.wait_until("new connections are refused", || {
        std::net::TcpStream::connect(proxy.public()).is_err()
    });
    assert_eq!(
        proxy.get_admin("/livez").status,
        200,
        "the admin port goes last"
    );
    gate.open();
    assert_eq!(under_way.read_response().text(), "late");
    assert!(proxy.wait_exit().success());
    assert_eq!(
        proxy.log_lines().len(),
        2,
        "the last exchange is written too"
    );
}

#[test]
fn server_timing_tells_the_phases_where_it_is_asked_for() {
    let upstream = Upstream::answering(|_| reply(200, &[("server-timing", "db;dur=5")], "hello"));
    let proxy = Proxy::start(Config::new(upstream.address()));
    let answer = get(proxy.public(), "/");
    assert_eq!(
        answer.headers.all("server-timing"),
        ["db;dur=5"],
        "only the upstream's"
    );
    proxy.finish();

    let proxy = Proxy::start(Config::new(upstream.address()).telemetry("server_timing: true"));
    let answer = get(proxy.public(), "/");
    let timings = answer.headers.all("server-timing");
    assert_eq!(timings[0], "db;dur=5", "the upstream's stays");
    let phases: Vec<(&str, f64)> = timings[1]
        .split(", ")
        .filter_map(|metric| metric.split_once(";dur="))
        .filter_map(|(name, millis)| Some((name, millis.parse().ok()?)))
        .collect();
    let names: Vec<&str> = phases.iter().map(|(name, _)| *name).collect();
    for phase in ["receive", "admit", "pick", "connect", "wait"] {
        assert!(names.contains(&phase), "{phase} in {names:?}");
    }
    let line = proxy.wait_log_lines(1).remove(0);
    let trace = line["trace_id"].as_str().expect("a text");
    let named = format!("traceparent;desc=\"00-{trace}-");
    assert!(timings[1].contains(&named), "{named} in {timings:?}");
    let waited = phases
        .iter()
        .find(|(name, _)| *name == "wait")
        .expect("it is there")
        .1;
    let logged = line["phases_ms"]["wait"].as_f64().expect("a number");
    assert!((waited - logged).abs() < 0.002, "{waited} {logged}");
    assert!(get(proxy.public(), "/").headers.contains("server-timing"));
    proxy.finish();
}
