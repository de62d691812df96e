//! `retry`: when a failed attempt is followed by another.

use std::time::Duration;

use http::Method;

use super::{ByteSize, Share};

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
