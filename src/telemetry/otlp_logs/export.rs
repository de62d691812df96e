//! Carries logs to the collector: one task that gathers a batch, makes its records, and sends it.
//!
//! As with spans, opentelemetry-otlp's exporter sends and tries again, exported is only what the collector has
//! acknowledged, one batch is under way at a time, and what still fails is dropped and counted. A failure is said as an
//! event, which is a log itself: once a minute at most, so that it feeds nothing.

use std::time::Duration;

use opentelemetry_otlp::{
    ExporterBuildError, LogExporter as Otlp, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, SdkLogRecord};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::maker::LogMaker;
use super::queue::LogSink;
use crate::config::OtlpProtocol;
use crate::telemetry::ledger::{DropReason, Signal};
use crate::telemetry::otlp::{
    Client, Collector, Flight, Health, Rejected, as_count, export, retries,
};
use crate::telemetry::trace::export::ExportError;

/// The task that exports. Its owner ends it with [`LogExporter::shutdown`]; dropped, it ends at once.
#[derive(Debug)]
pub(in crate::telemetry) struct LogExporter {
    task: JoinHandle<()>,
    sink: LogSink,
}

/// What the task holds.
struct Work {
    sink: LogSink,
    exporter: Otlp,
    maker: LogMaker,
    /// The collector's: a batch is not begun anew after that, and given up after twice that.
    timeout: Duration,
    health: Health,
}

/// Starts the task on the runtime of `handle`, which must have its time and IO enabled and live until the shutdown.
///
/// # Errors
///
/// When the exporter cannot be built for this collector.
pub(in crate::telemetry) fn spawn(
    handle: &Handle,
    sink: LogSink,
    collector: &Collector,
    resource: &Resource,
) -> Result<LogExporter, ExportError> {
    let mut exporter = {
        let _inside = handle.enter(); // tonic's channel spawns its task when it is built
        build(collector).map_err(|error| ExportError {
            endpoint: collector.endpoint.clone(),
            source: error.into(),
        })?
    };
    exporter.set_resource(resource);
    let work = Work {
        sink: sink.clone(),
        exporter,
        maker: LogMaker::new(),
        timeout: collector.timeout,
        health: Health::new(Signal::OtlpLogs),
    };
    let task = handle.spawn(work.run());
    Ok(LogExporter { task, sink })
}

fn build(collector: &Collector) -> Result<Otlp, ExporterBuildError> {
    let (endpoint, timeout) = (collector.endpoint.clone(), collector.timeout);
    match collector.protocol {
        OtlpProtocol::Grpc => Otlp::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(timeout)
            .with_retry_policy(retries())
            .build(),
        OtlpProtocol::Http => Otlp::builder()
            .with_http()
            .with_http_client(Client::new(timeout))
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(timeout)
            .with_retry_policy(retries())
            .build(),
    }
}

// === impl LogExporter ===

impl LogExporter {
    /// Takes no more logs, sends those that wait, and ends; after `deadline` what is left is dropped and counted. Not
    /// to be cancelled: what was not sent by then would be cut off.
    pub(in crate::telemetry) async fn shutdown(mut self, deadline: Duration) {
        self.sink.0.close();
        if tokio::time::timeout(deadline, &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
            let _ = (&mut self.task).await; // aborted; now its flight is counted
        }
    }
}

impl Drop for LogExporter {
    fn drop(&mut self) {
        self.task.abort();
        self.sink.0.clear(DropReason::Shutdown);
    }
}

// === impl Work ===

impl Work {
    async fn run(mut self) {
        let queue = self.sink.0.clone();
        let mut items = Vec::new();
        while queue.ripe().await {
            let count = queue.pull(&mut items);
            if count == 0 {
                continue;
            }
            let flight = Flight::new(queue.account(), as_count(count));
            let logs: Vec<_> = (items.drain(..))
                .map(|item| self.maker.make(item))
                .collect();
            let sent = self.export(&logs).await;
            self.health.settle(flight, sent);
        }
    }

    /// Sends one batch; what the collector refused of it, or why it did not take it.
    async fn export(&self, logs: &[SdkLogRecord]) -> Result<Rejected, String> {
        let pairs: Vec<_> = logs.iter().map(|log| (log, &self.maker.scope)).collect();
        let begin = || self.exporter.export(LogBatch::new(&pairs));
        Box::pin(export(self.timeout, begin)).await
    }
}
