//! `sightglass demo`: the whole thing, and nothing of it afterwards.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::rig::{Metrics, Program, Proxy, get, get_with, wait_until};

/// A demo that is ready: with where it keeps its files, and its two addresses.
pub(crate) struct Demo {
    pub(crate) program: Program,
    dir: TempDir,
    public: SocketAddr,
    pub(crate) admin: SocketAddr,
}

static TURN: Mutex<()> = Mutex::new(());

impl Demo {
    pub(crate) fn start(args: &[&str]) -> Self {
        // One after the other: each looks for free ports, and has them only when its proxy listens there.
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = TempDir::new().expect("a temporary directory can be made");
        let mut command = Proxy::command(&[&["demo"], args].concat());
        command.env("TMPDIR", dir.path());
        let mut program = Program::start("the demo", command);
        let ready = |program: &Program| {
            let said = program.stdout_lines().join("\n");
            let after = |word: &str| {
                let rest = said.split(word).nth(1)?;
                rest.split(['/', ' ', '\n']).next()?.parse().ok()
            };
            said.contains("Ctrl-C").then_some(())?;
            Some((after("curl -i http://")?, after("Dashboard   http://")?))
        };
        let (public, admin) = program.wait_ready(Duration::from_secs(15), ready);
        Self {
            program,
            dir,
            public,
            admin,
        }
    }

    fn is_busy(&self) -> bool {
        let metrics = Metrics::parse(&get(self.admin, "/metrics").text());
        metrics.sum("http_server_request_duration_seconds_count", &[]) > 10.0
    }
}

/// The processes that were started with this directory for temporary files: the demo and its children.
fn family(dir: &Path) -> Vec<String> {
    let sign = format!("TMPDIR={}", dir.display());
    let processes = std::fs::read_dir("/proc").expect("there is /proc");
    let found = processes.filter_map(|entry| {
        let path = entry.ok()?.path();
        let environment = std::fs::read(path.join("environ")).ok()?;
        let is_one = environment
            .split(|byte| *byte == 0)
            .any(|word| word == sign.as_bytes());
        is_one.then(|| path.display().to_string())
    });
    found.collect()
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

#[test]
fn it_shows_a_shop_and_ends_by_itself_without_a_trace() {
    let mut demo = Demo::start(&["--seconds", "3"]);
    let begun = Instant::now();
    assert!(family(demo.dir.path()).len() >= 2, "the proxy is a child");
    assert!(!is_empty(demo.dir.path()));
    assert_eq!(get(demo.public, "/api/search?q=lamp").status, 200);
    let ask = |path| get_with(demo.admin, path, &[("host", "127.0.0.1")]);
    let dashboard = ask("/");
    assert_eq!(dashboard.status, 200);
    assert!(dashboard.text().contains("<html"), "{}", dashboard.text());
    assert_eq!(ask("/api/v1/exchanges?limit=5").status, 200);
    wait_until("the crowd is served", || demo.is_busy());
    let status = demo.program.wait(Duration::from_secs(15));
    assert!(status.success(), "{status}\n{}", demo.program.said());
    assert!(begun.elapsed() > Duration::from_millis(1500));
    assert!(is_empty(demo.dir.path()), "something is left");
    wait_until("no child is left", || family(demo.dir.path()).is_empty());
    let said = demo.program.said();
    assert!(
        !said.contains("panicked") && !said.contains("ERROR"),
        "{said}"
    );
}

#[test]
fn ctrl_c_ends_it_within_seconds() {
    for signal in ["INT", "TERM"] {
        let mut demo = Demo::start(&[]);
        demo.program.signal(signal);
        let status = demo.program.wait(Duration::from_secs(5));
        assert!(
            status.success(),
            "{signal}: {status}\n{}",
            demo.program.said()
        );
        assert!(is_empty(demo.dir.path()), "{signal}: something is left");
        wait_until("no child is left", || family(demo.dir.path()).is_empty());
    }
}

#[test]
fn killed_it_leaves_no_proxy_behind() {
    let mut demo = Demo::start(&[]);
    demo.program.signal("KILL");
    demo.program.wait(Duration::from_secs(10));
    wait_until("no child is left", || family(demo.dir.path()).is_empty());
}

#[test]
fn two_demos_do_not_get_into_each_others_way() {
    let one = Demo::start(&["--rate", "5"]);
    let two = Demo::start(&["--rate", "5"]);
    assert_ne!(one.public, two.public);
    assert_ne!(one.admin, two.admin);
    for demo in [&one, &two] {
        assert_eq!(get(demo.public, "/api/search?q=lamp").status, 200);
    }
}

#[test]
fn a_collector_that_is_none_is_told_before_anything_starts() {
    let output = Proxy::output(&["demo", "--otlp", "ftp://x"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("--otlp ftp://x") && said.lines().count() == 1,
        "{said}"
    );
    assert!(output.stdout.is_empty());
}
