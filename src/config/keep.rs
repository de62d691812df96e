//! `telemetry.traces.keep` and a route's own `traces`: what is kept when an exchange has ended.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::notes::At;
use super::ranges::check_time;
use super::read::resembling;
use super::tree::quoted;
use super::{DurationWritten, Share};

/// What is kept whatever the head decision was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Exchanges that ended other than served, or with a status of 500 and above (default true); what a limit refused
    /// is `limited`'s.
    pub errors: bool,
    /// Exchanges that took longer (default: than the route's own latency objective, where it has one).
    pub slower_than: SlowerThan,
    /// Exchanges with more than one attempt (default true).
    pub retried: bool,
    /// Exchanges that a limit refused: `rate_limited` and `overloaded` (default true).
    pub limited: bool,
}

/// What an exchange must have taken longer than to be kept as slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowerThan {
    /// This.
    Fixed(Duration),
    /// The route's own latency objective; nothing is slow on a route without one.
    Objective,
    /// The 99th percentile of the route's last minutes; nothing is slow until some hundreds have been seen.
    P99,
    /// Nothing is slow.
    Off,
}

/// What a route says of its traces in place of `telemetry.traces`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RouteTraces {
    /// Its head share, by trace id (default: that of all).
    pub sample: Option<Share>,
    /// What counts as slow on it (default: as for all).
    pub slower_than: Option<SlowerThan>,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            errors: true,
            slower_than: SlowerThan::Objective,
            retried: true,
            limited: true,
        }
    }
}

impl fmt::Display for SlowerThan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(time) => DurationWritten(*time).fmt(f),
            Self::Objective => f.write_str("objective"),
            Self::P99 => f.write_str("p99"),
            Self::Off => f.write_str("off"),
        }
    }
}

// === As written ===

/// What is kept whatever the head decision was.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeepWritten {
    /// Exchanges that ended other than served, or with a status of 500 and above (default true).
    #[serde(default)]
    errors: Option<bool>,
    /// Exchanges that took longer: a duration, objective, p99 or off (default objective).
    #[serde(default)]
    slower_than: Option<SlowerThanWritten>,
    /// Exchanges with more than one attempt (default true).
    #[serde(default)]
    retried: Option<bool>,
    /// Exchanges that a limit refused (default true).
    #[serde(default)]
    limited: Option<bool>,
}

/// What the route says of its traces in place of `telemetry.traces`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTracesWritten {
    /// Its head share, by trace id (default: that of all routes).
    #[serde(default)]
    sample: Option<Share>,
    /// What counts as slow: a duration, objective, p99 or off (default: as for all routes).
    #[serde(default)]
    slower_than: Option<SlowerThanWritten>,
}

/// A duration or a word.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlowerThanWritten(SlowerThan);

impl<'de> Deserialize<'de> for SlowerThanWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SlowerThanVisitor)
    }
}

struct SlowerThanVisitor;

impl Visitor<'_> for SlowerThanVisitor {
    type Value = SlowerThanWritten;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 500ms, objective, p99 or off")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SlowerThanWritten, E> {
        const WORDS: [&str; 3] = ["objective", "p99", "off"];
        let text = text.trim();
        let word = match text {
            "objective" => SlowerThan::Objective,
            "p99" => SlowerThan::P99,
            "off" => SlowerThan::Off,
            _ if text.starts_with(|first: char| first.is_ascii_digit()) => {
                let DurationWritten(time) = text.parse().map_err(E::custom)?;
                SlowerThan::Fixed(time)
            }
            _ => {
                let hint = match resembling(text, &WORDS) {
                    Some(word) => format!("did you mean {word}?"),
                    None => "a duration such as 500ms, objective, p99 or off".to_owned(),
                };
                let what = format!("{} is not known here: {hint}", quoted(text));
                return Err(E::custom(what));
            }
        };
        Ok(SlowerThanWritten(word))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<SlowerThanWritten, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<SlowerThanWritten, E> {
        self.visit_str(&number.to_string())
    }
}

// === Checks ===

impl KeepWritten {
    /// Checks the section. What cannot be used is noted and has its default here.
    pub(super) fn check(&self, at: &At<'_>) -> Keep {
        let default = Keep::default();
        Keep {
            errors: self.errors.unwrap_or(default.errors),
            slower_than: check_slower_than(self.slower_than, at).unwrap_or(default.slower_than),
            retried: self.retried.unwrap_or(default.retried),
            limited: self.limited.unwrap_or(default.limited),
        }
    }
}

impl RouteTracesWritten {
    /// Checks the section. What cannot be used is noted and is as if it had not been written.
    pub(super) fn check(&self, at: &At<'_>) -> RouteTraces {
        RouteTraces {
            sample: self.sample,
            slower_than: check_slower_than(self.slower_than, at),
        }
    }
}

/// `slower_than` of the section at `at`.
fn check_slower_than(written: Option<SlowerThanWritten>, at: &At<'_>) -> Option<SlowerThan> {
    let SlowerThanWritten(slower_than) = written?;
    match slower_than {
        SlowerThan::Fixed(time) => {
            let time = check_time(Some(DurationWritten(time)), &at.key("slower_than"))?;
            Some(SlowerThan::Fixed(time))
        }
        word => Some(word),
    }
}
