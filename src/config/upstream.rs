//! `upstreams`: whom we call, and how.

use std::time::Duration;

use super::{Address, Name};

/// A service: endpoints that are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// The name, unique among upstreams.
    pub name: Name,
    /// Where it can be reached; never empty.
    pub endpoints: Vec<Endpoint>,
    /// What is spoken to it (default HTTP/1.1).
    pub protocol: Protocol,
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
