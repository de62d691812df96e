//! The endpoint with fewer attempts under way, of two drawn at random.

use tower::load::Load;

use super::{Candidates, Endpoint, Pick};

/// See the module.
#[derive(Debug)]
pub(super) struct LeastRequests;

/// The attempts under way, for each unit of weight.
struct Requests<'a>(&'a Endpoint);

impl Load for Requests<'_> {
    type Metric = f64;

    fn load(&self) -> f64 {
        f64::from(self.0.active()) / f64::from(self.0.weight)
    }
}

impl Pick for LeastRequests {
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize> {
        candidates.better_of_two(Requests)
    }
}
