//! Calls that change something: a level for a while, a reload, a drain; who may, and what is said of it.

use serde_json::{Value, json};

use super::super::rig::{Client, Collector, Config, Proxy, Response, Upstream, get};

fn call(proxy: &Proxy, line: (&str, &str), headers: &[(&str, &str)], body: &str) -> Response {
    proxy.call_admin(line, headers, body)
}

const LEVEL: (&str, &str) = ("PUT", "/api/v1/log-level");
const JSON: (&str, &str) = ("content-type", "application/json");

fn parsed(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn changed(proxy: &Proxy) -> Value {
    parsed(&proxy.get_admin(LEVEL.1))["changed"].take()
}

#[test]
fn a_level_is_changed_for_a_while_and_goes_back_by_itself() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let bad = || {
        // What no parser takes is a failed connection, which is told at debug.
        let mut client = Client::connect(proxy.public());
        client.send(b"NONSENSE\r\n\r\n");
        let _ = client.try_read_response("GET");
    };
    bad();
    assert!(!proxy.stderr().contains("connection failed"));
    let body = r#"{"target": "sightglass", "level": "debug", "for": "2s"}"#;
    let answer = call(&proxy, LEVEL, &[JSON], body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let now = changed(&proxy);
    assert_eq!(
        (&now[0]["target"], &now[0]["level"]),
        (&json!("sightglass"), &json!("debug"))
    );
    assert_eq!(now[0]["who"], "127.0.0.1");
    assert!(now[0]["until_unix_seconds"].is_number());
    proxy.wait_stderr("log level changed");
    proxy.wait_until("the failed connection is told", || {
        bad();
        proxy.stderr().contains("connection failed")
    });
    proxy.wait_stderr("log level as before");
    assert_eq!(changed(&proxy), json!([]));
    let before = proxy.stderr().matches("connection failed").count();
    bad();
    assert_eq!(get(proxy.public(), "/").status, 200);
    assert_eq!(proxy.stderr().matches("connection failed").count(), before);
    proxy.finish();
}

/// Bodies with their content type, the status, and what the answer says.
const REFUSED: [(&str, (&str, &str), u16, &str); 14] = [
    (
        r#"{"target": "sightglass", "level": "loud"}"#,
        JSON,
        400,
        "off, error, warn, info, debug, trace",
    ),
    (r#"{"target": "", "level": "debug"}"#, JSON, 400, "target"),
    (
        r#"{"target": "a b", "level": "debug"}"#,
        JSON,
        400,
        "target",
    ),
    (
        r#"{"target": "a\u001b[2J", "level": "debug"}"#,
        JSON,
        400,
        "target",
    ),
    (
        r#"{"target": "a", "level": "debug", "for": "2d"}"#,
        JSON,
        400,
        "24h",
    ),
    (
        r#"{"target": "a", "level": "debug", "for": "0s"}"#,
        JSON,
        400,
        "24h",
    ),
    (
        r#"{"target": "a", "level": "debug", "for": "soon"}"#,
        JSON,
        400,
        "for",
    ),
    (
        r#"{"target": "a", "level": "debug", "more": 1}"#,
        JSON,
        400,
        "more",
    ),
    (r#"{"level": "debug"}"#, JSON, 400, "target"),
    (
        r#"{"target": "\ud800", "level": "debug"}"#,
        JSON,
        400,
        "body",
    ),
    (r#"not JSON"#, JSON, 400, "body"),
    (r#""#, JSON, 400, "body"),
    (
        r#"{"target": "a", "level": "debug"}"#,
        ("content-type", "text/json"),
        415,
        "application/json",
    ),
    (
        r#"{"target": "a", "level": "debug"}"#,
        ("content-type", "text/plain"),
        403,
        "form",
    ),
];

#[test]
fn what_is_no_level_is_refused_with_what_there_is() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    for (body, media, status, words) in REFUSED {
        let answer = call(&proxy, LEVEL, &[media], body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.text().contains(words), "{words}: {}", answer.text());
    }
    let large = format!(
        "{{\"target\": \"{}\", \"level\": \"debug\"}}",
        "a".repeat(20_000)
    );
    assert_eq!(call(&proxy, LEVEL, &[JSON], &large).status, 413);
    let body = r#"{"target": "a", "level": "debug"}"#;
    assert_eq!(
        call(&proxy, LEVEL, &[], body).status,
        415,
        "no type is not JSON"
    );
    assert_eq!(changed(&proxy), json!([]));
    proxy.finish();
}

#[test]
fn no_foreign_page_can_change_anything() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let body = r#"{"target": "sightglass", "level": "trace"}"#;
    for line in [LEVEL, ("POST", "/api/v1/reload"), ("POST", "/api/v1/drain")] {
        for foreign in [
            ("origin", "https://evil.test"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("content-type", "application/x-www-form-urlencoded"),
        ] {
            let answer = call(&proxy, line, &[foreign], body);
            assert_eq!(answer.status, 403, "{line:?} {foreign:?}");
        }
        let mut client = Client::connect(proxy.admin());
        client.request(line.0, line.1, &[("host", "evil.test"), JSON], body);
        assert_eq!(
            client.read_response().status,
            403,
            "a name that was made to point here"
        );
        let answer = call(&proxy, ("DELETE", line.1), &[], "");
        assert_eq!(answer.status, 405);
    }
    assert_eq!(proxy.get_admin("/api/v1/reload").status, 405);
    assert_eq!(proxy.get_admin("/readyz").status, 200, "it does not drain");
    assert_eq!(changed(&proxy), json!([]));
    assert!(
        !proxy.stderr().contains("admin call"),
        "strangers do not fill the log"
    );
    proxy.finish();
}

#[test]
fn a_call_reloads_and_says_what_is_wrong_with_the_file() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address()).traces(collector.address());
    let proxy = Proxy::start_with(&config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    });
    let reload = || call(&proxy, ("POST", "/api/v1/reload"), &[], "");
    let answer = reload();
    assert_eq!(
        (answer.status, &parsed(&answer)["generation"]),
        (200, &json!(2))
    );
    let shown = parsed(&proxy.get_admin("/api/v1/config"));
    assert_eq!(shown["hash"], parsed(&answer)["hash"]);
    proxy.wait_stderr("admin call");
    proxy.wait_until("it is a span", || {
        let spans = collector.spans();
        spans.iter().any(|span| span.name == "POST /api/v1/reload")
    });

    proxy.write_config("listeners: 7");
    let answer = reload();
    assert_eq!(answer.status, 422);
    assert!(
        answer.text().contains("the old configuration stays"),
        "{}",
        answer.text()
    );
    assert_eq!(parsed(&proxy.get_admin("/api/v1/config"))["generation"], 2);
    assert_eq!(get(proxy.public(), "/").status, 200);
    proxy.finish();
}

#[test]
fn a_call_drains_as_a_signal_does() {
    let upstream = Upstream::ok("hello");
    let mut proxy = Proxy::start(Config::new(upstream.address()));
    assert_eq!(get(proxy.public(), "/").status, 200);
    let answer = call(&proxy, ("POST", "/api/v1/drain"), &[], "");
    assert_eq!(
        (answer.status, &parsed(&answer)["draining"]),
        (202, &json!(true))
    );
    assert!(proxy.wait_exit().success());
    assert!(
        proxy.stderr().contains("an admin call"),
        "{}",
        proxy.stderr()
    );
    assert_eq!(proxy.log_lines().len(), 1);
}
