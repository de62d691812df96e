//! What the verdict counts: five minutes of seconds for each route and each endpoint, with clues to whatever was wrong.

use std::sync::Arc;
use std::time::Duration;

use super::paces::Paces;
use super::symptom::{self, How, SYMPTOMS, Symptom};
use super::watch::{Count, REACH, Watch};
use crate::config::Plan;
use crate::telemetry::desk::Batch;

/// All routes and endpoints that were seen.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) routes: Vec<Route>,
    pub(super) endpoints: Vec<Endpoint>,
    places: Option<Places>,
}

/// One route.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: Box<str>,
    pub(super) watches: [Watch; SYMPTOMS],
    pub(super) paces: Paces,
    /// What its objective calls slow.
    objective: Option<Duration>,
    seconds: Box<[Second]>,
}

/// One endpoint of an upstream.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) upstream: Box<str>,
    pub(super) address: Box<str>,
    /// By second: which it is, and how many attempts ended in it.
    seconds: Box<[(u64, u32)]>,
}

/// What a route did in a second.
#[derive(Clone, Debug, Default)]
struct Second {
    at: u64,
    all: u32,
    answered: u32,
    bad: [u32; SYMPTOMS],
    clues: Vec<(Clue, u32)>,
}

/// How a symptom showed, and at which endpoint, by its place in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Clue {
    pub(super) symptom: Symptom,
    pub(super) how: How,
    pub(super) endpoint: Option<u16>,
}

/// Where the routes and endpoints of a plan are in the books.
#[derive(Debug)]
struct Places {
    plan: Arc<Plan>,
    routes: Vec<usize>,
    endpoints: Vec<Vec<u16>>,
}

/// How many kinds of clue a second tells apart.
const CLUES: usize = 24;

// === impl Books ===

impl Books {
    pub(super) fn read(&mut self, batch: &Batch) {
        self.turn_to(&batch.plan);
        let Some(places) = &self.places else { return };
        for record in &batch.records {
            let second = batch.ended(record).as_secs();
            for attempt in record.attempts() {
                let of_upstream = places.endpoints.get(usize::from(attempt.upstream));
                let place = of_upstream.and_then(|it| it.get(usize::from(attempt.endpoint)));
                if let Some(place) = place {
                    self.endpoints[usize::from(*place)].count(second);
                }
            }
            // What no route takes is nobody's service (see `strays`).
            let route = record
                .route
                .and_then(|at| places.routes.get(usize::from(at)));
            let Some(route) = route else { continue };
            let route = &mut self.routes[*route];
            let (is_answered, shown) = symptom::of(record, route.slow_over());
            let clue = shown.map(|(symptom, how)| {
                let endpoint =
                    symptom::endpoint(record, symptom).and_then(|(upstream, endpoint)| {
                        let endpoints = places.endpoints.get(usize::from(upstream))?;
                        endpoints.get(usize::from(endpoint)).copied()
                    });
                Clue {
                    symptom,
                    how,
                    endpoint,
                }
            });
            route.count(second, is_answered, clue);
            if is_answered && clue.is_none_or(|it| it.symptom != Symptom::Failing) {
                route.paces.count(second, record.pace());
            }
        }
    }

    /// Finds the places of a plan's names, once a plan. Around a reload batches of both plans come in turns, so what the
    /// other one names is forgotten only when it has become much. Clues point to places of endpoints: a place stays an
    /// endpoint's for ever, 65,536 of them.
    fn turn_to(&mut self, plan: &Arc<Plan>) {
        if self
            .places
            .as_ref()
            .is_some_and(|it| Arc::ptr_eq(&it.plan, plan))
        {
            return;
        }
        if self.routes.len() > 2 * plan.routes.len() + 64 {
            self.routes.retain(|known| {
                let mut names = plan.routes.iter().map(|it| it.name.as_str());
                names.any(|name| name == &*known.name)
            });
        }
        let routes = plan
            .routes
            .iter()
            .map(|route| {
                let name = route.name.as_str();
                let known = self.routes.iter().position(|it| &*it.name == name);
                let at = known.unwrap_or_else(|| {
                    self.routes.push(Route::new(name));
                    self.routes.len() - 1
                });
                let latency = route.slo.as_ref().and_then(|slo| slo.latency.as_ref());
                self.routes[at].objective = latency.map(|it| it.within);
                at
            })
            .collect();
        let endpoints = plan
            .upstreams
            .iter()
            .map(|upstream| {
                let name = upstream.name.as_str();
                let addresses = upstream.endpoints.iter().map(|it| it.address.to_string());
                addresses
                    .filter_map(|address| self.endpoint_place(name, &address))
                    .collect()
            })
            .collect();
        self.places = Some(Places {
            plan: Arc::clone(plan),
            routes,
            endpoints,
        });
    }

    fn endpoint_place(&mut self, upstream: &str, address: &str) -> Option<u16> {
        let known = self
            .endpoints
            .iter()
            .position(|it| &*it.upstream == upstream && &*it.address == address);
        let at = known.unwrap_or(self.endpoints.len());
        let place = u16::try_from(at).ok()?;
        if at == self.endpoints.len() {
            self.endpoints.push(Endpoint::new(upstream, address));
        }
        Some(place)
    }

    /// Has each route's watches look at the second before `now`.
    pub(super) fn look(&mut self, now: u64) {
        for route in &mut self.routes {
            route.look(now);
        }
    }

    /// The names of the other upstreams that a route is split over, and of the other routes to the same upstreams.
    pub(super) fn relatives(&self, route: &str) -> (Vec<&str>, Vec<&str>) {
        let Some(Places { plan, .. }) = &self.places else {
            return (Vec::new(), Vec::new());
        };
        let Some(me) = plan.routes.iter().find(|it| it.name.as_str() == route) else {
            return (Vec::new(), Vec::new());
        };
        let mine = |upstream: usize| me.to.iter().any(|it| it.upstream == upstream);
        let upstreams = me
            .to
            .iter()
            .filter_map(|it| plan.upstreams.get(it.upstream));
        let others = plan.routes.iter().filter(|it| it.name.as_str() != route);
        let others = others.filter(|it| it.to.iter().any(|split| mine(split.upstream)));
        (
            upstreams.map(|it| it.name.as_str()).collect(),
            others.map(|it| it.name.as_str()).collect(),
        )
    }

    /// How many endpoints an upstream has now.
    pub(super) fn size_of(&self, upstream: &str) -> usize {
        let plan = self.places.as_ref().map(|it| &it.plan);
        let found = plan.and_then(|it| it.upstreams.iter().find(|it| it.name.as_str() == upstream));
        found.map_or(0, |it| it.endpoints.len())
    }
}

// === impl Route ===

impl Route {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            watches: std::array::from_fn(|_| Watch::new()),
            paces: Paces::new(),
            objective: None,
            seconds: vec![Second::default(); SECONDS].into_boxed_slice(),
        }
    }

    /// What takes longer is slow: what its objective says, or what is unusual, whichever is shorter.
    pub(super) fn slow_over(&self) -> Option<Duration> {
        let learned = self.paces.slow_over();
        learned.into_iter().chain(self.objective).min()
    }

    fn count(&mut self, at: u64, is_answered: bool, clue: Option<Clue>) {
        let second = &mut self.seconds[place(at)];
        if second.at < at {
            second.clues.clear();
            let clues = std::mem::take(&mut second.clues);
            *second = Second {
                at,
                clues,
                ..Second::default()
            };
        }
        if second.at != at {
            return; // five minutes late
        }
        second.all = second.all.saturating_add(1);
        second.answered = second.answered.saturating_add(u32::from(is_answered));
        let Some(clue) = clue else { return };
        let bad = &mut second.bad[clue.symptom as usize];
        *bad = bad.saturating_add(1);
        let known = second.clues.iter().position(|(it, _)| *it == clue);
        let clue = match known {
            None if second.clues.len() >= CLUES => Clue {
                how: How::Other,
                endpoint: None,
                ..clue
            },
            _ => clue,
        };
        match second.clues.iter_mut().find(|(it, _)| *it == clue) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => second.clues.push((clue, 1)),
        }
    }

    fn look(&mut self, now: u64) {
        let seconds = &self.seconds;
        for (symptom, watch) in Symptom::ALL.into_iter().zip(&mut self.watches) {
            watch.look(now, |at| of(seconds, symptom, at));
        }
        let is_wrong = [Symptom::Failing, Symptom::Slow]
            .into_iter()
            .any(|symptom| self.watches[symptom as usize].since().is_some());
        self.paces.learn(now, is_wrong);
    }

    /// What it counted of a symptom from one second until before another.
    pub(super) fn sum(&self, symptom: Symptom, from: u64, until: u64) -> Count {
        (from..until).map(|at| of(&self.seconds, symptom, at)).sum()
    }

    /// The clues to a symptom in that time, the most frequent first.
    pub(super) fn clues(&self, symptom: Symptom, from: u64, until: u64) -> Vec<(Clue, u64)> {
        let mut sums: Vec<(Clue, u64)> = Vec::new();
        for second in (from..until).filter_map(|at| second(&self.seconds, at)) {
            for (clue, count) in second.clues.iter().filter(|(it, _)| it.symptom == symptom) {
                match sums.iter_mut().find(|(known, _)| known == clue) {
                    Some((_, sum)) => *sum += u64::from(*count),
                    None => sums.push((*clue, (*count).into())),
                }
            }
        }
        sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        sums
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn new(upstream: &str, address: &str) -> Self {
        Self {
            upstream: upstream.into(),
            address: address.into(),
            seconds: vec![(0, 0); SECONDS].into_boxed_slice(),
        }
    }

    fn count(&mut self, at: u64) {
        let second = &mut self.seconds[place(at)];
        if second.0 < at {
            *second = (at, 0);
        }
        if second.0 == at {
            second.1 = second.1.saturating_add(1);
        }
    }

    /// How many attempts ended there in that time.
    pub(super) fn attempts(&self, from: u64, until: u64) -> u64 {
        (from..until)
            .map(|at| match self.seconds[place(at)] {
                (second, count) if second == at => count.into(),
                _ => 0,
            })
            .sum()
    }
}

/// One more than is looked back at: the present second is being counted.
#[allow(clippy::cast_possible_truncation, reason = "a small constant")]
pub(super) const SECONDS: usize = REACH as usize + 2;

/// The place of a second among so many.
pub(super) fn place(at: u64) -> usize {
    usize::try_from(at % SECONDS as u64).unwrap_or_default()
}

fn second(seconds: &[Second], at: u64) -> Option<&Second> {
    Some(&seconds[place(at)]).filter(|second| second.at == at)
}

fn of(seconds: &[Second], symptom: Symptom, at: u64) -> Count {
    let Some(second) = second(seconds, at) else {
        return Count::default();
    };
    let of = match symptom.is_of_answered() {
        true => second.answered,
        false => second.all,
    };
    Count {
        of: of.into(),
        bad: second.bad[symptom as usize].into(),
    }
}
