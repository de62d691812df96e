//! Prometheus that scrapes one address each second, and promtool's opinion of a page.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::super::client::get;
use super::super::program::Program;
use super::{Reserved, START, partner, percent_encoded};

/// A running Prometheus with exemplar storage.
pub(crate) struct Prometheus {
    program: Program,
    port: Reserved,
    dir: TempDir,
}

impl Prometheus {
    /// Starts it and scrapes `/metrics` there each second; none where it is not installed.
    pub(crate) fn start(scraped: SocketAddr) -> Option<Self> {
        Self::start_with(scraped, "exemplar-storage")
    }

    /// The same, which asks for messages and keeps native histograms.
    pub(crate) fn start_native(scraped: SocketAddr) -> Option<Self> {
        Self::start_with(scraped, "exemplar-storage,native-histograms")
    }

    fn start_with(scraped: SocketAddr, features: &str) -> Option<Self> {
        let path = partner("prometheus")?;
        let dir = TempDir::new().expect("a temporary directory can be made");
        let port = Reserved::new();
        let address = port.address();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: sightglass
    static_configs: [{{targets: [\"{scraped}\"]}}]
"
        );
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("a temporary directory takes files");
        let mut command = Command::new(path);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--enable-feature={features}"))
            .arg("--log.level=warn");
        let mut program = Program::start("prometheus", command);
        program.wait_ready(START, |_| {
            std::net::TcpStream::connect(address).ok()?;
            (get(address, "/-/ready").status == 200).then_some(())
        });
        Some(Self { program, port, dir })
    }

    /// The samples of an instant query: `[{"metric": {…}, "value": [time, "text"]}]`.
    ///
    /// # Panics
    /// Where Prometheus does not understand it.
    pub(crate) fn query(&self, promql: &str) -> Vec<Value> {
        let data = self.ask(&format!("/api/v1/query?query={}", percent_encoded(promql)));
        data["result"].as_array().cloned().unwrap_or_default()
    }

    /// The value of the first sample of an instant query.
    pub(crate) fn value(&self, promql: &str) -> Option<f64> {
        self.query(promql).first()?["value"][1]
            .as_str()?
            .parse()
            .ok()
    }

    /// The exemplars of a query over the last hour: `[{"seriesLabels": {…}, "exemplars": […]}]`.
    pub(crate) fn exemplars(&self, promql: &str) -> Vec<Value> {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("the clock is after 1970");
        let (start, end) = (now.as_secs() - 3600, now.as_secs() + 60);
        let query = percent_encoded(promql);
        let data = self.ask(&format!(
            "/api/v1/query_exemplars?query={query}&start={start}&end={end}"
        ));
        data.as_array().cloned().unwrap_or_default()
    }

    /// The error of the last scrape; empty where it went well, none before the first.
    pub(crate) fn scrape_error(&self) -> Option<String> {
        let scraped = self.ask("/api/v1/targets")["activeTargets"][0].clone();
        let is_done = scraped["health"] != "unknown";
        is_done.then(|| scraped["lastError"].as_str().unwrap_or_default().to_owned())
    }

    fn ask(&self, path: &str) -> Value {
        let response = get(self.port.address(), path);
        assert_eq!(response.status, 200, "GET {path}: {}", response.text());
        response.json()["data"].clone()
    }
}

/// What `promtool check metrics` says of a text page: empty where it is content; none where it is not installed.
pub(crate) fn check_metrics(page: &str) -> Option<String> {
    let mut command = Command::new(partner("promtool")?);
    command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool can be started");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    let page = page.as_bytes().to_vec();
    // From a thread of its own: a child that writes before it has read all would wait for us for ever.
    let writer = std::thread::spawn(move || stdin.write_all(&page));
    let output = child.wait_with_output().expect("promtool comes to an end");
    writer
        .join()
        .expect("the writer does not panic")
        .expect("promtool reads its input");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() || !said.is_empty(),
        "promtool failed without a word: {}",
        output.status
    );
    Some(said)
}
