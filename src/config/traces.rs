//! `telemetry.traces`: which exchanges become traces, and where they go.

use std::time::Duration;

use serde::Deserialize;

use super::notes::At;
use super::propagation::{self, Propagation, PropagationWritten};
use super::ranges::check_time;
use super::tree::quoted;
use super::{Address, DurationWritten, Share, names};

/// Which exchanges become traces, and where they go.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// The collector; `None` where the file is silent, when `OTEL_*` may name one.
    pub otlp: Option<Otlp>,
    /// The head share, by trace id; `None` where the file is silent (then `OTEL_TRACES_SAMPLER*`, else all).
    pub sample: Option<Share>,
    /// What is kept whatever the head decision was.
    pub keep: Keep,
    /// Which context headers are read and written; `None` where the file is silent (then `OTEL_PROPAGATORS`, else
    /// tracecontext and baggage).
    pub propagation: Option<Propagation>,
    /// Members of the baggage that become attributes of the exchange's span, at most 16 (default none).
    pub baggage_attributes: Vec<Box<str>>,
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

impl Default for Traces {
    fn default() -> Self {
        Self {
            otlp: None,
            sample: None,
            keep: Keep {
                errors: true,
                slower_than: None,
                retried: true,
            },
            propagation: None,
            baggage_attributes: Vec::new(),
        }
    }
}

// === As written ===

/// Which exchanges become traces, and where they go.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TracesWritten {
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
    /// Members of the baggage that become attributes of the exchange's span, at most 16 (default none).
    #[serde(default)]
    baggage_attributes: Vec<String>,
}

/// The collector.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OtlpWritten {
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

// === Checks ===

impl TracesWritten {
    /// Checks the section. What cannot be used is noted and has its default here.
    pub(super) fn check(&self, at: &At<'_>) -> Traces {
        let default = Traces::default();
        let keep = at.key("keep");
        let propagation = self.propagation.as_ref();
        let propagation = propagation.map(|list| propagation::check(list, &at.key("propagation")));
        if !self.baggage_attributes.is_empty() && propagation.is_some_and(|it| !it.baggage) {
            at.key("baggage_attributes").warn(
                "baggage is not read, so that none becomes an attribute",
                "add baggage to propagation",
            );
        }
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
            propagation,
            baggage_attributes: propagation::check_attributes(
                &self.baggage_attributes,
                &at.key("baggage_attributes"),
            ),
        }
    }
}

impl OtlpWritten {
    pub(super) fn check(&self, at: &At<'_>) -> Option<Otlp> {
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
