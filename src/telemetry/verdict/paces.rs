//! How long a route usually takes: what is slow for it.
//!
//! Nothing that anybody configured: twice the time that 99 of 100 stay below, at least three times the median, and 20 ms
//! above it. Learned as shares are (`watch`): from what is half a minute old, fading, and not while the route is wrong.

use std::collections::VecDeque;
use std::time::Duration;

use crate::telemetry::live_figures::{BUCKETS, bounds, bucket};

/// What a route's exchanges took of late.
#[derive(Debug)]
pub(super) struct Paces {
    /// Learned, by bucket; fades.
    usual: Box<[f32; BUCKETS]>,
    /// Not learned yet, by slots of five seconds.
    fresh: VecDeque<(u64, Box<[u32; BUCKETS]>)>,
    slow_over: Option<Duration>,
}

const SLOT: u64 = 5;
/// So many slots are too young to be learned from.
const YOUNG: u64 = 6;
/// What is left of what was learned after a slot.
const FADE: f32 = 0.9975;
/// Of fewer exchanges nothing is learned.
const LEAST: f32 = 300.0;

// === impl Paces ===

impl Paces {
    pub(super) fn new() -> Self {
        Self {
            usual: Box::new([0.0; BUCKETS]),
            fresh: VecDeque::new(),
            slow_over: None,
        }
    }

    /// What takes longer is slow; `None` until enough is known.
    pub(super) fn slow_over(&self) -> Option<Duration> {
        self.slow_over
    }

    /// An exchange that went well ended in this second.
    pub(super) fn count(&mut self, second: u64, pace: Duration) {
        let slot = second / SLOT;
        if self.fresh.back().is_none_or(|(at, _)| *at < slot) {
            self.fresh.push_back((slot, Box::new([0; BUCKETS])));
        }
        if let Some((_, counts)) = self.fresh.back_mut() {
            let count = &mut counts[bucket(pace)];
            *count = count.saturating_add(1);
        }
    }

    /// Learns from what is old enough; of a route that `is_wrong` it is thrown away.
    pub(super) fn learn(&mut self, now: u64, is_wrong: bool) {
        let young = (now / SLOT).saturating_sub(YOUNG);
        while self.fresh.front().is_some_and(|(at, _)| *at < young) {
            let Some((_, counts)) = self.fresh.pop_front() else {
                return;
            };
            if is_wrong {
                continue;
            }
            for (usual, count) in self.usual.iter_mut().zip(counts.iter()) {
                #[allow(clippy::cast_precision_loss, reason = "a share needs no more")]
                let count = *count as f32;
                *usual = *usual * FADE + count;
            }
            self.slow_over = self.line();
        }
    }

    fn line(&self) -> Option<Duration> {
        let all: f32 = self.usual.iter().sum();
        if all < LEAST {
            return None;
        }
        let (p50, p99) = (self.below(0.5 * all), self.below(0.99 * all));
        let millis = (2.0 * p99).max(3.0 * p50).max(p50 + 20.0);
        // Two digits: it is told to people.
        let step = 10_f64.powf(millis.log10().floor() - 1.0);
        let millis = (millis / step).ceil() * step;
        Duration::try_from_secs_f64(millis / 1e3).ok()
    }

    /// The time that so many stay below, in milliseconds.
    fn below(&self, wanted: f32) -> f64 {
        let mut sum = 0.0;
        let bucket = self.usual.iter().position(|count| {
            sum += *count;
            sum >= wanted
        });
        bounds(bucket.unwrap_or(BUCKETS - 1)).1
    }
}
