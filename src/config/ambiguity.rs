//! Routes that no rule can tell apart.
//!
//! Specificity decides between routes, never their order. So two routes that take the same requests and are equally
//! specific are a mistake, not a question of who came first: it is told with both places. Routes that merely overlap
//! (one wants header `a`, the other header `b`, a request may have both) are a warning.

use std::collections::HashMap;

use http::{HeaderName, HeaderValue, Method};

use super::notes::At;
use super::tree::quoted;
use super::{HostPattern, Match, PathPattern, Route};

/// A path and a host: only routes that share one can clash.
type Corner<'n> = (&'n str, Option<&'n HostPattern>);

/// Notes every route that an earlier one cannot be told from.
pub(super) fn check<'n>(routes: impl Iterator<Item = (&'n Route, At<'n>)>) {
    // By corner, since there may be thousands of routes.
    let mut seen: HashMap<Corner<'_>, Vec<(&Route, u32)>> = HashMap::new();
    for (route, at) in routes {
        let path = route.matches.path.as_str();
        let mut keys: Vec<_> = route
            .matches
            .hosts
            .iter()
            .map(|host| (path, Some(host)))
            .collect();
        if keys.is_empty() {
            keys.push((path, None));
        }
        let others = keys.iter().filter_map(|key| seen.get(key)).flatten();
        let found = others.into_iter().find_map(|(other, line)| {
            let relation = relation(&route.matches, &other.matches)?;
            Some((relation, quoted(other.name.as_str()), *line))
        });
        match found {
            Some((Relation::Same, other, line)) => at.error_hint(
                format!("takes the same requests as route {other} at line {line}"),
                "neither is more specific: change the hosts, path, methods, headers or query of one",
            ),
            Some((Relation::Overlap, other, line)) => at.warn(
                format!("some requests match this route and route {other} at line {line}"),
                "neither is more specific: give one of them both conditions",
            ),
            None => {}
        }
        for key in keys {
            seen.entry(key).or_default().push((route, at.line()));
        }
    }
}

/// How the requests of two equally specific routes lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// Some requests are taken by both, and nothing but the method tells them apart.
    Same,
    /// Some requests are taken by both when they happen to fulfil the conditions of both.
    Overlap,
}

/// The relation of two routes that share a host.
fn relation(one: &Match, other: &Match) -> Option<Relation> {
    let is_even = same_path(&one.path, &other.path)
        && share_method(&one.methods, &other.methods)
        && one.headers.len() + usize::from(one.is_grpc)
            == other.headers.len() + usize::from(other.is_grpc)
        && one.query.len() == other.query.len();
    let excluded = excludes(&one.headers, &other.headers)
        || excludes(&one.query, &other.query)
        || excludes_grpc(one, other)
        || excludes_grpc(other, one);
    if !is_even || excluded {
        return None;
    }
    let is_same = |(key, value): &(HeaderName, HeaderValue)| {
        other.headers.iter().any(|(k, v)| k == key && v == value)
    };
    let headers = one.headers.iter().all(is_same);
    let query = one.query.iter().all(|pair| other.query.contains(pair));
    Some(if headers && query && one.is_grpc == other.is_grpc {
        Relation::Same
    } else {
        Relation::Overlap
    })
}

fn same_path(one: &PathPattern, other: &PathPattern) -> bool {
    match (one, other) {
        (PathPattern::Exact(one), PathPattern::Exact(other))
        | (PathPattern::Prefix(one), PathPattern::Prefix(other)) => one == other,
        (PathPattern::Regex(one), PathPattern::Regex(other)) => one.as_str() == other.as_str(),
        _ => false,
    }
}

fn share_method(one: &[Method], other: &[Method]) -> bool {
    (one.is_empty() && other.is_empty()) || one.iter().any(|method| other.contains(method))
}

/// Whether no call can fulfil both: the other wants a media type that is not gRPC's.
fn excludes_grpc(one: &Match, other: &Match) -> bool {
    let is_foreign = |(name, value): &(HeaderName, HeaderValue)| {
        *name == http::header::CONTENT_TYPE
            && !value
                .as_bytes()
                .to_ascii_lowercase()
                .starts_with(b"application/grpc")
    };
    one.is_grpc && other.headers.iter().any(is_foreign)
}

/// Whether no request can fulfil both: they want different values of the same thing.
fn excludes<K: PartialEq, V: PartialEq>(one: &[(K, V)], other: &[(K, V)]) -> bool {
    one.iter()
        .any(|(key, value)| other.iter().any(|(k, v)| k == key && v != value))
}
