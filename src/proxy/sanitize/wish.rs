//! What a request asks its connection, or its stream, to become.
//!
//! It is judged here, where the fields that say it are still there; they are taken out as any other field of the
//! connection, and whether the wish is granted is for the route ([`Upgrade`](crate::proxy::upgrade)). Of all that
//! `Upgrade` may name only `websocket` is a wish: `h2c`, `TLS/1.0` and whatever else a client thinks of are no words
//! for the upstream, and an upstream that followed one behind the proxy's back would be spoken to past every layer.

use http::request::Parts;
use http::{Method, Version, header};
use hyper::ext::Protocol;

use super::fields::{HopField, elements};
use super::judge::Seen;
use crate::exchange::{Fault, Outcome, TunnelKind};

/// What this request asks for, if it asks for something.
///
/// # Errors
/// Where it asks for what nobody here knows, or contradicts itself.
pub(super) fn wish(head: &Parts, seen: &Seen<'_>) -> Result<Option<TunnelKind>, Fault> {
    if head.method == Method::CONNECT {
        return connect(head, seen).map(Some);
    }
    let asks = seen.counts.hop.has(HopField::Upgrade)
        && seen.counts.connections > 0
        && head.method == Method::GET
        && head.version == Version::HTTP_11
        && is_websocket(head, seen);
    Ok(asks.then_some(TunnelKind::WebSocket))
}

/// A handshake as RFC 6455 §4.1 has it, as far as a proxy has to understand it; the rest is the upstream's to judge. What
/// is none goes on as the plain request that it then is.
#[cold]
fn is_websocket(head: &Parts, seen: &Seen<'_>) -> bool {
    let has = |name, word: &[u8]| {
        elements(head.headers.get_all(name).iter()).any(|it| it.eq_ignore_ascii_case(word))
    };
    let keys = head.headers.get_all(header::SEC_WEBSOCKET_KEY);
    has(header::CONNECTION, b"upgrade")
        && has(header::UPGRADE, b"websocket")
        && keys.iter().count() == 1
        && is_without_body(head, seen)
}

/// CONNECT: to `host:port` (RFC 9110 §9.3.6), or with a `:protocol` (RFC 8441 §4).
#[cold]
fn connect(head: &Parts, seen: &Seen<'_>) -> Result<TunnelKind, Fault> {
    if head.version == Version::HTTP_10 {
        return Err(refused("CONNECT is not carried over HTTP/1.0", 405));
    }
    if !is_without_body(head, seen) {
        return Err(Fault::new(
            Outcome::HttpRequestError,
            "the CONNECT has a body",
        ));
    }
    match head.extensions.get::<Protocol>().map(Protocol::as_str) {
        Some("websocket") => Ok(TunnelKind::WebSocket),
        Some(_) => Err(refused(
            "the request's :protocol is not known here", // RFC 9220 §3 has the status
            501,
        )),
        None => {
            let target = head.uri.authority();
            if head.uri.path_and_query().is_some() || target.is_none_or(|it| it.port().is_none()) {
                return Err(Fault::new(
                    Outcome::HttpRequestError,
                    "the CONNECT's target is not host:port",
                ));
            }
            Ok(TunnelKind::Connect)
        }
    }
}

fn is_without_body(head: &Parts, seen: &Seen<'_>) -> bool {
    let length = head.headers.get(header::CONTENT_LENGTH);
    seen.counts.codings == 0 && length.is_none_or(|length| length.as_bytes() == b"0")
}

fn refused(detail: &'static str, status: u16) -> Fault {
    Fault::new(Outcome::HttpRequestDenied, detail).with_status(status)
}
