//! One address of an upstream, and what all workers know of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::Instant;

use super::hold::Holding;
use super::resolve::Resolved;
use crate::config::Address;
use crate::exchange::{Entered, Gauge, clock};

/// One address of an upstream. Shared by all workers; a reload carries it over, so that its load and latency survive.
#[derive(Debug)]
pub struct Endpoint {
    /// Its number, unique within the process: worker-local pools are kept by it.
    pub id: u64,
    /// Where it is.
    pub address: Address,
    /// Its weight, at least 1.
    pub weight: u32,
    /// Whether somebody has taken it out.
    pub holding: Arc<Holding>,
    /// The addresses of its name, where it has one.
    pub(super) resolved: Resolved,
    active: Gauge,
    latency: Latency,
}

/// A peak-sensitive moving average of the time to the response head: it jumps to a slower sample at once and forgets it
/// by and by. After Finagle's `PeakEwma`, with errors counted as slow so that an endpoint that fails fast does not look
/// attractive (linkerd's penalty). Packed into two atomics; a lost race between two workers costs one sample.
#[derive(Debug)]
struct Latency {
    seconds: AtomicU64,
    at_nanos: AtomicU64,
}

/// How fast a sample is forgotten.
const DECAY: Duration = Duration::from_secs(10);
/// What an endpoint that was never asked is taken for.
const UNKNOWN: f64 = 0.001;
/// What a failed attempt counts at the least.
const PENALTY: Duration = Duration::from_secs(1);
/// Younger averages are taken as they stand; decay shows later.
const FRESH: Duration = Duration::from_millis(100);

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

// === impl Endpoint ===

impl Endpoint {
    /// An endpoint of which nothing is known yet.
    #[must_use]
    pub fn new(id: u64, address: Address, weight: u32) -> Self {
        Self {
            id,
            address,
            weight: weight.max(1),
            holding: Arc::default(),
            resolved: Resolved::default(),
            active: Gauge::default(),
            latency: Latency {
                seconds: AtomicU64::new(UNKNOWN.to_bits()),
                at_nanos: AtomicU64::new(nanos(clock::coarse())),
            },
        }
    }

    /// What goes on from `before`, which had the same address: whoever took that out has taken out this.
    #[must_use]
    pub fn held_as(mut self, before: &Self) -> Self {
        self.holding = Arc::clone(&before.holding);
        self
    }

    /// One more attempt is under way there, until the guard is dropped.
    #[must_use]
    pub fn enter(&self) -> Entered {
        self.active.enter()
    }

    /// How many attempts are under way there.
    #[must_use]
    pub fn active(&self) -> u32 {
        u32::try_from(self.active.get()).unwrap_or(0)
    }

    /// The recent time to a response head, in seconds.
    #[must_use]
    pub fn latency(&self) -> f64 {
        self.latency.read(nanos(clock::coarse()))
    }

    /// An attempt was answered after `took`, or failed.
    pub fn observe(&self, took: Duration, is_failed: bool) {
        let took = if is_failed { took.max(PENALTY) } else { took };
        self.latency.add(took.as_secs_f64(), nanos(clock::coarse()));
    }
}

// === impl Latency ===

impl Latency {
    fn read(&self, now: u64) -> f64 {
        let seconds = f64::from_bits(self.seconds.load(Ordering::Relaxed));
        seconds * decay(now.saturating_sub(self.at_nanos.load(Ordering::Relaxed)))
    }

    fn add(&self, sample: f64, now: u64) {
        let before = f64::from_bits(self.seconds.load(Ordering::Relaxed));
        let age = now.saturating_sub(self.at_nanos.load(Ordering::Relaxed));
        // Samples that share one tick of the coarse clock still move the average a little.
        let kept = decay_exactly(age.max(100_000));
        let after = if sample > before {
            sample
        } else {
            before * kept + sample * (1.0 - kept)
        };
        self.seconds.store(after.to_bits(), Ordering::Relaxed);
        self.at_nanos.store(now, Ordering::Relaxed);
    }
}

fn decay(age_nanos: u64) -> f64 {
    if u128::from(age_nanos) < FRESH.as_nanos() {
        1.0
    } else {
        decay_exactly(age_nanos)
    }
}

fn decay_exactly(age_nanos: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "an age in nanoseconds is below 2^52 for 52 days"
    )]
    let age = age_nanos as f64 / 1e9;
    (-age / DECAY.as_secs_f64()).exp()
}

fn nanos(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(*EPOCH).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency() -> Latency {
        Latency {
            seconds: AtomicU64::new(UNKNOWN.to_bits()),
            at_nanos: AtomicU64::new(0),
        }
    }

    #[test]
    fn jumps_to_a_slow_sample_and_forgets_it_slowly() {
        let average = latency();
        average.add(0.5, 1_000_000);
        assert!((average.read(1_000_000) - 0.5).abs() < 1e-9);
        let later = 1_000_000 + 10_000_000_000;
        assert!((average.read(later) - 0.5 / std::f64::consts::E).abs() < 1e-3);
        average.add(0.01, later);
        assert!(average.read(later) < 0.2);
    }

    #[test]
    fn a_failed_attempt_is_never_fast() {
        let endpoint = Endpoint::new(
            1,
            Address {
                host: crate::config::Host::Ip([127, 0, 0, 1].into()),
                port: 1,
            },
            1,
        );
        endpoint.observe(Duration::from_micros(50), true);
        assert!(endpoint.latency() > 0.9);
    }
}
