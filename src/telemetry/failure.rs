//! How an exchange or an attempt failed, in one word: the outcome where the proxy or the client ended it, else what the
//! service answered.

use std::fmt;

use crate::exchange::{Attempt, Outcome, Record, grpc};

/// How something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// It was not served; the word of the contract.
    Outcome(Outcome),
    /// It was answered with this status.
    Status(u16),
    /// It was answered with this status of gRPC.
    Grpc(u8),
}

// === impl Failure ===

impl Failure {
    /// Of an exchange for which [`Record::is_error`] holds.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self::from(record.outcome, record.status, record.grpc_status)
    }

    /// Of an attempt; `None` where it went well.
    #[must_use]
    pub fn of_attempt(attempt: &Attempt) -> Option<Self> {
        let status = attempt.status.unwrap_or_default();
        let is_failure = attempt.outcome != Outcome::Served
            || status >= 500
            || attempt.grpc_status.is_some_and(grpc::is_failure);
        is_failure.then(|| Self::from(attempt.outcome, status, attempt.grpc_status))
    }

    fn from(outcome: Outcome, status: u16, grpc_status: Option<u8>) -> Self {
        match (outcome, grpc_status) {
            (Outcome::Served, Some(code)) if status < 500 => Self::Grpc(code),
            (Outcome::Served, _) => Self::Status(status),
            (outcome, _) => Self::Outcome(outcome),
        }
    }
}

/// The word of the outcome, `status_503` or `grpc_14`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outcome(outcome) => f.write_str(outcome.as_str()),
            Self::Status(status) => write!(f, "status_{status}"),
            Self::Grpc(code) => write!(f, "grpc_{code}"),
        }
    }
}
