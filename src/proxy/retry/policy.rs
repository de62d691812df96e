//! Which requests may be retried at all, and which ends of an attempt call for it.
//!
//! A call of gRPC is a POST, which is not idempotent and so by default never repeated. Whoever names a status of gRPC
//! says thereby which calls may be repeated all the same: those, and those that reached nobody. It opens no other door:
//! what may have been done (a lost connection, a timeout, a status of HTTP) is repeated only where `methods` has POST,
//! and no other POST ever is.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::RetryBudget;
use crate::config;
use crate::exchange::{Fault, Request, Response, RetryClass, grpc};

/// The retry policy of a route, with its budget.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// What was asked for.
    pub plan: config::Retry,
    /// The budget that all workers share.
    pub budget: Arc<RetryBudget>,
}

/// How far the policy covers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every condition holds for it.
    Whole,
    /// Only what a gRPC call may be repeated for: its statuses, and what reached nobody.
    Call,
}

// === impl RetryPolicy ===

impl RetryPolicy {
    /// How far a request may be sent twice: by default the idempotent ones (RFC 9110 §9.2.2), and calls where a status of
    /// gRPC is named.
    #[must_use]
    pub fn covers(&self, request: &Request) -> Option<Extent> {
        let method = &request.head.method;
        // CONNECT sends nothing until there is a connection, and then that is its answer.
        if self.plan.methods.contains(method) || *method == Method::CONNECT {
            return Some(Extent::Whole);
        }
        (!self.plan.when.grpc.is_empty() && request.exchange.is_grpc()).then_some(Extent::Call)
    }

    /// Whether an attempt that failed so calls for another.
    #[must_use]
    pub fn retries_fault(&self, fault: &Fault, extent: Extent) -> bool {
        let when = &self.plan.when;
        if extent == Extent::Call && fault.retry() != RetryClass::ConnectFailure {
            return false;
        }
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
    pub fn retries_status(&self, status: StatusCode, extent: Extent) -> bool {
        extent == Extent::Whole && self.plan.when.statuses.contains(&status.as_u16())
    }

    /// The status of gRPC in the head of this answer, where it calls for another attempt. One that stands in trailers
    /// comes too late: what came before it is with the client already.
    #[must_use]
    pub fn retries_grpc(&self, response: &Response) -> Option<u8> {
        let when = self.plan.when.grpc;
        if when.is_empty() || !grpc::is_grpc(response.headers()) {
            return None;
        }
        grpc::status(response.headers()).filter(|status| when.has(*status))
    }
}
