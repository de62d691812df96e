//! Ranges: values of the right kind that are still too small or too large.
//!
//! Each check takes what was written, notes what is out of its range, and gives the value back where there is one: the
//! default is the caller's.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::notes::At;
use super::{ByteSize, DurationWritten};

/// No time is longer: a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A time more than nothing and at most a day.
pub(super) fn check_time(written: Option<DurationWritten>, at: &At<'_>) -> Option<Duration> {
    let time = check_pause(written, at)?;
    if time.is_zero() {
        at.error("must be more than 0s");
        return None;
    }
    Some(time)
}

/// A time of at most a day; none at all is allowed.
pub(super) fn check_pause(written: Option<DurationWritten>, at: &At<'_>) -> Option<Duration> {
    let DurationWritten(time) = written?;
    if time > LONGEST {
        at.error(format!("must be at most 24h, is {}", DurationWritten(time)));
        return None;
    }
    Some(time)
}

/// A whole number in its range.
pub(super) fn check_whole<T: TryFrom<u64>>(
    written: Option<u64>,
    range: RangeInclusive<u64>,
    at: &At<'_>,
) -> Option<T> {
    let number = written?;
    if !range.contains(&number) {
        at.error(format!(
            "must be {} to {}, is {number}",
            range.start(),
            range.end()
        ));
        return None;
    }
    T::try_from(number).ok()
}

/// A size in its range.
pub(super) fn check_size(
    written: Option<ByteSize>,
    range: &RangeInclusive<ByteSize>,
    at: &At<'_>,
) -> Option<ByteSize> {
    let size = written?;
    if !range.contains(&size) {
        at.error(format!(
            "must be {} to {}, is {size}",
            range.start(),
            range.end()
        ));
        return None;
    }
    Some(size)
}
