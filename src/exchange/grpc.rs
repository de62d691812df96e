//! gRPC, as far as a proxy has to know it: which requests are calls, and the closed set of their statuses.
//!
//! A call is a POST whose media type is `application/grpc`, alone or with a suffix (`+proto`) or parameters (gRPC over
//! HTTP/2, "Requests"). gRPC-Web (`application/grpc-web`) is another protocol: its status stands in the body, and its
//! clients read HTTP statuses, so it is plain HTTP here.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::Fault;

/// The field that carries the status: in the trailers, or in the head of a response without a body ("Trailers-Only").
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The field that says in words what the status says, percent-encoded.
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The words of the statuses, by their number.
const WORDS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Whether a request is a call.
#[must_use]
pub fn is_call(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::POST && is_grpc(headers)
}

/// Whether a message's media type is gRPC's.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| is_media_type(value.as_bytes()))
}

/// Whether this media type is gRPC's.
#[must_use]
pub fn is_media_type(value: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    let Some((name, rest)) = value.split_at_checked(NAME.len()) else {
        return false;
    };
    name.eq_ignore_ascii_case(NAME)
        && rest
            .first()
            .is_none_or(|byte| matches!(byte, b'+' | b';' | b' ' | b'\t'))
}

/// The status in these fields, if there is one that can be read. One that is not in the set counts as it is.
#[must_use]
pub fn status(fields: &HeaderMap) -> Option<u8> {
    fields.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// The fields that tell a call why it cannot be carried on.
#[must_use]
pub fn trailers(fault: &Fault) -> HeaderMap {
    let title = HeaderValue::from_static(fault.outcome().title());
    HeaderMap::from_iter([
        (
            GRPC_STATUS,
            HeaderValue::from(u16::from(fault.grpc_status())),
        ),
        (GRPC_MESSAGE, title),
    ])
}

/// The word of a status; `None` for one that is not in the set.
#[must_use]
pub fn word(status: u8) -> Option<&'static str> {
    WORDS.get(usize::from(status)).copied()
}

/// Whether a status says that the service failed, rather than its caller: those that OpenTelemetry counts as errors of
/// a server (UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS).
#[must_use]
pub fn is_failure(status: u8) -> bool {
    matches!(status, 2 | 4 | 12..=15)
}

/// The status that a client's library makes of an answer that is not gRPC ("HTTP to gRPC Status Code Mapping").
#[must_use]
pub fn of_http(status: u16) -> u8 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_post_of_grpcs_own_media_type() {
        let is = |method: Method, kind: &'static str| {
            let kind = HeaderValue::from_static(kind);
            is_call(
                &method,
                &HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]),
            )
        };
        for kind in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
            "Application/gRPC+json",
        ] {
            assert!(is(Method::POST, kind), "{kind}");
            assert!(!is(Method::GET, kind), "GET {kind}");
        }
        for kind in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpcx",
            "application/json",
            "application/gr",
            "x-application/grpc",
        ] {
            assert!(!is(Method::POST, kind), "{kind}");
        }
        assert!(!is_call(&Method::POST, &HeaderMap::new()));
    }

    #[test]
    fn statuses_have_the_words_of_the_specification() {
        assert_eq!(
            (word(0), word(16), word(17)),
            (Some("OK"), Some("UNAUTHENTICATED"), None)
        );
        assert_eq!(
            (word(14), word(8)),
            (Some("UNAVAILABLE"), Some("RESOURCE_EXHAUSTED"))
        );
        let read = |text: &'static str| {
            status(&HeaderMap::from_iter([(
                GRPC_STATUS,
                HeaderValue::from_static(text),
            )]))
        };
        assert_eq!(
            (read("5"), read("99"), read("x"), read("256")),
            (Some(5), Some(99), None, None)
        );
    }
}
