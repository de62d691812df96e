//! What became of each route when a request was looked at: the one that takes it, and why each other one lost.
//!
//! For `explain`. It asks the specification of matching ([`matcher`](super::matcher)), which the table is held to by a
//! property; requests themselves are never ruled on here.

use std::cmp::{Ordering, Reverse};

use super::matcher::{Asked, Mismatch, Specificity, matches};
use crate::config::Route;

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
