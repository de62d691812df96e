//! `match.grpc`: a gRPC call by its service and method.
//!
//! It is another way to write what a route matches anyway: the path `/package.Service/Method`, the method POST, and one
//! condition on the media type that counts as a header condition does. So precedence, ambiguity and `http_route` have
//! no rule of their own for it.

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::notes::At;
use super::tree::quoted;
use super::{Match, PathPattern};

/// A gRPC call: POST with a media type of `application/grpc`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrpcWritten {
    /// The service with its package, such as `shop.Checkout` (default: every service).
    #[serde(default)]
    service: Option<String>,
    /// The method of the service (default: every method of it).
    #[serde(default)]
    method: Option<String>,
}

// === Checks ===

impl GrpcWritten {
    /// Makes `rule` one of this call; what is written beside it was found to say nothing of path and methods. `None`
    /// when it cannot be used, which was noted then.
    pub(super) fn check(&self, rule: Match, at: &At<'_>) -> Option<Match> {
        let path = match (&self.service, &self.method) {
            (None, None) => PathPattern::Prefix("/".to_owned()),
            (None, Some(_)) => {
                at.key("method").error_hint(
                    "a method is one of a service",
                    "add service: PACKAGE.SERVICE",
                );
                return None;
            }
            (Some(service), method) => {
                let service_is_good = check_service(service, &at.key("service"));
                match method {
                    None => service_is_good.then(|| PathPattern::Prefix(format!("/{service}")))?,
                    Some(method) => (check_method(method, &at.key("method")) && service_is_good)
                        .then(|| PathPattern::Exact(format!("/{service}/{method}")))?,
                }
            }
        };
        Some(Match {
            path,
            methods: vec![Method::POST],
            is_grpc: true,
            ..rule
        })
    }
}

/// A name with its package, as protobuf writes it.
fn check_service(text: &str, at: &At<'_>) -> bool {
    let is_good = text.split('.').all(is_identifier);
    if !is_good {
        let hint = match text.trim_matches('/').rsplit_once('/') {
            Some((service, method)) if is_identifier(method) => {
                format!("write service: {service}, method: {method}")
            }
            _ => "such as shop.Checkout: the package and the service's name".to_owned(),
        };
        at.error_hint(format!("{} is not a gRPC service", quoted(text)), hint);
    }
    is_good
}

fn check_method(text: &str, at: &At<'_>) -> bool {
    let is_good = is_identifier(text);
    if !is_good {
        at.error_hint(
            format!("{} is not a gRPC method", quoted(text)),
            "such as Pay: the method's name alone",
        );
    }
    is_good
}

/// An identifier of protobuf: a letter or underscore, then these and digits.
fn is_identifier(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    text.bytes().next().is_some_and(is_letter)
        && text
            .bytes()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit())
}
