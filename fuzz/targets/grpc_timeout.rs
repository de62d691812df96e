//! Any `grpc-timeout`: what is read is of the grammar, and what is written of a time is read as that time, never as more.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sightglass::proxy::grpc_timeout::{parse, value};

fuzz_target!(|data: &[u8]| {
    if let Some(time) = parse(data) {
        let (unit, digits) = data.split_last().expect("a unit");
        assert!(b"HMSmun".contains(unit) && (1..=8).contains(&digits.len()));
        assert!(digits.iter().all(u8::is_ascii_digit));
        check(time);
    }
    if let Some((nanos, rest)) = data.split_first_chunk::<4>()
        && let Some(seconds) = rest.first_chunk::<8>()
    {
        let nanos = u32::from_le_bytes(*nanos) % 1_000_000_000;
        check(Duration::new(u64::from_le_bytes(*seconds), nanos));
    }
});

/// The longest that can be said: eight digits of hours.
const LONGEST: Duration = Duration::from_secs(99_999_999 * 3600);

fn check(time: Duration) {
    let written = value(time);
    let read = parse(written.as_bytes()).expect("what we write can be read");
    assert!(read <= time, "{written:?} is more than {time:?}");
    // Rounded down by one of the last of at least five digits: from 100,000,000 n on there are 100,000 u.
    let lost = time.min(LONGEST) - read;
    assert!(
        lost <= read / 10_000 || time < Duration::from_millis(100),
        "{written:?} is far less than {time:?}"
    );
    let again = parse(value(read).as_bytes());
    assert_eq!(again, Some(read), "what can be said is said exactly");
}
