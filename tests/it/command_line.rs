//! What a person types and what is said back: [`start`] has what keeps it from running, [`reload`] what SIGHUP does.

mod reload;
mod start;

use std::path::{Path, PathBuf};
use std::process::Output;

use super::rig::{Collector, Proxy, Upstream, get};

pub(super) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(super) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A file of the repository.
pub(super) fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `check` on a file.
pub(super) fn check(file: &Path) -> Output {
    Proxy::output(&["check", &file.display().to_string()])
}

/// Runs a line that somebody is told to type, as far as a test may: what would run for ever is only parsed.
///
/// # Panics
/// Where it would not do what it says.
pub(super) fn try_line(line: &str, file: &Path) {
    let words = line.split('>').next().unwrap_or_default();
    let mut words: Vec<String> = words
        .split_whitespace()
        .skip(1)
        .map(str::to_owned)
        .collect();
    for word in &mut words {
        if word.ends_with(".yaml") && !word.contains('/') {
            *word = file.display().to_string();
        } else if word.ends_with(".yaml") {
            *word = root(word).display().to_string();
        }
    }
    let has = |word: &str| words.iter().any(|it| it == word);
    match words.first().map(String::as_str) {
        Some("run") if has("--config") => {
            words[0] = "check".to_owned();
            words.retain(|word| word != "--config");
        }
        Some("run") if !has("--print-config") => words.push("--print-config".to_owned()),
        Some("demo") => words.push("--help".to_owned()),
        _ => {}
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = Proxy::output(&words);
    assert!(
        output.status.success(),
        "{line}: {}{}",
        stdout(&output),
        stderr(&output)
    );
}

#[test]
fn check_is_content_with_every_example() {
    let folder = std::fs::read_dir(root("config")).expect("config/ is there");
    let mut files: Vec<_> = folder
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.push(root("deploy/sightglass.yaml"));
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let output = check(&file);
        assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
        let said = stdout(&output);
        assert!(said.ends_with(")\n") && said.contains(": fine ("), "{said}");
        assert!(!said.contains("warning"), "{said}");
        assert_eq!(stderr(&output), "");
    }
}

const TEN_MISTAKES: &str = "\
listeners:
  - name: public
    address: 127.0.0.1
    timeot: {head: 5s}
    timeout: {idle: 75}
routes:
  - name: web
    match: {path: {prefix: api}}
    upstream: wbe
    retry: {attempts: 1}
    slo: {availability: 100%}
  - name: web
    match: {path: {regex: \"(\"}}
    upstream: web
upstreams:
  - name: web
    endpoints: [{address: 127.0.0.1:9001}]
    balance: round_robbin
";

#[test]
fn check_explains_ten_mistakes_in_one_go() {
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let file = dir.path().join("ten.yaml");
    std::fs::write(&file, TEN_MISTAKES).expect("it takes files");
    let output = check(&file);
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    let name = file.display();
    // Place, key, and what the hint must come to.
    let expected = [
        ("3:14", "listeners[0].address", "port"),
        ("4:5", "listeners[0].timeot", "did you mean timeout?"),
        ("5:21", "listeners[0].timeout.idle", "unit"),
        ("8:28", "routes[0].match.path.prefix", "/api"),
        ("9:15", "routes[0].upstream", "did you mean web?"),
        ("10:23", "routes[0].retry.attempts", "2"),
        ("11:25", "routes[0].slo.availability", "leaves a budget"),
        ("12:11", "routes[1].name", "web"),
        ("13:27", "routes[1].match.path.regex", "("),
        ("18:14", "upstreams[0].balance", "did you mean round_robin?"),
    ];
    let lines: Vec<&str> = said.lines().collect();
    for ((place, key, hint), line) in expected.iter().zip(&lines) {
        let begin = format!("{name}:{place}: {key}: ");
        assert!(
            line.starts_with(&begin) && line.contains(hint),
            "{begin}…{hint}…\n{said}"
        );
    }
    assert_eq!(lines.len(), expected.len() + 1, "{said}");
    assert_eq!(lines[10], format!("{name}: 10 errors"));
    assert_eq!(stderr(&output), "");
}

#[test]
fn check_opens_no_port() {
    let upstream = Upstream::ok("hello");
    let running = Proxy::start_args(&[
        "run",
        "--to",
        &upstream.address().to_string(),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let file = dir.path().join("taken.yaml");
    let text = include_str!("../../config/quickstart.yaml")
        .replace("127.0.0.1:8080", &running.public().to_string());
    std::fs::write(&file, text).expect("it takes files");
    assert_eq!(check(&file).status.code(), Some(0));
}

#[test]
fn run_to_needs_no_file() {
    let upstreams = ["one", "two"].map(Upstream::ok);
    let [one, two] = upstreams
        .each_ref()
        .map(|upstream| upstream.address().to_string());
    let port = two.rsplit(':').next().expect("it has a port");
    let mut proxy = Proxy::start_args(&[
        "run",
        "--to",
        &format!("http://{one}"),
        port,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        ":0",
    ]);
    for _ in 0..40 {
        let response = get(proxy.public(), "/");
        assert!(["one", "two"].contains(&response.text().as_str()));
    }
    assert!(
        upstreams
            .iter()
            .all(|upstream| upstream.request_count() > 0)
    );
    let lines = proxy.wait_log_lines(40);
    assert!(lines.iter().all(|line| line["outcome"] == "served"));
    assert_eq!(proxy.get_admin("/readyz").status, 200);
    assert!(proxy.stop().success());
}

#[test]
fn run_to_traces_every_request() {
    let upstream = Upstream::ok("hello");
    let collector = Collector::start();
    let mut proxy = Proxy::start_args(&[
        "run",
        "--to",
        &upstream.address().to_string(),
        "--otlp",
        &format!("http://{}", collector.address()),
        "--listen",
        "0",
        "--admin",
        "0",
    ]);
    for _ in 0..20 {
        assert_eq!(get(proxy.public(), "/").status, 200);
    }
    assert!(proxy.stop().success());
    assert_eq!(collector.exchanges().len(), 20);
    assert_eq!(collector.attempts().len(), 20);
    let kept = |line: &serde_json::Value| line["sampled"] == true;
    assert!(proxy.log_lines().iter().all(kept));
}

#[test]
fn what_print_config_prints_is_checked_and_run() {
    let upstream = Upstream::ok("hello");
    let args = [
        "run",
        "--to",
        &upstream.address().to_string(),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--otlp",
        "http://127.0.0.1:9",
        "--print-config",
    ];
    let printed = Proxy::output(&args);
    assert!(printed.status.success());
    let text = stdout(&printed);
    assert!(text.contains("http://127.0.0.1:9\""), "{text}");
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let file = dir.path().join("printed.yaml");
    std::fs::write(&file, &text).expect("it takes files");
    let checked = check(&file);
    assert!(checked.status.success(), "{}", stdout(&checked));
    assert!(
        !stdout(&checked).contains("warning"),
        "{}",
        stdout(&checked)
    );

    let mut proxy = Proxy::start(&text);
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    assert!(proxy.stop().success());
}

#[test]
fn help_teaches_with_lines_that_work() {
    let output = Proxy::output(&["--help"]);
    assert!(output.status.success());
    let help = stdout(&output);
    for word in ["run", "check", "demo", "http://127.0.0.1:9901/"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    let lines: Vec<&str> = help
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("sightglass "))
        .collect();
    assert!(lines.len() >= 5, "{help}");
    let file = root("config/quickstart.yaml");
    lines.iter().for_each(|line| try_line(line, &file));
    for command in ["run", "check", "demo"] {
        let output = Proxy::output(&[command, "--help"]);
        assert!(
            output.status.success() && stdout(&output).contains("Usage:"),
            "{command}"
        );
    }
    let version = Proxy::output(&["--version"]);
    assert_eq!(
        stdout(&version).trim(),
        concat!("sightglass ", env!("CARGO_PKG_VERSION"))
    );
}
