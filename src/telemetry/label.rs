//! Labels: the closed sets that may stand beside configured names, and how a label is written.
//!
//! No client text is ever a label. What a client or an upstream can choose freely, a status or a method, is told apart
//! only where it is registered; all else is [`OTHER`].

use std::borrow::Cow;

use crate::exchange::{Attempt, Outcome, grpc};

/// The label of everything that is not told apart.
pub const OTHER: &str = "_OTHER";

/// The route label of an exchange that no route took.
pub const UNMATCHED: &str = "_unmatched";

/// The status that is logged where the client went away before a response head. It is not registered, but it is ours
/// and not the client's to choose, so it stays itself in the metrics too: the log and the metrics say the same.
const CLIENT_CLOSED: u16 = 499;

/// The codes of IANA's HTTP Status Code Registry, those marked unused among them, as inclusive ranges.
const REGISTERED: [(u16, u16); 13] = [
    (100, 104),
    (200, 208),
    (226, 226),
    (300, 308),
    (400, 418),
    (421, 426),
    (428, 429),
    (431, 431),
    (451, 451),
    (CLIENT_CLOSED, CLIENT_CLOSED),
    (500, 508),
    (510, 510),
    (511, 511),
];

/// The label of a status: its digits where it is registered or 499, else [`OTHER`].
#[must_use]
pub fn status(status: u16) -> Cow<'static, str> {
    if REGISTERED
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&status))
    {
        Cow::Owned(status.to_string())
    } else {
        Cow::Borrowed(OTHER)
    }
}

/// The label of a status of gRPC: its word, as OpenTelemetry's `rpc.response.status_code` has it, else [`OTHER`].
#[must_use]
pub fn grpc_status(status: u8) -> &'static str {
    grpc::word(status).unwrap_or(OTHER)
}

/// The retry condition of an answer with this status of gRPC.
#[must_use]
pub fn grpc_retry_reason(status: u8) -> &'static str {
    match status {
        1 => "grpc_cancelled",
        4 => "grpc_deadline_exceeded",
        8 => "grpc_resource_exhausted",
        13 => "grpc_internal",
        14 => "grpc_unavailable",
        _ => OTHER,
    }
}

/// Why a further attempt was made: the retry condition under which `before` fell, or the status of its answer.
#[must_use]
pub fn retry_reason(before: &Attempt) -> Cow<'static, str> {
    match before.outcome {
        Outcome::Served => match before.grpc_status.filter(|status| *status != 0) {
            Some(status) => Cow::Borrowed(grpc_retry_reason(status)),
            None => before.status.map_or(Cow::Borrowed(OTHER), status),
        },
        Outcome::DnsError
        | Outcome::ConnectionRefused
        | Outcome::ConnectionTimeout
        | Outcome::ConnectionLimitReached
        | Outcome::DestinationIpUnroutable
        | Outcome::DestinationUnavailable => Cow::Borrowed("connect_failure"),
        Outcome::HttpResponseTimeout | Outcome::ConnectionReadTimeout => Cow::Borrowed("timeout"),
        _ => Cow::Borrowed("reset"),
    }
}

/// Writes `name="value"` pairs, with commas between them, as both exposition formats want them.
#[must_use]
pub fn pairs<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::with_capacity(128);
    for (name, value) in labels {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        escape(&mut out, value);
        out.push('"');
    }
    out
}

/// Writes a label's value: backslash, quote and line feed escaped.
fn escape(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_registered_statuses_apart_and_no_others() {
        assert_eq!(status(200), "200");
        assert_eq!(status(499), "499");
        assert_eq!(status(511), "511");
        for odd in [0, 99, 209, 299, 309, 419, 430, 509, 599, 600, 999] {
            assert_eq!(status(odd), OTHER);
        }
    }

    #[test]
    fn escapes_what_would_end_a_label() {
        assert_eq!(
            pairs([("a", "x"), ("b", "^\\d\"\n")]),
            "a=\"x\",b=\"^\\\\d\\\"\\n\""
        );
    }
}
