//! What every export over OTLP shares: the way to a collector, the encoding, what becomes of a batch in the ledger, and
//! when somebody is told that the collector takes nothing. An exporter is a task of its own in the room of its signal;
//! nothing here knows what it sends.
//!
//! Spans of exchanges are written by [`Message`] and go by the [`Sender`], not through opentelemetry-otlp: there a batch
//! is built as `SpanData`, cloned for each try, converted into the structures of the protocol and encoded from those.
//! Where every request is traced that was the largest part of what telemetry cost (docs/performance.md). What is rarer
//! takes that way: spans of our own work, and logs.
//!
//! ```text
//! message      fields of a protobuf message, and OTLP's attributes
//! sender       one request to a collector, over gRPC or HTTP; which failures are tried again
//! by_sdk       an export through opentelemetry-otlp, tried again where that does not
//! codec        tonic's door for bytes that are encoded already
//! answer       what a collector says to a request
//! pauses       how long to wait before the next try
//! headers      what OTEL_EXPORTER_OTLP_HEADERS adds to each request
//! http_client  hyper, for opentelemetry-otlp and for the sender
//! rejected     what a collector refuses of what opentelemetry-otlp sends
//! queue        what waits for the collector, bounded
//! health       the ledger's side of a batch, and who is told
//! ```

mod answer;
mod by_sdk;
mod codec;
mod headers;
mod health;
mod http_client;
mod message;
mod pauses;
mod queue;
mod rejected;
mod sender;

use std::time::Duration;

use crate::config::OtlpProtocol;

pub(in crate::telemetry) use by_sdk::{export, retries};
pub(in crate::telemetry) use health::{Flight, Health};
pub(in crate::telemetry) use http_client::Client;
#[cfg(test)]
pub(in crate::telemetry) use http_client::Socket;
pub(in crate::telemetry) use message::{Field, Message, Value};
pub(in crate::telemetry) use queue::Batch;
pub(in crate::telemetry) use queue::{Queue, as_count};
pub(in crate::telemetry) use rejected::{OTLP_TARGET, Rejected, RejectedLayer};
pub(in crate::telemetry) use sender::{Sender, Service};

/// Where a signal goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Its URL; for OTLP/HTTP with the path.
    pub endpoint: String,
    /// The flavour of OTLP.
    pub protocol: OtlpProtocol,
    /// How long one batch may take, retries included (default 10 s).
    pub timeout: Duration,
}
