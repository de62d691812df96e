//! What became of each route when a request was looked at: the one that takes it, and why each other one lost.
//!
//! For `explain`: of a request that is there ([`rulings`]), and of one of which only a record is left ([`recalled`]). It
//! asks the specification of matching ([`matcher`](super::matcher)), which the table is held to by a
//! property; requests themselves are never ruled on here.

use std::cmp::{Ordering, Reverse};

use super::matcher::{Asked, Conditions, Mismatch, PathRank, Specificity, matches};
use crate::config::{PathPattern, Route};

/// What became of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The route, by its place in the plan.
    pub route: usize,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes the request.
    Wins,
    /// It would take the request, but a more specific one does.
    Loses {
        /// The route that takes it, by its place in the plan.
        to: usize,
        /// What made the difference.
        by: Decider,
    },
    /// A condition is not met; those before it are (host, path, method, gRPC, fields, parameters).
    Fails(Mismatch),
    /// It did not take the request, and these conditions of it cannot be told any more.
    Unsure {
        /// The conditions.
        open: Vec<Mismatch>,
        /// What takes the request in any case, and what makes the difference; `None` where this route would have taken it
        /// had they been met, which is to say that they were not.
        beaten: Option<(usize, Decider)>,
    },
}

/// What makes one of two routes the more specific; the first that differs decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider {
    /// Its host pattern is more exact.
    Host,
    /// Its path pattern is more exact, or longer.
    Path,
    /// It names methods.
    Method,
    /// It asks for more header fields.
    Headers,
    /// It asks for more query parameters.
    Query,
    /// Its name comes first in the alphabet; all else is equal.
    Name,
}

/// What becomes of each route: first the one that takes the request, then those that would have, the most specific
/// first, then those that do not match, the nearest miss first and by name.
#[must_use]
pub fn rulings(routes: &[Route], asked: &Asked<'_>) -> Vec<Ruling> {
    let mut taking: Vec<(Specificity<'_>, usize)> = Vec::new();
    let mut failing: Vec<(Mismatch, usize)> = Vec::new();
    for (place, route) in routes.iter().enumerate() {
        match matches(route, asked) {
            Ok(how) => taking.push((how, place)),
            Err(why) => failing.push((why, place)),
        }
    }
    taking.sort_by_key(|(how, _)| Reverse(*how));
    failing.sort_by_key(|(why, place)| (Reverse(depth(why)), routes[*place].name.as_str()));
    let first = taking.first().copied();
    let taken = taking.iter().map(|(how, place)| {
        let verdict = match first {
            Some((best, to)) if to != *place => Verdict::Loses {
                to,
                by: Decider::between(&best, how),
            },
            _ => Verdict::Wins,
        };
        let route = *place;
        Ruling { route, verdict }
    });
    let failed = failing.into_iter().map(|(why, route)| Ruling {
        route,
        verdict: Verdict::Fails(why),
    });
    taken.chain(failed).collect()
}

/// What became of each route when a request was looked at of which not everything is known any more: `winner` is the
/// route that took it, and `is_open` says of a condition that does not seem to be met that nobody can tell. A route that
/// seems to fit better than the winner is unsure: what was recorded is then not what was routed.
#[must_use]
pub fn recalled(
    routes: &[Route],
    asked: &Asked<'_>,
    winner: Option<usize>,
    is_open: &dyn Fn(&Route, &Mismatch) -> bool,
) -> Vec<Ruling> {
    let best = winner.and_then(|at| Some((at, relaxed(routes.get(at)?, asked, is_open).0.ok()?)));
    let mut all: Vec<(u8, &str, Ruling)> = Vec::with_capacity(routes.len());
    for (route, it) in routes.iter().enumerate() {
        let (found, open) = relaxed(it, asked, is_open);
        let beaten = |how: &Specificity<'_>| {
            let (to, best) = best.as_ref().filter(|(_, best)| best > how)?;
            Some((*to, Decider::between(best, how)))
        };
        let verdict = match found {
            _ if winner == Some(route) => Verdict::Wins,
            Err(why) => Verdict::Fails(why),
            Ok(how) => match beaten(&how) {
                Some((to, by)) if open.is_empty() => Verdict::Loses { to, by },
                beaten => Verdict::Unsure { open, beaten },
            },
        };
        let rank = match &verdict {
            Verdict::Wins => 0,
            Verdict::Loses { .. } => 1,
            Verdict::Unsure { .. } => 2,
            Verdict::Fails(why) => 10 - depth(why),
        };
        all.push((rank, it.name.as_str(), Ruling { route, verdict }));
    }
    all.sort_by_key(|(rank, name, _)| (*rank, *name));
    all.into_iter().map(|(_, _, ruling)| ruling).collect()
}

/// How specifically a route takes what was asked where all that is open is met, and what is open.
fn relaxed<'a>(
    route: &'a Route,
    asked: &Asked<'_>,
    is_open: &dyn Fn(&Route, &Mismatch) -> bool,
) -> (Result<Specificity<'a>, Mismatch>, Vec<Mismatch>) {
    let mut open = Vec::new();
    let mut why = match matches(route, asked) {
        Ok(how) => return (Ok(how), open),
        Err(why) => why,
    };
    let mut less = route.clone();
    loop {
        if !is_open(route, &why) {
            return (Err(why), open);
        }
        let rule = &mut less.matches;
        match &why {
            Mismatch::Host => rule.hosts.clear(),
            Mismatch::Path => rule.path = PathPattern::Prefix("/".to_owned()),
            Mismatch::Method => rule.methods.clear(),
            Mismatch::Grpc => rule.is_grpc = false,
            Mismatch::Header(name) => rule.headers.retain(|(it, _)| it != name),
            Mismatch::Query(name) => rule.query.retain(|(it, _)| it != name),
        }
        open.push(why);
        why = match matches(&less, asked) {
            Ok(how) => {
                let is_path_open = open.contains(&Mismatch::Path);
                let found = Specificity {
                    host: how.host,
                    path: if is_path_open {
                        PathRank::Regex
                    } else {
                        how.path
                    },
                    conditions: Conditions::of(&route.matches),
                    name: Reverse(route.name.as_str()),
                };
                return (Ok(found), open);
            }
            Err(next) if open.contains(&next) => return (Err(next), open), // no condition is left out twice
            Err(next) => next,
        };
    }
}

/// How far a request got before it failed.
fn depth(why: &Mismatch) -> u8 {
    match why {
        Mismatch::Host => 0,
        Mismatch::Path => 1,
        Mismatch::Method => 2,
        Mismatch::Grpc => 3,
        Mismatch::Header(_) => 4,
        Mismatch::Query(_) => 5,
    }
}

// === impl Decider ===

impl Decider {
    /// The first thing in which two that both take a request differ.
    fn between(one: &Specificity<'_>, other: &Specificity<'_>) -> Self {
        let (mine, its) = (one.conditions, other.conditions);
        let in_turn = [
            (one.host.cmp(&other.host), Self::Host),
            (one.path.cmp(&other.path), Self::Path),
            (mine.method.cmp(&its.method), Self::Method),
            (mine.headers.cmp(&its.headers), Self::Headers),
            (mine.query.cmp(&its.query), Self::Query),
        ];
        let first = in_turn.into_iter().find(|(how, _)| *how != Ordering::Equal);
        first.map_or(Self::Name, |(_, decider)| decider)
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Path => "path",
            Self::Method => "method",
            Self::Headers => "headers",
            Self::Query => "query",
            Self::Name => "name",
        }
    }
}
