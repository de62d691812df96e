//! The series that carry a configured name: created when they are first seen, carried over a reload by name, gone some
//! minutes after the name.
//!
//! An exchange whose route a reload took away may still be under way, and what was counted before may not be scraped yet:
//! so the series of a name stay for a [`FAREWELL`] after it. Those of an endpoint go at once: who looks at endpoints wants
//! those that there are.
//!
//! The exporter of the `metrics` facade cannot forget a series, and its histograms know no exemplars; hence this second
//! home. A series has a cell for each worker that has seen it, which that worker alone writes, and the scrape adds the
//! cells up. Looking a series up takes a lock; it happens once a worker, series and generation, when a desk or a layer
//! resolves its handle. A scrape holds the lock only while it copies references, never while it writes text.

mod asked;
mod owner;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

pub use asked::Refused;
pub(in crate::telemetry) use owner::Owner;

use super::Counter;
use super::family::{self, Family, Kind};
use super::governor::{Governor, Value};
use super::histogram::{DURATIONS, Histogram, Snapshot};
use super::page::{Draw, Page};
use crate::config::{Metrics, Name, Plan};
use crate::exchange::Gauge;
use crate::telemetry::label;
use crate::telemetry::slo::Counts;

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
    /// Who no longer is, and since when.
    leaving: HashMap<Owner, Instant>,
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

/// How long series stay whose name has left the configuration: longer than scrapes are apart, and than nearly all exchanges
/// last.
const FAREWELL: Duration = Duration::from_mins(5);

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

    /// A configuration is in force: series of names that it does not have are to go. Call it after the graph was swapped.
    pub fn adopt(&self, plan: &Plan, generation: u32) {
        let now = Instant::now();
        self.part(now);
        let owners = owner::all_of(plan);
        let mut series = self.lock();
        series.generation = generation;
        series.hash.clone_from(&plan.hash);
        let mut leaving = std::mem::take(&mut series.leaving);
        let before = std::mem::take(&mut series.owners).into_iter();
        leaving.extend(before.filter(Owner::lingers).map(|owner| (owner, now)));
        leaving.retain(|owner, _| !owners.contains(owner));
        series.keep(|owner| owners.contains(owner) || leaving.contains_key(owner));
        (series.owners, series.leaving) = (owners, leaving);
    }

    /// The series go whose farewell is over at this moment. To be called every few seconds.
    pub(super) fn part(&self, now: Instant) {
        let is_over = |since| now.saturating_duration_since(since) >= FAREWELL;
        self.lock().dismiss(|_, since| is_over(since));
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
        let is_full = |series: &Series| {
            let count = series.counts.get(wanted.family.name);
            self.max_series > 0 && count.is_some_and(|it| it.0 >= most)
        };
        if is_full(&series) {
            let labels = wanted.family.pairs_with(wanted.labels, &free);
            let key = (wanted.family.name, labels.into());
            if !series.histograms.contains_key(&key) {
                series.make_room(wanted.family.name);
                if is_full(&series) {
                    series.counts.entry(wanted.family.name).or_default().1 += 1;
                    return None;
                }
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
        series.put_off(&wanted);
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
        series.put_off(&wanted);
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
        series.put_off(&wanted);
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

// === impl Series ===

impl Series {
    /// Counts the label sets anew, after some have gone.
    fn recount(&mut self) {
        self.counts.values_mut().for_each(|(count, _)| *count = 0);
        for (family, _) in self.histograms.keys() {
            self.counts.entry(family).or_default().0 += 1;
        }
    }

    /// Keeps the series of these owners.
    fn keep(&mut self, stays: impl Fn(&Owner) -> bool) {
        self.histograms.retain(|_, entry| stays(&entry.owner));
        self.counters.retain(|_, entry| stays(&entry.owner));
        self.gauges.retain(|_, entry| stays(&entry.owner));
        self.recount();
    }

    /// Drops the series of those who are leaving and of whom this says so. Not those of names that are nowhere yet: the
    /// next configuration looks its series up before it is in force.
    fn dismiss(&mut self, is_over: impl Fn(&Owner, Instant) -> bool) {
        let leaving = std::mem::take(&mut self.leaving).into_iter();
        let (gone, leaving): (HashMap<_, _>, _) =
            leaving.partition(|(owner, since)| is_over(owner, *since));
        self.leaving = leaving;
        if !gone.is_empty() {
            self.keep(|owner| !gone.contains_key(owner));
        }
    }

    /// Drops the series of those who are leaving and have some in this family.
    fn make_room(&mut self, family: &'static str) {
        if self.leaving.is_empty() {
            return;
        }
        let of_family = (self.histograms.iter()).filter(|((name, _), _)| *name == family);
        let owners: HashSet<Owner> = of_family.map(|(_, entry)| entry.owner.clone()).collect();
        self.dismiss(|owner, _| owners.contains(owner));
    }

    /// Whoever looks a series up of a name that is leaving puts that off: an exchange that is still under way, or the next
    /// configuration, which looks its series up before it is in force.
    fn put_off(&mut self, wanted: &Wanted<'_>) {
        if let Some(since) = self.leaving.get_mut(&wanted.owner) {
            *since = Instant::now();
        }
    }

    /// Whether the page shows a series: an exchange that has outlived its route and its farewell must not bring the
    /// route's series back.
    fn shows(&self, wanted: &Wanted<'_>) -> bool {
        match wanted.writer {
            Writer::Worker { generation, .. } if generation < self.generation => {
                let owner = &wanted.owner;
                self.owners.contains(owner) || self.leaving.contains_key(owner)
            }
            _ => true,
        }
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
