//! W3C Baggage, and Jaeger's `uberctx-*`: what the application sends along with a trace.
//!
//! Baggage is passed on unchanged where the context is followed, up to 8192 bytes and 64 members over all its fields; a
//! larger one is dropped whole, and so is that of a context that is not followed. Jaeger's is judged the same way where
//! `jaeger` is configured, each of its fields being a member; it is passed on and not turned into the other.
//!
//! Configured members of W3C baggage become attributes of the exchange's span; they are read when the request comes,
//! and only where somebody asked for them.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{members, trim};
use crate::config::{Propagation, TraceFormat};
use crate::exchange::Baggage;
use crate::telemetry::percent::decoded;

/// The field of the application.
pub static BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// How the names of Jaeger's fields begin.
const UBERCTX: &str = "uberctx-";
/// The largest baggage that is passed on, in bytes; W3C Baggage §3.3.2.
const MAX_BYTES: usize = 8192;
/// The most members of a baggage; W3C Baggage §3.3.2.
const MAX_MEMBERS: usize = 64;
/// The longest value that becomes an attribute, in bytes; the rest is cut off.
const MAX_ATTRIBUTE: usize = 256;

/// Removes baggage that does not go upstream: all of it where the context is not followed, else what is too large.
pub fn limit(headers: &mut HeaderMap, propagation: &Propagation, follow: bool) {
    let follow = follow && propagation.baggage;
    if headers.contains_key(&BAGGAGE) && !(follow && is_bounded(headers)) {
        headers.remove(&BAGGAGE);
    }
    let is_jaeger = |format| format == TraceFormat::Jaeger;
    if propagation.formats().any(is_jaeger) {
        limit_uberctx(headers, follow);
    }
}

/// The members with these keys, decoded, each cut to 256 bytes; the last of a key counts. `None` where none came.
#[must_use]
pub fn pick(headers: &HeaderMap, keys: &[Box<str>]) -> Option<Box<Baggage>> {
    if keys.is_empty() || !headers.contains_key(&BAGGAGE) {
        return None;
    }
    let mut values: Baggage = vec![None; keys.len()].into_boxed_slice();
    let fields = headers.get_all(&BAGGAGE).iter();
    for member in fields.flat_map(|field| members(field.as_bytes())) {
        let pair = member
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let key = trim(&pair[..equals]);
        if let Some(place) = keys.iter().position(|known| known.as_bytes() == key) {
            values[place] = Some(text(trim(&pair[equals + 1..])));
        }
    }
    values.iter().any(Option::is_some).then(|| Box::new(values))
}

/// A value without its encoding; what is no UTF-8 becomes U+FFFD, W3C Baggage §3.3.1.3.
fn text(value: &[u8]) -> Box<str> {
    let bytes: Vec<u8> = decoded(value).take(MAX_ATTRIBUTE + 4).collect();
    let text = String::from_utf8_lossy(&bytes);
    Box::from(&text[..text.floor_char_boundary(MAX_ATTRIBUTE)])
}

fn is_bounded(headers: &HeaderMap) -> bool {
    let fields = || headers.get_all(&BAGGAGE).iter().map(HeaderValue::as_bytes);
    let bytes = fields().map(|field| field.len() + 1).sum::<usize>();
    let count = fields().flat_map(members).count();
    bytes <= MAX_BYTES + 1 && count <= MAX_MEMBERS
}

fn limit_uberctx(headers: &mut HeaderMap, follow: bool) {
    let is_one = |name: &HeaderName| name.as_str().starts_with(UBERCTX);
    let (mut bytes, mut count) = (0, 0);
    for (name, value) in headers.iter().filter(|(name, _)| is_one(name)) {
        bytes += name.as_str().len() - UBERCTX.len() + value.len();
        count += 1;
    }
    if count > 0 && !(follow && bytes <= MAX_BYTES && count <= MAX_MEMBERS) {
        let names: Vec<_> = headers
            .keys()
            .filter(|name| is_one(name))
            .cloned()
            .collect();
        for name in names {
            headers.remove(name);
        }
    }
}
