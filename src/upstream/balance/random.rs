//! Any endpoint, by weight.

use super::{Candidates, Pick};

/// See the module.
#[derive(Debug)]
pub(super) struct Random;

impl Pick for Random {
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize> {
        candidates.draw(None)
    }
}
