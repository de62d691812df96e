//! RFC 3339 in UTC, to the millisecond, without a calendar library.

use std::time::Duration;

/// The date of the last second that was written: lines come many a second.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct Clock {
    second: Option<u64>,
    text: Vec<u8>,
}

// === impl Clock ===

impl Clock {
    /// `2026-01-31T23:59:59.123Z`, so long after 1970.
    pub(in crate::telemetry) fn write(&mut self, out: &mut Vec<u8>, unix: Duration) {
        let second = unix.as_secs();
        if self.second != Some(second) {
            self.second = Some(second);
            self.text.clear();
            date_time(&mut self.text, second);
        }
        out.extend_from_slice(&self.text);
        out.push(b'.');
        digits(out, u64::from(unix.subsec_millis()), 3);
        out.push(b'Z');
    }

    /// `23:59:59.123`, the same without the date.
    pub(super) fn write_time(&mut self, out: &mut Vec<u8>, unix: Duration) {
        let from = out.len();
        self.write(out, unix);
        out.drain(from..from + "2026-01-31T".len());
        out.pop();
    }
}

/// `2026-01-31T23:59:59`, so many seconds after 1970.
fn date_time(out: &mut Vec<u8>, second: u64) {
    let (days, rest) = (second / 86_400, second % 86_400);
    let (year, month, day) = civil(days);
    digits(out, year, 4);
    for (before, value) in [
        (b'-', month),
        (b'-', day),
        (b'T', rest / 3600),
        (b':', rest / 60 % 60),
        (b':', rest % 60),
    ] {
        out.push(before);
        digits(out, value, 2);
    }
}

/// Year, month and day of the so-manieth day after 1970-01-01: Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`, for days from 1970 on.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01: a year that begins in March ends with the leap day
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The last `width` decimal digits.
fn digits(out: &mut Vec<u8>, value: u64, width: usize) {
    let from = out.len();
    out.resize(from + width, b'0');
    let mut rest = value;
    for digit in out[from..].iter_mut().rev() {
        *digit = b"0123456789"[usize::try_from(rest % 10).unwrap_or_default()];
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unix: Duration) -> String {
        let mut out = Vec::new();
        Clock::default().write(&mut out, unix);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn writes_known_moments() {
        assert_eq!(text(Duration::ZERO), "1970-01-01T00:00:00.000Z");
        let at = |seconds, millis: u32| text(Duration::new(seconds, millis * 1_000_000));
        assert_eq!(at(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_767_225_599, 1), "2025-12-31T23:59:59.001Z");
        assert_eq!(at(4_107_542_400, 42), "2100-03-01T00:00:00.042Z");
    }

    #[test]
    fn days_follow_each_other() {
        let lengths = |leap: bool| {
            let february = if leap { 29 } else { 28 };
            [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let mut days = 0;
        for year in 1970..2200_u64 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for (month, length) in (1..).zip(lengths(leap)) {
                for day in 1..=length {
                    assert_eq!(civil(days), (year, month, day));
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn a_clock_remembers_no_wrong_second() {
        let mut clock = Clock::default();
        let mut out = Vec::new();
        for second in [5, 6, 5] {
            out.clear();
            clock.write_time(&mut out, Duration::from_secs(second));
            assert_eq!(out, format!("00:00:0{second}.000").into_bytes());
        }
    }
}
