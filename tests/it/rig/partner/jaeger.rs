//! Jaeger v2 with memory for storage: the program that our users look at traces in.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::super::client::get;
use super::super::program::Program;
use super::super::wait_until;
use super::{Reserved, START, partner};

/// A running Jaeger.
pub(crate) struct Jaeger {
    program: Program,
    ports: Ports,
    dir: TempDir,
}

struct Ports {
    grpc: Reserved,
    http: Reserved,
    query: Reserved,
    /// Asked by nobody, but it cannot be left out.
    query_grpc: Reserved,
}

impl Jaeger {
    /// Starts it; none where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let path = partner("jaeger")?;
        let dir = TempDir::new().expect("a temporary directory can be made");
        let ports = Ports {
            grpc: Reserved::new(),
            http: Reserved::new(),
            query: Reserved::new(),
            query_grpc: Reserved::new(),
        };
        let file = dir.path().join("jaeger.yaml");
        std::fs::write(&file, config(&ports)).expect("a temporary directory takes files");
        let mut command = Command::new(path);
        command.arg("--config").arg(&file);
        let mut program = Program::start("jaeger", command);
        program.wait_ready(START, |_| {
            let is_up = |port: &Reserved| TcpStream::connect(port.address()).is_ok();
            [&ports.grpc, &ports.http, &ports.query]
                .into_iter()
                .all(is_up)
                .then_some(())
        });
        Some(Self {
            program,
            ports,
            dir,
        })
    }

    /// OTLP over gRPC.
    pub(crate) fn grpc(&self) -> SocketAddr {
        self.ports.grpc.address()
    }

    /// OTLP over HTTP.
    pub(crate) fn http(&self) -> SocketAddr {
        self.ports.http.address()
    }

    /// The trace as Jaeger's own API tells it (`spans`, `processes`); none while it is unknown.
    pub(crate) fn trace(&self, trace_id: &str) -> Option<Value> {
        let response = get(
            self.ports.query.address(),
            &format!("/api/traces/{trace_id}"),
        );
        if response.status != 200 {
            return None;
        }
        response
            .json()
            .get("data")
            .and_then(|data| data.get(0))
            .cloned()
    }

    /// Every trace of a service in the last hour, at most so many.
    pub(crate) fn traces(&self, service: &str, limit: usize) -> Vec<Value> {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("the clock is after 1970");
        let (start, end) = (
            now.as_micros() - 3_600_000_000,
            now.as_micros() + 60_000_000,
        );
        let path = format!("/api/traces?service={service}&limit={limit}&start={start}&end={end}");
        let response = get(self.ports.query.address(), &path);
        assert_eq!(response.status, 200, "GET {path}: {}", response.text());
        response.json()["data"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// Waits until a trace has at least this many spans and returns them.
    pub(crate) fn wait_for_spans(&self, trace_id: &str, count: usize) -> Vec<Value> {
        let spans = || {
            self.trace(trace_id)
                .and_then(|trace| trace["spans"].as_array().cloned())
                .unwrap_or_default()
        };
        wait_until(&format!("{count} spans of {trace_id} in Jaeger"), || {
            spans().len() >= count
        });
        spans()
    }

    /// The names of the services it knows.
    pub(crate) fn services(&self) -> Vec<String> {
        let names = get(self.ports.query.address(), "/api/services").json()["data"].clone();
        serde_json::from_value(names).unwrap_or_default()
    }
}

/// Its all-in-one configuration without the receivers and pages that nobody asks here: each would need a port.
/// The batches are short so that tests need not wait for them.
fn config(ports: &Ports) -> String {
    let [grpc, http, query, query_grpc] =
        [&ports.grpc, &ports.http, &ports.query, &ports.query_grpc].map(Reserved::address);
    format!(
        "service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {{receivers: [otlp], processors: [batch], exporters: [jaeger_storage_exporter]}}
  telemetry:
    metrics: {{level: none}}
    logs: {{level: warn}}
extensions:
  jaeger_query:
    storage: {{traces: memory}}
    http: {{endpoint: \"{query}\"}}
    grpc: {{endpoint: \"{query_grpc}\"}}
  jaeger_storage:
    backends:
      memory: {{memory: {{max_traces: 100000}}}}
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: \"{grpc}\"}}
      http: {{endpoint: \"{http}\"}}
processors:
  batch: {{timeout: 50ms}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
"
    )
}
