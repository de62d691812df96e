//! The series that carry a configured name: created when they are first seen, carried over a reload by name, gone with
//! the name.
//!
//! The exporter of the `metrics` facade cannot forget a series, and its histograms know no exemplars; hence this second
//! home. A series has a cell for each worker that has seen it, which that worker alone writes, and the scrape adds the
//! cells up. Looking a series up takes a lock; it happens once a worker, series and generation, when a desk or a layer
//! resolves its handle. A scrape holds the lock only while it copies references, never while it writes text.

mod asked;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use asked::Refused;

use super::Counter;
use super::family::{self, Family, Kind};
use super::governor::{Governor, Value};
use super::histogram::{DURATIONS, Histogram, Snapshot};
use super::page::{Draw, Page};
use crate::config::{Metrics, Name, Plan, Route};
use crate::exchange::Gauge;
use crate::telemetry::label;
use crate::telemetry::slo::{self, Counts};

/// All series that carry a configured name.
#[derive(Debug, Default)]
pub struct Catalogue {
    series: Mutex<Series>,
    /// Whether latencies are counted in native buckets as well.
    has_native: bool,
    /// The labels that hold what clients say.
    governor: Arc<Governor>,
    /// How many series a family may have where clients and upstreams choose among them; 0 is any number.
    max_series: usize,
}

#[derive(Default)]
struct Series {
    histograms: Table<Histogram>,
    counters: Table<Counter>,
    gauges: Table<Gauge>,
    draws: Vec<Weak<dyn Draw>>,
    /// How many label sets of histograms there are, by family, and how many were refused.
    counts: BTreeMap<&'static str, (usize, u64)>,
    generation: u32,
    hash: String,
    /// Who is in the configuration in force.
    owners: HashSet<Owner>,
}

/// The series of one type, by family and labels: in the order of the page.
type Table<C> = BTreeMap<(&'static str, Arc<str>), Entry<C>>;

struct Entry<C> {
    family: &'static Family,
    owner: Owner,
    /// The values of its free labels: it goes with any of them.
    values: Box<[Arc<Value>]>,
    /// Each with the worker that writes it.
    cells: Arc<[(u16, Arc<C>)]>,
}

/// Whose series it is: what must be in the configuration for it to stay.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::telemetry) enum Owner {
    /// Nobody's in particular.
    Process,
    /// A listener's.
    Listener(Name),
    /// A route's.
    Route(Name),
    /// A route's, with the path pattern that it had.
    Pattern(Name, Box<str>),
    /// A route's, with one of its objectives.
    Slo(Name, &'static str),
    /// An upstream's.
    Upstream(Name),
    /// An endpoint's of an upstream.
    Endpoint(Name, Box<str>),
}

/// A series, and who is to write it.
#[derive(Debug)]
pub(in crate::telemetry) struct Wanted<'a> {
    /// The family.
    pub(in crate::telemetry) family: &'static Family,
    /// The values of its labels, in the family's order.
    pub(in crate::telemetry) labels: &'a [&'a str],
    /// Whose it is.
    pub(in crate::telemetry) owner: Owner,
    /// Who writes.
    pub(in crate::telemetry) writer: Writer,
}

/// Who writes a cell.
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) enum Writer {
    /// Any thread.
    Any,
    /// This worker alone, for exchanges of this generation.
    Worker {
        /// The worker.
        index: u16,
        /// The configuration.
        generation: u32,
    },
}

/// A series without free labels.
const NO_VALUES: (&str, &[Arc<Value>]) = ("", &[]);

/// Cells that no worker has to itself.
const SHARED: u16 = u16::MAX;

// === impl Catalogue ===

impl Catalogue {
    /// One without series.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// One without series, for what this configuration asks for.
    #[must_use]
    pub fn of(metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self {
            series: Mutex::default(),
            has_native: metrics.native_histograms,
            governor: Arc::new(Governor::new(metrics)),
            max_series: usize::try_from(metrics.max_series).unwrap_or(usize::MAX),
        })
    }

    /// A configuration is in force: series of names that it does not have go. Call it after the graph was swapped.
    pub fn adopt(&self, plan: &Plan, generation: u32) {
        let mut series = self.lock();
        series.generation = generation;
        series.hash.clone_from(&plan.hash);
        series.owners = owners(plan);
        let Series {
            histograms, owners, ..
        } = &mut *series;
        histograms.retain(|_, entry| owners.contains(&entry.owner));
        series.recount();
        let Series {
            counters,
            gauges,
            owners,
            ..
        } = &mut *series;
        counters.retain(|_, entry| owners.contains(&entry.owner));
        gauges.retain(|_, entry| owners.contains(&entry.owner));
    }

    /// At each scrape `draw` is asked for what it knows, as long as it lives.
    pub fn draw_with(&self, draw: Weak<dyn Draw>) {
        let mut series = self.lock();
        series.draws.retain(|known| known.strong_count() > 0);
        series.draws.push(draw);
    }

    /// How many events of an objective there have been. Its series are on the page from now on, where the configuration
    /// in force has it.
    pub(in crate::telemetry) fn slo_counts(&self, route: &Name, slo: &'static str) -> Counts {
        let owner = Owner::Slo(route.clone(), slo);
        let series = &mut *self.lock();
        if !series.owners.contains(&owner) {
            return Counts::default();
        }
        let family = &family::SLO_EVENTS;
        let [good, bad] = ["good", "bad"].map(|result| {
            let labels: Arc<str> = family.pairs(&[route.as_str(), slo, result]).into();
            let entry = series.counters.entry((family.name, labels));
            let entry = entry.or_insert_with(|| Entry {
                family,
                owner: owner.clone(),
                values: Box::default(),
                cells: Arc::default(),
            });
            entry.cells.iter().map(|(_, cell)| cell.get()).sum()
        });
        Counts { good, bad }
    }

    /// The histogram of a series, as its writer sees it.
    pub(in crate::telemetry) fn histogram(&self, wanted: Wanted<'_>) -> Arc<Histogram> {
        let mut series = self.lock();
        self.resolve(&mut series, wanted, "", &[])
    }

    /// The same with these values of the free labels, and `None` where the family has as many series as it may.
    pub(in crate::telemetry) fn histogram_within(
        &self,
        wanted: Wanted<'_>,
        values: &[Arc<Value>],
    ) -> Option<Arc<Histogram>> {
        let free = std::iter::zip(self.governor.names(), values);
        let free = label::pairs(free.map(|(name, value)| (name, &*value.text)));
        let Kind::Histogram(buckets) = wanted.family.kind else {
            return None;
        };
        let mut series = self.lock();
        // Each bucket is a series, and so are sum and count.
        let most = self.max_series / (buckets.labels().len() + 2);
        let count = series.counts.get(wanted.family.name).map_or(0, |it| it.0);
        if self.max_series > 0 && count >= most {
            let labels = wanted.family.pairs_with(wanted.labels, &free);
            if !series
                .histograms
                .contains_key(&(wanted.family.name, labels.into()))
            {
                series.counts.entry(wanted.family.name).or_default().1 += 1;
                return None;
            }
        }
        Some(self.resolve(&mut series, wanted, &free, values))
    }

    /// The same where there is no room either: for label sets that configured names alone multiply.
    pub(in crate::telemetry) fn histogram_anyway(
        &self,
        wanted: Wanted<'_>,
        values: &[Arc<Value>],
    ) -> Arc<Histogram> {
        let free = std::iter::zip(self.governor.names(), values);
        let free = label::pairs(free.map(|(name, value)| (name, &*value.text)));
        let mut series = self.lock();
        self.resolve(&mut series, wanted, &free, values)
    }

    fn resolve(
        &self,
        series: &mut Series,
        wanted: Wanted<'_>,
        free: &str,
        values: &[Arc<Value>],
    ) -> Arc<Histogram> {
        let family = wanted.family;
        let buckets = match family.kind {
            Kind::Histogram(buckets) => buckets,
            Kind::Counter | Kind::Gauge => &DURATIONS, // a table that contradicts its user: a test's business
        };
        let is_shown = series.shows(&wanted);
        let is_native = self.has_native && family.kind.is_native();
        let before = series.histograms.len();
        let cell = cell(
            &mut series.histograms,
            wanted,
            (free, values),
            is_shown,
            |known| {
                let cell = known.map_or_else(|| Histogram::new(buckets), Histogram::beside);
                if is_native { cell.with_native() } else { cell }
            },
        );
        if series.histograms.len() > before {
            series.counts.entry(family.name).or_default().0 += 1;
        }
        cell
    }

    /// The labels that hold what clients say.
    pub(in crate::telemetry) fn governor(&self) -> &Arc<Governor> {
        &self.governor
    }

    /// The counter of a series, as its writer sees it.
    pub(in crate::telemetry) fn counter(&self, wanted: Wanted<'_>) -> Counter {
        let mut series = self.lock();
        let is_shown = series.shows(&wanted);
        Counter::clone(&cell(
            &mut series.counters,
            wanted,
            NO_VALUES,
            is_shown,
            |_| Counter::default(),
        ))
    }

    /// The gauge of a series, as its writer sees it.
    pub(in crate::telemetry) fn gauge(&self, wanted: Wanted<'_>) -> Gauge {
        let mut series = self.lock();
        let is_shown = series.shows(&wanted);
        Gauge::clone(&cell(
            &mut series.gauges,
            wanted,
            NO_VALUES,
            is_shown,
            |_| Gauge::default(),
        ))
    }

    /// Writes all series. The lock is held only while references are copied.
    pub(super) fn draw(&self, page: &mut Page) {
        let (histograms, counters, gauges, draws, hash, counts) = {
            let mut series = self.lock();
            if self.governor.has_gone() {
                let stays = |entry: &Entry<_>| !entry.values.iter().any(|value| value.is_gone());
                series.histograms.retain(|_, entry| stays(entry));
                series.recount();
            }
            (
                copy(&series.histograms),
                copy(&series.counters),
                copy(&series.gauges),
                series.draws.clone(),
                series.hash.clone(),
                series.counts.clone(),
            )
        };
        for (family, labels, cells) in histograms {
            let Kind::Histogram(buckets) = family.kind else {
                continue;
            };
            let mut all = Snapshot::new(buckets);
            cells.iter().for_each(|(_, cell)| cell.add_to(&mut all));
            page.histogram(family, &labels, buckets, &all);
        }
        for (family, labels, cells) in counters {
            let sum: u64 = cells.iter().map(|(_, cell)| cell.get()).sum();
            // Handles are resolved before anything is counted. Where more than a configured name tells series apart, one
            // that nobody has counted yet says nothing.
            if sum > 0 || family.begins_at_zero() {
                page.integer(family, &labels, i128::from(sum));
            }
        }
        for (family, labels, cells) in gauges {
            let sum: i64 = cells.iter().map(|(_, cell)| cell.get()).sum();
            page.integer(family, &labels, i128::from(sum));
        }
        if !hash.is_empty() {
            page.count(&family::CONFIG_INFO, &[&hash], 1);
        }
        for (label, count) in self.governor.overflows() {
            page.count(&family::LABEL_OVERFLOW, &[label], count);
        }
        for (family, (_, refused)) in counts.into_iter().filter(|(_, (_, refused))| *refused > 0) {
            page.count(&family::SERIES_OVERFLOW, &[family], refused);
        }
        for draw in draws.iter().filter_map(Weak::upgrade) {
            draw.draw(page);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// References to the cells of every series.
type Copied<C> = Vec<(&'static Family, Arc<str>, Arc<[(u16, Arc<C>)]>)>;

fn copy<C>(table: &Table<C>) -> Copied<C> {
    table
        .iter()
        .map(|((_, labels), entry)| (entry.family, Arc::clone(labels), Arc::clone(&entry.cells)))
        .collect()
}

/// The cell of a writer; `new` makes it, beside another of the series where there is one.
fn cell<C>(
    table: &mut Table<C>,
    wanted: Wanted<'_>,
    (free, values): (&str, &[Arc<Value>]),
    is_shown: bool,
    new: impl FnOnce(Option<&C>) -> C,
) -> Arc<C> {
    if !is_shown {
        return Arc::new(new(None));
    }
    let labels: Arc<str> = wanted.family.pairs_with(wanted.labels, free).into();
    let entry = table
        .entry((wanted.family.name, labels))
        .or_insert_with(|| Entry {
            family: wanted.family,
            owner: wanted.owner,
            values: values.into(),
            cells: Arc::default(),
        });
    let worker = match wanted.writer {
        Writer::Any => SHARED,
        Writer::Worker { index, .. } => index,
    };
    if let Some((_, cell)) = entry.cells.iter().find(|(known, _)| *known == worker) {
        return Arc::clone(cell);
    }
    let cell = Arc::new(new(entry.cells.first().map(|(_, cell)| &**cell)));
    let added = std::iter::once((worker, Arc::clone(&cell)));
    entry.cells = entry.cells.iter().cloned().chain(added).collect();
    cell
}

/// Everybody who is in a plan.
fn owners(plan: &Plan) -> HashSet<Owner> {
    let unmatched = Name::new(label::UNMATCHED);
    let mut owners = HashSet::from([
        Owner::Process,
        Owner::Route(unmatched.clone()),
        Owner::Pattern(unmatched, Box::from("")),
    ]);
    for listener in &plan.listeners {
        owners.insert(Owner::Listener(listener.name.clone()));
    }
    for route in &plan.routes {
        owners.insert(Owner::Route(route.name.clone()));
        owners.insert(Owner::pattern(route));
    }
    for objective in slo::of_plan(plan) {
        owners.insert(Owner::Slo(objective.route, objective.slo));
    }
    for upstream in &plan.upstreams {
        owners.insert(Owner::Upstream(upstream.name.clone()));
        for endpoint in &upstream.endpoints {
            owners.insert(Owner::Endpoint(
                upstream.name.clone(),
                endpoint.address.to_string().into(),
            ));
        }
    }
    owners
}

// === impl Series ===

impl Series {
    /// Counts the label sets anew, after some have gone.
    fn recount(&mut self) {
        self.counts.values_mut().for_each(|(count, _)| *count = 0);
        for (family, _) in self.histograms.keys() {
            self.counts.entry(family).or_default().0 += 1;
        }
    }

    /// Whether the page shows a series: an exchange that outlived its route must not bring the route's series back.
    fn shows(&self, wanted: &Wanted<'_>) -> bool {
        match wanted.writer {
            Writer::Worker { generation, .. } if generation < self.generation => {
                self.owners.contains(&wanted.owner)
            }
            _ => true,
        }
    }
}

// === impl Owner ===

impl Owner {
    /// A route's, with its path pattern.
    pub(in crate::telemetry) fn pattern(route: &Route) -> Self {
        Self::Pattern(route.name.clone(), route.matches.path.as_str().into())
    }
}

impl std::fmt::Debug for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Series")
            .field("histograms", &self.histograms.len())
            .field("counters", &self.counters.len())
            .field("gauges", &self.gauges.len())
            .finish_non_exhaustive()
    }
}
