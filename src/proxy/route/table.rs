//! All routes of a plan, so that finding one does not take longer the more there are.
//!
//! A look-up goes from the most to the least specific and takes the first that matches: the exact host, the wildcard
//! hosts from the longest suffix on, any host; in each the exact path, the prefixes from the longest on, the regular
//! expressions; in each of these the routes with the most conditions first. What it finds is what
//! [`matcher`](super::matcher) calls the most specific. Nothing is allocated.
//!
//! Prefixes are looked up by the lengths that occur, not by the segments of the path: a path of thousands of segments
//! costs no more than a short one. A radix tree was rejected: it is faster only with thousands of prefixes that share
//! their beginnings, and it is far more to read.

use std::cmp::Reverse;
use std::collections::HashMap;

use http::{HeaderMap, Method};

use super::matcher::{Asked, Conditions, meets};
use crate::config::{HostPattern, Match, PathPattern, Plan, Route};
use crate::proxy::canonical::canonical_path;

/// The place of a route in its plan.
pub type RouteIndex = u16;

/// The routes of a plan.
#[derive(Debug, Default)]
pub struct RouteTable {
    exact: ByText<Paths>,
    /// By the suffix behind `*.`.
    wildcard: ByText<Paths>,
    any: Paths,
}

type ByText<T> = HashMap<Box<str>, T, foldhash::fast::FixedState>;

/// The routes of one host pattern.
#[derive(Debug, Default)]
struct Paths {
    exact: ByText<Vec<Rule>>,
    prefix: ByText<Vec<Rule>>,
    /// The lengths of all prefixes, the longest first, each once.
    lengths: Vec<usize>,
    regex: Vec<Rule>,
}

/// A route, as it stands in the lists; these are sorted, the most specific first.
#[derive(Clone, Debug)]
struct Rule {
    route: RouteIndex,
    matches: Match,
    rank: (Reverse<Conditions>, Box<str>),
}

// === impl RouteTable ===

impl RouteTable {
    /// The table of a plan. Routes beyond the 65,536th are left out; `config` refuses so many.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self::of(&plan.routes)
    }

    /// The table of these routes.
    #[must_use]
    pub fn of(routes: &[Route]) -> Self {
        let mut table = Self::default();
        for (route, place) in routes.iter().zip(0..=RouteIndex::MAX) {
            let rule = Rule {
                route: place,
                matches: route.matches.clone(),
                rank: (
                    Reverse(Conditions::of(&route.matches)),
                    route.name.as_str().into(),
                ),
            };
            if route.matches.hosts.is_empty() {
                table.any.add(rule.clone());
            }
            for host in &route.matches.hosts {
                let paths = match host {
                    HostPattern::Exact(name) => table.exact.entry(name.as_str().into()),
                    HostPattern::Wildcard(suffix) => table.wildcard.entry(suffix.as_str().into()),
                };
                paths.or_default().add(rule.clone());
            }
        }
        table
    }

    /// The most specific route that takes what was asked.
    #[must_use]
    pub fn find(
        &self,
        host: Option<&str>,
        path: &str,
        query: Option<&str>,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<RouteIndex> {
        let asked = Asked {
            host,
            path,
            query,
            method,
            headers,
        };
        if let Some(host) = host {
            if !self.exact.is_empty()
                && let Some(paths) = self.exact.get(host)
                && let Some(route) = paths.find(&asked)
            {
                return Some(route);
            }
            if !self.wildcard.is_empty() {
                // From the left, so that the longest suffix comes first; there is always something before its dot.
                for (dot, _) in host.match_indices('.').filter(|(dot, _)| *dot > 0) {
                    if let Some(paths) = self.wildcard.get(&host[dot + 1..])
                        && let Some(route) = paths.find(&asked)
                    {
                        return Some(route);
                    }
                }
            }
        }
        self.any.find(&asked)
    }
}

// === impl Paths ===

impl Paths {
    fn add(&mut self, rule: Rule) {
        let list = match &rule.matches.path {
            PathPattern::Exact(path) => self.exact.entry(canonical_path(path).into()).or_default(),
            PathPattern::Prefix(path) => {
                let path = canonical_path(path);
                if let Err(place) = self
                    .lengths
                    .binary_search_by_key(&Reverse(path.len()), |length| Reverse(*length))
                {
                    self.lengths.insert(place, path.len());
                }
                self.prefix.entry(path.into()).or_default()
            }
            PathPattern::Regex(_) => &mut self.regex,
        };
        let place = list.partition_point(|other| other.rank < rule.rank);
        list.insert(place, rule);
    }

    fn find(&self, asked: &Asked<'_>) -> Option<RouteIndex> {
        let path = asked.path;
        if !self.exact.is_empty()
            && let Some(rules) = self.exact.get(path)
            && let Some(route) = first(rules, asked)
        {
            return Some(route);
        }
        for length in &self.lengths {
            if let Some(prefix) = prefix_of(path, *length)
                && let Some(rules) = self.prefix.get(prefix)
                && let Some(route) = first(rules, asked)
            {
                return Some(route);
            }
        }
        self.regex
            .iter()
            .find(|rule| {
                matches!(&rule.matches.path, PathPattern::Regex(regex) if regex.is_match(path))
                    && meets(&rule.matches, asked).is_ok()
            })
            .map(|rule| rule.route)
    }
}

fn first(rules: &[Rule], asked: &Asked<'_>) -> Option<RouteIndex> {
    rules
        .iter()
        .find(|rule| meets(&rule.matches, asked).is_ok())
        .map(|rule| rule.route)
}

/// The first `length` bytes of a path, where a segment ends there.
fn prefix_of(path: &str, length: usize) -> Option<&str> {
    if length == 1 {
        return Some("/"); // it takes all, `*` too
    }
    let prefix = path.get(..length)?;
    let ends = prefix.ends_with('/') || path.len() == length;
    (ends || path.as_bytes().get(length) == Some(&b'/')).then_some(prefix)
}
