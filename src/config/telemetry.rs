//! `telemetry`: what is told, to whom, and how much of it.

use std::path::PathBuf;
use std::time::Duration;

use super::Share;

/// What is told, to whom, and how much of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// `service.name` (default: `OTEL_SERVICE_NAME`, else `sightglass`). `None` where the file is silent.
    pub service_name: Option<String>,
    /// The traces.
    pub traces: Traces,
    /// The access log.
    pub access_log: AccessLog,
    /// Whether latency histograms carry exemplars (default true).
    pub exemplars: bool,
    /// Whether responses carry `Server-Timing` (default false).
    pub server_timing: bool,
}

/// Which exchanges become traces, and where they go.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// The collector; `None` where the file is silent, when `OTEL_*` may name one.
    pub otlp: Option<Otlp>,
    /// The head share, by trace id; `None` where the file is silent (then `OTEL_TRACES_SAMPLER*`, else all).
    pub sample: Option<Share>,
    /// What is kept whatever the head decision was.
    pub keep: Keep,
    /// Which context headers are read and written; `None` where the file is silent (tracecontext and baggage).
    pub propagation: Propagation,
}

/// The collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// Its URL, `http://host:port`.
    pub endpoint: String,
    /// The flavour of OTLP.
    pub protocol: OtlpProtocol,
}

/// The flavour of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// OTLP/gRPC, port 4317 by custom.
    Grpc,
    /// OTLP/HTTP with protobuf, port 4318 by custom.
    Http,
}

/// What is kept whatever the head decision was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Exchanges that ended other than served, or with a status of 500 and above (default true).
    pub errors: bool,
    /// Exchanges that took longer (default none).
    pub slower_than: Option<Duration>,
    /// Exchanges with more than one attempt (default true).
    pub retried: bool,
}

/// Which context headers are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagation {
    /// `traceparent` and `tracestate`.
    pub tracecontext: bool,
    /// `baggage`, passed on where the context is followed.
    pub baggage: bool,
}

/// The access log.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Where lines go (default stdout).
    pub output: LogOutput,
    /// How a line looks; `None` where the file is silent (coloured text on a terminal, else JSON).
    pub format: Option<LogFormat>,
    /// The share of the served below 500 that is written; failures always are (default all).
    pub sample: Share,
}

/// Where lines of the access log go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Nowhere.
    Off,
    /// Appended to this file, which SIGHUP opens anew.
    File(PathBuf),
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// One line of text.
    Text,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            service_name: None,
            traces: Traces {
                otlp: None,
                sample: None,
                keep: Keep {
                    errors: true,
                    slower_than: None,
                    retried: true,
                },
                propagation: Propagation {
                    tracecontext: true,
                    baggage: true,
                },
            },
            access_log: AccessLog {
                output: LogOutput::Stdout,
                format: None,
                sample: Share::ALL,
            },
            exemplars: true,
            server_timing: false,
        }
    }
}
