//! Which requests may be retried at all, and which ends of an attempt call for it.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::RetryBudget;
use crate::config;
use crate::exchange::{Fault, RetryClass};

/// The retry policy of a route, with its budget.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// What was asked for.
    pub plan: config::Retry,
    /// The budget that all workers share.
    pub budget: Arc<RetryBudget>,
}

// === impl RetryPolicy ===

impl RetryPolicy {
    /// Whether a request of this method may be sent twice: by default the idempotent ones (RFC 9110 §9.2.2).
    #[must_use]
    pub fn covers(&self, method: &Method) -> bool {
        self.plan.methods.contains(method)
    }

    /// Whether an attempt that failed so calls for another.
    #[must_use]
    pub fn retries_fault(&self, fault: &Fault) -> bool {
        let when = &self.plan.when;
        match fault.retry() {
            RetryClass::Never => false,
            RetryClass::ConnectFailure => when.connect_failure,
            RetryClass::Reset => when.reset,
            // A timeout is also the 504 that it would become.
            RetryClass::Timeout => when.timeout || when.statuses.contains(&504),
        }
    }

    /// Whether an answer with this status calls for another attempt.
    #[must_use]
    pub fn retries_status(&self, status: StatusCode) -> bool {
        self.plan.when.statuses.contains(&status.as_u16())
    }
}
