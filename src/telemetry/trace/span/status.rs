//! Whether a span says that something failed, and what.

use opentelemetry::StringValue;
use opentelemetry::trace::Status;

use crate::exchange::{Attempt, Outcome, Record, Side, grpc};
use crate::telemetry::label;

/// `error.type`: the outcome where it was not served, else the status where it is an error: HTTP's, or gRPC's as a word.
/// To whom calls (`from` is 400), every status of gRPC but OK is one; to whom is called, what says that it failed.
pub(super) fn error_type(
    outcome: Outcome,
    (status, grpc_status): (Option<u16>, Option<u8>),
    from: u16,
) -> Option<StringValue> {
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

pub(super) fn server_status(record: &Record) -> Status {
    match record.outcome {
        Outcome::Served if record.is_error() => Status::error(""),
        Outcome::Served => Status::Unset,
        _ if record.status >= 500 || is_cut_off(record) => Status::error(record.detail),
        _ => Status::Unset,
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

pub(super) fn client_status(attempt: &Attempt) -> Status {
    match attempt.outcome {
        Outcome::Served => {
            let is_error = attempt.status.is_some_and(|status| status >= 400)
                || attempt.grpc_status.is_some_and(|status| status != 0);
            if is_error {
                Status::error("")
            } else {
                Status::Unset
            }
        }
        outcome => Status::error(outcome.as_str()),
    }
}
