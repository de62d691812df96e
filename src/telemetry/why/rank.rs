//! Which fact sets two groups apart most, if any does.
//!
//! The chance that a fact is as common among those that match as it is, if matching had nothing to do with it, is bounded
//! from above: given how often the fact occurs in a minute, how many of those that match have it is a sum of hypergeometric
//! draws, one a minute, which is a sum of independent yes-or-no draws (Hui and Park, 2014); Hoeffding's inequality of 1963
//! bounds its tail by the divergence of the share that was seen from the one expected. The bound holds for few and for
//! rare as for many: it may miss something, it does not see ghosts. Minutes are compared with themselves: what was merely
//! more common in the minutes in which more failed says nothing.
//!
//! Of the facts that pass Benjamini and Hochberg's procedure at 1 % (1995) the one with the highest score is the most
//! telling: the lower bound of the difference in risk (Newcombe, 1998, from Wilson's intervals at 95 %) times the share
//! of those that match which it covers.

use std::collections::BTreeMap;

/// An exchange, as far as it matters here.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The minute in which it ended.
    pub(super) minute: u64,
    /// For how many exchanges it stands.
    pub(super) weight: f64,
    /// The facts of it.
    pub(super) facts: Vec<u32>,
}

/// The most telling fact.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) fact: u32,
    /// Of the exchanges with it the share that matches.
    pub(super) risk: f64,
    /// The lower bound of the difference to those without it.
    pub(super) risk_difference: f64,
    /// An upper bound of the chance that it is one.
    pub(super) p: f64,
    score: f64,
}

/// The fewest of those that match which must have a fact.
pub(super) const SUPPORT: usize = 10;
/// The share of false discoveries.
const FALSE: f64 = 0.01;
/// The quantile of Wilson's interval at 95 %.
const Z: f64 = 1.959_963_985;

// === impl Case ===

impl Case {
    pub(super) fn has(&self, fact: u32) -> bool {
        self.facts.contains(&fact)
    }
}

/// How often a fact occurs, minute by minute: among those that match, and among all.
#[derive(Default)]
struct Counts {
    matched: usize,
    matched_weight: f64,
    rest: usize,
    rest_weight: f64,
    /// The sum of all squares of weights.
    squares: f64,
    minutes: BTreeMap<u64, f64>,
}

/// The most telling of the facts that are `eligible`, if any sets `matched` apart from `rest`.
pub(super) fn most_telling(
    matched: &[&Case],
    rest: &[&Case],
    eligible: impl Fn(u32) -> bool,
) -> Option<Found> {
    if matched.len() < SUPPORT || rest.len() < SUPPORT {
        return None;
    }
    let mut facts: BTreeMap<u32, Counts> = BTreeMap::new();
    let mut minutes: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for (case, is_matched) in members(matched, rest) {
        let (of_matched, of_all) = minutes.entry(case.minute).or_default();
        *of_all += 1.0;
        *of_matched += f64::from(u8::from(is_matched));
        for fact in case.facts.iter().copied().filter(|fact| eligible(*fact)) {
            let counts = facts.entry(fact).or_default();
            *counts.minutes.entry(case.minute).or_default() += 1.0;
            counts.squares += case.weight * case.weight;
            if is_matched {
                counts.matched += 1;
                counts.matched_weight += case.weight;
            } else {
                counts.rest += 1;
                counts.rest_weight += case.weight;
            }
        }
    }
    let all = Whole::new(matched, rest);
    let mut tested: Vec<Found> = facts
        .into_iter()
        .filter(|(_, counts)| counts.matched >= SUPPORT)
        .map(|(fact, counts)| all.test(fact, &counts, &minutes))
        .collect();
    tested.sort_by(|one, other| one.p.total_cmp(&other.p));
    let count = number(tested.len());
    let passing = (1..)
        .zip(&tested)
        .filter(|(rank, found)| found.p <= FALSE * number(*rank) / count)
        .map(|(rank, _)| rank)
        .last()?;
    tested.truncate(passing);
    tested.retain(|found| found.risk_difference > 0.0);
    // Of equals the first that was named: facts are numbered in the order in which people ask for them.
    tested.into_iter().reduce(|best, it| {
        let is_better = it.score > best.score * (1.0 + 1e-9)
            || it.score >= best.score * (1.0 - 1e-9) && it.fact < best.fact;
        if is_better { it } else { best }
    })
}

/// Both groups as wholes.
struct Whole {
    matched: f64,
    matched_weight: f64,
    rest: f64,
    rest_weight: f64,
    squares: f64,
}

impl Whole {
    fn new(matched: &[&Case], rest: &[&Case]) -> Self {
        let weight = |cases: &[&Case]| cases.iter().map(|case| case.weight).sum();
        Self {
            matched: number(matched.len()),
            matched_weight: weight(matched),
            rest: number(rest.len()),
            rest_weight: weight(rest),
            squares: members(matched, rest)
                .map(|(case, _)| case.weight * case.weight)
                .sum(),
        }
    }

    /// Of how many exchanges a share was seen that stands for so many: as many as say as much about it, weights and all
    /// (Kish, 1965). Where each that matches was taken and stands for itself the share is as sure as its number.
    fn seen(&self, weight: f64, squares: f64) -> f64 {
        if self.matched_weight > self.matched && squares > 0.0 {
            weight * weight / squares
        } else {
            weight
        }
    }

    fn test(&self, fact: u32, it: &Counts, minutes: &BTreeMap<u64, (f64, f64)>) -> Found {
        let expected: f64 = it
            .minutes
            .iter()
            .filter_map(|(minute, with)| {
                let (of_matched, of_all) = minutes.get(minute)?;
                Some(of_matched * with / of_all)
            })
            .sum();
        let p = self.chance(it, expected);
        let with = share(it.matched_weight, it.rest_weight);
        let (matched, rest) = (
            self.matched_weight - it.matched_weight,
            self.rest_weight - it.rest_weight,
        );
        let without = share(matched, rest);
        let (low, _) = wilson(
            with,
            self.seen(it.matched_weight + it.rest_weight, it.squares),
        );
        let (_, high) = wilson(
            without,
            self.seen(matched + rest, self.squares - it.squares),
        );
        let low = with - without - (with - low).hypot(high - without);
        Found {
            fact,
            risk: with,
            risk_difference: low,
            p,
            score: low * it.matched_weight / self.matched_weight,
        }
    }
}

impl Whole {
    /// An upper bound of the chance that as many of those that match have the fact as do, where so many were expected.
    ///
    /// The same event can be told in four ways: of those that match so many have it, of the others so many have it not, of
    /// those that have it so many match, of those that have it not so many do not. Each way is a bound; the best is taken.
    fn chance(&self, it: &Counts, expected: f64) -> f64 {
        let (matched, rest) = (number(it.matched), number(it.rest));
        let with = matched + rest;
        let without = self.matched + self.rest - with;
        let rest_without = self.rest - rest;
        let expected_without = self.rest - (with - expected);
        let ways = [
            tail(self.matched, matched, expected),
            tail(self.rest, rest_without, expected_without),
            tail(with, matched, expected),
            tail(without, rest_without, expected_without),
        ];
        ways.into_iter().fold(1.0, f64::min)
    }
}

/// An upper bound of the chance of at least `seen` in `draws` independent draws, of which `expected` succeed on average.
fn tail(draws: f64, seen: f64, expected: f64) -> f64 {
    if seen <= expected || expected <= 0.0 {
        return 1.0;
    }
    let (share, mean) = (seen / draws, expected / draws);
    let part = |one: f64, other: f64| {
        if one > 0.0 {
            one * (one / other).ln()
        } else {
            0.0
        }
    };
    (-draws * (part(share, mean) + part(1.0 - share, 1.0 - mean))).exp()
}

/// Wilson's interval of a share that was seen in so many.
fn wilson(share: f64, count: f64) -> (f64, f64) {
    if count < 1.0 {
        return (0.0, 1.0);
    }
    let square = Z * Z / count;
    let middle = (share + square / 2.0) / (1.0 + square);
    let half = Z / (1.0 + square) * (share * (1.0 - share) / count + square / (4.0 * count)).sqrt();
    (middle - half, middle + half)
}

fn share(part: f64, other: f64) -> f64 {
    let whole = part + other;
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn members<'a>(matched: &'a [&Case], rest: &'a [&Case]) -> impl Iterator<Item = (&'a Case, bool)> {
    let matched = matched.iter().map(|case| (*case, true));
    matched.chain(rest.iter().map(|case| (*case, false)))
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn number(count: usize) -> f64 {
    count as f64
}
