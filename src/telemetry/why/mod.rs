//! Why: what sets the exchanges that match apart from the others of the same minutes.
//!
//! ```text
//! groups  who matches, who is the rest: from the recorder's fair samples of each minute
//! facts   what may set them apart, and what only restates that they failed
//! rank    which facts do, by how much, and how surely
//! ```
//!
//! A question runs off the workers and beside the reactor of the admin port; it copies pointers, and looks at some tens of
//! thousands of exchanges at most ([`groups::MOST_MATCHED`]).

mod facts;
mod groups;
mod rank;

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::filter::Filter;
use super::recorder::Recorder;
use facts::Vocabulary;
use rank::{Case, Found};

pub use facts::Fact;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which exchanges match; without one those that failed or were slow.
    pub filter: Option<Filter>,
    /// How many minutes back, the one that goes on included; 1 to 30.
    pub minutes: u64,
    /// Now, since 1970.
    pub now: Duration,
}

/// What there is to say.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How many exchanges that match were looked at.
    pub matched: usize,
    /// How many of the others were.
    pub rest: usize,
    /// The place that the question names, where the others are those of this place alone.
    pub place: Option<Filter>,
    /// From when until before when they ended, in seconds since 1970.
    pub window: (u64, u64),
    /// What sets them apart, the most telling first.
    pub differences: Vec<Difference>,
    /// What only restates that they match: most common first.
    pub symptoms: Vec<Symptom>,
    /// What one should know of it: that there is too little, that nothing sets them apart.
    pub note: Option<String>,
}

/// A fact that sets the exchanges that match apart.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The fact.
    pub fact: Fact,
    /// In how many of those that match it was seen.
    pub support: usize,
    /// Its share among those that match.
    pub matched_share: f64,
    /// Its share among the others.
    pub rest_share: f64,
    /// Of all exchanges with it the share that matches, as far as the samples tell.
    pub risk: f64,
    /// The lower bound, at 95 %, of how much likelier it is to match with it than without.
    pub risk_difference: f64,
    /// An upper bound of the chance that it is one.
    pub p: f64,
    /// What sets those that match apart among the exchanges that have this fact.
    pub within: Vec<Difference>,
}

/// A fact that follows from the question.
#[derive(Clone, Debug)]
pub struct Symptom {
    /// The fact.
    pub fact: Fact,
    /// Its share among those that match.
    pub matched_share: f64,
    /// Its share among the others.
    pub rest_share: f64,
}

/// The fewest exchanges that match from which anything is concluded.
const LEAST: usize = rank::SUPPORT;
/// How many differences are told, and how many within one.
const DIFFERENCES: usize = 5;
const WITHIN: usize = 2;
/// Why the others are not those of the place that the question names.
const LONELY: &str = "too few others at the same place: compared with those of all places";
const ALIKE: &str = "the others at the same place are like them: compared with those of all places";
/// How many symptoms are told, and the least share of one.
const SYMPTOMS: usize = 8;
const LEAST_SHARE: f64 = 0.1;

/// Answers a question.
#[must_use]
pub fn why(recorder: &Recorder, question: &Question) -> Answer {
    let groups = groups::draw(recorder, question);
    let mut words = Vocabulary::default();
    let named = question.filter.as_ref().map(Filter::fields);
    let mut case = |member: &groups::Member| {
        let known = words.facts(&member.kept, named.as_deref().unwrap_or_default());
        Case {
            minute: member.minute,
            weight: member.weight,
            facts: known,
        }
    };
    let matched: Vec<Case> = groups.matched.iter().map(&mut case).collect();
    let rest: Vec<Case> = groups.rest.iter().map(&mut case).collect();
    let matched: Vec<&Case> = matched.iter().collect();
    let all: Vec<&Case> = rest.iter().collect();
    let there = std::iter::zip(&all, groups.beside).filter(|(_, is_there)| *is_there);
    let there: Vec<&Case> = there.map(|(case, _)| *case).collect();
    // What all exchanges at the place have is the place itself.
    let mut of_place: Vec<u32> = match (&groups.place, matched.first()) {
        (Some(_), Some(one)) => one.facts.clone(),
        _ => Vec::new(),
    };
    of_place.retain(|fact| matched.iter().chain(&there).all(|case| case.has(*fact)));
    let is_place = |fact: u32| of_place.contains(&fact);
    let eligible = |fact: u32| !words.is_symptom(fact) && !is_place(fact);
    // The others of the same place first. What has come to the place as a whole shows only beside all others.
    let at_place = (groups.place.is_some() && groups.are_enough)
        .then(|| told(&words, &matched, &there, &eligible, DIFFERENCES));
    let is_alike = at_place.as_ref().is_some_and(Vec::is_empty);
    let beside_all = || told(&words, &matched, &all, &eligible, DIFFERENCES);
    let (differences, rest, place) = match at_place {
        Some(found) if !found.is_empty() => (found, there, groups.place.clone()),
        _ => (beside_all(), all, None),
    };
    let why_all = match &groups.place {
        Some(_) if is_alike => Some(ALIKE),
        Some(_) if place.is_none() => Some(LONELY),
        _ => None,
    };
    let note = match (matched.len(), rest.len()) {
        (0, _) => Some("nothing matches in these minutes".to_owned()),
        (few, _) if few < LEAST => Some(format!(
            "only {few} match: too few to conclude anything (at least {LEAST})"
        )),
        (_, few) if few < LEAST => Some(format!(
            "only {few} do not match: there is nothing to compare with"
        )),
        _ => {
            let nothing = differences.is_empty().then_some("nothing sets them apart");
            let notes: Vec<&str> = nothing.into_iter().chain(why_all).collect();
            (!notes.is_empty()).then(|| notes.join("; "))
        }
    };
    Answer {
        matched: matched.len(),
        rest: rest.len(),
        place,
        window: groups.window,
        differences,
        symptoms: symptoms(&words, &matched, &rest),
        note,
    }
}

/// What sets them apart: the most telling, then the most telling of what it leaves, and so on.
fn told(
    words: &Vocabulary,
    matched: &[&Case],
    rest: &[&Case],
    eligible: &dyn Fn(u32) -> bool,
    most: usize,
) -> Vec<Difference> {
    let (all, others) = (total(matched), total(rest));
    let (mut left, mut left_rest) = (matched.to_vec(), rest.to_vec());
    let mut differences = Vec::new();
    while differences.len() < most {
        let Some(found) = rank::most_telling(&left, &left_rest, eligible) else {
            break;
        };
        let Found {
            fact,
            risk,
            risk_difference,
            p,
            ..
        } = found;
        let has = |case: &&&Case| case.has(fact);
        let with: Vec<&Case> = matched.iter().filter(has).copied().collect();
        let with_rest: Vec<&Case> = rest.iter().filter(has).copied().collect();
        differences.push(Difference {
            fact: words.fact(fact),
            support: with.len(),
            matched_share: share(total(&with), all),
            rest_share: share(total(&with_rest), others),
            risk,
            risk_difference,
            p,
            // One level deep: what is further down has too few behind it to be read at night.
            within: if most == DIFFERENCES {
                told(words, &with, &with_rest, eligible, WITHIN)
            } else {
                Vec::new()
            },
        });
        left.retain(|case| !case.has(fact));
        left_rest.retain(|case| !case.has(fact));
    }
    differences
}

fn symptoms(words: &Vocabulary, matched: &[&Case], rest: &[&Case]) -> Vec<Symptom> {
    let shares = |cases: &[&Case]| {
        let mut sums = vec![0.0; words.len()];
        for case in cases {
            for fact in &case.facts {
                if let Some(sum) = usize::try_from(*fact).ok().and_then(|at| sums.get_mut(at)) {
                    *sum += case.weight;
                }
            }
        }
        let all: f64 = cases.iter().map(|case| case.weight).sum();
        sums.into_iter().map(move |sum| share(sum, all))
    };
    let pairs = (0..).zip(shares(matched).zip(shares(rest)));
    let mut symptoms: Vec<Symptom> = pairs
        .filter(|(fact, (of_matched, _))| words.is_symptom(*fact) && *of_matched >= LEAST_SHARE)
        .map(|(fact, (matched_share, rest_share))| Symptom {
            fact: words.fact(fact),
            matched_share,
            rest_share,
        })
        .collect();
    symptoms.sort_by(|one, other| other.matched_share.total_cmp(&one.matched_share));
    symptoms.truncate(SYMPTOMS);
    symptoms
}

fn total(cases: &[&Case]) -> f64 {
    cases.iter().fold(0.0, |sum, case| sum + case.weight) // the sum of nothing would be -0
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
