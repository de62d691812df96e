//! How long exchanges took, in few rows: half octaves from a tenth of a millisecond to a hundred seconds, the rows of a
//! heat map. A percentile that is drawn from them is right to a fifth of its value.

use std::time::Duration;

/// Rows: all below a tenth of a millisecond, forty half octaves, and all above.
const ROWS: usize = 42;

/// How many took how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Durations([u32; ROWS]);

// === impl Durations ===

impl Durations {
    pub(super) const NONE: Self = Self([0; ROWS]);

    pub(super) fn count(&mut self, lasted: Duration) {
        let count = &mut self.0[row(lasted.as_secs_f64())];
        *count = count.saturating_add(1);
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }

    /// By row.
    pub(super) fn rows(&self) -> &[u32] {
        &self.0
    }

    /// The time below which this share lies, in milliseconds.
    pub(super) fn percentile(&self, share: f64) -> Option<f64> {
        let total: f64 = self.0.iter().copied().map(f64::from).sum();
        let mut below = 0.0;
        for (row, count) in self.0.iter().enumerate() {
            let count = f64::from(*count);
            if count > 0.0 && below + count >= share * total {
                let (from, to) = bounds(row);
                return Some(from + (to - from) * ((share * total - below) / count));
            }
            below += count;
        }
        None
    }
}

/// The upper bounds of the rows but the last, in milliseconds.
pub(super) fn scale() -> impl Iterator<Item = f64> {
    (0..ROWS - 1).map(|row| bounds(row).1)
}

fn row(seconds: f64) -> usize {
    let tenths = seconds * 1e4; // of a millisecond
    if tenths < 1.0 {
        return 0;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "is within 0 and a hundred"
    )]
    let row = (tenths.log2() * 2.0).floor().clamp(0.0, 100.0) as usize + 1;
    row.min(ROWS - 1)
}

/// The lower and upper bound of a row, in milliseconds.
fn bounds(row: usize) -> (f64, f64) {
    let bound = |row: usize| match u32::try_from(row) {
        Ok(row) if row > 0 => 0.1 * 2_f64.powf(f64::from(row - 1) / 2.0),
        _ => 0.0,
    };
    (bound(row), bound(row + 1))
}
