//! The endpoint that would probably answer sooner, of two drawn at random: recent latency times what is under way.

use tower::load::Load;

use super::{Candidates, Endpoint, Pick};

/// See the module.
#[derive(Debug)]
pub(super) struct PeakEwma;

/// Below this, in seconds, a difference says more about the scheduler than about the endpoint: all that answer so fast
/// are alike, and share by weight. Else the first of several fast endpoints that was asked would get everything.
const ALIKE: f64 = 0.001;

/// The expected wait, for each unit of weight.
struct Expected<'a>(&'a Endpoint);

impl Load for Expected<'_> {
    type Metric = f64;

    fn load(&self) -> f64 {
        self.0.latency().max(ALIKE) * (f64::from(self.0.active()) + 1.0) / f64::from(self.0.weight)
    }
}

impl Pick for PeakEwma {
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize> {
        candidates.better_of_two(Expected)
    }
}
