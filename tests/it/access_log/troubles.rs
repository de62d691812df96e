//! What a client, a disk or a reader can do to it: nothing but cost counted lines.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::rig::{Client, Config, Proxy, Upstream, get, get_with};
use super::logs;

#[test]
fn hostile_words_are_inert_and_still_json() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let long = "x".repeat(20_000);
    let send = |path: &[u8], fields: &[&[u8]]| {
        let mut request = b"GET ".to_vec();
        request.extend_from_slice(path);
        request.extend_from_slice(b" HTTP/1.1\r\nhost: shop.test\r\n");
        for field in fields {
            request.extend_from_slice(field);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let mut client = Client::connect(proxy.public());
        client.send(request);
        client.read_response().status
    };
    let agent = |value: &str| [b"user-agent: ", value.as_bytes()].concat();
    let cases: Vec<(Vec<u8>, Vec<u8>, Option<String>)> = vec![
        (
            b"/quotes".to_vec(),
            agent(r#""}, {"status": 200}\n\"#),
            Some(r#""}, {"status": 200}\n\"#.to_owned()),
        ),
        (
            b"/bidi".to_vec(),
            agent("\u{202e}gnp.exe\u{2066}"),
            Some("\u{202e}gnp.exe\u{2066}".to_owned()),
        ),
        (
            b"/separators".to_vec(),
            agent("a\u{2028}b\u{85}c"),
            Some("a\u{2028}b\u{85}c".to_owned()),
        ),
        (b"/tab".to_vec(), agent("a\tb"), Some("a\tb".to_owned())),
        (
            b"/utf8".to_vec(),
            [b"user-agent: ".as_slice(), &[0xff, 0xfe, b'x']].concat(),
            None,
        ),
        (b"/long".to_vec(), agent(&long), Some("x".repeat(512))),
        (
            b"/escapes%0a%1b%5b31m%00".to_vec(),
            agent("plain"),
            Some("plain".to_owned()),
        ),
        (
            br#"/raw"quotes\"#.to_vec(),
            agent("plain"),
            Some("plain".to_owned()),
        ),
    ];
    let mut answered = 0;
    for (path, field, told) in &cases {
        let status = send(path, &[field]);
        answered += 1;
        let lines = proxy.wait_log_lines(answered);
        let line = lines
            .iter()
            .find(|line| {
                let shown = line["path"].as_str().unwrap_or_default();
                let start = &path[..path.len().min(4)];
                shown.as_bytes().starts_with(start)
            })
            .unwrap_or_else(|| panic!("{status}: no line of {:?}", String::from_utf8_lossy(path)));
        assert_eq!(
            line.get("user_agent").and_then(Value::as_str),
            told.as_deref(),
            "{line:#}"
        );
    }
    // What came in as text to steer a terminal or another reader goes out as escapes.
    let raw = proxy.stdout();
    let is_harmful = |it: char| {
        it.is_control() && it != '\n'
            || ('\u{2028}'..='\u{202e}').contains(&it)
            || ('\u{2066}'..='\u{2069}').contains(&it)
    };
    assert!(!raw.contains(is_harmful), "{raw:?}");
    assert!(raw.lines().all(|line| line.len() < 20_000));
    proxy.finish();
}

#[test]
fn a_request_id_that_is_no_id_is_not_taken_over() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let long = "i".repeat(129);
    for (number, id) in ["with space", "\u{e9}", long.as_str()]
        .into_iter()
        .enumerate()
    {
        let answer = get_with(proxy.public(), "/", &[("x-request-id", id)]);
        let given = answer
            .header("x-request-id")
            .expect("one of ours")
            .to_owned();
        assert_ne!(given, id);
        let lines = proxy.wait_log_lines(number + 1);
        assert!(
            lines
                .iter()
                .any(|line| line["request_id"] == given.as_str()
                    && line["trace_id"] == given.as_str())
        );
    }
    proxy.finish();
}

#[test]
fn a_full_disk_costs_counted_lines_and_no_request() {
    let upstream = Upstream::ok("hello");
    let config =
        Config::new(upstream.address()).access_log("access_log: {output: {file: /dev/full}}");
    let proxy = Proxy::start(config);
    for _ in 0..20 {
        assert_eq!(get(proxy.public(), "/").status, 200);
    }
    proxy.wait_until("the loss", || {
        let labels = [
            ("signal", "logs"),
            ("state", "dropped"),
            ("reason", "write_failed"),
        ];
        proxy
            .metrics()
            .sum("sightglass_telemetry_items_total", &labels)
            == 20.0
    });
    assert_eq!(logs(&proxy, "exported"), 0.0);
    let books = proxy.get_admin("/api/v1/telemetry").json();
    let what = &books["signals"][1]["last_error"]["what"];
    assert!(
        what.as_str()
            .is_some_and(|what| what.contains("No space left")),
        "{books}"
    );
    proxy.wait_stderr("the access log loses lines");
    assert_eq!(proxy.stderr().matches("loses lines").count(), 1);
    proxy.finish();
}

#[test]
fn a_reader_that_never_reads_costs_counted_lines_and_no_request() {
    let upstream = Upstream::ok("hello");
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let pipe = dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no mkfifo");
        return;
    }
    // Both ends are held, so that opening it does not wait, and nobody reads.
    let held = fs::File::options()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("a pipe can be opened");
    let config = Config::new(upstream.address()).access_log(&format!(
        "access_log: {{output: {{file: {}}}}}",
        pipe.display()
    ));
    let mut proxy = Proxy::start(config);
    let path = format!("/{}", "x".repeat(6_000));
    let mut client = Client::connect(proxy.public());
    let mut send = |count: usize| {
        for _ in 0..count {
            let sent = Instant::now();
            client.request("GET", &path, &[], b"");
            assert_eq!(client.read_response().status, 200);
            assert!(sent.elapsed() < Duration::from_secs(2));
        }
    };
    send(700);
    proxy.wait_until("lines that found no room", || {
        send(50);
        let labels = [
            ("signal", "logs"),
            ("state", "dropped"),
            ("reason", "queue_full"),
        ];
        proxy
            .metrics()
            .sum("sightglass_telemetry_items_total", &labels)
            > 0.0
    });
    let asked = Instant::now();
    assert!(proxy.stop().success());
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    drop(held);
}

#[test]
fn a_folder_that_vanishes_costs_counted_lines_until_it_is_back() {
    let upstream = Upstream::ok("hello");
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let (folder, file) = (dir.path().join("logs"), dir.path().join("logs/access.log"));
    fs::create_dir(&folder).expect("a folder");
    let output = format!("access_log: {{output: {{file: {}}}}}", file.display());
    let proxy = Proxy::start(Config::new(upstream.address()).access_log(&output));
    let ask = || assert_eq!(get(proxy.public(), "/").status, 200);
    ask();
    proxy.wait_until("the first line", || logs(&proxy, "exported") == 1.0);
    fs::remove_dir_all(&folder).expect("it can be removed");
    // Whoever rotates logs tells it so; the file is opened anew, and cannot be.
    proxy.signal("HUP");
    proxy.wait_stderr("configuration in force");
    proxy.wait_until("a lost line", || {
        ask();
        logs(&proxy, "dropped") > 0.0
    });
    proxy.wait_stderr("the access log loses lines");
    fs::create_dir(&folder).expect("it can be made again");
    proxy.wait_until("it is written again", || {
        ask();
        fs::read_to_string(&file).is_ok_and(|text| text.contains("trace_id"))
    });
    proxy.wait_stderr("the access log is written again");
    proxy.wait_until("the books are even", || {
        logs(&proxy, "created") == logs(&proxy, "exported") + logs(&proxy, "dropped")
    });
    let written = fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    assert_eq!(
        logs(&proxy, "exported"),
        1.0 + written as f64,
        "what is counted as written is there"
    );
    proxy.finish();
}
