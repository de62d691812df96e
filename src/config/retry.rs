//! `retry`: when a failed attempt is followed by another.

use std::fmt;
use std::time::Duration;

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::notes::At;
use super::ranges::{check_size, check_time, check_whole};
use super::read::resembling;
use super::route_match::check_methods;
use super::tree::quoted;
use super::{ByteSize, DurationRange, DurationWritten, RouteTimeouts, Share};

/// The retry policy of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first one included; at least 2.
    pub attempts: u32,
    /// What is retried (default: connect_failure, reset, 502, 503, 504).
    pub when: RetryWhen,
    /// How long one attempt may take to its response head (default none).
    pub per_try_timeout: Option<Duration>,
    /// The largest request body kept for a retry (default 64 KiB); a larger one is not retried.
    pub max_replay: ByteSize,
    /// The pause before the second attempt; doubles, with full jitter (default 25 ms).
    pub backoff_base: Duration,
    /// The longest pause (default 250 ms).
    pub backoff_max: Duration,
    /// How many retries there may be beside first attempts.
    pub budget: RetryBudget,
    /// Which methods may be retried (default: the idempotent ones, RFC 9110 §9.2.2).
    pub methods: Vec<Method>,
}

/// What is retried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryWhen {
    /// The connection could not be made (refused, timed out, unreachable, name not found).
    pub connect_failure: bool,
    /// The connection was lost, or the stream reset, before a response head.
    pub reset: bool,
    /// The attempt's own timeout passed before a response head.
    pub timeout: bool,
    /// Statuses of the upstream's answer.
    pub statuses: Vec<u16>,
    /// Statuses of gRPC in the head of the upstream's answer, a bit each.
    pub grpc: GrpcStatuses,
}

/// A set of statuses of gRPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrpcStatuses(u32);

impl GrpcStatuses {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(self, status: u8) -> bool {
        1_u32
            .checked_shl(u32::from(status))
            .is_some_and(|bit| self.0 & bit != 0)
    }

    fn add(&mut self, status: u8) {
        self.0 |= 1 << status;
    }
}

/// How many retries there may be beside first attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Retries as a share of first attempts (default 20 %).
    pub ratio: Share,
    /// Retries a second that are always allowed (default 10).
    pub min_per_second: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            ratio: Share(0.2),
            min_per_second: 10,
        }
    }
}

// === As written ===

/// When a failed attempt is followed by another.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryWritten {
    /// Attempts in all, the first one included, 2 to 20 (default 3).
    #[serde(default)]
    attempts: Option<u64>,
    /// What is retried: `connect_failure`, `reset`, `timeout`, statuses from 400 to 599, and of gRPC calls `grpc_cancelled`,
    /// `grpc_deadline_exceeded`, `grpc_internal`, `grpc_resource_exhausted` and `grpc_unavailable` (default connect_failure,
    /// reset, 502, 503, 504).
    #[serde(default)]
    when: Option<Vec<WhenWritten>>,
    /// How long one attempt may take to its response head (default none).
    #[serde(default)]
    per_try_timeout: Option<DurationWritten>,
    /// The largest request body kept for a retry, at most 64MiB (default 64KiB); a larger one is not retried.
    #[serde(default)]
    max_replay: Option<ByteSize>,
    /// The pause before the second attempt and the longest pause: exponential with full jitter (default 25ms..250ms).
    #[serde(default)]
    backoff: Option<DurationRange>,
    /// How many retries there may be beside first attempts.
    #[serde(default)]
    budget: BudgetWritten,
    /// Which methods may be retried (default: the idempotent ones, GET, HEAD, OPTIONS, PUT, DELETE).
    #[serde(default)]
    methods: Option<Vec<String>>,
}

/// How many retries there may be beside first attempts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BudgetWritten {
    /// Retries as a share of first attempts (default 20%).
    #[serde(default)]
    ratio: Option<Share>,
    /// Retries a second that are always allowed (default 10).
    #[serde(default)]
    min_per_second: Option<u64>,
}

/// One condition of a retry: a word or a status.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WhenWritten {
    /// A word.
    Word(String),
    /// A status.
    Status(u64),
}

impl<'de> Deserialize<'de> for WhenWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WhenVisitor)
    }
}

struct WhenVisitor;

impl Visitor<'_> for WhenVisitor {
    type Value = WhenWritten;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word or a status, such as reset or 503")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<WhenWritten, E> {
        Ok(word
            .parse()
            .map_or_else(|_| WhenWritten::Word(word.to_owned()), WhenWritten::Status))
    }

    fn visit_u64<E: de::Error>(self, status: u64) -> Result<WhenWritten, E> {
        Ok(WhenWritten::Status(status))
    }
}

// === Checks ===

/// What is retried when the file does not say.
const DEFAULT_STATUSES: [u16; 3] = [502, 503, 504];
/// The words of `when`.
pub(super) const WORDS: [&str; 8] = [
    "connect_failure",
    "reset",
    "timeout",
    "grpc_cancelled",
    "grpc_deadline_exceeded",
    "grpc_internal",
    "grpc_resource_exhausted",
    "grpc_unavailable",
];
/// The default body that is kept.
const MAX_REPLAY: ByteSize = ByteSize(64 << 10);

impl RetryWritten {
    /// Checks the section. The route's timeouts are those it will run with.
    pub(super) fn check(&self, timeout: &RouteTimeouts, at: &At<'_>) -> Retry {
        let attempts = check_whole(self.attempts, 2..=20, &at.key("attempts")).unwrap_or(3);
        let per_try_timeout = check_time(self.per_try_timeout, &at.key("per_try_timeout"));
        let when = match &self.when {
            Some(list) => check_when(list, &at.key("when")),
            None => RetryWhen {
                connect_failure: true,
                reset: true,
                timeout: false,
                statuses: DEFAULT_STATUSES.to_vec(),
                grpc: GrpcStatuses::default(),
            },
        };
        if let (Some(one), Some(total)) = (per_try_timeout, timeout.total)
            && one.saturating_mul(attempts) > total
        {
            let all = DurationWritten(one.saturating_mul(attempts));
            at.key("per_try_timeout").warn(
                format!(
                    "{attempts} attempts of {} take {all}, longer than timeout.total: {}",
                    DurationWritten(one),
                    DurationWritten(total)
                ),
                "the last attempts are cut short by the total",
            );
        }
        if when.timeout && per_try_timeout.is_none() && at.is_whole() {
            at.key("when").warn(
                "timeout never happens: there is no per_try_timeout",
                "add per_try_timeout",
            );
        }
        let replay = ByteSize(0)..=ByteSize(64 << 20);
        let backoff = self.backoff.filter(|range| {
            let longest = DurationWritten(range.to);
            check_time(Some(longest), &at.key("backoff")).is_some()
        });
        let backoff = backoff.unwrap_or(DurationRange {
            from: Duration::from_millis(25),
            to: Duration::from_millis(250),
        });
        Retry {
            attempts,
            when,
            per_try_timeout,
            max_replay: check_size(self.max_replay, &replay, &at.key("max_replay"))
                .unwrap_or(MAX_REPLAY),
            backoff_base: backoff.from,
            backoff_max: backoff.to,
            budget: self.budget.check(&at.key("budget")),
            methods: match &self.methods {
                Some(list) => check_methods(list, &at.key("methods")),
                None => vec![
                    Method::GET,
                    Method::HEAD,
                    Method::OPTIONS,
                    Method::PUT,
                    Method::DELETE,
                ],
            },
        }
    }
}

impl BudgetWritten {
    fn check(&self, at: &At<'_>) -> RetryBudget {
        let default = RetryBudget::default();
        let budget = RetryBudget {
            ratio: self.ratio.unwrap_or(default.ratio),
            min_per_second: check_whole(
                self.min_per_second,
                0..=1_000_000,
                &at.key("min_per_second"),
            )
            .unwrap_or(default.min_per_second),
        };
        if budget.ratio == Share::NONE && budget.min_per_second == 0 {
            at.warn(
                "nothing is ever retried with this budget",
                "leave retry out, or allow a share",
            );
        }
        budget
    }
}

fn check_when(list: &[WhenWritten], at: &At<'_>) -> RetryWhen {
    let mut when = RetryWhen::default();
    if list.is_empty() && at.is_whole() {
        at.error_hint(
            "nothing is retried",
            "such as [connect_failure, reset, 503]",
        );
    }
    for (position, condition) in list.iter().enumerate() {
        let at = at.item(position);
        if list.iter().take(position).any(|other| other == condition) {
            at.error("named twice");
            continue;
        }
        match condition {
            WhenWritten::Status(status) => match u16::try_from(*status) {
                Ok(status @ 400..=599) => when.statuses.push(status),
                _ => at.error_hint(
                    format!("{status} cannot be retried"),
                    "a status from 400 to 599",
                ),
            },
            WhenWritten::Word(word) => match word.as_str() {
                "connect_failure" => when.connect_failure = true,
                "reset" => when.reset = true,
                "timeout" => when.timeout = true,
                "grpc_cancelled" => when.grpc.add(1),
                "grpc_deadline_exceeded" => when.grpc.add(4),
                "grpc_resource_exhausted" => when.grpc.add(8),
                "grpc_internal" => when.grpc.add(13),
                "grpc_unavailable" => when.grpc.add(14),
                _ => at.error_hint(
                    format!("{} is not known here", quoted(word)),
                    when_hint(word),
                ),
            },
        }
    }
    when
}

fn when_hint(word: &str) -> String {
    let known = "connect_failure, reset, timeout, statuses from 400 to 599, and for calls of gRPC grpc_unavailable, \
                 grpc_resource_exhausted, grpc_cancelled, grpc_deadline_exceeded and grpc_internal";
    match resembling(word, &WORDS) {
        _ if matches!(word, "4xx" | "5xx") => "write the statuses out: 502, 503, 504".to_owned(),
        Some(other) => format!("did you mean {other}?"),
        None => known.to_owned(),
    }
}
