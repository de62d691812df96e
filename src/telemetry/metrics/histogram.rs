//! Our histogram: one writer, any number of readers, no lock and no read-modify-write.
//!
//! Each worker writes cells of its own, so a plain load and a plain store count a sample; the scrape adds the cells up.
//! The count is not kept: it is the sum of the buckets, so that a page cannot contradict itself. The sum is an integer
//! (nanoseconds, bytes) and therefore exact. A bucket has a slot for one [exemplar](super::exemplar), which the `metrics`
//! facade has no word for: the reason that this histogram exists beside the exporter's.
//!
//! Buckets. Durations have those that OpenTelemetry advises, so that other people's dashboards fit, with three below
//! them, since a proxied request often takes less than 5 ms, and 60 s above, the longest that an upstream may take by
//! default. Phases have eight, infinity among them: there are twelve of them a route, and they answer "where", not "how
//! much exactly". Sizes are powers of four from 256 B to 1 GiB.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::exemplar::{Exemplar, Mark, Slots};
use super::native::{Native, NativeSnapshot};
use crate::exchange::{SpanId, TraceId};

/// The upper bounds of a histogram's buckets, ascending; one more, without bound, follows them.
#[derive(Debug)]
pub struct Buckets {
    /// The bounds, inclusive, in the unit that is observed.
    bounds: &'static [u64],
    /// The bounds as the `le` label says them, in the base unit; the last is `+Inf`.
    labels: &'static [&'static str],
    /// How many of the observed unit make one of the base unit.
    scale: f64,
}

/// One worker's samples of one series. Only one thread may observe; any may read.
#[derive(Debug)]
pub struct Histogram {
    buckets: &'static Buckets,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// The same samples in native buckets, where they are wanted.
    native: Option<Box<Native>>,
    /// Shared by all cells of the series; there from the first exemplar on.
    exemplars: Arc<OnceLock<Slots>>,
}

/// What all cells of a series say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How many samples fell into each bucket, the unbounded one last; not cumulative.
    pub counts: Vec<u64>,
    /// The sum of the samples, in the unit that is observed.
    pub sum: u64,
    /// The same samples in native buckets, where there are any.
    pub native: Option<NativeSnapshot>,
    /// What each bucket shows as its exemplar; empty where there are none.
    pub exemplars: Vec<Option<Exemplar>>,
}

/// Bounds of durations, in nanoseconds.
pub static DURATIONS: Buckets = Buckets {
    bounds: &[
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        75_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        750_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        7_500_000_000,
        10_000_000_000,
        60_000_000_000,
    ],
    labels: &[
        "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25",
        "0.5", "0.75", "1.0", "2.5", "5.0", "7.5", "10.0", "60.0", "+Inf",
    ],
    scale: 1e9,
};

/// Bounds of phases, in nanoseconds.
pub static PHASES: Buckets = Buckets {
    bounds: &[
        100_000,
        1_000_000,
        5_000_000,
        25_000_000,
        100_000_000,
        500_000_000,
        2_500_000_000,
    ],
    labels: &[
        "0.0001", "0.001", "0.005", "0.025", "0.1", "0.5", "2.5", "+Inf",
    ],
    scale: 1e9,
};

/// Bounds of what the proxy itself takes, in nanoseconds: from a microsecond to a tenth of a second.
pub static OVERHEADS: Buckets = Buckets {
    bounds: &[
        1_000,
        2_500,
        5_000,
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        100_000_000,
    ],
    labels: &[
        "1e-06", "2.5e-06", "5e-06", "1e-05", "2.5e-05", "5e-05", "0.0001", "0.00025", "0.0005",
        "0.001", "0.0025", "0.005", "0.01", "0.025", "0.1", "+Inf",
    ],
    scale: 1e9,
};

/// Bounds of body sizes, in bytes.
pub static SIZES: Buckets = Buckets {
    bounds: &[
        1 << 8,
        1 << 10,
        1 << 12,
        1 << 14,
        1 << 16,
        1 << 18,
        1 << 20,
        1 << 22,
        1 << 24,
        1 << 26,
        1 << 28,
        1 << 30,
    ],
    labels: &[
        "256.0",
        "1024.0",
        "4096.0",
        "16384.0",
        "65536.0",
        "262144.0",
        "1.048576e+06",
        "4.194304e+06",
        "1.6777216e+07",
        "6.7108864e+07",
        "2.68435456e+08",
        "1.073741824e+09",
        "+Inf",
    ],
    scale: 1.0,
};

// === impl Buckets ===

impl Buckets {
    /// The `le` labels, `+Inf` last.
    #[must_use]
    pub fn labels(&self) -> &'static [&'static str] {
        self.labels
    }

    /// The bounds, in the base unit.
    #[must_use]
    pub fn bounds(&self) -> Vec<f64> {
        self.bounds.iter().map(|bound| self.base(*bound)).collect()
    }

    /// A value in the base unit.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are 104 days in nanoseconds, and the sums of a scrape are floats anyway"
    )]
    pub fn base(&self, value: u64) -> f64 {
        value as f64 / self.scale
    }

    /// Where a value falls.
    fn place(&self, value: u64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
    }
}

// === impl Histogram ===

impl Histogram {
    /// One without samples.
    #[must_use]
    pub fn new(buckets: &'static Buckets) -> Self {
        Self {
            buckets,
            counts: buckets.labels.iter().map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            native: None,
            exemplars: Arc::default(),
        }
    }

    /// Another cell of the same series.
    #[must_use]
    pub fn beside(cell: &Self) -> Self {
        Self {
            exemplars: Arc::clone(&cell.exemplars),
            ..Self::new(cell.buckets)
        }
    }

    /// The same with native buckets as well. For one that observes nanoseconds.
    #[must_use]
    pub fn with_native(self) -> Self {
        Self {
            native: Some(Box::default()),
            ..self
        }
    }

    /// Its buckets.
    #[must_use]
    pub fn buckets(&self) -> &'static Buckets {
        self.buckets
    }

    /// Counts a sample; the answer is its bucket.
    pub fn observe(&self, value: u64) -> usize {
        let place = self.buckets.place(value);
        if let Some(count) = self.counts.get(place) {
            add(count, 1);
        }
        add(&self.sum, value);
        if let Some(native) = &self.native {
            native.observe(value);
        }
        place
    }

    /// Counts a sample of an exchange that may become an exemplar; `exemplar` is asked only where it does.
    pub fn observe_with(
        &self,
        value: u64,
        now_ms: u64,
        exemplar: impl FnOnce() -> (TraceId, SpanId, Mark),
    ) {
        let place = self.observe(value);
        let slots = self
            .exemplars
            .get_or_init(|| Slots::new(self.buckets.labels.len()));
        slots.offer(place, value, now_ms, exemplar);
    }

    /// Adds its samples to `to`.
    pub fn add_to(&self, to: &mut Snapshot) {
        if let Some(native) = &self.native {
            native.add_to(to.native.get_or_insert_default());
        }
        for (sum, count) in to.counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Ordering::Relaxed);
        }
        to.sum = to.sum.wrapping_add(self.sum.load(Ordering::Relaxed));
        // All cells share their slots: one of them tells.
        if to.exemplars.is_empty()
            && let Some(slots) = self.exemplars.get()
        {
            to.exemplars = slots.shown();
        }
    }
}

/// Adds, as the only writer.
fn add(to: &AtomicU64, amount: u64) {
    to.store(
        to.load(Ordering::Relaxed).wrapping_add(amount),
        Ordering::Relaxed,
    );
}

// === impl Snapshot ===

impl Snapshot {
    /// One without samples.
    #[must_use]
    pub fn new(buckets: &Buckets) -> Self {
        Self {
            counts: vec![0; buckets.labels.len()],
            sum: 0,
            native: None,
            exemplars: Vec::new(),
        }
    }

    /// How many samples there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot(cells: &[&Histogram]) -> Snapshot {
        let mut all = Snapshot::new(cells[0].buckets);
        cells.iter().for_each(|cell| cell.add_to(&mut all));
        all
    }

    #[test]
    fn labels_say_what_the_bounds_are() {
        for buckets in [&DURATIONS, &PHASES, &OVERHEADS, &SIZES] {
            assert_eq!(buckets.labels.len(), buckets.bounds.len() + 1);
            assert_eq!(buckets.labels.last(), Some(&"+Inf"));
            for (bound, label) in buckets.bounds.iter().zip(buckets.labels) {
                let label: f64 = label.parse().expect("a number");
                assert!((buckets.base(*bound) - label).abs() < 1e-12);
            }
            assert!(buckets.bounds.is_sorted());
        }
        assert!(PHASES.labels.len() <= 8);
    }

    proptest! {
        #[test]
        fn counts_as_a_naive_one_and_adds_its_shards_up(
            samples in prop::collection::vec((0_usize..3, 0_u64..120_000_000_000), 0..200)
        ) {
            let cells: Vec<_> = (0..3).map(|_| Histogram::new(&DURATIONS)).collect();
            for (cell, sample) in &samples {
                cells[*cell].observe(*sample);
            }
            let all = snapshot(&cells.iter().collect::<Vec<_>>());
            prop_assert_eq!(all.count(), samples.len() as u64);
            prop_assert_eq!(all.sum, samples.iter().map(|(_, sample)| sample).sum::<u64>());
            let mut cumulated = 0;
            for (place, bound) in DURATIONS.bounds.iter().enumerate() {
                cumulated += all.counts[place];
                let naive = samples.iter().filter(|(_, sample)| sample <= bound).count();
                prop_assert_eq!(cumulated, naive as u64);
            }
        }
    }

    #[test]
    fn the_cells_of_a_series_share_their_exemplars() {
        let one = Histogram::new(&DURATIONS);
        let other = Histogram::beside(&one);
        let (mark, mut asked) = (Mark::default(), 0);
        let ids = (TraceId([1; 16]), SpanId([2; 8]));
        for cell in [&one, &other] {
            cell.observe_with(1, 1_000, || {
                asked += 1;
                (ids.0, ids.1, mark.clone())
            });
        }
        assert_eq!(asked, 1);
        assert!(snapshot(&[&one, &other]).exemplars.is_empty());
        mark.acknowledge();
        let wanted = Exemplar {
            trace_id: ids.0,
            span_id: ids.1,
            value: 1,
            at_ms: 1_000,
        };
        let found = snapshot(&[&other, &one]).exemplars;
        assert_eq!((found[0], found[1]), (Some(wanted), None));
    }
}
