//! The endpoints in turn, smoothly by weight.
//!
//! nginx's smooth weighted round robin keeps a running credit an endpoint under a lock. The same spread comes without
//! state from a counter: turn `t` belongs to the endpoint in whose stretch of the golden-ratio sequence it falls (a
//! low-discrepancy sequence), so a heavy endpoint's turns are interleaved and not in a row. With equal weights it is
//! the plain turn.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Candidates, Pick};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    turn: AtomicU64,
}

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Pick for RoundRobin {
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize> {
        if candidates.is_empty() {
            return None;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let is_even = candidates.weight == candidates.count as u64;
        if is_even {
            let nth = usize::try_from(turn % candidates.count as u64).ok()?;
            return candidates.iter().nth(nth).map(|(place, _)| place);
        }
        let point = u128::from(turn.wrapping_mul(GOLDEN)) * u128::from(candidates.weight);
        let mut ticket = u64::try_from(point >> 64).ok()?;
        for (place, endpoint) in candidates.iter() {
            match ticket.checked_sub(u64::from(endpoint.weight)) {
                Some(left) => ticket = left,
                None => return Some(place),
            }
        }
        None
    }
}
