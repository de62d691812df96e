//! Who matches, and with whom those are compared.
//!
//! Both groups must come from the same minutes, and be chosen by nothing else than whether they match. The recorder's
//! rings keep failures longer than the rest; its samples of each minute are fair. So both groups are drawn from these
//! samples. Where they hold too few that match and only failures are asked for, all failures of the minutes for which
//! the recorder still has each one are taken instead: within a minute that is no choice either.
//!
//! Who asks what is wrong at a place is not told what sets the place apart: so it is said which of the rest are of the same
//! place, and whether they are enough in the minutes in which something matches.

use std::collections::HashSet;
use std::sync::Arc;

use super::Question;
use crate::config::Name;
use crate::telemetry::filter::Filter;
use crate::telemetry::recorder::{Kept, Minute, Recorder};

/// The two groups.
pub(super) struct Groups {
    pub(super) matched: Vec<Member>,
    pub(super) rest: Vec<Member>,
    pub(super) window: (u64, u64),
    /// The place that the question names.
    pub(super) place: Option<Filter>,
    /// Which of the rest are of that place.
    pub(super) beside: Vec<bool>,
    /// Whether those are enough.
    pub(super) are_enough: bool,
}

/// An exchange of a group.
pub(super) struct Member {
    pub(super) kept: Arc<Kept>,
    pub(super) minute: u64,
    /// For how many exchanges of its minute it stands.
    pub(super) weight: f64,
}

/// From so many on the samples hold enough that match, and a place enough that do not.
const ENOUGH: usize = 100;
/// The most that match which are looked at.
pub(super) const MOST_MATCHED: usize = 20_000;
/// Slow without an objective: so many times the route's median.
const SLOW: u128 = 5;
/// What is never slow: so much above the median, in microseconds. Where all take a fraction of a millisecond, five of
/// them are nobody's trouble.
const NOISE: u128 = 20_000;

/// Draws both groups.
pub(super) fn draw(recorder: &Recorder, question: &Question) -> Groups {
    let now = question.now.as_secs();
    let newest = now / 60;
    let oldest = (newest + 1).saturating_sub(question.minutes);
    let mut minutes = recorder.minutes();
    minutes.retain(|it| (oldest..=newest).contains(&it.number));
    let asked = Asked::new(question, &minutes);
    let (mut matched, mut rest): (Vec<Member>, Vec<Member>) = minutes
        .iter()
        .flat_map(members)
        .partition(|member| asked.takes(&member.kept));
    let mut first = minutes.first().map_or(newest, |it| it.number);
    if matched.len() < ENOUGH {
        let whole_since = match recorder.errors_gone() {
            0 => first,
            gone => gone / 60 + 1,
        };
        let all = failures(recorder, &asked, whole_since.max(first));
        let is_of_failures = matched.iter().all(|it| it.kept.record.is_error());
        if let Some(all) = all.filter(|all| is_of_failures && all.len() > matched.len()) {
            matched = all;
            first = first.max(whole_since);
            rest.retain(|member| member.minute >= whole_since);
        }
    }
    let place = question.filter.as_ref().and_then(Filter::place);
    let is_there = |it: &Member| {
        let place = place.as_ref();
        place.is_some_and(|place| place.takes(&it.kept.plan, &it.kept.record))
    };
    let beside: Vec<bool> = rest.iter().map(is_there).collect();
    // Minutes are compared with themselves: those in which none matches say nothing.
    let telling: HashSet<u64> = matched.iter().map(|it| it.minute).collect();
    let telling = std::iter::zip(&beside, &rest)
        .filter(|(is_there, it)| **is_there && telling.contains(&it.minute))
        .count();
    Groups {
        matched,
        rest,
        window: (first * 60, now + 1), // the present second is among them
        place,
        beside,
        are_enough: telling >= ENOUGH,
    }
}

/// Every failure that is asked for and ended in this minute or later; `None` where there are too many to be looked at.
fn failures(recorder: &Recorder, asked: &Asked<'_>, from: u64) -> Option<Vec<Member>> {
    let all = recorder.failures(from * 60, MOST_MATCHED)?.into_iter();
    let all = all.filter(|kept| asked.takes(kept));
    let member = |kept: Arc<Kept>| Member {
        minute: kept.ended_unix() / 60,
        kept,
        weight: 1.0,
    };
    Some(all.map(member).collect())
}

fn members(minute: &Minute) -> impl Iterator<Item = Member> + '_ {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let weight = minute.seen as f64 / minute.kept.len().max(1) as f64;
    minute.kept.iter().map(move |kept| Member {
        kept: Arc::clone(kept),
        minute: minute.number,
        weight,
    })
}

/// What is asked for, made ready.
struct Asked<'a> {
    question: &'a Question,
    /// From how long on a route's exchange is slow, where it has no objective; microseconds.
    slow: Vec<(Name, u128)>,
}

impl<'a> Asked<'a> {
    fn new(question: &'a Question, minutes: &[Minute]) -> Self {
        let mut paces: Vec<(Name, Vec<(u128, f64)>)> = Vec::new();
        if question.filter.is_none() {
            for Member { kept, weight, .. } in minutes.iter().flat_map(members) {
                let Some(name) = route(&kept) else { continue };
                let pace = (kept.record.pace().as_micros(), weight);
                match paces.iter_mut().find(|(known, _)| known == name) {
                    Some((_, paces)) => paces.push(pace),
                    None => paces.push((name.clone(), vec![pace])),
                }
            }
        }
        let slow = paces.into_iter().map(|(name, paces)| {
            let median = median(paces);
            (name, (median * SLOW).max(median + NOISE))
        });
        Self {
            question,
            slow: slow.collect(),
        }
    }

    fn takes(&self, kept: &Kept) -> bool {
        match &self.question.filter {
            Some(filter) => filter.takes(&kept.plan, &kept.record),
            None => kept.record.is_error() || self.is_slow(kept),
        }
    }

    fn is_slow(&self, kept: &Kept) -> bool {
        let at = kept.record.route.map(usize::from);
        let route = at.and_then(|at| kept.plan.routes.get(at));
        let objective = route.and_then(|route| route.slo.as_ref()?.latency.as_ref());
        let pace = kept.record.pace();
        match (objective, route) {
            (Some(latency), _) => pace > latency.within,
            (None, Some(route)) => {
                let slow = self.slow.iter().find(|(name, _)| *name == route.name);
                slow.is_some_and(|(_, slow)| pace.as_micros() > *slow)
            }
            (None, None) => false,
        }
    }
}

/// The middle of these, each with its weight.
fn median(mut of: Vec<(u128, f64)>) -> u128 {
    of.sort_unstable_by_key(|(value, _)| *value);
    let half = of.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut below = 0.0;
    let middle = of.iter().find(|(_, weight)| {
        below += weight;
        below > half
    });
    middle.map_or(0, |(value, _)| *value)
}

fn route(kept: &Kept) -> Option<&Name> {
    let at = usize::from(kept.record.route?);
    Some(&kept.plan.routes.get(at)?.name)
}
