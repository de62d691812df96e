//! `routes`: which requests go where, and what is done to them on the way.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use schemars::JsonSchema;
use serde::Deserialize;

use super::access::AccessWritten;
use super::edits::{HeaderEditsWritten, RewriteWritten};
use super::keep::RouteTracesWritten;
use super::limits::RateLimitWritten;
use super::notes::At;
use super::ranges::{check_time, check_whole};
use super::read::resembling;
use super::retry::RetryWritten;
use super::route_match::MatchWritten;
use super::slo::SloWritten;
use super::tree::quoted;
use super::{Access, ByteSize, DurationWritten, Name, RateLimit, Retry, RouteTraces, Slo, names};

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
    /// What it promises, where it does.
    pub slo: Option<Slo>,
    /// Who may use it.
    pub access: Access,
    /// Which tunnels a request may ask for.
    pub tunnels: Tunnels,
    /// What it says of its traces in place of `telemetry.traces`.
    pub traces: RouteTraces,
}

/// Which requests a route takes: all conditions together.
#[derive(Clone, Debug, PartialEq)]
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
    /// Only gRPC calls; counts as one more header condition.
    pub is_grpc: bool,
}

/// What a request must have, in words: `host shop.test, path prefix /cart, method POST, header x-tenant`. The values of
/// fields and parameters are left out: they may be secrets.
impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Vec::new();
        let hosts = self.hosts.iter().map(|host| match host {
            HostPattern::Exact(name) => name.clone(),
            HostPattern::Wildcard(suffix) => format!("*.{suffix}"),
        });
        if !self.hosts.is_empty() {
            all.push(format!("host {}", hosts.collect::<Vec<_>>().join(" or ")));
        }
        let kind = match self.path {
            PathPattern::Exact(_) => "exact",
            PathPattern::Prefix(_) => "prefix",
            PathPattern::Regex(_) => "regex",
        };
        all.push(format!("path {kind} {}", self.path.as_str()));
        let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        if !methods.is_empty() {
            all.push(format!("method {}", methods.join(" or ")));
        }
        if self.is_grpc {
            all.push("a gRPC call".to_owned());
        }
        all.extend(
            self.headers
                .iter()
                .map(|(name, _)| format!("header {name}")),
        );
        all.extend(self.query.iter().map(|(name, _)| format!("query {name}")));
        f.write_str(&all.join(", "))
    }
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

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        let is_same_kind = std::mem::discriminant(self) == std::mem::discriminant(other);
        is_same_kind && self.as_str() == other.as_str()
    }
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

/// Which tunnels a request may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnels {
    /// WebSockets, over HTTP/1.1 and HTTP/2 (default yes).
    pub websocket: bool,
    /// CONNECT: raw bytes to an endpoint of the route's upstream, whatever the client names (default no).
    pub connect: bool,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            websocket: true,
            connect: false,
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

// === As written ===

/// One route. Its place in the file means nothing: the most specific match wins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteWritten {
    /// The name, unique among routes: the `route` label of its metrics.
    pub(super) name: String,
    /// Which requests it takes: all conditions together.
    #[serde(rename = "match")]
    pub(super) matches: MatchWritten,
    /// The upstream that its requests go to; or `split`.
    #[serde(default)]
    upstream: Option<String>,
    /// The upstreams that its requests go to, by weight; or `upstream`.
    #[serde(default)]
    split: Option<Vec<SplitWritten>>,
    /// How long the upstream and the whole exchange may take.
    #[serde(default)]
    timeout: RouteTimeoutsWritten,
    /// The largest request body (default none: bodies are streamed).
    #[serde(default)]
    max_body: Option<ByteSize>,
    /// What is rewritten before the request goes upstream.
    #[serde(default)]
    rewrite: RewriteWritten,
    /// Edits of the request's header fields.
    #[serde(default)]
    request_headers: HeaderEditsWritten,
    /// Edits of the response's header fields.
    #[serde(default)]
    response_headers: HeaderEditsWritten,
    /// How often who may ask.
    #[serde(default)]
    rate_limit: Option<RateLimitWritten>,
    /// Exchanges at once on this route (default no limit).
    #[serde(default)]
    concurrency: Option<u64>,
    /// When a failed attempt is followed by another (default never).
    #[serde(default)]
    retry: Option<RetryWritten>,
    /// What it promises its clients: availability, latency, or both (default nothing).
    #[serde(default)]
    slo: Option<SloWritten>,
    /// Who may use it (default: everybody).
    #[serde(default)]
    access: AccessWritten,
    /// What a request may upgrade to: websocket (default [websocket]).
    #[serde(default)]
    upgrade: Option<Vec<String>>,
    /// Whether CONNECT is taken: a tunnel of raw bytes to an endpoint of the upstream (default false).
    #[serde(default)]
    connect: bool,
    /// What is said of its traces in place of `telemetry.traces`.
    #[serde(default)]
    traces: RouteTracesWritten,
}

/// One way that a route's traffic goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SplitWritten {
    /// The upstream.
    upstream: String,
    /// Its weight, 1 to 1000000 (default 1).
    #[serde(default)]
    weight: Option<u64>,
}

/// How long the upstream and the whole exchange may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RouteTimeoutsWritten {
    /// Until the upstream's response head (default 60s).
    #[serde(default)]
    head: Option<DurationWritten>,
    /// The longest pause of the upstream's body, or of a tunnel (default 5m).
    #[serde(default)]
    idle: Option<DurationWritten>,
    /// From the first byte of the request to the last of the response, retries included (default none).
    #[serde(default)]
    total: Option<DurationWritten>,
}

// === Checks ===

/// The upstreams that a route may name.
#[derive(Debug)]
pub(super) struct UpstreamNames<'a> {
    /// Their names, in their order.
    pub(super) names: Vec<&'a str>,
    /// Whether these are all: otherwise a name that is not among them may be one that could not be read.
    pub(super) is_complete: bool,
}

impl RouteWritten {
    /// Checks the section; `None` when it cannot be used, which was noted then.
    pub(super) fn check(&self, upstreams: &UpstreamNames<'_>, at: &At<'_>) -> Option<Route> {
        let name = names::check_name(&self.name, &at.key("name"));
        let matches = self.matches.check(&at.key("match"));
        let to = self.check_to(upstreams, at);
        let timeout = self.timeout.check(&at.key("timeout"));
        let rewrite = self.rewrite.check(matches.as_ref(), &at.key("rewrite"));
        self.check_connect(matches.as_ref(), at);
        let limit = |limit: &RateLimitWritten| limit.check(&at.key("rate_limit"));
        let access = self.access.check(&self.name, &at.key("access"));
        Some(Route {
            access,
            request_headers: self.request_headers.check(&at.key("request_headers")),
            response_headers: self.response_headers.check(&at.key("response_headers")),
            rate_limit: self.rate_limit.as_ref().and_then(limit),
            concurrency: check_whole(self.concurrency, 1..=10_000_000, &at.key("concurrency")),
            retry: self
                .retry
                .as_ref()
                .map(|retry| retry.check(&timeout, &at.key("retry"))),
            slo: self.slo.as_ref().and_then(|slo| slo.check(&at.key("slo"))),
            name: name?,
            matches: matches?,
            to,
            timeout,
            max_body: self.max_body,
            rewrite,
            tunnels: Tunnels {
                websocket: self.check_upgrade(&at.key("upgrade")),
                connect: self.connect,
            },
            traces: self.traces.check(&at.key("traces")),
        })
    }

    /// CONNECT names no path; it is matched as `/`.
    fn check_connect(&self, matches: Option<&Match>, at: &At<'_>) {
        let Some(Match { path, .. }) = matches.filter(|_| self.connect) else {
            return;
        };
        let takes = match path {
            PathPattern::Exact(path) | PathPattern::Prefix(path) => path == "/",
            PathPattern::Regex(regex) => regex.is_match("/"),
        };
        if !takes {
            at.key("connect").error_hint(
                "no CONNECT comes to this route: it has no path, and is matched as /",
                "match it by its host, with path: {prefix: /}",
            );
        }
    }

    /// Whether WebSockets are among what a request may upgrade to.
    fn check_upgrade(&self, at: &At<'_>) -> bool {
        let Some(words) = &self.upgrade else {
            return Tunnels::default().websocket;
        };
        for (position, word) in words.iter().enumerate() {
            if word != "websocket" {
                at.item(position).error_hint(
                    format!("{} is nothing that a request can upgrade to", quoted(word)),
                    "there is: websocket; [] allows none",
                );
            }
        }
        words.iter().any(|word| word == "websocket")
    }

    fn check_to(&self, upstreams: &UpstreamNames<'_>, at: &At<'_>) -> Vec<Split> {
        match (&self.upstream, &self.split) {
            (Some(name), None) => {
                let upstream = find(name, upstreams, &at.key("upstream"));
                upstream
                    .map(|upstream| Split {
                        upstream,
                        weight: 1,
                    })
                    .into_iter()
                    .collect()
            }
            (None, Some(split)) => check_split(split, upstreams, &at.key("split")),
            (Some(_), Some(_)) => {
                at.key("split").error_hint(
                    "a route has upstream or split, not both",
                    "take upstream out, and name it in split",
                );
                Vec::new()
            }
            (None, None) => {
                if at.is_whole() {
                    at.error_hint("the route goes nowhere", "add upstream: NAME, or split");
                }
                Vec::new()
            }
        }
    }
}

fn check_split(split: &[SplitWritten], upstreams: &UpstreamNames<'_>, at: &At<'_>) -> Vec<Split> {
    if split.is_empty() && at.is_whole() {
        at.error_hint(
            "the route goes nowhere",
            "such as [{upstream: web, weight: 9}, {upstream: next, weight: 1}]",
        );
    }
    let mut to: Vec<Split> = Vec::with_capacity(split.len());
    for (position, written) in split.iter().enumerate() {
        let at = at.item(position);
        let weight = check_whole(written.weight, 1..=1_000_000, &at.key("weight")).unwrap_or(1);
        let Some(upstream) = find(&written.upstream, upstreams, &at.key("upstream")) else {
            continue;
        };
        if to.iter().any(|other| other.upstream == upstream) {
            at.key("upstream").error_hint(
                format!("{} is in this split already", written.upstream),
                "add the weights",
            );
            continue;
        }
        to.push(Split { upstream, weight });
    }
    to
}

/// The place of an upstream among all.
fn find(name: &str, upstreams: &UpstreamNames<'_>, at: &At<'_>) -> Option<usize> {
    let UpstreamNames { names, is_complete } = upstreams;
    let found = names.iter().position(|other| *other == name);
    if found.is_none() && *is_complete {
        let what = format!("there is no upstream {}", quoted(name));
        match resembling(name, names) {
            Some(other) => at.error_hint(what, format!("did you mean {other}?")),
            None if names.is_empty() => at.error(what),
            None => at.error_hint(what, format!("there are: {}", names.join(", "))),
        }
    }
    found
}

impl RouteTimeoutsWritten {
    fn check(&self, at: &At<'_>) -> RouteTimeouts {
        let default = RouteTimeouts::default();
        RouteTimeouts {
            head: check_time(self.head, &at.key("head")).unwrap_or(default.head),
            idle: check_time(self.idle, &at.key("idle")).unwrap_or(default.idle),
            total: check_time(self.total, &at.key("total")),
        }
    }
}
