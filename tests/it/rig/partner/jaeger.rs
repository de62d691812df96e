//! Jaeger v2 with memory for storage: the program that our users look at traces in.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::super::client::get;
use super::super::program::Program;
use super::super::wait_until;
use super::{START, free_address, partner};

/// A running Jaeger.
pub(crate) struct Jaeger {
    program: Program,
    grpc: SocketAddr,
    http: SocketAddr,
    query: SocketAddr,
    dir: TempDir,
}

impl Jaeger {
    /// Starts it; none where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let path = partner("jaeger")?;
        let dir = TempDir::new().expect("a temporary directory can be made");
        let (grpc, http, query) = (free_address(), free_address(), free_address());
        let file = dir.path().join("jaeger.yaml");
        std::fs::write(&file, config(grpc, http, query))
            .expect("a temporary directory takes files");
        let mut command = Command::new(path);
        command.arg("--config").arg(&file);
        let mut program = Program::start("jaeger", command);
        program.wait_ready(START, |_| {
            let is_up = |address| std::net::TcpStream::connect(address).is_ok();
            [grpc, http, query].into_iter().all(is_up).then_some(())
        });
        Some(Self {
            program,
            grpc,
            http,
            query,
            dir,
        })
    }

    /// OTLP over gRPC.
    pub(crate) fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// OTLP over HTTP.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// The trace as Jaeger's own API tells it (`spans`, `processes`); none while it is unknown.
    pub(crate) fn trace(&self, trace_id: &str) -> Option<Value> {
        let response = get(self.query, &format!("/api/traces/{trace_id}"));
        if response.status != 200 {
            return None;
        }
        response
            .json()
            .get("data")
            .and_then(|data| data.get(0))
            .cloned()
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
        let names = get(self.query, "/api/services").json()["data"].clone();
        serde_json::from_value(names).unwrap_or_default()
    }
}

/// Its all-in-one configuration without the receivers and pages that nobody asks here: each would need a port.
/// The batches are short so that tests need not wait for them.
fn config(grpc: SocketAddr, http: SocketAddr, query: SocketAddr) -> String {
    let query_grpc = free_address();
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
