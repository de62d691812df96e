//! Which fields may not stand in trailers (RFC 9110 §6.5.1).
//!
//! What frames, routes, authenticates, describes a body's form or names the client has been decided on when the head
//! came; a second word on it after the body would be believed by some and not by others. hyper keeps some of these from
//! going out over HTTP/1.1, and none over HTTP/2. A name with `_` counts as the one with `-`, as in a head.

use http::{HeaderMap, HeaderName};

/// Takes them out.
pub(super) fn clean(trailers: &mut HeaderMap) {
    let names: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| is_forbidden(name.as_str()))
        .cloned()
        .collect();
    for name in names {
        trailers.remove(name);
    }
}

fn is_forbidden(name: &str) -> bool {
    if name.contains('_') {
        return is_named(&name.replace('_', "-"));
    }
    is_named(name)
}

fn is_named(name: &str) -> bool {
    matches!(
        name,
        "age"
            | "authorization"
            | "baggage"
            | "cache-control"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "cookie"
            | "date"
            | "expect"
            | "expires"
            | "forwarded"
            | "host"
            | "http2-settings"
            | "keep-alive"
            | "location"
            | "max-forwards"
            | "pragma"
            | "proxy"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "proxy-connection"
            | "range"
            | "retry-after"
            | "set-cookie"
            | "te"
            | "traceparent"
            | "tracestate"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "vary"
            | "via"
            | "www-authenticate"
            | "x-real-ip"
            | "x-request-id"
    ) || name.starts_with("x-forwarded-")
        || name.starts_with("if-")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_was_decided_on_is_not_said_again() {
        let mut trailers = HeaderMap::new();
        for name in [
            "content-length",
            "host",
            "x-forwarded-for",
            "authorization",
            "if-match",
            "x_forwarded_for",
            "content_length",
            "proxy",
            "grpc-status",
            "x-checksum",
            "digest",
            "server-timing",
            "etag",
        ] {
            trailers.append(name, HeaderValue::from_static("1"));
            trailers.append(name, HeaderValue::from_static("2"));
        }
        clean(&mut trailers);
        let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [
                "digest",
                "etag",
                "grpc-status",
                "server-timing",
                "x-checksum"
            ]
        );
    }
}
