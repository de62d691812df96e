//! `upstreams`: whom we call, and how.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::notes::At;
use super::ranges::{check_time, check_whole};
use super::upstream_tls::UpstreamTlsWritten;
use super::{Address, DurationWritten, Name, ProxyProtocol, UpstreamTls, names};

/// A service: endpoints that are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// The name, unique among upstreams.
    pub name: Name,
    /// Where it can be reached; never empty.
    pub endpoints: Vec<Endpoint>,
    /// What is spoken to it (default HTTP/1.1).
    pub protocol: Protocol,
    /// How its connections are encrypted (default not at all).
    pub tls: Option<UpstreamTls>,
    /// How each connection begins by telling who the client is (default not at all).
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How an endpoint is picked (default peak EWMA).
    pub balance: Balance,
    /// How long a connection may take to be made, waiting for a free place included (default 1 s).
    pub connect_timeout: Duration,
    /// How long an unused connection is kept (default 60 s).
    pub idle_timeout: Duration,
    /// What the whole upstream may hold.
    pub limits: UpstreamLimits,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Its weight, 1 to 1,000 (default 1).
    pub weight: u32,
}

/// What is spoken to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in clear text by prior knowledge.
    Http2,
    /// Whichever of the two the TLS handshake settles on (ALPN).
    Auto,
}

/// How an endpoint is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The better of two drawn at random by recent latency times load.
    PeakEwma,
    /// The one with fewer requests of two drawn at random.
    LeastRequests,
    /// In turn.
    RoundRobin,
    /// Any.
    Random,
}

impl Balance {
    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PeakEwma => "peak_ewma",
            Self::LeastRequests => "least_requests",
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
        }
    }
}

impl Protocol {
    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Auto => "auto",
        }
    }
}

/// What a whole upstream may hold, counted over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamLimits {
    /// Connections at once (1,024 until `limits` can be configured).
    pub connections: usize,
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self { connections: 1024 }
    }
}

// === As written ===

/// A service: endpoints that are alike.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamWritten {
    /// The name, unique among upstreams: the `upstream` label of its metrics.
    pub(super) name: String,
    /// Where it can be reached.
    endpoints: Vec<EndpointWritten>,
    /// What is spoken to it (default http1).
    #[serde(default)]
    protocol: Option<ProtocolWritten>,
    /// How its connections are encrypted: `{}` verifies the endpoint's name by the system's roots (default not at all).
    #[serde(default)]
    tls: Option<UpstreamTlsWritten>,
    /// How each connection begins by telling who the client is: v1 or v2 (default not at all).
    #[serde(default)]
    proxy_protocol: Option<ProxyProtocol>,
    /// How an endpoint is picked (default peak_ewma).
    #[serde(default)]
    balance: Option<BalanceWritten>,
    /// How long a connection may take to be made (default 1s).
    #[serde(default)]
    connect_timeout: Option<DurationWritten>,
    /// How long an unused connection is kept (default 60s).
    #[serde(default)]
    idle_timeout: Option<DurationWritten>,
}

/// One address of an upstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EndpointWritten {
    /// An IP address or a name, and a port.
    address: String,
    /// Its weight, 1 to 1000 (default 1).
    #[serde(default)]
    weight: Option<u64>,
}

/// What is spoken to an upstream.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ProtocolWritten {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in clear text by prior knowledge.
    Http2,
    /// Whichever of the two the TLS handshake settles on.
    Auto,
}

/// How an endpoint is picked.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BalanceWritten {
    /// The better of two drawn at random by recent latency times load.
    PeakEwma,
    /// The one with fewer requests of two drawn at random.
    LeastRequests,
    /// In turn.
    RoundRobin,
    /// Any.
    Random,
    /// By a hash of the request, so that the same goes to the same.
    RingHash,
}

// === Checks ===

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

impl UpstreamWritten {
    /// Checks the section; `None` when it cannot be used, which was noted then.
    pub(super) fn check(&self, at: &At<'_>) -> Option<Upstream> {
        let name = names::check_name(&self.name, &at.key("name"));
        let endpoints = self.check_endpoints(&at.key("endpoints"));
        let protocol = self.check_protocol(at);
        let tls = self.tls.as_ref().map(|tls| tls.check(&at.key("tls")));
        let balance = match self.balance {
            None | Some(BalanceWritten::PeakEwma) => Balance::PeakEwma,
            Some(BalanceWritten::LeastRequests) => Balance::LeastRequests,
            Some(BalanceWritten::RoundRobin) => Balance::RoundRobin,
            Some(BalanceWritten::Random) => Balance::Random,
            Some(BalanceWritten::RingHash) => {
                at.key("balance").not_yet("ring_hash");
                Balance::PeakEwma
            }
        };
        let connect_timeout = check_time(self.connect_timeout, &at.key("connect_timeout"));
        let idle_timeout = check_time(self.idle_timeout, &at.key("idle_timeout"));
        Some(Upstream {
            name: name?,
            endpoints,
            protocol,
            tls,
            proxy_protocol: self.proxy_protocol,
            balance,
            connect_timeout: connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            idle_timeout: idle_timeout.unwrap_or(IDLE_TIMEOUT),
            limits: UpstreamLimits::default(),
        })
    }

    fn check_protocol(&self, at: &At<'_>) -> Protocol {
        let protocol = match self.protocol {
            None | Some(ProtocolWritten::Http1) => Protocol::Http1,
            Some(ProtocolWritten::Http2) => Protocol::Http2,
            Some(ProtocolWritten::Auto) => Protocol::Auto,
        };
        if protocol == Protocol::Auto && self.tls.is_none() && at.is_whole() {
            at.key("protocol").error_hint(
                "auto is settled in the TLS handshake, and there is none",
                "add tls: {}, or write http1 or http2",
            );
        }
        if self.proxy_protocol.is_some() && protocol != Protocol::Http1 {
            at.key("proxy_protocol").error_hint(
                "a connection that begins with one client's address carries one request",
                "only with protocol: http1",
            );
        }
        protocol
    }

    fn check_endpoints(&self, at: &At<'_>) -> Vec<Endpoint> {
        let mut endpoints: Vec<Endpoint> = Vec::with_capacity(self.endpoints.len());
        if self.endpoints.is_empty() && at.is_whole() {
            at.error_hint(
                "an upstream needs an endpoint",
                "such as [{address: 127.0.0.1:9001}]",
            );
        }
        for (position, written) in self.endpoints.iter().enumerate() {
            let at = at.item(position);
            let weight = check_whole(written.weight, 1..=1000, &at.key("weight")).unwrap_or(1);
            let address: Address = match written.address.parse() {
                Ok(address) => address,
                Err(names::AddressError { what, hint }) => {
                    at.key("address").error_hint(what, hint);
                    continue;
                }
            };
            if endpoints.iter().any(|other| other.address == address) {
                at.key("address").error_hint(
                    format!("{address} is an endpoint of this upstream already"),
                    "to give it more, use weight",
                );
                continue;
            }
            endpoints.push(Endpoint { address, weight });
        }
        endpoints
    }
}
