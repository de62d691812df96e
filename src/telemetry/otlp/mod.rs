//! OTLP, written straight from what we know: the encoding of protobuf and the way to a collector.
//!
//! Spans of exchanges take this way and not that of opentelemetry-otlp, which our own work's spans take. There a batch is
//! built as `SpanData`, cloned for each try, converted into the structures of the protocol and encoded from those; here
//! a span is written once, from the record, into the bytes that are sent. Where every request is traced the first way
//! was the largest part of what telemetry cost (docs/performance.md).
//!
//! ```text
//! message   fields of a protobuf message, and OTLP's attributes
//! http_client  hyper, for opentelemetry-otlp and for the sender
//! sender    one request to a collector, over gRPC or HTTP; which failures are tried again
//! codec     tonic's door for bytes that are encoded already
//! refusal   what a collector says when it does not take all
//! headers   what OTEL_EXPORTER_OTLP_HEADERS adds to each request
//! ```

mod codec;
mod headers;
mod http_client;
mod message;
mod refusal;
mod sender;

use std::time::Duration;

use crate::config::OtlpProtocol;

pub(in crate::telemetry) use http_client::Client as HttpClient;
#[cfg(test)]
pub(in crate::telemetry) use http_client::Socket;
pub(in crate::telemetry) use message::{Field, Message};
pub(in crate::telemetry) use refusal::Refused;
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
