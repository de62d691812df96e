//! The real binary as a child process, found by its ready line, and the law that every test ends on.
//!
//! The rig runs what users run. It owns start, questions to the admin port, and the end; it knows nothing of the crate's
//! inside, because metrics and tracing are global to a process and a second proxy in the test's own would share them.
//!
//! The ready line, on stderr: `sightglass ready: public=127.0.0.1:41233 admin=127.0.0.1:40121`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::client::{Client, Response, get_with};
use super::collector::Collector;
use super::config::FULL_ACCESS_LOG;
use super::metrics::Metrics;
use super::program::Program;
use super::{PATIENCE, try_wait_until};

const READY: &str = "sightglass ready:";
const CONFIG_FILE: &str = "sightglass.yaml";

/// A running sightglass. Dropped without [`Proxy::finish`] it is only stopped.
pub(crate) struct Proxy {
    program: Program,
    addresses: Vec<(String, SocketAddr)>,
    dir: TempDir,
    has_full_log: bool,
}

// === impl Proxy ===

impl Proxy {
    /// Runs the binary with this configuration and waits until it is ready.
    ///
    /// # Panics
    /// Where it is not ready within twenty seconds; the message carries its output.
    pub(crate) fn start(yaml: impl ToString) -> Self {
        Self::start_with(yaml, |_| ())
    }

    /// The same with a hand on the command: environment, arguments.
    pub(crate) fn start_with(yaml: impl ToString, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = Self::command(&["run", "--config", CONFIG_FILE]);
        prepare(&mut command);
        Self::adopt(command, yaml)
    }

    /// Runs the binary with arguments instead of a configuration: `run --to …`.
    pub(crate) fn start_args(args: &[&str]) -> Self {
        Self::adopt(Self::command(args), "")
    }

    /// Runs this command of the binary, which needs no configuration: `run --to …` with more in its environment.
    pub(crate) fn start_command(command: Command) -> Self {
        Self::adopt(command, "")
    }

    /// Runs any command that prints a ready line, in a directory that holds the configuration.
    pub(super) fn adopt(mut command: Command, yaml: impl ToString) -> Self {
        let yaml = yaml.to_string();
        let dir = TempDir::new().expect("a temporary directory can be made");
        std::fs::write(dir.path().join(CONFIG_FILE), &yaml)
            .expect("a temporary directory takes files");
        command.current_dir(dir.path());
        let mut program = Program::start("sightglass", command);
        let ready = |program: &Program| {
            program.stderr_lines().iter().find_map(|line| {
                line.find(READY)
                    .map(|at| line[at + READY.len()..].to_owned())
            })
        };
        let addresses = program.wait_ready(PATIENCE, ready);
        let addresses = addresses.split_whitespace().map(parse_address).collect();
        Self {
            program,
            addresses,
            dir,
            has_full_log: yaml.contains(FULL_ACCESS_LOG),
        }
    }

    /// The binary with these arguments, free of the caller's `OTEL_*` and `SIGHTGLASS_*` variables.
    pub(crate) fn command(args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sightglass"));
        command.args(args).env("NO_COLOR", "1");
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("OTEL_") || name.starts_with("SIGHTGLASS_"))
            {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs the binary to its end and returns what it wrote, which is text: for `check`, `explain`, `--help`, and for
    /// what must not start.
    ///
    /// # Panics
    /// Where it does not end within twenty seconds.
    pub(crate) fn output(args: &[&str]) -> Output {
        let mut program = Program::start("sightglass", Self::command(args));
        let status = program.wait(PATIENCE);
        let text = |lines: Vec<String>| -> Vec<u8> {
            let lines = lines.into_iter().map(|line| line + "\n");
            lines.collect::<String>().into_bytes()
        };
        Output {
            status,
            stdout: text(program.stdout_lines()),
            stderr: text(program.stderr_lines()),
        }
    }

    /// The real address of a listener.
    pub(crate) fn listener(&self, name: &str) -> SocketAddr {
        let found = self.addresses.iter().find(|(known, _)| known == name);
        found
            .unwrap_or_else(|| panic!("the ready line names no {name:?}: {:?}", self.addresses))
            .1
    }

    /// The listener `public` of [`Config`](super::Config).
    pub(crate) fn public(&self) -> SocketAddr {
        self.listener("public")
    }

    /// The real address of the admin port.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.listener("admin")
    }

    /// The directory it runs in: files of the configuration are relative to it.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn get_admin(&self, path: &str) -> Response {
        self.get_admin_with(path, &[])
    }

    /// The same with header fields. `Host` is the admin port's own address, as a browser and curl write it.
    pub(crate) fn get_admin_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let address = self.admin().to_string();
        let headers = [&[("host", address.as_str())], headers].concat();
        get_with(self.admin(), path, &headers)
    }

    /// Calls the admin port; what the body is the fields say.
    pub(crate) fn call_admin(
        &self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let mut client = Client::connect(self.admin());
        let host = self.admin().to_string();
        let headers = [&[("host", host.as_str())], headers].concat();
        client.request(method, path, &headers, body.as_bytes());
        client.read_response()
    }

    /// The text page of metrics, as it is now.
    pub(crate) fn metrics(&self) -> Metrics {
        let page = self.get_admin("/metrics");
        assert_eq!(page.status, 200, "GET /metrics: {}", page.text());
        Metrics::parse(&page.text())
    }

    /// The OpenMetrics page, with exemplars.
    pub(crate) fn open_metrics(&self) -> Metrics {
        let accept = ("accept", "application/openmetrics-text; version=1.0.0");
        let page = self.get_admin_with("/metrics", &[accept]);
        assert_eq!(page.status, 200, "GET /metrics: {}", page.text());
        Metrics::parse(&page.text())
    }

    /// The access log so far: the lines of stdout.
    ///
    /// # Panics
    /// At a line that is not JSON.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        let parse = |line: &String| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("not a line of JSON: {error}: {line:?}"))
        };
        self.program.stdout_lines().iter().map(parse).collect()
    }

    /// Waits for this many lines of access log; more of them fail as well as fewer. Connection by connection in the
    /// order in which they were opened: each worker writes its own lines when it comes to it.
    pub(crate) fn wait_log_lines(&self, count: usize) -> Vec<Value> {
        self.wait_until(&format!("{count} lines of access log"), || {
            self.program.stdout_lines().len() >= count
        });
        let mut lines = self.log_lines();
        lines.sort_by_key(|line| line["connection"].as_u64());
        assert_eq!(
            lines.len(),
            count,
            "too many lines of access log: {lines:#?}"
        );
        lines
    }

    pub(crate) fn stdout(&self) -> String {
        self.program.stdout_lines().join("\n")
    }

    pub(crate) fn stderr(&self) -> String {
        self.program.stderr_lines().join("\n")
    }

    /// Waits until it has said these words on stderr: what it says reaches us a moment later than it is done.
    pub(crate) fn wait_stderr(&self, words: &str) {
        self.wait_until(&format!("{words:?} on stderr"), || {
            self.stderr().contains(words)
        });
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Polls until the condition holds.
    ///
    /// # Panics
    /// After twenty seconds, with `what` was waited for and the output of the proxy.
    pub(crate) fn wait_until(&self, what: &str, condition: impl FnMut() -> bool) {
        if !try_wait_until(PATIENCE, condition) {
            panic!("not within {PATIENCE:?}: {what}\n{}", self.program.said());
        }
    }

    /// Sends a signal by its short name: `HUP`, `TERM`, `INT`.
    pub(crate) fn signal(&self, signal: &str) {
        self.program.signal(signal);
    }

    /// Overwrites the configuration file; `signal("HUP")` makes the proxy read it.
    pub(crate) fn write_config(&self, yaml: impl ToString) {
        std::fs::write(self.dir.path().join(CONFIG_FILE), yaml.to_string())
            .expect("a temporary directory takes files");
    }

    /// Sends SIGTERM and waits for the end of the drain.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.program.signal("TERM");
        self.wait_exit()
    }

    /// Waits for an end that somebody else has caused. A drain may take its 30 s by default, and is given them.
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        self.program.wait(Duration::from_secs(35))
    }

    /// Checks the law of conservation, then drains: nothing is in flight, every exchange is counted once and, where the
    /// log is at 100 %, written once; each telemetry signal's ledger is even; the exit code is 0.
    pub(crate) fn finish(mut self) {
        self.check_law();
        let logged = self.finished();
        self.check_exit();
        if self.has_full_log {
            assert_eq!(
                self.log_lines().len() as f64,
                logged,
                "lines written by the end = exchanges finished"
            );
        }
    }

    /// The same where every exchange is traced to this collector: one SERVER span an exchange and one CLIENT span an
    /// attempt have arrived when the proxy is gone.
    pub(crate) fn finish_traced(mut self, collector: &Collector) {
        assert!(
            self.has_full_log,
            "attempts are counted from the access log: it has to be on at 100 %"
        );
        self.check_law();
        self.check_exit();
        let lines = self.log_lines();
        let attempts = |line: &Value| line["attempts"].as_array().map_or(0, Vec::len);
        assert_eq!(
            collector.exchanges().len(),
            lines.len(),
            "server spans = exchanges"
        );
        assert_eq!(
            collector.attempts().len(),
            lines.iter().map(attempts).sum::<usize>(),
            "client spans = attempts"
        );
    }

    fn check_law(&self) {
        self.wait_until("http_server_active_requests = 0", || {
            self.metrics().sum("http_server_active_requests", &[]) == 0.0
        });
        if self.has_full_log {
            let is_even = || self.program.stdout_lines().len() as f64 == self.finished();
            if !try_wait_until(PATIENCE, is_even) {
                let (lines, finished) = (self.program.stdout_lines().len(), self.finished());
                panic!(
                    "{lines} lines of access log, {finished} exchanges counted\n{}",
                    self.program.said()
                );
            }
        }
        self.wait_until("each ledger is even", || is_ledger_even(&self.metrics()));
    }

    fn check_exit(&mut self) {
        let status = self.stop();
        assert!(
            status.success(),
            "sightglass ended with {status}\n{}",
            self.program.said()
        );
    }

    fn finished(&self) -> f64 {
        self.metrics()
            .sum("http_server_request_duration_seconds_count", &[])
    }
}

fn parse_address(pair: &str) -> (String, SocketAddr) {
    let parsed = pair
        .split_once('=')
        .and_then(|(name, address)| Some((name.to_owned(), address.parse().ok()?)));
    parsed.unwrap_or_else(|| panic!("the ready line should be name=address pairs, not {pair:?}"))
}

/// created = exported + dropped + queued, for each signal.
fn is_ledger_even(metrics: &Metrics) -> bool {
    const ITEMS: &str = "sightglass_telemetry_items_total";
    metrics.label_values(ITEMS, "signal").iter().all(|signal| {
        let sum = |state| metrics.sum(ITEMS, &[("signal", signal), ("state", state)]);
        let queued = metrics.sum("sightglass_telemetry_queued_items", &[("signal", signal)]);
        sum("created") == sum("exported") + sum("dropped") + queued
    })
}
