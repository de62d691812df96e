//! `listeners`: where clients come in, and what they may cost.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::listener_tls::{ListenerTls, ListenerTlsWritten};
use super::notes::At;
use super::ranges::{check_size, check_time, check_whole};
use super::{ByteSize, DurationWritten, Name, names};

/// One place where clients connect.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The name, unique among listeners.
    pub name: Name,
    /// What to bind; port 0 binds a free one.
    pub address: SocketAddr,
    /// Whether HTTP/1.1 and 1.0 are spoken (default true).
    pub http1: bool,
    /// Whether HTTP/2 is spoken, by prior knowledge in clear text (default true).
    pub http2: bool,
    /// Peers whose `Forwarded` and `X-Forwarded-*` are believed (default none).
    pub trusted_proxies: Vec<IpNet>,
    /// Whose trace context is followed (default private).
    pub trace_context: TraceContext,
    /// Whether `X-Request-Id` goes upstream and back (default true).
    pub request_id: bool,
    /// How long clients may take.
    pub timeout: ListenerTimeouts,
    /// How much clients may send and hold.
    pub limits: ListenerLimits,
    /// How connections are encrypted (default not at all).
    pub tls: Option<ListenerTls>,
    /// Whether each connection begins with a PROXY header, which says who the client is (default not).
    pub proxy_protocol: bool,
    /// Every request is answered with a redirect to `https` on this port (default: requests are routed).
    pub redirect_to_https: Option<u16>,
}

/// Whose `traceparent` is followed; for all others the trace is restarted and theirs is kept as a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceContext {
    /// Only peers in `trusted_proxies`.
    Trusted,
    /// These, and clients whose address is loopback or private.
    Private,
    /// Everybody.
    All,
    /// Nobody.
    None,
}

/// How long clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// From the first byte of a request until its head is complete (default 10 s).
    pub head: Duration,
    /// Between requests on a kept connection, and before the first (default 75 s).
    pub idle: Duration,
    /// The longest pause of a body on the client's side, in either direction (default 30 s).
    pub body: Duration,
}

/// How much clients may send and hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections at once, over all workers (default 20,000).
    pub connections: usize,
    /// Connections at once of one client, over all workers (default none).
    pub connections_per_client: Option<u32>,
    /// The largest request head (default 64 KiB).
    pub head: ByteSize,
    /// The most header fields of a request (default 100).
    pub headers: usize,
    /// The longest request target (default 8 KiB).
    pub uri: ByteSize,
    /// Streams at once on one HTTP/2 connection (default 100).
    pub streams: u32,
}

impl Default for ListenerTimeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body: Duration::from_secs(30),
        }
    }
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_client: None,
            head: ByteSize(64 << 10),
            headers: 100,
            uri: ByteSize(8 << 10),
            streams: 100,
        }
    }
}

// === As written ===

/// One place where clients connect.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerWritten {
    /// The name, unique among listeners: the `listener` label of its metrics.
    pub(super) name: String,
    /// The IP address and port to bind; port 0 binds a free one, which the ready line prints.
    pub(super) address: String,
    /// What is spoken (default both). In clear text both share the port, HTTP/2 by prior knowledge.
    #[serde(default)]
    protocols: Option<Vec<ProtocolWritten>>,
    /// Peers that may set `X-Forwarded-*` and `Forwarded` (default none): networks or addresses.
    #[serde(default)]
    trusted_proxies: Vec<String>,
    /// Whose trace context is followed (default private).
    #[serde(default)]
    trace_context: Option<TraceContextWritten>,
    /// Whether `X-Request-Id` goes upstream and back (default true).
    #[serde(default)]
    request_id: Option<bool>,
    /// How long clients may take.
    #[serde(default)]
    timeout: ListenerTimeoutsWritten,
    /// How much clients may send and hold.
    #[serde(default)]
    limits: ListenerLimitsWritten,
    /// How connections are encrypted (default not at all).
    #[serde(default)]
    tls: Option<ListenerTlsWritten>,
    /// Whether connections begin with a PROXY header, versions 1 and 2 (default off).
    #[serde(default)]
    proxy_protocol: Option<ProxyProtocolWritten>,
    /// Answers every request with a redirect (308) to https on this port, 1 to 65535 (default: requests are routed).
    #[serde(default)]
    redirect_to_https: Option<u64>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum ProtocolWritten {
    /// HTTP/1.1 and 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Whose `traceparent` is followed; for others the trace is restarted and theirs kept as a link.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TraceContextWritten {
    /// Only peers in `trusted_proxies`.
    Trusted,
    /// These, and clients whose address is loopback or private.
    Private,
    /// Everybody.
    All,
    /// Nobody.
    None,
}

/// Whether connections begin with a PROXY header.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum ProxyProtocolWritten {
    /// They do not.
    Off,
    /// They must.
    Required,
}

/// How long clients may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListenerTimeoutsWritten {
    /// From the first byte of a request until its head is complete (default 10s).
    #[serde(default)]
    head: Option<DurationWritten>,
    /// Between requests on a kept connection, and before the first (default 75s).
    #[serde(default)]
    idle: Option<DurationWritten>,
    /// The longest pause of a body on the client's side (default 30s).
    #[serde(default)]
    body: Option<DurationWritten>,
}

/// How much clients may send and hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListenerLimitsWritten {
    /// Connections at once (default 20000).
    #[serde(default)]
    connections: Option<u64>,
    /// Connections at once of one peer, over all workers: an IPv4 address or the /64 of an IPv6 one (default none).
    #[serde(default)]
    connections_per_client: Option<u64>,
    /// The largest request head, 8KiB to 1MiB (default 64KiB).
    #[serde(default)]
    head: Option<ByteSize>,
    /// The most header fields of a request, 1 to 10000 (default 100).
    #[serde(default)]
    headers: Option<u64>,
    /// The longest request target, 256B to 64KiB (default 8KiB).
    #[serde(default)]
    uri: Option<ByteSize>,
    /// Streams at once on one HTTP/2 connection, 1 to 65535 (default 100).
    #[serde(default)]
    streams: Option<u64>,
}

// === Checks ===

impl ListenerWritten {
    /// Checks the section; `None` when it cannot be used, which was noted then.
    pub(super) fn check(&self, at: &At<'_>) -> Option<Listener> {
        let name = names::check_name(&self.name, &at.key("name"));
        let address = names::check_bind(&self.address, &at.key("address"));
        let protocols = self.protocols.as_deref();
        check_protocols(protocols, &at.key("protocols"));
        let speaks = |protocol| protocols.is_none_or(|list| list.contains(&protocol));
        let trusted_proxies =
            names::check_networks(&self.trusted_proxies, &at.key("trusted_proxies"));
        let trace_context = self
            .trace_context
            .map_or(TraceContext::Private, TraceContextWritten::into);
        if trace_context == TraceContext::Trusted
            && at.is_whole()
            && self.trusted_proxies.is_empty()
        {
            at.key("trace_context").warn(
                "nobody's trace context is followed: trusted_proxies is empty",
                "name the peers in trusted_proxies, or write none",
            );
        }
        let redirect_at = at.key("redirect_to_https");
        let redirect_to_https = check_whole(self.redirect_to_https, 1..=65_535, &redirect_at);
        if self.tls.is_some() && self.redirect_to_https.is_some() {
            redirect_at.error_hint(
                "this listener speaks TLS itself: its clients would go in circles",
                "a listener without tls sends its clients to this one",
            );
        }
        let tls = self.tls.as_ref().map(|tls| tls.check(&at.key("tls")));
        Some(Listener {
            timeout: self.timeout.check(&at.key("timeout")),
            limits: self.limits.check(&at.key("limits")),
            name: name?,
            address: address?,
            http1: speaks(ProtocolWritten::Http1),
            http2: speaks(ProtocolWritten::Http2),
            trusted_proxies,
            trace_context,
            request_id: self.request_id.unwrap_or(true),
            tls,
            proxy_protocol: self.proxy_protocol == Some(ProxyProtocolWritten::Required),
            redirect_to_https,
        })
    }
}

fn check_protocols(list: Option<&[ProtocolWritten]>, at: &At<'_>) {
    let Some(list) = list else { return };
    if list.is_empty() && at.is_whole() {
        at.error_hint("a listener speaks something", "http1, http2 or both");
    }
    for (position, protocol) in list.iter().enumerate() {
        if list.iter().take(position).any(|other| other == protocol) {
            at.item(position).error("named twice");
        }
    }
}

impl From<TraceContextWritten> for TraceContext {
    fn from(written: TraceContextWritten) -> Self {
        match written {
            TraceContextWritten::Trusted => Self::Trusted,
            TraceContextWritten::Private => Self::Private,
            TraceContextWritten::All => Self::All,
            TraceContextWritten::None => Self::None,
        }
    }
}

impl ListenerTimeoutsWritten {
    fn check(&self, at: &At<'_>) -> ListenerTimeouts {
        let default = ListenerTimeouts::default();
        ListenerTimeouts {
            head: check_time(self.head, &at.key("head")).unwrap_or(default.head),
            idle: check_time(self.idle, &at.key("idle")).unwrap_or(default.idle),
            body: check_time(self.body, &at.key("body")).unwrap_or(default.body),
        }
    }
}

impl ListenerLimitsWritten {
    fn check(&self, at: &At<'_>) -> ListenerLimits {
        let default = ListenerLimits::default();
        // The smallest head is that of the HTTP/1 parser's buffer; the longest target is what the `http` crate holds.
        let head = ByteSize(8 << 10)..=ByteSize(1 << 20);
        let uri = ByteSize(256)..=ByteSize(64 << 10);
        ListenerLimits {
            connections: check_whole(self.connections, 1..=10_000_000, &at.key("connections"))
                .unwrap_or(default.connections),
            connections_per_client: check_whole(
                self.connections_per_client,
                1..=1_000_000,
                &at.key("connections_per_client"),
            ),
            head: check_size(self.head, &head, &at.key("head")).unwrap_or(default.head),
            headers: check_whole(self.headers, 1..=10_000, &at.key("headers"))
                .unwrap_or(default.headers),
            uri: check_size(self.uri, &uri, &at.key("uri")).unwrap_or(default.uri),
            streams: check_whole(self.streams, 1..=65_535, &at.key("streams"))
                .unwrap_or(default.streams),
        }
    }
}
