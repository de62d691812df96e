//! The live 99th percentile of routes, for `slower_than: p99`.
//!
//! The telemetry thread counts the exchanges of such routes in a window of five minutes, minute by minute, and writes the
//! percentile once a second where workers read it: one relaxed load an exchange. Until the window holds
//! [`ENOUGH`] exchanges nothing is slow, since the percentile of a few is the slowest of them. Buckets are a sixteenth of
//! their octave wide and a bucket counts as its upper bound, so that the limit is at most a sixteenth too high and about
//! one exchange in a hundred, never much more, is kept for it. Memory: 11 KiB a route that asks for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::sampling::slower_than;
use crate::config::{Name, Plan, SlowerThan};
use crate::telemetry::desk::Batch;
use crate::telemetry::reader::ReadRecords;

/// The live 99th percentiles, by the route's name. A handle: clones share them.
#[derive(Clone, Debug, Default)]
pub struct LivePaces(Arc<Mutex<BTreeMap<Name, Arc<AtomicU64>>>>);

/// The reader that keeps them up to date.
#[derive(Debug)]
pub struct WatchPaces {
    paces: LivePaces,
    windows: HashMap<Name, Window>,
    /// The newest plan that was seen.
    asked: Option<Asked>,
    told: Instant,
}

/// Who asks in a plan.
#[derive(Debug)]
struct Asked {
    plan: Arc<Plan>,
    generation: u32,
    /// The names of those routes that ask, by place in the plan.
    routes: Box<[Option<Name>]>,
}

/// The last minutes of a route.
#[derive(Debug)]
struct Window {
    pace: Arc<AtomicU64>,
    minutes: [Box<[u32; BUCKETS]>; MINUTES],
    /// When the present minute began.
    began: Instant,
}

/// Nothing is slower.
const UNKNOWN: u64 = u64::MAX;
/// How many exchanges make a percentile.
pub const ENOUGH: u64 = 300;
/// How far back the window goes.
const MINUTES: usize = 5;
const MINUTE: Duration = Duration::from_secs(60);
/// How often the percentile is written.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Sixteen an octave of microseconds, up to 2^36 (nineteen hours).
const BUCKETS: usize = 16 * 34;

// === impl LivePaces ===

impl LivePaces {
    /// Where the percentile of a route is written, in nanoseconds.
    pub(super) fn of(&self, route: &Name) -> Arc<AtomicU64> {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a route that no plan has any more nobody holds it.
        paces.retain(|name, pace| name == route || Arc::strong_count(pace) > 1);
        let pace = paces.entry(route.clone());
        Arc::clone(pace.or_insert_with(|| Arc::new(AtomicU64::new(UNKNOWN))))
    }
}

// === impl WatchPaces ===

impl WatchPaces {
    /// Keeps these up to date.
    #[must_use]
    pub fn new(paces: LivePaces) -> Self {
        Self {
            paces,
            windows: HashMap::new(),
            asked: None,
            told: Instant::now(),
        }
    }

    /// A plan in force: windows of routes that no longer ask go.
    fn adopt(&mut self, plan: &Arc<Plan>, generation: u32) {
        let asks = plan
            .routes
            .iter()
            .map(|route| (slower_than(plan, route) == SlowerThan::P99).then(|| route.name.clone()));
        let asks: Box<[_]> = asks.collect();
        self.windows
            .retain(|name, _| asks.iter().flatten().any(|asking| asking == name));
        for name in asks.iter().flatten() {
            let paces = &self.paces;
            self.windows
                .entry(name.clone())
                .or_insert_with(|| Window::new(paces.of(name)));
        }
        self.asked = Some(Asked {
            plan: Arc::clone(plan),
            generation,
            routes: asks,
        });
    }
}

impl ReadRecords for WatchPaces {
    fn read(&mut self, batch: &Batch) {
        let known = self.asked.as_ref().map(|asked| asked.generation);
        if known.is_none_or(|known| known < batch.generation) {
            self.adopt(&batch.plan, batch.generation);
        }
        let Some(asked) = &self.asked else {
            return;
        };
        if self.windows.is_empty() || !Arc::ptr_eq(&asked.plan, &batch.plan) {
            return; // exchanges that outlived their plan are few
        }
        for record in &batch.records {
            let asking = record
                .route
                .and_then(|at| asked.routes.get(usize::from(at)));
            if let Some(name) = asking.and_then(Option::as_ref)
                && let Some(window) = self.windows.get_mut(name)
            {
                window.count(record.pace());
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.told) < TELL_EVERY {
            return;
        }
        self.told = now;
        for window in self.windows.values_mut() {
            window.turn(now);
            window.tell();
        }
    }
}

// === impl Window ===

impl Window {
    fn new(pace: Arc<AtomicU64>) -> Self {
        Self {
            pace,
            minutes: std::array::from_fn(|_| Box::new([0; BUCKETS])),
            began: Instant::now(),
        }
    }

    fn count(&mut self, took: Duration) {
        let count = &mut self.minutes[0][place(took)];
        *count = count.saturating_add(1);
    }

    /// Forgets what is older than the window.
    fn turn(&mut self, now: Instant) {
        for _ in 0..MINUTES {
            if now.duration_since(self.began) < MINUTE {
                return;
            }
            self.minutes.rotate_right(1);
            *self.minutes[0] = [0; BUCKETS];
            self.began += MINUTE;
        }
        self.began = now; // nothing came for longer than the window
    }

    fn tell(&self) {
        self.pace.store(self.p99(), Ordering::Relaxed);
    }

    /// The 99th percentile in nanoseconds.
    fn p99(&self) -> u64 {
        let at = |bucket: usize| -> u64 {
            let minutes = self.minutes.iter();
            minutes.map(|minute| u64::from(minute[bucket])).sum()
        };
        let all: u64 = (0..BUCKETS).map(at).sum();
        if all < ENOUGH {
            return UNKNOWN;
        }
        let mut above = all / 100;
        for bucket in (0..BUCKETS).rev() {
            match above.checked_sub(at(bucket)) {
                Some(left) => above = left,
                None => return bound(bucket),
            }
        }
        UNKNOWN
    }
}

/// The bucket of a time.
fn place(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let octave = micros.checked_ilog2().unwrap_or(0).max(4) - 4;
    let place = u64::from(octave) * 16 + (micros >> octave);
    usize::try_from(place).map_or(BUCKETS - 1, |place| place.min(BUCKETS - 1))
}

/// The upper bound of a bucket, in nanoseconds.
fn bound(bucket: usize) -> u64 {
    let bucket = bucket as u64 + 1;
    let octave = (bucket / 16).saturating_sub(1);
    ((bucket - octave * 16) << octave) * 1_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::RouteTraces;
    use crate::exchange::Phase;
    use crate::telemetry::fixture::{batch, plan, record};

    proptest! {
        #[test]
        fn a_bucket_is_a_sixteenth_of_its_octave(micros in 0_u64..1 << 35) {
            let took = Duration::from_micros(micros);
            let upper = Duration::from_nanos(bound(place(took)));
            prop_assert!(took < upper, "{took:?} {upper:?}");
            let slack = upper - took;
            prop_assert!(slack <= Duration::from_micros(1).max(took / 16 + Duration::from_micros(1)), "{took:?} {upper:?}");
        }
    }

    fn window() -> Window {
        Window::new(Arc::new(AtomicU64::new(UNKNOWN)))
    }

    #[test]
    fn few_exchanges_have_no_percentile() {
        let mut window = window();
        for count in 1..=ENOUGH {
            window.count(Duration::from_millis(10));
            assert_eq!(window.p99() == UNKNOWN, count < ENOUGH, "{count}");
        }
    }

    #[test]
    fn at_most_one_in_a_hundred_is_above_it() {
        let mut window = window();
        for millis in 1..=1_000 {
            window.count(Duration::from_millis(millis));
        }
        let p99 = Duration::from_nanos(window.p99());
        let (exact, wide) = (Duration::from_millis(990), Duration::from_millis(1_055));
        assert!((exact..wide).contains(&p99), "{p99:?}");
    }

    #[test]
    fn the_window_forgets_after_five_minutes() {
        let mut window = window();
        let began = window.began;
        for minute in 0..4 {
            window.turn(began + MINUTE * minute);
            (0..100).for_each(|_| window.count(Duration::from_millis(10)));
        }
        assert_ne!(window.p99(), UNKNOWN);
        window.turn(began + MINUTE * 6);
        assert_eq!(window.p99(), UNKNOWN, "two of the four minutes are gone");
        window.turn(began + MINUTE * 60);
        (0..300).for_each(|_| window.count(Duration::from_millis(1)));
        assert!(window.p99() < 1_100_000, "{}", window.p99());
    }

    #[test]
    fn only_routes_that_ask_are_watched_and_workers_see_it() {
        let mut plan = plan(&["fast", "other"]);
        plan.routes[0].traces = RouteTraces {
            sample: None,
            slower_than: Some(SlowerThan::P99),
        };
        let plan = Arc::new(plan);
        let paces = LivePaces::default();
        let seen = paces.of(&Name::new("fast"));
        let mut watch = WatchPaces::new(paces);
        let took = |route, millis| {
            let mut record = record(Some(route));
            record.phases = std::iter::once((Phase::Wait, Duration::from_millis(millis))).collect();
            record
        };
        let records = (0..400).flat_map(|_| [took(0, 20), took(1, 500)]);
        watch.read(&batch(&plan, records.collect()));
        assert_eq!(watch.windows.len(), 1);
        assert_eq!(
            seen.load(Ordering::Relaxed),
            UNKNOWN,
            "it is told by the tick"
        );
        watch.told -= TELL_EVERY;
        watch.tick();
        let pace = Duration::from_nanos(seen.load(Ordering::Relaxed));
        assert!(
            (Duration::from_millis(20)..Duration::from_millis(22)).contains(&pace),
            "{pace:?}"
        );
    }
}
