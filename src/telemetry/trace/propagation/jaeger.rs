//! Jaeger's own field, `uber-trace-id: {trace}:{span}:{parent}:{flags}`.
//!
//! Ids may be shorter than they are long (leading zeros left out), and Jaeger's libraries percent-encode the colons:
//! both are taken. What we write has all its digits, plain colons, and `0` for the parent, which is deprecated. Of the
//! flags sampled (1) and debug (2, which counts with sampled only) are known.

use http::{HeaderMap, HeaderName};

use super::{Incoming, nibble, number, only, put};
use crate::exchange::{DEBUG, SAMPLED, SpanId, SpanRef, TraceId};

static UBER_TRACE_ID: HeaderName = HeaderName::from_static("uber-trace-id");

/// The longest that is read, in bytes: all digits, and three encoded colons.
const MAX_BYTES: usize = 32 + 16 + 16 + 2 + 3 * 3;

/// Reads `uber-trace-id`.
pub(super) fn read(headers: &HeaderMap) -> Option<Incoming> {
    let field = only(headers, &UBER_TRACE_ID)?;
    if field.len() > MAX_BYTES {
        return None;
    }
    let mut parts = [&[][..]; 4];
    let mut rest = Some(field);
    for part in &mut parts {
        (*part, rest) = split(rest?);
    }
    let [trace, span, parent, flags] = parts;
    let is_parent = !parent.is_empty() && parent.len() <= 16 && parent.iter().all(is_digit);
    if rest.is_some() || !is_parent {
        return None;
    }
    let bits = match flags {
        [one] => nibble(one.to_ascii_lowercase())?,
        [high, low] => nibble(high.to_ascii_lowercase())? << 4 | nibble(low.to_ascii_lowercase())?,
        _ => return None,
    };
    let is_sampled = bits & 1 != 0;
    let flags = match (is_sampled, bits & 2 != 0) {
        (true, true) => SAMPLED | DEBUG,
        (true, false) => SAMPLED,
        (false, _) => 0,
    };
    Some(Incoming {
        context: Some(SpanRef {
            trace_id: TraceId(number(trace)?),
            span_id: SpanId(number(span)?),
            flags,
        }),
        decision: Some(is_sampled),
        state: None,
    })
}

/// Writes `uber-trace-id`.
pub(super) fn write(span: &SpanRef, headers: &mut HeaderMap) {
    let mut text = [b':'; 53];
    text[..32].copy_from_slice(&span.trace_id.hex());
    text[33..49].copy_from_slice(&span.span_id.hex());
    text[50] = b'0';
    text[52] = match (span.flags & SAMPLED != 0, span.flags & DEBUG != 0) {
        (true, true) => b'3',
        (true, false) => b'1',
        (false, _) => b'0',
    };
    put(&UBER_TRACE_ID, &text, headers);
}

/// What is before the next colon, and what is behind it.
fn split(field: &[u8]) -> (&[u8], Option<&[u8]>) {
    let end = field.iter().position(|byte| matches!(byte, b':' | b'%'));
    let Some(end) = end else {
        return (field, None);
    };
    let (part, rest) = field.split_at(end);
    match rest {
        [b':', rest @ ..] | [b'%', b'3', b'a' | b'A', rest @ ..] => (part, Some(rest)),
        _ => (field, None), // no digit can be a percent sign: it is refused as one
    }
}

fn is_digit(byte: &u8) -> bool {
    byte.is_ascii_hexdigit()
}
