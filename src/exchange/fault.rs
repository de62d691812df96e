//! Why a request could not be carried: the one error of the request path.

use super::Outcome;

/// Why a request could not be carried. A layer that cannot go on returns one; `proxy::respond` alone turns it into a
/// response; `proxy::retry` alone decides by [`Fault::retry`] whether another attempt follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{outcome}: {detail}")]
pub struct Fault {
    outcome: Outcome,
    status: u16,
    retry: RetryClass,
    detail: &'static str,
}

/// Which retry condition a fault falls under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass {
    /// Another attempt cannot help, or may do harm.
    Never,
    /// Nothing reached the upstream: the connection could not be made.
    ConnectFailure,
    /// The connection was lost before a response head; the upstream may have seen the request.
    Reset,
    /// The attempt's own time was up before a response head.
    Timeout,
}

// === impl Fault ===

impl Fault {
    /// A fault that ends the exchange, with the outcome's own status.
    #[must_use]
    pub fn new(outcome: Outcome, detail: &'static str) -> Self {
        Self {
            outcome,
            status: outcome.status(),
            retry: RetryClass::Never,
            detail,
        }
    }

    /// With the 4xx that fits better than the outcome's own status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// That another attempt may follow, under this condition.
    #[must_use]
    pub fn retried_as(mut self, class: RetryClass) -> Self {
        self.retry = class;
        self
    }

    /// How the exchange ends if nothing else is tried.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The status of gRPC that says the same: the outcome's, save where the status says it more exactly.
    #[must_use]
    pub fn grpc_status(&self) -> u8 {
        match self.status {
            401 => 16, // UNAUTHENTICATED
            501 => 12, // UNIMPLEMENTED
            413 => 8,  // RESOURCE_EXHAUSTED: what gRPC itself says of a message that is too large
            408 => 4,  // DEADLINE_EXCEEDED
            _ => self.outcome.grpc_status(),
        }
    }

    /// Under which condition another attempt may follow.
    #[must_use]
    pub fn retry(&self) -> RetryClass {
        self.retry
    }

    /// What exactly happened, for the people who run the proxy; never shown to clients.
    #[must_use]
    pub fn detail(&self) -> &'static str {
        self.detail
    }
}
