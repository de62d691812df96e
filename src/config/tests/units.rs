//! Quantities: what is printed reads back, and what is wrong is told.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{ByteSize, DurationRange, DurationWritten, Rate, Share};

fn said<T: std::str::FromStr<Err: ToString>>(text: &str) -> String {
    text.parse::<T>()
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

#[test]
fn reads_durations() {
    let read = |text: &str| {
        text.parse::<DurationWritten>()
            .map(|DurationWritten(time)| time)
    };
    assert_eq!(read("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(read("1.5s"), Ok(Duration::from_millis(1500)));
    assert_eq!(read("0.25ms"), Ok(Duration::from_micros(250)));
    assert_eq!(read("90m"), Ok(Duration::from_secs(5400)));
    assert_eq!(read("0s"), Ok(Duration::ZERO));
}

#[test]
fn says_what_is_wrong_with_a_duration() {
    let said = said::<DurationWritten>;
    assert_eq!(said("5"), "a duration needs a unit: 250ms, 5s, 1m");
    assert_eq!(said("-5s"), "a duration cannot be negative");
    assert_eq!(
        said("soon"),
        "\"soon\" is no duration, such as 250ms, 5s, 1m"
    );
    assert_eq!(
        said("5min"),
        "\"min\" is no unit of a duration: write 5m (units: ms, s, m, h, d)"
    );
    assert_eq!(
        said("5 s"),
        "\"s\" is no unit of a duration: write 5s (units: ms, s, m, h, d)"
    );
    assert_eq!(said("7w"), "\"w\" is no unit of a duration: ms, s, m, h, d");
    assert_eq!(
        said("1m30s"),
        "\"1m30s\" has several units: a duration has one, such as 90s for 1m30s"
    );
    assert_eq!(
        said("1.2.3s"),
        "\"1.2.3s\" is no duration that can be kept: too large or too fine"
    );
    assert_eq!(
        said("99999999999999h"),
        "\"99999999999999h\" is no duration that can be kept: too large or too fine"
    );
}

#[test]
fn says_what_is_wrong_with_other_quantities() {
    assert_eq!(
        said::<ByteSize>("64"),
        "a size needs a unit: 64KiB, 10MiB, 1GiB"
    );
    assert_eq!(
        said::<ByteSize>("10MB"),
        "\"MB\" is no unit of a size: write 10MiB (units: B, KiB, MiB, GiB)"
    );
    assert_eq!(
        said::<ByteSize>("0.3B"),
        "\"0.3B\" is no size that can be kept: too large or too fine"
    );
    assert_eq!(said::<Rate>("100"), "a rate needs a time: 100/s, 6000/m");
    assert_eq!(
        said::<Rate>("0.5/s"),
        "the count of a rate is whole: write 30/m for 0.5/s"
    );
    assert_eq!(said::<Rate>("0/s"), "a rate is at least one: 1/s, 1/m, 1/h");
    assert_eq!(
        said::<Rate>("9/day"),
        "\"day\" is no time of a rate: s, m or h, as in 100/s"
    );
    assert_eq!(
        said::<Share>("0.2"),
        "a share needs a percent sign: 20%, 99.9%"
    );
    assert_eq!(said::<Share>("101%"), "\"101%\" is no share: 0% to 100%");
    assert_eq!(
        said::<DurationRange>("25ms"),
        "expected two durations, such as 25ms..250ms"
    );
    assert_eq!(
        said::<DurationRange>("2s..1s"),
        "2s is longer than 1s: the shorter one comes first"
    );
}

proptest! {
    #[test]
    fn durations_print_as_they_read(nanos in any::<u64>(), scale in prop::sample::select(vec![1_u64, 1_000, 1_000_000, 1_000_000_000, 60_000_000_000])) {
        let time = DurationWritten(Duration::from_nanos(nanos / scale * scale));
        prop_assert_eq!(time.to_string().parse(), Ok(time));
    }

    #[test]
    fn sizes_print_as_they_read(bytes in any::<u64>(), shift in 0_u32..40) {
        let size = ByteSize(bytes >> shift << shift);
        prop_assert_eq!(size.to_string().parse(), Ok(size));
    }

    #[test]
    fn rates_print_as_they_read(count in 1_u32.., per in prop::sample::select(vec![1_u64, 60, 3600])) {
        let rate = Rate { count, per: Duration::from_secs(per) };
        prop_assert_eq!(rate.to_string().parse(), Ok(rate));
    }

    #[test]
    fn shares_print_as_they_read(steps in 0_u32..=100_000_000) {
        let share = Share(f64::from(steps) / 1e8);
        prop_assert_eq!(share.to_string().parse(), Ok(share));
    }

    #[test]
    fn no_text_makes_a_quantity_panic(text in "[-0-9.hmsKMGiB/% ]{0,12}|\\PC{0,8}") {
        let _ = text.parse::<DurationWritten>();
        let _ = text.parse::<DurationRange>();
        let _ = text.parse::<ByteSize>();
        let _ = text.parse::<Rate>();
        let _ = text.parse::<Share>();
    }
}
