//! Why each other route lost, in sentences. What a field or a parameter must be is not repeated: it may be a secret.

use http::HeaderName;
use http::request::Parts;

use crate::config::{HostPattern, Match, PathPattern, Route};
use crate::proxy::route::asked_host;
use crate::proxy::route::matcher::{Asked, Mismatch};
use crate::proxy::route::ruling::{Decider, Ruling, Verdict, rulings};
use crate::proxy::sanitize::host::LONGEST;

/// A route that does not take the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its name.
    pub route: String,
    /// What it asks for, in words.
    pub route_match: String,
    /// The first condition that is not met (`host`, `path`, `method`, `grpc`, `header`, `query`), or `less_specific`; of a
    /// recorded exchange `unknown` as well.
    pub reason: &'static str,
    /// Why.
    pub detail: String,
}

/// The host by which a head is routed.
pub(super) fn host(head: &Parts) -> Option<String> {
    asked_host(&head.headers, &mut [0; LONGEST]).map(str::to_owned)
}

/// Why each route but the one that takes this request lost; `head` is what routing sees.
pub(super) fn others(routes: &[Route], head: &Parts) -> Vec<Lost> {
    let mut lower = [0; LONGEST];
    let asked = Asked {
        host: asked_host(&head.headers, &mut lower),
        path: head.uri.path(),
        query: head.uri.query(),
        method: &head.method,
        headers: &head.headers,
    };
    lost(routes, rulings(routes, &asked), &asked, &[])
}

/// What was ruled, in sentences; not of the route that takes it. `kept` are the fields that a recorder keeps.
pub(super) fn lost(
    routes: &[Route],
    ruled: Vec<Ruling>,
    asked: &Asked<'_>,
    kept: &[HeaderName],
) -> Vec<Lost> {
    let lost = ruled.into_iter().filter_map(|ruling| {
        let route = routes.get(ruling.route)?;
        let (reason, detail) = match &ruling.verdict {
            Verdict::Wins => return None,
            Verdict::Loses { to, by } => ("less_specific", beaten(routes.get(*to)?, *by)),
            Verdict::Fails(why) => (word(why), missed(&route.matches, why, asked)),
            Verdict::Unsure { open, beaten } => {
                let beaten = beaten.and_then(|(to, by)| Some((routes.get(to)?, by)));
                ("unknown", unsure(open, beaten, kept))
            }
        };
        Some(Lost {
            route: route.name.to_string(),
            route_match: route.matches.to_string(),
            reason,
            detail,
        })
    });
    lost.collect()
}

fn unsure(open: &[Mismatch], beaten: Option<(&Route, Decider)>, kept: &[HeaderName]) -> String {
    let what: Vec<String> = open.iter().map(|it| not_recorded(it, kept)).collect();
    let what = match what.as_slice() {
        [] => "what was recorded fits, so the proxy routed on something else than was recorded"
            .to_owned(),
        _ => what.join(", "),
    };
    let so = match beaten {
        Some((by_whom, by)) => format!(
            "with it {} would win all the same: {}",
            by_whom.name,
            why(by)
        ),
        None if open.is_empty() => return format!("unknown: {what}"),
        None => "with it this route would have taken the request, so it was not met".to_owned(),
    };
    format!("unknown: {what}; {so}")
}

/// What the record cannot tell.
pub(super) fn not_recorded(why: &Mismatch, kept: &[HeaderName]) -> String {
    match why {
        Mismatch::Header(name) if kept.contains(name) => {
            format!("header {name} was recorded cut, or as several lines in one")
        }
        Mismatch::Header(name) => format!("header {name} was not recorded"),
        Mismatch::Query(name) => format!("the query was cut before {name}"),
        Mismatch::Host => "the host was cut".to_owned(),
        Mismatch::Path => "the path was cut".to_owned(),
        Mismatch::Method => "the method was cut".to_owned(),
        Mismatch::Grpc => "the content-type was not recorded".to_owned(),
    }
}

fn why(by: Decider) -> &'static str {
    match by {
        Decider::Host => "it names the host more exactly",
        Decider::Path => "it names the path more exactly",
        Decider::Method => "it names methods as well",
        Decider::Headers => "it asks for more header fields",
        Decider::Query => "it asks for more query parameters",
        Decider::Name => "it comes first in the alphabet",
    }
}

fn beaten(by_whom: &Route, by: Decider) -> String {
    let name = &by_whom.name;
    match by {
        Decider::Host => format!("it would take it, but {name} names the host more exactly"),
        Decider::Path => format!("it would take it, but {name} names the path more exactly"),
        Decider::Method => format!("it would take it, but {name} names methods as well"),
        Decider::Headers => format!("it would take it, but {name} asks for more header fields"),
        Decider::Query => format!("it would take it, but {name} asks for more query parameters"),
        Decider::Name => {
            format!("it would take it just as well, but {name} comes first in the alphabet")
        }
    }
}

fn word(why: &Mismatch) -> &'static str {
    match why {
        Mismatch::Host => "host",
        Mismatch::Path => "path",
        Mismatch::Method => "method",
        Mismatch::Header(_) => "header",
        Mismatch::Query(_) => "query",
        Mismatch::Grpc => "grpc",
    }
}

fn missed(rule: &Match, why: &Mismatch, asked: &Asked<'_>) -> String {
    match why {
        Mismatch::Host => {
            let hosts = rule.hosts.iter().map(|host| match host {
                HostPattern::Exact(name) => name.clone(),
                HostPattern::Wildcard(suffix) => format!("*.{suffix}"),
            });
            let hosts = hosts.collect::<Vec<_>>().join(" or ");
            match asked.host {
                Some(host) => format!("the host {host} is not {hosts}"),
                None => format!("no host is named, and it asks for {hosts}"),
            }
        }
        Mismatch::Path => {
            let path = asked.path;
            match &rule.path {
                PathPattern::Exact(exact) => format!("the path {path} is not exactly {exact}"),
                PathPattern::Prefix(prefix) => {
                    let cut = path.starts_with(prefix.as_str());
                    let hint = if cut {
                        " (a prefix ends where a segment ends)"
                    } else {
                        ""
                    };
                    format!("the path {path} is neither {prefix} nor below it{hint}")
                }
                PathPattern::Regex(regex) => {
                    format!("the path {path} does not match {}", regex.as_str())
                }
            }
        }
        Mismatch::Method => {
            let methods: Vec<&str> = rule.methods.iter().map(http::Method::as_str).collect();
            format!(
                "the method {} is not {}",
                asked.method,
                methods.join(" or ")
            )
        }
        Mismatch::Grpc => {
            "it takes gRPC calls, and content-type is not application/grpc".to_owned()
        }
        Mismatch::Header(name) if asked.headers.contains_key(name) => {
            format!("the header field {name} has another value than it asks for")
        }
        Mismatch::Header(name) => format!("there is no header field {name}"),
        Mismatch::Query(name) => {
            format!("the query has no {name} with the value that it asks for")
        }
    }
}
