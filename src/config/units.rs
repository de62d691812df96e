//! Quantities with their units: sizes, rates and shares. Durations are `std::time::Duration`.
//!
//! A bare number is refused: `timeout: 5` means seconds to one reader and milliseconds to the next. One number and one
//! unit make a value; the number may have a fraction (`1.5s`), and `1m30s` is written `90s`, so that there is one way
//! to say it. What is printed reads back as the same value.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::tree::quoted;

/// A number of bytes, written `64KiB`, `10MiB`, `1GiB` or `512B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// So many in a time, written `100/s` or `6000/m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many, at least 1.
    pub count: u32,
    /// In which time: a second, a minute or an hour.
    pub per: Duration,
}

/// A share of a whole, 0 to 1, written `20%` or `99.9%`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// A duration as it is written: `250ms`, `5s`, `1.5s`, `1m`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationWritten(pub Duration);

/// Two durations as a range is written: `25ms..250ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationRange {
    /// The shorter one.
    pub from: Duration,
    /// The longer one, or the same.
    pub to: Duration,
}

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(String);

const SECOND: u64 = 1_000_000_000;

/// Units of time in nanoseconds, the longest first.
const TIMES: [(&str, u64); 5] = [
    ("d", 24 * 3600 * SECOND),
    ("h", 3600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
];

/// Units of size in bytes, the largest first.
const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// How finely a share is written: millionths of a percent.
const SHARE_STEPS: u64 = 1_000_000;

// === impl ByteSize ===

impl ByteSize {
    /// The number of bytes as the platform's size, saturating.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text, "a size", "64KiB, 10MiB, 1GiB")?;
        let Some(scale) = scale_of(&SIZES, unit) else {
            let meant = match unit
                .trim_start()
                .chars()
                .next()
                .map(|c| c.to_ascii_lowercase())
            {
                Some('k') => Some("KiB"),
                Some('m') => Some("MiB"),
                Some('g') => Some("GiB"),
                Some('b') => Some("B"),
                _ => None,
            };
            return Err(unknown_unit(
                number,
                unit,
                "a size",
                "B, KiB, MiB, GiB",
                meant,
            ));
        };
        scaled(number, scale)
            .map(Self)
            .ok_or_else(|| out_of_range(text, "a size"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZES
            .iter()
            .find(|(_, scale)| self.0 > 0 && self.0.is_multiple_of(*scale))
        {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}B", self.0),
        }
    }
}

// === impl DurationWritten ===

impl FromStr for DurationWritten {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text, "a duration", "250ms, 5s, 1m")?;
        let Some(scale) = scale_of(&TIMES, unit) else {
            if unit.starts_with(char::is_alphabetic) && unit.contains(|c: char| c.is_ascii_digit())
            {
                return Err(UnitError(format!(
                    "{} has several units: a duration has one, such as 90s for 1m30s",
                    quoted(text)
                )));
            }
            let meant = match unit.trim_start().to_ascii_lowercase().as_str() {
                "sec" | "secs" | "second" | "seconds" | "s" => Some("s"),
                "min" | "mins" | "minute" | "minutes" | "m" => Some("m"),
                "hr" | "hour" | "hours" | "h" => Some("h"),
                "day" | "days" | "d" => Some("d"),
                "msec" | "millis" | "milliseconds" | "ms" => Some("ms"),
                _ => None,
            };
            return Err(unknown_unit(
                number,
                unit,
                "a duration",
                "ms, s, m, h, d",
                meant,
            ));
        };
        scaled(number, scale)
            .map(|nanos| Self(Duration::from_nanos(nanos)))
            .ok_or_else(|| out_of_range(text, "a duration"))
    }
}

impl fmt::Display for DurationWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        for (unit, scale) in TIMES {
            if nanos.is_multiple_of(u128::from(scale)) {
                return write!(f, "{}{unit}", nanos / u128::from(scale));
            }
        }
        let fraction = format!("{:06}", nanos % 1_000_000);
        write!(
            f,
            "{}.{}ms",
            nanos / 1_000_000,
            fraction.trim_end_matches('0')
        )
    }
}

// === impl DurationRange ===

impl FromStr for DurationRange {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let Some((from, to)) = text.split_once("..") else {
            return Err(UnitError(
                "expected two durations, such as 25ms..250ms".to_owned(),
            ));
        };
        let DurationWritten(from) = from.trim().parse()?;
        let DurationWritten(to) = to.trim().parse()?;
        if from > to {
            let (from, to) = (DurationWritten(from), DurationWritten(to));
            return Err(UnitError(format!(
                "{from} is longer than {to}: the shorter one comes first"
            )));
        }
        Ok(Self { from, to })
    }
}

impl fmt::Display for DurationRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}..{}",
            DurationWritten(self.from),
            DurationWritten(self.to)
        )
    }
}

// === impl Rate ===

impl Rate {
    /// The time that one takes at this rate.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.per / self.count.max(1)
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let Some((count, per)) = text.split_once('/') else {
            return Err(UnitError("a rate needs a time: 100/s, 6000/m".to_owned()));
        };
        let per = match per.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            other => {
                let other = quoted(other);
                return Err(UnitError(format!(
                    "{other} is no time of a rate: s, m or h, as in 100/s"
                )));
            }
        };
        let count = count.trim();
        if count.contains('.') {
            return Err(UnitError(
                "the count of a rate is whole: write 30/m for 0.5/s".to_owned(),
            ));
        }
        match count.parse::<u32>() {
            Ok(0) => Err(UnitError(
                "a rate is at least one: 1/s, 1/m, 1/h".to_owned(),
            )),
            Ok(count) => Ok(Self {
                count,
                per: Duration::from_secs(per),
            }),
            Err(_) if !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err(out_of_range(text, "a rate"))
            }
            Err(_) => Err(UnitError(format!(
                "{} is no rate, such as 100/s",
                quoted(text)
            ))),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per.as_secs() {
            3600 => "h",
            60 => "m",
            _ => "s",
        };
        write!(f, "{}/{per}", self.count)
    }
}

// === impl Share ===

impl Share {
    /// All of it.
    pub const ALL: Self = Self(1.0);
    /// None of it.
    pub const NONE: Self = Self(0.0);
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let Some(number) = text.strip_suffix('%') else {
            return Err(UnitError(
                "a share needs a percent sign: 20%, 99.9%".to_owned(),
            ));
        };
        let steps = Some(number.trim_end())
            .filter(|number| number.starts_with(|c: char| c.is_ascii_digit()))
            .and_then(|number| scaled(number, SHARE_STEPS))
            .filter(|steps| *steps <= 100 * SHARE_STEPS);
        match steps.and_then(|steps| u32::try_from(steps).ok()) {
            Some(steps) => Ok(Self(f64::from(steps) / 1e8)),
            None => Err(UnitError(format!(
                "{} is no share: 0% to 100%",
                quoted(text)
            ))),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.6}", self.0 * 100.0);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

// === Reading ===

/// The number at the start of a text, and the rest.
fn split<'a>(text: &'a str, what: &str, examples: &str) -> Result<(&'a str, &'a str), UnitError> {
    if text.starts_with('-') {
        return Err(UnitError(format!("{what} cannot be negative")));
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(UnitError(format!(
            "{} is no {}, such as {examples}",
            quoted(text),
            &what[2..]
        )));
    }
    if unit.is_empty() {
        return Err(UnitError(format!("{what} needs a unit: {examples}")));
    }
    Ok((number, unit))
}

fn scale_of(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, scale)| *scale)
}

/// A decimal number times a scale, where that is a whole number that fits.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let tens = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let parts = u128::from(scale).checked_mul(if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    })?;
    if !parts.is_multiple_of(tens) {
        return None;
    }
    let total = u128::from(scale)
        .checked_mul(whole.parse().ok()?)?
        .checked_add(parts / tens)?;
    u64::try_from(total).ok()
}

fn out_of_range(text: &str, what: &str) -> UnitError {
    UnitError(format!(
        "{} is no {} that can be kept: too large or too fine",
        quoted(text),
        &what[2..]
    ))
}

fn unknown_unit(
    number: &str,
    unit: &str,
    what: &str,
    known: &str,
    meant: Option<&str>,
) -> UnitError {
    let unit = quoted(unit.trim_start());
    UnitError(match meant {
        Some(meant) => {
            format!("{unit} is no unit of {what}: write {number}{meant} (units: {known})")
        }
        None => format!("{unit} is no unit of {what}: {known}"),
    })
}

/// Reads a quantity from text; a bare number is given to its reader, which says what is missing.
struct Quantity<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err = UnitError>> Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.trim().parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! read_as_text {
    ($quantity:ty, $expected:literal) => {
        impl<'de> Deserialize<'de> for $quantity {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Quantity(std::marker::PhantomData, $expected))
            }
        }
    };
}

read_as_text!(ByteSize, "a size, such as 64KiB");
read_as_text!(DurationWritten, "a duration, such as 250ms, 5s or 1m");
read_as_text!(DurationRange, "two durations, such as 25ms..250ms");
read_as_text!(Rate, "a rate, such as 100/s");
read_as_text!(Share, "a share, such as 20%");
