//! Lines as a parser and a terminal read them, and where they go.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::config::{Plan, Share};
use crate::exchange::{
    ClientCertificate, KeepReason, KnownMethod, Outcome, TlsFacts, TlsVersion, Words,
};
use crate::telemetry::fixture::{batch, plan, record, record_of, retried};
use crate::telemetry::ledger::DropReason;
use crate::telemetry::wall::Wall;

/// A file of its own for each test, removed at its end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("sightglass-{}-{name}.log", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn plan_to(path: &Path, sample: Share) -> Arc<Plan> {
    let mut plan = plan(&["checkout", "web"]);
    plan.telemetry.access_log = Config {
        output: LogOutput::File(path.to_owned()),
        format: None,
        sample,
        filter: None,
    };
    Arc::new(plan)
}

fn opened(plan: &Plan) -> (AccessLog, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let log = AccessLog::open(&plan.telemetry.access_log, &ledger).expect("it can be opened");
    (log, ledger)
}

/// Reads a batch and waits until its lines are written.
fn read(log: &mut AccessLog, batch: &Batch) {
    log.read(batch);
    log.end();
}

fn line(record: &Record) -> Value {
    let mut out = Vec::new();
    let plan = plan(&["checkout", "web"]);
    let wall = Wall::new(record.started, Duration::from_millis(1_700_000_000_042));
    JsonWriter::default().line(&mut out, &plan, wall, record);
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(out.last(), Some(&b'\n'));
    serde_json::from_slice(&out).expect("JSON")
}

/// One in which the client has shown a certificate.
fn handshake() -> Arc<TlsFacts> {
    Arc::new(TlsFacts {
        version: TlsVersion::Tls13,
        suite: "TLS_AES_128_GCM_SHA256",
        group: "X25519MLKEM768",
        is_resumed: false,
        server_name: Some("shop.test".into()),
        client: Some(Box::new(ClientCertificate {
            subject: "CN=a\\,b".into(),
            dns: vec!["a.test".to_owned()],
            uris: vec!["spiffe://test/a".to_owned()],
            sha256: "00ff".into(),
            der: Box::default(),
            fields: OnceLock::new(),
        })),
    })
}

#[test]
fn a_line_says_what_the_contract_lists_in_its_order() {
    let words = Words {
        host: "shop.test:8080",
        path: "/cart",
        query: "v=2",
        user_agent: "curl/8.5.0",
        request_id: "abc",
        method: "",
    };
    let mut record = retried(record_of(Some(0), &words));
    record.outcome = Outcome::HttpResponseIncomplete;
    record.grpc_status = Some(14);
    record.tls = Some(handshake());
    record.is_tls = true;
    record.kept = Some(KeepReason::Error);
    let mut out = Vec::new();
    let wall = Wall::new(record.started, Duration::from_millis(1_700_000_000_042));
    let plan = plan(&["checkout", "web"]);
    JsonWriter::default().line(&mut out, &plan, wall, &record);
    let text = String::from_utf8(out).expect("UTF-8");
    let mut at = 0;
    for field in [
        "time",
        "trace_id",
        "span_id",
        "request_id",
        "listener",
        "connection",
        "route",
        "upstream",
        "endpoint",
        "client",
        "peer",
        "tls",
        "client_certificate",
        "method",
        "scheme",
        "host",
        "path",
        "query",
        "protocol",
        "status",
        "grpc_status",
        "outcome",
        "side",
        "duration_ms",
        "phases_ms",
        "attempts",
        "bytes_in",
        "bytes_out",
        "user_agent",
        "sampled",
        "config_generation",
    ] {
        let key = format!("\"{field}\":");
        let found = text[at..].find(&key);
        at += found.unwrap_or_else(|| panic!("{field} in its place in {text}"));
    }
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["time"], "2023-11-14T22:13:20.042Z");
    assert_eq!(value["trace_id"], record.trace.trace_id.to_string());
    assert_eq!(value["endpoint"], "127.0.0.1:9002");
    assert_eq!(value["upstream"], "checkout-service");
    assert_eq!(value["side"], "upstream");
    assert_eq!(value["duration_ms"], 12.0);
    assert_eq!(
        value["phases_ms"],
        json!({"admit": 1.0, "wait": 10.0, "body_client": 1.0})
    );
    assert_eq!(value["attempts"][0]["status"], 503);
    assert_eq!(value["attempts"][0]["endpoint"], "127.0.0.1:9001");
    assert_eq!(value["attempts"][1]["reused"], true);
    assert_eq!(value["sampled"], true);
}

#[test]
fn what_a_handshake_has_settled_is_told_shortly_in_the_log_and_fully_by_the_recorder() {
    let mut record = record(None);
    record.tls = Some(handshake());
    record.is_tls = true;
    let value = line(&record);
    assert_eq!(value["tls"], "1.3");
    assert_eq!(value["client_certificate"], "CN=a\\,b");
    assert_eq!(value["scheme"], "https");

    let (plan, wall) = (plan(&["checkout"]), Wall::now());
    let mut out = Vec::new();
    JsonWriter::default().exchange(&mut out, &plan, wall, &record);
    let value: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(value["tls_cipher"], "TLS_AES_128_GCM_SHA256");
    assert_eq!(value["tls_group"], "X25519MLKEM768");
    assert_eq!(value["tls_resumed"], false);
    assert_eq!(value["tls_server_name"], "shop.test");
    assert_eq!(value["client_certificate_sha256"], "00ff");
    assert_eq!(
        value["client_certificate_names"],
        json!(["spiffe://test/a", "a.test"])
    );
}

#[test]
fn what_does_not_apply_is_left_out() {
    let value = line(&record(None));
    let object = value.as_object().expect("an object");
    for absent in [
        "route",
        "upstream",
        "endpoint",
        "tls",
        "query",
        "grpc_status",
        "side",
        "attempts",
    ] {
        assert!(!object.contains_key(absent), "{absent} in {value}");
    }
    assert_eq!(value["request_id"], value["trace_id"]);
    assert_eq!(value["sampled"], false);
}

#[test]
fn nasty_words_are_inert_and_come_back_whole() {
    let long = "\u{202e}é\"".repeat(20_000);
    for nasty in [
        "\"},\"status\":200,\"x\":{\"",
        "a\nb\r\tc\0\u{1b}[31m\u{7f}\u{85}\u{9b}2J",
        "\\u0000 \\\" \\",
        "\u{202e}txt.exe\u{2066}\u{2069}\u{2028}\u{2029}",
        "日本語 \u{1f600} \u{fffd} \u{200f}",
        &long,
    ] {
        let words = Words {
            host: nasty,
            path: nasty,
            query: nasty,
            user_agent: nasty,
            request_id: nasty,
            method: nasty,
        };
        let mut record = record_of(Some(0), &words);
        record.method = KnownMethod::Other;
        let value = line(&record);
        let kept = record.text.words();
        for (field, wanted) in [
            ("host", kept.host),
            ("path", kept.path),
            ("user_agent", kept.user_agent),
            ("request_id", kept.request_id),
            ("method", kept.method),
        ] {
            assert_eq!(value[field], wanted);
        }
        assert_eq!(value["status"], 200);

        let mut out = Vec::new();
        let plan = plan(&["checkout"]);
        TextWriter::new(false).line(&mut out, &plan, Wall::now(), &record);
        let text = String::from_utf8(out).expect("UTF-8");
        let (last, body) = (text.chars().last(), &text[..text.len() - 1]);
        assert_eq!(last, Some('\n'));
        assert!(!body.chars().any(char::is_control), "{body}");
        assert!(
            !body.contains(['\u{202e}', '\u{2066}', '\u{2028}']),
            "{body}"
        );
    }
}

#[test]
fn a_line_for_people_says_what_went_wrong() {
    let plan = plan(&["checkout"]);
    let mut record = retried(record(Some(0)));
    let wall = Wall::new(record.started, Duration::from_millis(1_700_000_000_042));
    let text = |record: &Record, is_coloured| {
        let mut out = Vec::new();
        TextWriter::new(is_coloured).line(&mut out, &plan, wall, record);
        String::from_utf8(out).expect("UTF-8")
    };
    let id = record.trace.trace_id;
    assert_eq!(
        text(&record, false),
        format!(
            "22:13:20.042 200 GET shop.test:8080/cart 12.000ms 127.0.0.1:9002 2 attempts {id}\n"
        )
    );
    record.status = 502;
    record.outcome = Outcome::ConnectionRefused;
    assert_eq!(
        text(&record, true),
        format!(
            "\x1b[2m22:13:20.042\x1b[0m \x1b[31m502\x1b[0m GET shop.test:8080/cart \
            \x1b[31mconnection_refused\x1b[0m 12.000ms 127.0.0.1:9002 2 attempts \x1b[2m{id}\x1b[0m\n"
        )
    );
}

#[test]
fn samples_the_served_by_trace_and_keeps_every_failure() {
    let place = Place::new("sample");
    let plan = plan_to(&place.0, Share(0.25));
    let config = &plan.telemetry.access_log;
    let (mut log, ledger) = opened(&plan);
    let mut served = Vec::new();
    for _ in 0..4_000 {
        served.push(record(Some(0)));
    }
    let mut failed = record(Some(0));
    failed.outcome = Outcome::ClientClosed;
    let mut faulty = record(Some(0));
    faulty.status = 500;
    assert!((0..100).all(|_| wants(config, &failed) && wants(config, &faulty)));
    let twice = |record: &Record| [wants(config, record), wants(config, record)];
    assert!(served.iter().map(twice).all(|[once, again]| once == again));

    let batch = batch(&plan, served);
    let wanted = lines(&batch);
    assert!((850..1150).contains(&wanted), "{wanted} of 4000");
    read(&mut log, &batch);
    assert_eq!(place.lines().len() as u64, wanted);
    let [_, balance, ..] = ledger.snapshot();
    assert_eq!((balance.created, balance.exported), (wanted, wanted));
}

#[test]
fn a_filter_lets_only_what_it_takes_have_a_line_and_the_books_agree() {
    let place = Place::new("filter");
    let mut plan = Arc::unwrap_or_clone(plan_to(&place.0, Share::ALL));
    plan.telemetry.access_log.filter = Some("status>=500 && route==\"web\"".to_owned());
    let plan = Arc::new(plan);
    let (mut log, ledger) = opened(&plan);
    let records = [(0, 200), (0, 503), (1, 503), (1, 404), (1, 500)].map(|(route, status)| {
        let mut record = record(Some(route));
        record.status = status;
        record
    });
    let batch = batch(&plan, records.to_vec());
    assert_eq!(
        lines(&batch),
        2,
        "what is lost before it is read is counted so"
    );
    read(&mut log, &batch);
    let written = place.lines();
    assert_eq!(written.len(), 2);
    for (line, status) in written.iter().zip([503, 500]) {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(
            (&line["route"], &line["status"]),
            (&json!("web"), &json!(status))
        );
    }
    let [_, balance, ..] = ledger.snapshot();
    assert_eq!(
        (balance.created, balance.exported, balance.queued),
        (2, 2, 0)
    );
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew() {
    let (place, moved) = (Place::new("reopen"), Place::new("moved"));
    let plan = plan_to(&place.0, Share::ALL);
    let (mut log, _) = opened(&plan);
    let one = || batch(&plan, vec![record(Some(0))]);
    read(&mut log, &one());
    std::fs::rename(&place.0, &moved.0).expect("renamed");
    read(&mut log, &one());
    assert_eq!((place.lines().len(), moved.lines().len()), (0, 2));
    log.reopen().reopen();
    read(&mut log, &one());
    assert_eq!((place.lines().len(), moved.lines().len()), (1, 2));
    drop(log);
    let (mut log, _) = opened(&plan);
    read(&mut log, &one());
    assert_eq!(place.lines().len(), 2, "it is appended to");
}

#[test]
fn a_reload_moves_the_log() {
    let (place, next) = (Place::new("before"), Place::new("after"));
    let (before, after) = (plan_to(&place.0, Share::ALL), plan_to(&next.0, Share::ALL));
    let (mut log, _) = opened(&before);
    let one = |plan, generation| {
        let mut batch = batch(plan, vec![record(Some(0))]);
        batch.generation = generation;
        batch
    };
    read(&mut log, &one(&before, 1));
    read(&mut log, &one(&after, 2));
    read(&mut log, &one(&before, 1)); // from a worker that was slower: it goes to the new file
    assert_eq!((place.lines().len(), next.lines().len()), (1, 2));
}

#[test]
fn a_file_that_cannot_be_opened_is_said_plainly() {
    let path = PathBuf::from("/nowhere/access.log");
    let plan = plan_to(&path, Share::ALL);
    let error =
        AccessLog::open(&plan.telemetry.access_log, &Arc::default()).expect_err("no folder");
    let said = error.to_string();
    assert!(
        said.starts_with("cannot open the access log /nowhere/access.log: No such file"),
        "{said}"
    );
}

#[test]
fn a_full_disk_costs_counted_lines_until_there_is_room_again() {
    let full = PathBuf::from("/dev/full");
    if !full.exists() {
        return; // only Linux has it
    }
    let plan = plan_to(&full, Share::ALL);
    let (mut log, ledger) = opened(&plan);
    read(&mut log, &batch(&plan, vec![record(Some(0)), record(None)]));
    let [_, balance, ..] = ledger.snapshot();
    assert_eq!(balance.lost(DropReason::WriteFailed), 2);
    let why = balance.last_error.expect("it is said").what;
    assert!(why.contains("cannot write the access log"), "{why}");
}

#[test]
fn a_folder_that_comes_back_gets_the_lines_again() {
    let folder = Place::new("folder");
    std::fs::create_dir(&folder.0).expect("created");
    let path = folder.0.join("access.log");
    let plan = plan_to(&path, Share::ALL);
    let (mut log, ledger) = opened(&plan);
    std::fs::remove_dir_all(&folder.0).expect("removed");
    log.reopen().reopen();
    read(&mut log, &batch(&plan, vec![record(Some(0))]));
    let lost = |ledger: &Ledger| ledger.snapshot()[1].lost(DropReason::WriteFailed);
    assert_eq!(lost(&ledger), 1);
    std::fs::create_dir(&folder.0).expect("created");
    log.reopen().reopen();
    read(&mut log, &batch(&plan, vec![record(Some(0))]));
    assert_eq!(lost(&ledger), 1);
    let written = std::fs::read_to_string(&path).expect("there");
    assert_eq!(written.lines().count(), 1);
    std::fs::remove_dir_all(&folder.0).expect("removed");
}

#[test]
fn a_reader_that_has_stopped_costs_lines_and_holds_nobody_up() {
    // A named pipe with a reader that reads nothing.
    let pipe = Place::new("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe.0).status();
    if !made.is_ok_and(|status| status.success()) {
        return; // no such thing here
    }
    let both = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe.0);
    let plan = plan_to(&pipe.0, Share::ALL);
    let (mut log, ledger) = opened(&plan);
    let many = batch(&plan, (0..1_000).map(|_| record(Some(0))).collect());
    let started = Instant::now();
    for _ in 0..20 {
        log.read(&many);
    }
    log.end();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert!(ledger.snapshot()[1].lost(DropReason::QueueFull) > 0);
    drop(both);
}

#[test]
fn a_line_is_quickly_written() {
    let plan = plan(&["checkout"]);
    let (record, mut out) = (record(Some(0)), Vec::new());
    let (mut writer, wall) = (JsonWriter::default(), Wall::now());
    let started = Instant::now();
    for _ in 0..2_000 {
        out.clear();
        writer.line(&mut out, &plan, wall, &record);
    }
    let each = started.elapsed() / 2_000;
    // Unoptimized; optimized it is below a microsecond.
    assert!(each < Duration::from_micros(100), "{each:?}");
}
