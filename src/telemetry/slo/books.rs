//! The objectives of the configuration in force, and how they stand.
//!
//! A handle that the admin port, the scrape and the telemetry thread share. Objectives are known by route and kind, so
//! that a reload carries their past over; one whose `within` has changed begins anew, since what it counted before was
//! something else. Time comes in as what has passed since the start, so that tests live through days.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::history::History;
use super::{AVAILABILITY, Counts, LATENCY, MIN_EVENTS, WINDOWS};
use crate::config::{DurationWritten, FAST_BURN, Name, Plan, Share};
use crate::telemetry::desk::Batch;
use crate::telemetry::metrics::{Catalogue, Draw, Page, family};
use crate::telemetry::reader::ReadRecords;
use crate::telemetry::{Event, emit};

/// All objectives. A handle: clones share them.
#[derive(Clone)]
pub struct Slos(Arc<Shared>);

struct Shared {
    catalogue: Arc<Catalogue>,
    started: Instant,
    on_burn: OnBurn,
    objectives: Mutex<Vec<Watched>>,
}

/// Told on the telemetry thread when a budget begins to burn fast; must not take long.
pub type OnBurn = Box<dyn Fn(&Burning) + Send + Sync>;

/// One promise of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// The route.
    pub route: Name,
    /// Which promise: [`AVAILABILITY`] or [`LATENCY`].
    pub slo: &'static str,
    /// The share that is promised, above 0 and below 1.
    pub share: Share,
    /// What is fast, where it is latency that is promised.
    pub within: Option<Duration>,
    /// Over how long the error budget is counted.
    pub window: Duration,
}

/// How an objective stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The objective.
    pub objective: Objective,
    /// Events since the start of the process.
    pub counts: Counts,
    /// In the order of [`WINDOWS`]: what happened, `None` where the window was not lived through.
    pub windows: [Option<Counts>; WINDOWS.len()],
    /// What happened in the budget's window, as far as it was lived through.
    pub in_budget: Counts,
    /// How far that is.
    pub lived: Duration,
    /// Whether the budget burns fast.
    pub is_burning: bool,
}

/// A budget burns fast: at least 14.4 times as fast as it may, over five minutes and over an hour.
#[derive(Clone, Debug)]
pub struct Burning {
    /// The route.
    pub route: Name,
    /// Which promise.
    pub slo: &'static str,
    /// The burn rate over five minutes.
    pub over_5m: f64,
    /// The burn rate over an hour.
    pub over_1h: f64,
}

struct Watched {
    objective: Objective,
    history: History,
    is_burning: bool,
}

// === impl Slos ===

impl Slos {
    /// No objectives yet, counted in `catalogue`; `on_burn` is told when a budget begins to burn fast.
    #[must_use]
    pub fn new(catalogue: &Arc<Catalogue>, on_burn: OnBurn) -> Self {
        Self(Arc::new(Shared {
            catalogue: Arc::clone(catalogue),
            started: Instant::now(),
            on_burn,
            objectives: Mutex::default(),
        }))
    }

    /// A configuration is in force. Call it after the catalogue has adopted it.
    pub fn adopt(&self, plan: &Plan) {
        self.adopt_at(plan, self.now());
    }

    /// How every objective stands now, in the order of the routes.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        self.standings_at(self.now())
    }

    /// What draws them at a scrape.
    #[must_use]
    pub fn drawn(&self) -> Arc<dyn Draw> {
        Arc::clone(&self.0) as Arc<dyn Draw>
    }

    fn now(&self) -> Duration {
        self.0.started.elapsed()
    }

    fn adopt_at(&self, plan: &Plan, now: Duration) {
        let mut objectives = self.0.lock();
        let mut before = std::mem::take(&mut *objectives);
        for objective in of_plan(plan) {
            let known = before.iter().position(|watched| {
                let known = &watched.objective;
                (&known.route, known.slo, known.within)
                    == (&objective.route, objective.slo, objective.within)
            });
            let counts = self.0.catalogue.slo_counts(&objective.route, objective.slo);
            let watched = match known.map(|place| before.swap_remove(place)) {
                Some(mut watched) => {
                    watched.history.set_window(objective.window);
                    watched.objective = objective;
                    watched
                }
                None => Watched {
                    history: History::new(now, counts, objective.window),
                    is_burning: false,
                    objective,
                },
            };
            objectives.push(watched);
        }
    }

    fn standings_at(&self, now: Duration) -> Vec<Standing> {
        self.0.standings_at(now)
    }

    /// Keeps what is now, and tells of budgets that have begun to burn fast or have ceased to.
    fn sample_at(&self, now: Duration) {
        let mut told = Vec::new();
        for watched in self.0.lock().iter_mut() {
            let counts = self.0.counts(&watched.objective);
            watched.history.sample(now, counts);
            let standing = watched.standing(now, counts);
            let burning = standing.burning();
            if burning.is_some() != watched.is_burning {
                watched.is_burning = burning.is_some();
                told.push((standing.objective, burning));
            }
        }
        for (Objective { route, slo, .. }, burning) in told {
            match burning {
                Some(burning) => {
                    let (over_5m, over_1h) = (burning.over_5m, burning.over_1h);
                    emit(Event::SloBurning {
                        route,
                        slo,
                        over_5m,
                        over_1h,
                    });
                    (self.0.on_burn)(&burning);
                }
                None => emit(Event::SloBurnEnded { route, slo }),
            }
        }
    }
}

impl ReadRecords for Slos {
    /// What is read are the counters; see [`ReadRecords::tick`].
    fn read(&mut self, _: &Batch) {}

    fn tick(&mut self) {
        self.sample_at(self.now());
    }
}

impl std::fmt::Debug for Slos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slos").finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    fn counts(&self, objective: &Objective) -> Counts {
        self.catalogue.slo_counts(&objective.route, objective.slo)
    }

    fn standings_at(&self, now: Duration) -> Vec<Standing> {
        let objectives = self.lock();
        let standing = |watched: &Watched| watched.standing(now, self.counts(&watched.objective));
        objectives.iter().map(standing).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.objectives
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Draw for Shared {
    fn draw(&self, page: &mut Page) {
        for standing in self.standings_at(self.started.elapsed()) {
            let Objective {
                route, slo, share, ..
            } = &standing.objective;
            let labels = [route.as_str(), slo];
            page.sample(&family::SLO_OBJECTIVE, &labels, share.0);
            page.sample(&family::SLO_BUDGET, &labels, standing.budget_left());
            for ((window, _), rate) in WINDOWS.iter().zip(standing.burn_rates()) {
                if let Some(rate) = rate {
                    let labels = [route.as_str(), slo, window];
                    page.sample(&family::SLO_BURN_RATE, &labels, rate);
                }
            }
        }
    }
}

// === impl Watched ===

impl Watched {
    fn standing(&self, now: Duration, counts: Counts) -> Standing {
        let (in_budget, lived) = self.history.budget(now, counts);
        Standing {
            objective: self.objective.clone(),
            counts,
            windows: WINDOWS.map(|(_, length)| self.history.window(length, now, counts)),
            in_budget,
            lived,
            is_burning: self.is_burning,
        }
    }
}

// === impl Standing ===

impl Standing {
    /// How fast the budget burns over each of [`WINDOWS`]: 1 spends it in exactly the objective's window. `None` where
    /// the process has not lived through the window.
    #[must_use]
    pub fn burn_rates(&self) -> [Option<f64>; WINDOWS.len()] {
        let allowed = self.objective.allowed();
        self.windows
            .map(|counts| counts.map(|counts| counts.bad_share() / allowed))
    }

    /// The share of the error budget that is left, of what happened in its window as far as the process has lived
    /// through it: 1 where nothing was bad, below 0 where more was bad than is allowed.
    #[must_use]
    pub fn budget_left(&self) -> f64 {
        1.0 - self.in_budget.bad_share() / self.objective.allowed()
    }

    /// What is told where the budget burns fast.
    fn burning(&self) -> Option<Burning> {
        let [over_5m, _, over_1h, ..] = self.burn_rates();
        let (over_5m, over_1h) = (over_5m?, over_1h?);
        let events = self.windows[2].map_or(0, Counts::events);
        let is_fast = over_5m >= FAST_BURN && over_1h >= FAST_BURN && events >= MIN_EVENTS;
        is_fast.then(|| Burning {
            route: self.objective.route.clone(),
            slo: self.objective.slo,
            over_5m,
            over_1h,
        })
    }
}

// === impl Objective ===

impl Objective {
    /// The share of events that may be bad.
    #[must_use]
    pub fn allowed(&self) -> f64 {
        1.0 - self.share.0
    }

    /// What is promised, in words: `availability 99.9%`, `latency 99% within 300ms`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { slo, share, .. } = self;
        match self.within {
            Some(within) => format!("{slo} {share} within {}", DurationWritten(within)),
            None => format!("{slo} {share}"),
        }
    }
}

/// The objectives of a plan, in the order of its routes.
#[must_use]
pub fn of_plan(plan: &Plan) -> Vec<Objective> {
    let mut objectives = Vec::new();
    for route in &plan.routes {
        let Some(slo) = &route.slo else { continue };
        let objective = |kind, share, within| Objective {
            route: route.name.clone(),
            slo: kind,
            share,
            within,
            window: slo.window,
        };
        if let Some(share) = slo.availability {
            objectives.push(objective(AVAILABILITY, share, None));
        }
        if let Some(latency) = slo.latency {
            objectives.push(objective(LATENCY, latency.share, Some(latency.within)));
        }
    }
    objectives
}

#[cfg(test)]
mod tests;
