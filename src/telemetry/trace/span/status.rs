//! Whether a span says that something failed, and what.

use std::borrow::Cow;

use crate::exchange::{Attempt, Outcome, Record, Side, grpc};
use crate::telemetry::label;

/// The status of a span; who sets none says nothing of success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanStatus {
    /// Nothing is said.
    Unset,
    /// It failed, with what is to be said of that beyond its attributes.
    Error(&'static str),
}

/// `error.type`: the outcome where it was not served, else the status where it is an error: HTTP's, or gRPC's as a word.
/// To whom calls (`from` is 400), every status of gRPC but OK is one; to whom is called, what says that it failed.
pub(super) fn error_type(
    outcome: Outcome,
    (status, grpc_status): (Option<u16>, Option<u8>),
    from: u16,
) -> Option<Cow<'static, str>> {
    if outcome != Outcome::Served {
        return Some(outcome.as_str().into());
    }
    if let Some(status) = status.filter(|status| *status >= from) {
        return Some(status.to_string().into());
    }
    let is_error = |status: &u8| match from {
        400 => *status != 0,
        _ => grpc::is_failure(*status),
    };
    grpc_status
        .filter(is_error)
        .map(|status| label::grpc_status(status).into())
}

pub(super) fn server_status(record: &Record) -> SpanStatus {
    match record.outcome {
        Outcome::Served if record.is_error() => SpanStatus::Error(""),
        Outcome::Served => SpanStatus::Unset,
        _ if record.status >= 500 || is_cut_off(record) => SpanStatus::Error(record.detail),
        _ => SpanStatus::Unset,
    }
}

/// Whether the client did not get the whole of an answer. What the proxy refuses with a 4xx, it answers whole; an
/// upstream's 4xx that broke off, and a client that went away, were cut off.
fn is_cut_off(record: &Record) -> bool {
    record.status < 400
        || record.outcome.side() == Some(Side::Upstream)
        || matches!(
            record.outcome,
            Outcome::ClientClosed | Outcome::ConnectionWriteTimeout
        )
}

pub(super) fn client_status(attempt: &Attempt) -> SpanStatus {
    match attempt.outcome {
        Outcome::Served => {
            let is_error = attempt.status.is_some_and(|status| status >= 400)
                || attempt.grpc_status.is_some_and(|status| status != 0);
            if is_error {
                SpanStatus::Error("")
            } else {
                SpanStatus::Unset
            }
        }
        outcome => SpanStatus::Error(outcome.as_str()),
    }
}
