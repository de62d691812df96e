//! `listeners`: where clients come in, and what they may cost.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{ByteSize, Name};

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
            head: ByteSize(64 << 10),
            headers: 100,
            uri: ByteSize(8 << 10),
            streams: 100,
        }
    }
}
