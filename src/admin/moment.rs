//! Moments in a query: `2026-01-31T23:59:59.5Z`, seconds since 1970, or how long ago: `5m`.

use std::time::Duration;

use crate::config::DurationWritten;

/// The moment that a text names, since 1970; `now` is what "ago" counts from.
pub(super) fn read(text: &str, now: Duration) -> Result<Duration, String> {
    if let Ok(DurationWritten(ago)) = text.parse() {
        return Ok(now.saturating_sub(ago));
    }
    let seconds = text.parse().ok();
    let seconds = seconds.and_then(|it| Duration::try_from_secs_f64(it).ok());
    seconds.or_else(|| rfc3339(text)).ok_or_else(|| {
        "is no moment: 2026-01-31T23:59:59Z, seconds since 1970, or how long ago, such as 5m"
            .to_owned()
    })
}

/// RFC 3339 in UTC, from 1970 on.
fn rfc3339(text: &str) -> Option<Duration> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let is_date = (1970..=9999).contains(&year) && (1..=12).contains(&month) && day >= 1;
    if !is_date || day > days_of(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let is_fraction =
        (1..=9).contains(&fraction.len()) && fraction.bytes().all(|it| it.is_ascii_digit());
    let nanos: u32 = format!("{fraction:0<9}")
        .parse()
        .ok()
        .filter(|_| is_fraction)?;
    let years: u64 = (1970..year).map(|it| 337 + days_of(it, 2)).sum();
    let months: u64 = (1..month).map(|it| days_of(year, it)).sum();
    let days = years + months + day - 1;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(Duration::new(seconds, nanos))
}

/// The days of a month; a year without its February has 337.
fn days_of(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Three numbers of so many digits.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|it| it.is_ascii_digit());
        *number = part.parse().ok().filter(|_| is_number)?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_moments_as_they_are_written() {
        let now = Duration::from_secs(2_000_000_000);
        for (text, wanted) in [
            ("0", 0.0),
            ("1700000000.25", 1_700_000_000.25),
            ("5m", 1_999_999_700.0),
            ("1970-01-01T00:00:00Z", 0.0),
            ("2000-02-29T00:00:00.000Z", 951_782_400.0),
            ("2025-12-31T23:59:59.5Z", 1_767_225_599.5),
            ("2100-03-01T00:00:00Z", 4_107_542_400.0),
        ] {
            assert_eq!(
                read(text, now),
                Ok(Duration::from_secs_f64(wanted)),
                "{text}"
            );
        }
        for text in [
            "",
            "now",
            "-1",
            "NaN",
            "inf",
            "2025-12-31",
            "2025-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-12-31T24:00:00Z",
            "2025-12-31T23:59:59",
            "2025-12-31T23:59:59.Z",
            "1e400",
        ] {
            assert!(read(text, now).is_err(), "{text}");
        }
    }
}
