//! The side port over real sockets.

mod look;

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::sample::{Like, Sample};
use super::*;
use crate::config;
use crate::exchange::{Outcome, TraceId};

const REFUSED: Like = Like {
    route: 0,
    method: "POST",
    path: "/api/checkout/<script>alert(1)</script>",
    attempts: &[(0, 0, 0), (1, 503, 1)],
    outcome: Outcome::Served,
    body: 0,
};

/// A control runtime on a thread of its own, until it is dropped.
struct Control {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A side port with one exchange behind it.
struct Rig {
    control: Control,
    admin: Option<Admin>,
    trace_id: TraceId,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    fields: HashMap<String, String>,
    body: String,
}

// === impl Control ===

impl Control {
    fn start() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let _ = runtime.block_on(stopped);
        });
        Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn end(&self, admin: Admin) {
        let (ended, end) = sync_channel(1);
        self.handle.spawn(async move {
            admin.end().await;
            ended.send(()).expect("somebody waits");
        });
        end.recv_timeout(Duration::from_secs(10)).expect("it ends");
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.stop.take());
        let thread = self.thread.take().expect("it was not joined yet");
        thread.join().expect("no panic");
    }
}

// === impl Rig ===

impl Rig {
    fn new() -> Self {
        let mut sample = Sample::new();
        let record = sample.exchange(&REFUSED);
        let trace_id = sample.tell(&record, Duration::ZERO);
        sample.read_all();
        let control = Control::start();
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let rules = config::Admin::default();
        let admin =
            serve(&control.handle, socket, &rules, sample.sources.clone()).expect("it serves");
        Self {
            control,
            admin: Some(admin),
            trace_id,
        }
    }

    fn admin(&self) -> &Admin {
        self.admin.as_ref().expect("it has not ended")
    }

    fn address(&self) -> SocketAddr {
        self.admin().address()
    }

    fn ask(&self, method: &str, target: &str, fields: &str) -> Answer {
        let mut stream = connect(self.address());
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fields}\r\n"
        )
        .expect("it is taken");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .expect("a status");
        let field = |line: &str| {
            line.split_once(": ")
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        Answer {
            status: status.parse().expect("a number"),
            fields: lines.filter_map(field).collect(),
            body: body.to_owned(),
        }
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "")
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    stream
}

#[test]
fn every_page_answers_with_its_type_and_its_guards() {
    let rig = Rig::new();
    for (target, content_type, has) in [
        ("/", "text/html; charset=utf-8", "app.js"),
        (
            "/style.css",
            "text/css; charset=utf-8",
            "prefers-color-scheme",
        ),
        (
            "/exchanges.js",
            "text/javascript; charset=utf-8",
            "/api/v1/exchanges",
        ),
        ("/favicon.ico", "image/svg+xml", "<svg"),
        ("/livez", "text/plain; charset=utf-8", "alive\n"),
        ("/readyz", "text/plain; charset=utf-8", "ready\n"),
        (
            "/metrics",
            "text/plain; version=0.0.4; charset=utf-8",
            "http_server_request_duration_seconds_count",
        ),
        ("/api/v1/exchanges", "application/json", "checkout"),
        ("/api/v1/upstreams", "application/json", "10.0.0.7:9001"),
        ("/api/v1/routes", "application/json", "checkout"),
        ("/api/v1/map", "application/json", "route_endpoints"),
        ("/api/v1/events", "application/json", "lost"),
        ("/api/v1/config", "application/json", "everything-else"),
        ("/api/v1/telemetry", "application/json", "records"),
        ("/api/v1/process", "application/json", "127.0.0.1:8080"),
    ] {
        let answer = rig.get(target);
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.fields["content-type"], content_type, "{target}");
        assert!(
            answer.body.contains(has),
            "{has} is not in {target}: {}",
            answer.body
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.fields[name], value, "{target}");
        }
        assert!(
            answer.fields["content-security-policy"].starts_with("default-src 'none';"),
            "{target}"
        );
        assert!(
            !answer.fields.contains_key("access-control-allow-origin"),
            "{target}"
        );
        let head = rig.ask("HEAD", target, "");
        assert_eq!((head.status, &*head.body), (200, ""), "{target}");
    }
}

#[test]
fn a_scraper_gets_the_format_that_it_asks_for() {
    let answer = Rig::new().ask(
        "GET",
        "/metrics",
        "accept: application/openmetrics-text;q=0.9\r\n",
    );
    assert_eq!(
        answer.fields["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(answer.body.ends_with("# EOF\n"));
}

#[test]
fn what_does_not_exist_is_said_and_what_does_is_named() {
    let rig = Rig::new();
    for target in [
        "/nothing",
        "/api/v1",
        "/api/v1/exchanges/",
        "/api/v1/exchanges/a/b",
        "//",
        "/metrics/",
    ] {
        let answer = rig.get(target);
        assert_eq!(answer.status, 404, "{target}");
        assert_eq!(answer.fields["content-type"], "application/problem+json");
        assert!(
            answer.json()["paths"]
                .as_array()
                .expect("paths")
                .contains(&"/api/v1/routes".into())
        );
    }
}

#[test]
fn another_method_is_refused_with_the_right_ones() {
    let rig = Rig::new();
    for (method, target) in [
        ("POST", "/"),
        ("DELETE", "/api/v1/exchanges"),
        ("OPTIONS", "/api/v1/exchanges"),
        ("PUT", "/metrics"),
    ] {
        let answer = rig.ask(method, target, "content-length: 0\r\n");
        assert_eq!(
            (answer.status, &*answer.fields["allow"]),
            (405, "GET, HEAD"),
            "{method} {target}"
        );
    }
}

#[test]
fn a_page_of_another_origin_gets_403_and_metrics_all_the_same() {
    let rig = Rig::new();
    let foreign = "origin: http://evil.test\r\nsec-fetch-site: cross-site\r\n";
    assert_eq!(rig.ask("GET", "/api/v1/exchanges", foreign).status, 403);
    assert_eq!(rig.ask("GET", "/nothing", foreign).status, 403);
    assert_eq!(rig.ask("GET", "/livez", foreign).status, 200);
    assert_eq!(rig.ask("GET", "/metrics", foreign).status, 200);
}

#[test]
fn an_exchange_is_found_by_its_filters_and_its_trace() {
    let rig = Rig::new();
    let count = |query: &str| {
        let answer = rig.get(&format!("/api/v1/exchanges?{query}"));
        assert_eq!(answer.status, 200, "{query}");
        answer.json()["exchanges"].as_array().expect("a list").len()
    };
    assert_eq!(
        count("route=checkout&outcome=served&min_duration=1ms&limit=5"),
        1
    );
    for query in ["route=search", "outcome=overloaded", "min_duration=1m"] {
        assert_eq!(count(query), 0, "{query}");
    }
    let found = rig.get(&format!("/api/v1/exchanges/{}", rig.trace_id));
    assert_eq!((found.status, &found.json()["status"]), (200, &503.into()));
    let upper = rig.trace_id.to_string().to_ascii_uppercase();
    assert_eq!(rig.get(&format!("/api/v1/exchanges/{upper}")).status, 200);
    for unknown in [
        "0123456789abcdef0123456789abcdef",
        "x",
        "00000000000000000000000000000000",
        "%2e%2e",
    ] {
        let answer = rig.get(&format!("/api/v1/exchanges/{unknown}"));
        assert_eq!(
            (answer.status, &*answer.fields["content-type"]),
            (404, "application/problem+json"),
            "{unknown}"
        );
    }
}

#[test]
fn a_bad_parameter_is_named() {
    let rig = Rig::new();
    for (query, name) in [
        ("limit=0", "limit"),
        ("outcome=fine", "outcome"),
        ("min_duration=3", "min_duration"),
        ("x=1", "x"),
    ] {
        let answer = rig.get(&format!("/api/v1/exchanges?{query}"));
        assert_eq!(
            (answer.status, &answer.json()["parameter"]),
            (400, &name.into()),
            "{query}"
        );
    }
}

#[test]
fn endpoints_show_what_they_were_asked_and_how_it_ended() {
    let upstreams = Rig::new().get("/api/v1/upstreams").json();
    let checkout = &upstreams["upstreams"][0];
    assert_eq!(checkout["upstream"], "checkout");
    assert_eq!(checkout["balance"], "peak_ewma");
    let [first, second] = [0, 1].map(|at| &checkout["endpoints"][at]);
    assert_eq!(
        first["requests"],
        serde_json::json!({ "connection_refused": 1 })
    );
    assert_eq!(second["requests"], serde_json::json!({ "served": 1 }));
    assert_eq!(
        (&first["weight"], &first["health"]),
        (&2.into(), &"unchecked".into())
    );
    assert_eq!(
        upstreams["upstreams"][1]["endpoints"][0]["requests"],
        serde_json::json!({})
    );
}

#[test]
fn a_drain_shows_on_readiness_and_the_port_ends_when_told() {
    let mut rig = Rig::new();
    rig.admin().readiness().drain();
    let answer = rig.get("/readyz");
    assert_eq!(
        (answer.status, answer.body.contains("draining")),
        (503, true)
    );
    assert_eq!(rig.get("/livez").status, 200);
    assert_eq!(rig.get("/api/v1/process").json()["ready"], false);

    let mut idle = connect(rig.address());
    write!(idle, "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").expect("it is taken");
    let mut first = [0; 12];
    idle.read_exact(&mut first).expect("an answer");
    let (address, admin) = (rig.address(), rig.admin.take().expect("it has not ended"));
    let begun = Instant::now();
    rig.control.end(admin);
    assert!(
        begun.elapsed() < Duration::from_millis(1500),
        "an idle connection is closed at once"
    );
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).expect("it is closed");
    let error = TcpStream::connect(address).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_missing_token_file_is_told_at_the_start() {
    let control = Control::start();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let rules = config::Admin {
        token_file: Some("/nowhere".into()),
        ..config::Admin::default()
    };
    let error =
        serve(&control.handle, socket, &rules, Sample::new().sources).expect_err("no token");
    assert!(
        error
            .to_string()
            .starts_with("cannot read the token from /nowhere: "),
        "{error}"
    );
}
