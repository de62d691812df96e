//! `telemetry.traces`: which exchanges become traces, and where they go.

use schemars::JsonSchema;
use serde::Deserialize;

use super::force::ForceWritten;
use super::keep::KeepWritten;
use super::notes::At;
use super::propagation::{self, Propagation, PropagationWritten};
use super::ranges::check_whole;
use super::tree::quoted;
use super::{Address, Force, Keep, Share, names};

/// Which exchanges become traces, and where they go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traces {
    /// The collector; `None` where the file is silent, when `OTEL_*` may name one.
    pub otlp: Option<Otlp>,
    /// The head share, by trace id; `None` where the file is silent (then `OTEL_TRACES_SAMPLER*`, else all).
    pub sample: Option<Share>,
    /// What is kept whatever the head decision was.
    pub keep: Keep,
    /// The most traces a second, 1 to 100,000 (default no limit); the least interesting are shed first.
    pub max_per_second: Option<u32>,
    /// Who may ask for a trace by a header field (default nobody).
    pub force: Option<Force>,
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

// === As written ===

/// Which exchanges become traces, and where they go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
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
    /// The most traces a second, 1 to 100000 (default no limit); the least interesting are shed first.
    #[serde(default)]
    max_per_second: Option<u64>,
    /// Who may ask for a trace by a header field (default nobody).
    #[serde(default)]
    force: Option<ForceWritten>,
    /// Which context headers are read and written (default tracecontext and baggage).
    #[serde(default)]
    propagation: Option<Vec<PropagationWritten>>,
    /// Members of the baggage that become attributes of the exchange's span, at most 16 (default none).
    #[serde(default)]
    baggage_attributes: Vec<String>,
}

/// The collector.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OtlpWritten {
    /// Its URL, `http://host:port`.
    endpoint: String,
    /// The flavour of OTLP (default: http on port 4318, else grpc).
    #[serde(default)]
    protocol: Option<OtlpProtocolWritten>,
}

/// The flavour of OTLP.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OtlpProtocolWritten {
    /// OTLP/gRPC, port 4317 by custom.
    Grpc,
    /// OTLP/HTTP with protobuf, port 4318 by custom.
    Http,
}

// === Checks ===

impl TracesWritten {
    /// Checks the section. What cannot be used is noted and has its default here.
    pub(super) fn check(&self, at: &At<'_>) -> Traces {
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
            keep: self.keep.check(&at.key("keep")),
            max_per_second: check_whole(
                self.max_per_second,
                1..=100_000,
                &at.key("max_per_second"),
            ),
            force: self
                .force
                .as_ref()
                .and_then(|force| force.check(&at.key("force"))),
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
        check_otlp(&self.endpoint, self.protocol, at)
    }
}

/// A collector, as `endpoint` and `protocol` name it.
pub(super) fn check_otlp(
    endpoint: &str,
    protocol: Option<OtlpProtocolWritten>,
    at: &At<'_>,
) -> Option<Otlp> {
    let port = match check_otlp_url(endpoint) {
        Ok(address) => address.port,
        Err(names::AddressError { what, hint }) => {
            at.key("endpoint").error_hint(what, hint);
            return None;
        }
    };
    let protocol = match protocol {
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
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        protocol,
    })
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
