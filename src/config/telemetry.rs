//! `telemetry`: what is told, to whom, and how much of it.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::notes::At;
use super::ranges::check_time;
use super::tree::quoted;
use super::{Address, DurationWritten, Share, names};

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
    /// Which context headers are read and written (default tracecontext and baggage).
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

// === As written ===

/// What is told, to whom, and how much of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TelemetryWritten {
    /// The name by which traces know the proxy (default: `OTEL_SERVICE_NAME`, else sightglass).
    #[serde(default)]
    service_name: Option<String>,
    /// Which exchanges become traces, and where they go.
    #[serde(default)]
    traces: TracesWritten,
    /// The access log: one line an exchange.
    #[serde(default)]
    access_log: AccessLogWritten,
    /// What the metrics carry.
    #[serde(default)]
    metrics: MetricsWritten,
    /// Whether responses carry `Server-Timing` (default false).
    #[serde(default)]
    server_timing: Option<bool>,
}

/// Which exchanges become traces, and where they go.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TracesWritten {
    /// The collector.
    #[serde(default)]
    otlp: Option<OtlpWritten>,
    /// The head share, by trace id (default 100%); a sampled parent is followed.
    #[serde(default)]
    sample: Option<Share>,
    /// What is kept whatever the head decision was.
    #[serde(default)]
    keep: KeepWritten,
    /// Which context headers are read and written (default tracecontext and baggage).
    #[serde(default)]
    propagation: Option<Vec<PropagationWritten>>,
}

/// The collector.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OtlpWritten {
    /// Its URL, `http://host:port`.
    endpoint: String,
    /// The flavour of OTLP (default: http on port 4318, else grpc).
    #[serde(default)]
    protocol: Option<OtlpProtocolWritten>,
}

/// The flavour of OTLP.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OtlpProtocolWritten {
    /// OTLP/gRPC, port 4317 by custom.
    Grpc,
    /// OTLP/HTTP with protobuf, port 4318 by custom.
    Http,
}

/// What is kept whatever the head decision was.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeepWritten {
    /// Exchanges that ended other than served, or with a status of 500 and above (default true).
    #[serde(default)]
    errors: Option<bool>,
    /// Exchanges that took longer (default none).
    #[serde(default)]
    slower_than: Option<DurationWritten>,
    /// Exchanges with more than one attempt (default true).
    #[serde(default)]
    retried: Option<bool>,
}

/// A family of context headers.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum PropagationWritten {
    /// `traceparent` and `tracestate`.
    TraceContext,
    /// `baggage`.
    Baggage,
    /// `b3`.
    B3,
    /// `X-B3-TraceId` and its kin.
    B3Multi,
    /// `uber-trace-id`.
    Jaeger,
}

/// The access log.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessLogWritten {
    /// Where lines go: stdout (default), stderr, off or {file: PATH}.
    #[serde(default)]
    output: Option<LogOutputWritten>,
    /// How a line looks (default: coloured text on a terminal, else json).
    #[serde(default)]
    format: Option<LogFormatWritten>,
    /// The share of the served below 500 that is written; failures always are (default 100%).
    #[serde(default)]
    sample: Option<Share>,
}

/// Where lines of the access log go.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LogOutputWritten {
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
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LogFormatWritten {
    /// One JSON object.
    Json,
    /// One line of text.
    Text,
}

/// What the metrics carry.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsWritten {
    /// Whether latency histograms carry exemplars (default true).
    #[serde(default)]
    exemplars: Option<bool>,
}

// === Checks ===

impl TelemetryWritten {
    /// Checks the section. What cannot be used is noted and has its default here.
    pub(super) fn check(&self, at: &At<'_>) -> Telemetry {
        let default = Telemetry::default();
        if let Some(name) = &self.service_name
            && (name.trim().is_empty() || name.chars().any(char::is_control))
        {
            at.key("service_name").error("is no name");
        }
        Telemetry {
            service_name: self.service_name.clone(),
            traces: self.traces.check(&at.key("traces"), default.traces),
            access_log: self.access_log.check(&at.key("access_log")),
            exemplars: self.metrics.exemplars.unwrap_or(default.exemplars),
            server_timing: self.server_timing.unwrap_or(default.server_timing),
        }
    }
}

impl TracesWritten {
    fn check(&self, at: &At<'_>, default: Traces) -> Traces {
        let keep = at.key("keep");
        Traces {
            otlp: self
                .otlp
                .as_ref()
                .and_then(|otlp| otlp.check(&at.key("otlp"))),
            sample: self.sample,
            keep: Keep {
                errors: self.keep.errors.unwrap_or(default.keep.errors),
                slower_than: check_time(self.keep.slower_than, &keep.key("slower_than")),
                retried: self.keep.retried.unwrap_or(default.keep.retried),
            },
            propagation: match &self.propagation {
                Some(list) => check_propagation(list, &at.key("propagation")),
                None => default.propagation,
            },
        }
    }
}

fn check_propagation(list: &[PropagationWritten], at: &At<'_>) -> Propagation {
    for (position, family) in list.iter().enumerate() {
        let at = at.item(position);
        match family {
            PropagationWritten::TraceContext | PropagationWritten::Baggage => {}
            PropagationWritten::B3 => at.not_yet("b3"),
            PropagationWritten::B3Multi => at.not_yet("b3multi"),
            PropagationWritten::Jaeger => at.not_yet("jaeger"),
        }
        if list.iter().take(position).any(|other| other == family) {
            at.error("named twice");
        }
    }
    Propagation {
        tracecontext: list.contains(&PropagationWritten::TraceContext),
        baggage: list.contains(&PropagationWritten::Baggage),
    }
}

impl OtlpWritten {
    fn check(&self, at: &At<'_>) -> Option<Otlp> {
        let port = match check_otlp_url(&self.endpoint) {
            Ok(address) => address.port,
            Err(names::AddressError { what, hint }) => {
                at.key("endpoint").error_hint(what, hint);
                return None;
            }
        };
        let protocol = match self.protocol {
            Some(OtlpProtocolWritten::Grpc) => OtlpProtocol::Grpc,
            Some(OtlpProtocolWritten::Http) => OtlpProtocol::Http,
            None if port == 4318 => OtlpProtocol::Http,
            None => OtlpProtocol::Grpc,
        };
        match (protocol, port) {
            (OtlpProtocol::Grpc, 4318) => at.key("protocol").warn(
                "port 4318 is by custom OTLP over HTTP",
                "write protocol: http, or port 4317",
            ),
            (OtlpProtocol::Http, 4317) => at.key("protocol").warn(
                "port 4317 is by custom OTLP over gRPC",
                "write protocol: grpc, or port 4318",
            ),
            _ => {}
        }
        Some(Otlp {
            endpoint: self.endpoint.trim_end_matches('/').to_owned(),
            protocol,
        })
    }
}

/// The address in the URL of a collector, `http://host:port` and nothing else.
pub(super) fn check_otlp_url(url: &str) -> Result<Address, names::AddressError> {
    let wrong = |what: &str, hint: String| {
        Err(names::AddressError {
            what: what.to_owned(),
            hint,
        })
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        return wrong(
            "a collector's URL begins with http://",
            format!("write http://{url}"),
        );
    };
    match scheme {
        "http" => {}
        "https" => {
            return wrong(
                "https to a collector is not supported yet",
                "an http:// endpoint".to_owned(),
            );
        }
        _ => {
            return wrong(
                &format!("{} is no scheme of a collector", quoted(scheme)),
                "http".to_owned(),
            );
        }
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if let Some((bare, _)) = authority.split_once(['/', '?', '#']) {
        return wrong(
            "the path is added by the exporter",
            format!("write http://{bare}"),
        );
    }
    if !authority
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .ends_with(':')
    {
        return wrong(
            "a collector's URL needs a port",
            format!("http://{authority}:4317 for grpc, http://{authority}:4318 for http"),
        );
    }
    authority.parse()
}

impl AccessLogWritten {
    fn check(&self, at: &At<'_>) -> AccessLog {
        let output = match &self.output {
            None | Some(LogOutputWritten::Stdout) => LogOutput::Stdout,
            Some(LogOutputWritten::Stderr) => LogOutput::Stderr,
            Some(LogOutputWritten::Off) => LogOutput::Off,
            Some(LogOutputWritten::File(path)) => {
                if path.as_os_str().is_empty() {
                    at.key("output").key("file").error("names no file");
                }
                LogOutput::File(path.clone())
            }
        };
        AccessLog {
            output,
            format: self.format.map(|format| match format {
                LogFormatWritten::Json => LogFormat::Json,
                LogFormatWritten::Text => LogFormat::Text,
            }),
            sample: self.sample.unwrap_or(Share::ALL),
        }
    }
}
