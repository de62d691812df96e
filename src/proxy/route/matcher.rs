//! The specification of matching: one route, one request, yes with how specifically, or no with the reason.
//!
//! It is slow and plain on purpose. [`RouteTable`](super::RouteTable) must agree with it on every request (a property
//! test says so), and `explain` answers with it why each other route lost.

use std::cmp::Reverse;

use http::{HeaderMap, HeaderName, Method};

use crate::config::{self, HostPattern, PathPattern};
use crate::exchange::grpc;
use crate::proxy::canonical::canonical_path;

/// What of a request decides on its route.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The host in lower case, without port and without the dot of the root; `None` where an HTTP/1.0 client named none.
    pub host: Option<&'a str>,
    /// The canonical path.
    pub path: &'a str,
    /// The query, without its `?`.
    pub query: Option<&'a str>,
    /// The method.
    pub method: &'a Method,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

/// The first condition of a route that a request does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// None of the hosts.
    Host,
    /// Not the path.
    Path,
    /// None of the methods.
    Method,
    /// Not this header field with this value.
    Header(HeaderName),
    /// Not this query parameter with this value.
    Query(String),
    /// It is no gRPC call.
    Grpc,
}

/// How specifically a route takes a request; the greatest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity<'a> {
    /// The host pattern that took it.
    pub host: HostRank,
    /// The path pattern.
    pub path: PathRank,
    /// The other conditions.
    pub conditions: Conditions,
    /// Between equals the first name in alphabetical order wins, so that the order of the file never decides.
    pub name: Reverse<&'a str>,
}

/// How specific a host pattern is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostRank {
    /// No host was asked for.
    Any,
    /// `*.` and a suffix of so many bytes.
    Wildcard(usize),
    /// Exactly this host.
    Exact,
}

/// How specific a path pattern is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathRank {
    /// A regular expression.
    Regex,
    /// A prefix of so many bytes.
    Prefix(usize),
    /// Exactly this path.
    Exact,
}

/// How many conditions there are besides host and path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conditions {
    /// Whether methods are named; how many does not matter.
    pub method: bool,
    /// How many header fields are, the media type of gRPC among them.
    pub headers: usize,
    /// How many query parameters are.
    pub query: usize,
}

/// How specifically `route` takes what was asked.
///
/// # Errors
///
/// The first condition that is not met.
pub fn matches<'a>(
    route: &'a config::Route,
    asked: &Asked<'_>,
) -> Result<Specificity<'a>, Mismatch> {
    let rule = &route.matches;
    let host = host_rank(&rule.hosts, asked.host).ok_or(Mismatch::Host)?;
    let path = path_rank(&rule.path, asked.path).ok_or(Mismatch::Path)?;
    meets(rule, asked)?;
    Ok(Specificity {
        host,
        path,
        conditions: Conditions::of(rule),
        name: Reverse(route.name.as_str()),
    })
}

/// The most specific of `routes` that takes what was asked, by its place.
#[must_use]
pub fn most_specific(routes: &[config::Route], asked: &Asked<'_>) -> Option<usize> {
    let taking = routes
        .iter()
        .enumerate()
        .filter_map(|(place, route)| Some((matches(route, asked).ok()?, place)));
    taking.max().map(|(_, place)| place)
}

/// Whether the conditions besides host and path are met.
///
/// # Errors
///
/// The first one that is not.
pub(super) fn meets(rule: &config::Match, asked: &Asked<'_>) -> Result<(), Mismatch> {
    if !rule.methods.is_empty() && !rule.methods.contains(asked.method) {
        return Err(Mismatch::Method);
    }
    if rule.is_grpc && !grpc::is_grpc(asked.headers) {
        return Err(Mismatch::Grpc);
    }
    for (name, value) in &rule.headers {
        if !asked.headers.get_all(name).iter().any(|it| it == value) {
            return Err(Mismatch::Header(name.clone()));
        }
    }
    for (name, value) in &rule.query {
        if !has_parameter(asked.query.unwrap_or_default(), name, value) {
            return Err(Mismatch::Query(name.clone()));
        }
    }
    Ok(())
}

// === impl Conditions ===

impl Conditions {
    /// Those of a route.
    #[must_use]
    pub fn of(rule: &config::Match) -> Self {
        Self {
            method: !rule.methods.is_empty(),
            headers: rule.headers.len() + usize::from(rule.is_grpc),
            query: rule.query.len(),
        }
    }
}

fn host_rank(patterns: &[HostPattern], host: Option<&str>) -> Option<HostRank> {
    if patterns.is_empty() {
        return Some(HostRank::Any);
    }
    let host = host?;
    let ranks = patterns.iter().filter_map(|pattern| match pattern {
        HostPattern::Exact(name) => (host == name).then_some(HostRank::Exact),
        HostPattern::Wildcard(suffix) => {
            let labels = host.strip_suffix(suffix.as_str())?.strip_suffix('.')?;
            (!labels.is_empty()).then_some(HostRank::Wildcard(suffix.len()))
        }
    });
    ranks.max()
}

fn path_rank(pattern: &PathPattern, path: &str) -> Option<PathRank> {
    match pattern {
        PathPattern::Exact(exact) => (path == canonical_path(exact)).then_some(PathRank::Exact),
        PathPattern::Prefix(prefix) => {
            let prefix = canonical_path(prefix);
            is_below(path, &prefix).then_some(PathRank::Prefix(prefix.len()))
        }
        PathPattern::Regex(regex) => regex.is_match(path).then_some(PathRank::Regex),
    }
}

/// Whether `path` is `prefix` or below it: a prefix ends where a segment ends. `/` takes all, `*` among it.
pub(super) fn is_below(path: &str, prefix: &str) -> bool {
    prefix == "/"
        || path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

/// Whether a query has this parameter with this value. Both are compared decoded (`%20` and `+` are a space); of a
/// parameter that is given more than once any may have it.
fn has_parameter(query: &str, name: &str, value: &str) -> bool {
    query.split('&').any(|pair| {
        let (its_name, its_value) = pair.split_once('=').unwrap_or((pair, ""));
        decoded(its_name).eq(name.bytes()) && decoded(its_value).eq(value.bytes())
    })
}

/// The bytes of a form-encoded word; a broken escape stands for itself.
fn decoded(word: &str) -> impl Iterator<Item = u8> + '_ {
    let mut rest = word.as_bytes();
    std::iter::from_fn(move || {
        let (&byte, tail) = rest.split_first()?;
        rest = tail;
        Some(match byte {
            b'+' => b' ',
            b'%' => match tail {
                [high, low, tail @ ..] => {
                    let digit = |byte: u8| char::from(byte).to_digit(16);
                    let byte = digit(*high).zip(digit(*low));
                    let byte = byte.and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
                    if byte.is_some() {
                        rest = tail;
                    }
                    byte.unwrap_or(b'%')
                }
                _ => b'%',
            },
            byte => byte,
        })
    })
}
