//! Native histograms: eight buckets for each doubling (Prometheus' schema 3), so that a quantile is within 9 % wherever
//! it lies, and no bound has to be chosen.
//!
//! Buckets are kept in pages of four doublings, made when a sample first falls into one: latencies of one series lie
//! within a few, so that a cell takes some 700 bytes and never more than 3 KiB. A sample finds its bucket by its leading
//! bits: between two of sixteen steps of a doubling lies at most one bound, so one look into a table and one comparison do
//! what a logarithm would. As with the classic buckets, one thread writes and any may read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};

/// One worker's samples of one series, in nanoseconds. Only one thread may observe; any may read.
#[derive(Debug)]
pub struct Native {
    places: &'static Places,
    /// Samples of at most [`ZERO_THRESHOLD`].
    zeros: AtomicU64,
    pages: [OnceLock<Box<Page>>; PAGES],
}

/// What all cells of a series say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeSnapshot {
    /// Samples of at most [`ZERO_THRESHOLD`].
    pub zeros: u64,
    /// The samples of each bucket, from the bucket [`FIRST`] on; empty where there are none.
    pub counts: Vec<u64>,
}

/// Buckets that follow each other without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The index of the first: bucket i holds what is above 2^((i-1)/2^schema) and at most 2^(i/2^schema).
    pub first: i32,
    /// Their samples.
    pub counts: Vec<u64>,
}

type Page = [AtomicU64; PAGE];

/// Buckets of a page.
const PAGE: usize = 32;

/// Pages of a histogram: forty doublings, from 60 ns to 18 h.
const PAGES: usize = 10;

/// Buckets of a histogram.
const BUCKETS: usize = PAGE * PAGES;

/// The resolution that samples are kept in: 2^3 buckets a doubling.
pub const SCHEMA: i32 = 3;

/// The index of the first bucket: it begins at 2^-24 s.
pub const FIRST: i32 = -24 * 8 + 1;

/// What is smaller, in seconds, is taken for nothing: 2^-24, 60 ns.
pub const ZERO_THRESHOLD: f64 = 1.0 / (1 << 24) as f64;

/// A page shows at most so many buckets of a series: where there are more, neighbours are put together.
pub const SHOWN: usize = 160;

/// Steps of a doubling in the table.
const STEPS: usize = 16;

/// Where values fall.
#[derive(Debug)]
struct Places {
    /// By the position of the highest bit and the four bits below it: the lowest bucket that such a value may be in.
    lowest: [u16; 64 * STEPS],
    /// The upper bound of each bucket, in nanoseconds; the last has none.
    bounds: [u64; BUCKETS],
}

static PLACES: LazyLock<Box<Places>> = LazyLock::new(Places::new);

// === impl Native ===

impl Native {
    /// One without samples.
    #[must_use]
    pub fn new() -> Self {
        Self {
            places: &PLACES,
            zeros: AtomicU64::new(0),
            pages: [const { OnceLock::new() }; PAGES],
        }
    }

    /// Counts a sample.
    pub fn observe(&self, nanos: u64) {
        let count = match self.places.place(nanos) {
            None => &self.zeros,
            Some(place) => {
                let page = self.pages[place / PAGE]
                    .get_or_init(|| Box::new([const { AtomicU64::new(0) }; PAGE]));
                &page[place % PAGE]
            }
        };
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Adds its samples to `to`.
    pub fn add_to(&self, to: &mut NativeSnapshot) {
        to.zeros += self.zeros.load(Ordering::Relaxed);
        for (index, page) in self.pages.iter().enumerate() {
            let Some(page) = page.get() else { continue };
            to.counts.resize(BUCKETS, 0);
            for (sum, count) in to.counts[index * PAGE..].iter_mut().zip(page.iter()) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
    }
}

impl Default for Native {
    fn default() -> Self {
        Self::new()
    }
}

// === impl NativeSnapshot ===

impl NativeSnapshot {
    /// How many samples there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// The schema, and the buckets with samples in it: as fine as may be shown.
    #[must_use]
    pub fn runs(&self) -> (i32, Vec<Run>) {
        let mut schema = SCHEMA;
        let buckets = std::iter::zip(FIRST.., &self.counts);
        let mut buckets: Vec<(i32, u64)> = buckets
            .filter(|(_, count)| **count > 0)
            .map(|(index, count)| (index, *count))
            .collect();
        while buckets.len() > SHOWN {
            schema -= 1;
            let mut halved: Vec<(i32, u64)> = Vec::with_capacity(buckets.len());
            for (index, count) in buckets {
                // Bucket i of a schema is half of bucket ceil(i/2) of the schema below.
                let index = (index + 1).div_euclid(2);
                match halved.last_mut() {
                    Some((last, sum)) if *last == index => *sum += count,
                    _ => halved.push((index, count)),
                }
            }
            buckets = halved;
        }
        let mut runs: Vec<Run> = Vec::new();
        for (index, count) in buckets {
            match runs.last_mut() {
                Some(run) if run.end() == index => run.counts.push(count),
                _ => runs.push(Run {
                    first: index,
                    counts: vec![count],
                }),
            }
        }
        (schema, runs)
    }
}

// === impl Run ===

impl Run {
    /// The index after its last bucket.
    #[must_use]
    pub fn end(&self) -> i32 {
        self.first
            .saturating_add(i32::try_from(self.counts.len()).unwrap_or(i32::MAX))
    }
}

// === impl Places ===

impl Places {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounds are positive and below 2^63, and there are 320 buckets"
    )]
    fn new() -> Box<Self> {
        let mut places = Box::new(Self {
            lowest: [0; 64 * STEPS],
            bounds: [u64::MAX; BUCKETS],
        });
        for (index, bound) in std::iter::zip(FIRST.., &mut places.bounds).take(BUCKETS - 1) {
            *bound = ((f64::from(index) / 8.0).exp2() * 1e9).floor() as u64;
        }
        for top in 0..64_u32 {
            for step in 0..STEPS as u64 {
                let smallest = match top {
                    0..4 => 1 << top, // no bound lies there
                    _ => (1 << top) | (step << (top - 4)),
                };
                let bounds = &places.bounds;
                let lowest = bounds.partition_point(|bound| *bound < smallest) as u16;
                places.lowest[top as usize * STEPS + step as usize] = lowest;
            }
        }
        places
    }

    /// The bucket of a value, counted from the first; `None` where it is taken for nothing.
    #[expect(clippy::cast_possible_truncation, reason = "64 times 16 slots")]
    fn place(&self, nanos: u64) -> Option<usize> {
        if nanos <= ZERO_NANOS {
            return None;
        }
        let top = 63 - nanos.leading_zeros(); // at least 5
        let step = (nanos >> (top - 4)) & (STEPS as u64 - 1);
        let slot = ((u64::from(top) << 4) | step) as usize & (64 * STEPS - 1);
        let lowest = usize::from(self.lowest[slot]);
        let is_above = self.bounds[lowest.min(BUCKETS - 1)] < nanos;
        Some((lowest + usize::from(is_above)).min(BUCKETS - 1))
    }
}

/// [`ZERO_THRESHOLD`] in nanoseconds, rounded down.
const ZERO_NANOS: u64 = 59;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot(samples: &[u64]) -> NativeSnapshot {
        let cell = Native::new();
        samples.iter().for_each(|sample| cell.observe(*sample));
        let mut all = NativeSnapshot::default();
        cell.add_to(&mut all);
        all
    }

    /// The bucket by its definition, in the schema that samples are kept in.
    fn defined(nanos: u64) -> i32 {
        (0..)
            .map(|step| FIRST + step)
            .find(|index| nanos as f64 <= (f64::from(*index) / 8.0).exp2() * 1e9)
            .expect("there is always a larger bound")
    }

    proptest! {
        #[test]
        fn a_sample_falls_where_the_definition_says(
            top in 6_u32..45, low in any::<u64>(),
        ) {
            let nanos = (1 << top) | (low & ((1 << top) - 1));
            prop_assume!(nanos > ZERO_NANOS);
            let (schema, runs) = snapshot(&[nanos]).runs();
            prop_assert_eq!((schema, runs.len()), (SCHEMA, 1));
            prop_assert_eq!(runs[0].first, defined(nanos), "{}", nanos);
        }

        #[test]
        fn putting_buckets_together_loses_no_sample(
            samples in prop::collection::vec(0_u64..1 << 45, 0..400),
            tops in prop::collection::vec(0_u32..45, 400),
        ) {
            let samples: Vec<_> = samples.iter().zip(tops).map(|(sample, top)| sample >> top).collect();
            let all = snapshot(&samples);
            prop_assert_eq!(all.count(), samples.len() as u64);
            let (schema, runs) = all.runs();
            let shown: usize = runs.iter().map(|run| run.counts.len()).sum();
            prop_assert!(shown <= SHOWN && schema <= SCHEMA);
            prop_assert_eq!(all.zeros + runs.iter().flat_map(|run| &run.counts).sum::<u64>(), all.count());
            for run in &runs {
                for (index, count) in std::iter::zip(run.first.., &run.counts) {
                    let bound = |index: i32| (f64::from(index) / f64::from(1 << schema)).exp2() * 1e9;
                    let within = samples.iter().filter(|sample| **sample > ZERO_NANOS).filter(|sample| {
                        bound(index - 1).floor() < **sample as f64 && **sample as f64 <= bound(index)
                    });
                    prop_assert_eq!(within.count() as u64, *count, "bucket {} of schema {}", index, schema);
                }
            }
        }
    }

    #[test]
    fn bounds_are_inclusive_and_the_ends_take_the_rest() {
        let places = &**PLACES;
        for (place, bound) in places.bounds.iter().enumerate().take(BUCKETS - 1) {
            assert_eq!(places.place(*bound), Some(place));
            assert_eq!(places.place(bound + 1), Some(place + 1));
        }
        assert_eq!(places.place(ZERO_NANOS), None);
        assert_eq!(places.place(ZERO_NANOS + 1), Some(0));
        assert_eq!(places.place(u64::MAX), Some(BUCKETS - 1));
        assert_eq!(snapshot(&[0, 1, 59]).zeros, 3);
    }

    #[test]
    fn a_series_takes_little_memory() {
        let pages = |cell: &Native| {
            cell.pages
                .iter()
                .filter(|page| page.get().is_some())
                .count()
        };
        let usual = Native::new();
        for micros in 200..40_000 {
            usual.observe(micros * 1_000);
        }
        assert!(pages(&usual) <= 3, "{}", pages(&usual));
        assert!(size_of::<Native>() <= 200, "{}", size_of::<Native>());
        assert!(size_of::<Native>() + PAGES * size_of::<Page>() <= 3 << 10);
    }

    /// Run with `--release -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn cost_of_a_sample() {
        let cell = Native::new();
        let samples: Vec<u64> = (0..4096)
            .map(|_| fastrand::u64(100_000..50_000_000))
            .collect();
        let started = std::time::Instant::now();
        let rounds = 5_000;
        for _ in 0..rounds {
            for sample in &samples {
                std::hint::black_box(&cell).observe(*sample);
            }
        }
        let each = started.elapsed() / (rounds * 4096);
        let nanos = started.elapsed().as_secs_f64() * 1e9 / f64::from(rounds * 4096);
        println!("{each:?} a sample, {nanos:.2} ns");
    }
}
