//! Carries spans to the collector: one task that gathers a batch, makes its spans, and sends it.
//!
//! Spans of exchanges are written by [`SpanMaker`] and go by the [`Sender`]; those of our own work are few and go through
//! opentelemetry-otlp's exporter. Both try again what OTLP lets be tried again, with back-off and within the collector's
//! timeout; a batch that still fails is dropped and counted.
//! Exported is only what the collector has acknowledged. One batch is under way at a time: a collector that is slow
//! fills the queue, and the queue is bounded.
//!
//! Nothing here is traced: a span about sending spans would beget another.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::queue::{Item, Sink};
use super::span::SpanMaker;
use crate::config::OtlpProtocol;
use crate::telemetry::ledger::{DropReason, Signal};
use crate::telemetry::metrics::exemplar::Mark;
use crate::telemetry::otlp::{
    Client, Collector, Flight, Health, Rejected, Sender, Service, as_count, export, retries,
};

/// The task that exports. Its owner ends it with [`Exporter::shutdown`]; dropped, it ends at once.
#[derive(Debug)]
pub struct Exporter {
    task: JoinHandle<()>,
    sink: Sink,
}

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
#[error("cannot export to {endpoint}: {source}")]
pub struct ExportError {
    pub(in crate::telemetry) endpoint: String,
    pub(in crate::telemetry) source: Box<dyn std::error::Error + Send + Sync>,
}

/// What the task holds.
struct Work {
    sink: Sink,
    sender: Sender,
    exporter: SpanExporter,
    maker: SpanMaker,
    /// The collector's: a batch is not begun anew after that, and given up after twice that.
    timeout: Duration,
    health: Health,
}

/// Where the spans of exchanges go.
const TRACES: Service = Service {
    path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    signal: "TRACES",
};

/// Starts the task on the runtime of `handle`, which must have its time and IO enabled and live until the shutdown.
///
/// # Errors
///
/// When the exporter cannot be built for this collector.
pub fn spawn(
    handle: &Handle,
    sink: Sink,
    collector: &Collector,
    resource: &Resource,
) -> Result<Exporter, ExportError> {
    let _inside = handle.enter(); // tonic's channel spawns its task when it is built
    let failed = |source| ExportError {
        endpoint: collector.endpoint.clone(),
        source,
    };
    let mut exporter = build(collector).map_err(|error| failed(error.into()))?;
    exporter.set_resource(resource);
    let sender = Sender::new(collector, TRACES).map_err(|error| failed(error.into()))?;
    let work = Work {
        sink: sink.clone(),
        sender,
        exporter,
        maker: SpanMaker::new(resource),
        timeout: collector.timeout,
        health: Health::new(Signal::Spans),
    };
    let task = handle.spawn(work.run());
    Ok(Exporter { task, sink })
}

fn build(collector: &Collector) -> Result<SpanExporter, ExporterBuildError> {
    let retries = retries();
    let (endpoint, timeout) = (collector.endpoint.clone(), collector.timeout);
    match collector.protocol {
        OtlpProtocol::Grpc => SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(timeout)
            .with_retry_policy(retries)
            .build(),
        OtlpProtocol::Http => SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(timeout))
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(timeout)
            .with_retry_policy(retries)
            .build(),
    }
}

// === impl Exporter ===

impl Exporter {
    /// Takes no more spans, sends those that wait, and ends; after `deadline` what is left is dropped and counted. Not
    /// to be cancelled: what was not sent by then would be cut off.
    pub async fn shutdown(mut self, deadline: Duration) {
        self.sink.close();
        if tokio::time::timeout(deadline, &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
            let _ = (&mut self.task).await; // aborted; now its flight is counted
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
        self.sink.clear(DropReason::Shutdown);
    }
}

// === impl Work ===

impl Work {
    async fn run(mut self) {
        let mut items = Vec::new();
        while self.sink.ripe().await {
            let taken = self.sink.pull(&mut items);
            if taken > 0 {
                self.send(&mut items, taken).await;
            }
        }
    }

    async fn send(&mut self, items: &mut Vec<Item>, taken: usize) {
        let Self {
            sink,
            sender,
            exporter,
            maker,
            timeout,
            health,
        } = self;
        let (timeout, mut own) = (*timeout, Vec::new());
        let mut marks: Vec<Mark> = Vec::new();
        for item in items.drain(..) {
            match item {
                Item::Exchange(record, plan, wall, standing) => {
                    maker.make(&record, &plan, wall, standing.weight);
                    marks.extend(standing.mark);
                }
                Item::Own(span) => own.push(*span),
            }
        }
        let (all, of_own) = (as_count(taken), as_count(own.len()));
        // Both are in flight from here on: what the end of the task cuts off is counted.
        let mut exchanges = Some(Flight::new(sink.account(), all - of_own));
        let mut own_work = Some(Flight::new(sink.account(), of_own));
        let request = (!maker.is_empty()).then(|| maker.request());
        let mut sending = pin!(send_exchanges(sender, request, timeout));
        let mut sending_own = pin!(send_own(exporter, own, timeout));
        // Neither waits for the other, and each is settled when it is known.
        while exchanges.is_some() || own_work.is_some() {
            tokio::select! {
                sent = &mut sending, if exchanges.is_some() => {
                    let (Some(flight), Some(sent)) = (exchanges.take(), sent) else { continue };
                    // Of a batch that was taken in part nobody says which: none of its traces is shown.
                    if sent.as_ref().is_ok_and(|rejected| rejected.items == 0) {
                        marks.iter().for_each(Mark::acknowledge);
                    }
                    health.settle(flight, sent);
                }
                sent = &mut sending_own, if own_work.is_some() => {
                    let (Some(flight), Some(sent)) = (own_work.take(), sent) else { continue };
                    health.settle(flight, sent);
                }
            }
        }
    }
}

/// Sends spans of exchanges, where there are any.
async fn send_exchanges(
    sender: &Sender,
    request: Option<Bytes>,
    timeout: Duration,
) -> Option<Result<Rejected, String>> {
    let all_tries = timeout * 2;
    let sent = tokio::time::timeout(all_tries, sender.send(request?)).await;
    Some(match sent {
        Ok(sent) => sent.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {all_tries:?}")),
    })
}

/// Sends spans of our own work, where there are any.
async fn send_own(
    exporter: &SpanExporter,
    spans: Vec<SpanData>,
    timeout: Duration,
) -> Option<Result<Rejected, String>> {
    if spans.is_empty() {
        return None;
    }
    Some(export(timeout, || exporter.export(spans.clone())).await)
}

#[cfg(test)]
mod collector;
#[cfg(test)]
mod tests;
