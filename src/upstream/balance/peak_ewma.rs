//! The endpoint that would probably answer sooner, of two drawn at random: recent latency times what is under way.

use tower::load::Load;

use super::{Candidates, Endpoint, Pick};

/// See the module.
#[derive(Debug)]
pub(super) struct PeakEwma;

/// The expected wait, for each unit of weight.
struct Expected<'a>(&'a Endpoint);

impl Load for Expected<'_> {
    type Metric = f64;

    fn load(&self) -> f64 {
        self.0.latency() * (f64::from(self.0.active()) + 1.0) / f64::from(self.0.weight)
    }
}

impl Pick for PeakEwma {
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize> {
        candidates.better_of_two(Expected)
    }
}
