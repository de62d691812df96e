//! `routes`: which requests go where, and what is done to them on the way.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use super::{ByteSize, Name, RateLimit, Retry};

/// One route. Its place in the file means nothing; specificity decides.
#[derive(Clone, Debug)]
pub struct Route {
    /// The name, unique among routes.
    pub name: Name,
    /// Which requests it takes.
    pub matches: Match,
    /// Where they go: one upstream or more, by weight. Never empty.
    pub to: Vec<Split>,
    /// How long the upstream and the whole may take.
    pub timeout: RouteTimeouts,
    /// The largest request body (default none: bodies are streamed).
    pub max_body: Option<ByteSize>,
    /// What is rewritten.
    pub rewrite: Rewrite,
    /// Edits of the request's header fields.
    pub request_headers: HeaderEdits,
    /// Edits of the response's header fields.
    pub response_headers: HeaderEdits,
    /// The rate limit, where there is one.
    pub rate_limit: Option<RateLimit>,
    /// Exchanges at once on this route, where that is limited.
    pub concurrency: Option<u32>,
    /// The retry policy, where there is one.
    pub retry: Option<Retry>,
}

/// Which requests a route takes: all conditions together.
#[derive(Clone, Debug)]
pub struct Match {
    /// Any of these hosts; empty takes every host.
    pub hosts: Vec<HostPattern>,
    /// The path.
    pub path: PathPattern,
    /// Any of these methods; empty takes every method.
    pub methods: Vec<Method>,
    /// All of these header fields with exactly these values.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// All of these query parameters with exactly these values.
    pub query: Vec<(String, String)>,
}

/// A host of a match, lower case, without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(String),
    /// `*.example.org`, kept as `example.org`: any host that ends in one or more labels before it.
    Wildcard(String),
}

/// The path of a match.
#[derive(Clone, Debug)]
pub enum PathPattern {
    /// Exactly this path.
    Exact(String),
    /// This path and everything below it; ends at a segment boundary.
    Prefix(String),
    /// A regular expression, matched in linear time.
    Regex(regex::Regex),
}

impl PathPattern {
    /// The pattern as written: the `http.route` of OpenTelemetry.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(path) | Self::Prefix(path) => path,
            Self::Regex(regex) => regex.as_str(),
        }
    }
}

/// One way that a route's traffic goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// The upstream, by its place in `Plan::upstreams`.
    pub upstream: usize,
    /// Its weight, at least 1.
    pub weight: u32,
}

/// How long the upstream and the whole exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// Until the upstream's response head (default 60 s).
    pub head: Duration,
    /// The longest pause of the upstream's body, or of a tunnel (default 5 min).
    pub idle: Duration,
    /// From the first byte of the request to the last of the response, retries included (default none).
    pub total: Option<Duration>,
}

impl Default for RouteTimeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(60),
            idle: Duration::from_secs(300),
            total: None,
        }
    }
}

/// What is rewritten before the request goes upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Takes this prefix off the path.
    pub strip_prefix: Option<String>,
    /// Puts this in place of the matched prefix.
    pub prefix: Option<String>,
    /// Sends this as `Host`.
    pub host: Option<HeaderValue>,
}

/// Edits of header fields: what is removed, then what is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Fields that get exactly this value.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields that are removed.
    pub remove: Vec<HeaderName>,
}

impl HeaderEdits {
    /// Whether nothing is edited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}
