//! `grpc-timeout`: how long a gRPC call may take, as its caller says it.
//!
//! The grammar is that of gRPC over HTTP/2: one to eight digits and a unit, nothing around them. What is not of that
//! form is refused by [`Deadline`](super::deadline::Deadline) rather than passed over: the servers behind disagree (some
//! refuse it, some take it for no deadline at all), and a request has one meaning or it does not go on.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

/// The field.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The longest that eight digits can say in each unit, finest first.
const UNITS: [(u128, char); 6] = [
    (1, 'n'),
    (1_000, 'u'),
    (1_000_000, 'm'),
    (1_000_000_000, 'S'),
    (60_000_000_000, 'M'),
    (3_600_000_000_000, 'H'),
];

/// The most that eight digits can say.
const MOST: u128 = 99_999_999;

/// The time that this value says; `None` where it is none. Zero is a time: it is up.
#[must_use]
pub fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits
        .iter()
        .fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The value that says this time, in the finest unit that has room for it, rounded down: what is told upstream is never
/// later than what is kept here.
#[must_use]
pub fn value(time: Duration) -> HeaderValue {
    let nanos = time.as_nanos();
    let fits = |(unit, _): &&(u128, char)| nanos / unit <= MOST;
    let (unit, letter) = UNITS.iter().find(fits).copied().unwrap_or(UNITS[5]);
    let text = format!("{}{letter}", (nanos / unit).min(MOST));
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("0n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_digits_and_a_unit_and_nothing_else() {
        for (text, time) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("250m", Duration::from_millis(250)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("0n", Duration::ZERO),
            ("00000001n", Duration::from_nanos(1)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(time), "{text}");
        }
        for text in [
            "",
            "1",
            "S",
            "123456789S",
            "-1S",
            "+1S",
            "1 S",
            " 1S",
            "1S ",
            "1.5S",
            "1s",
            "1h",
            "1ms",
            "٣S",
            "0x1S",
            "1\0",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_at_most_as_late(nanos in 0_u64..) {
            let time = Duration::from_nanos(nanos);
            let written = value(time);
            let read = parse(written.as_bytes()).expect("its own value");
            prop_assert!(read <= time, "{written:?}");
            // A unit is left at eight digits, and the next is a thousand times as long at most: five digits are there.
            prop_assert!(nanos <= 99_999_999 || (time - read) * 100_000 <= time, "{written:?} is too coarse");
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Some(time) = parse(&bytes) {
                prop_assert!(time <= Duration::from_secs(99_999_999 * 3600));
                let _ = value(time);
            }
        }
    }
}
