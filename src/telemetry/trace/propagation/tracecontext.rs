//! W3C Trace Context, levels 1 and 2.
//!
//! Choices that the standard leaves open:
//! - `tracestate` is passed on exactly as it came, several fields joined by a comma. It is taken up to 8 KiB (§3.3.1.5
//!   asks for at least 512 bytes); a larger one is dropped whole, as is one with a key twice.
//! - Keys follow level 2, whose grammar contains level 1's simple and multi-tenant keys.
//! - Of the flags only sampled and random are known; the others are zero in what we write (§3.2.2.5), which is always
//!   version 00.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Incoming, hex, members, only, put};
use crate::exchange::{SAMPLED, SpanId, SpanRef, TraceId, W3C_FLAGS};

/// The field that names the caller's span.
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The field of the vendors.
pub static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of a `traceparent` of version 00, in bytes.
const TRACEPARENT_BYTES: usize = 55;
/// The largest `tracestate` that is passed on, in bytes.
const MAX_STATE_BYTES: usize = 8192;
/// The most members of a `tracestate`, §3.3.1.1.
const MAX_STATE_MEMBERS: usize = 32;
/// The longest key, and the longest value, of a member, §3.3.1.3.
const MAX_STATE_WORD: usize = 256;
/// Reads both fields, where there is exactly one valid `traceparent`.
pub(super) fn read(headers: &HeaderMap) -> Option<Incoming> {
    let context = parse_traceparent(only(headers, &TRACEPARENT)?)?;
    // Without a valid traceparent the tracestate means nothing, §3.3.
    Some(Incoming {
        context: Some(context),
        decision: Some(context.flags & SAMPLED != 0),
        state: read_state(headers),
    })
}

/// Writes both fields in place of whatever came.
pub(super) fn write(span: &SpanRef, state: Option<&str>, headers: &mut HeaderMap) {
    put(&TRACEPARENT, &format_traceparent(span), headers);
    match state.map(HeaderValue::from_str) {
        Some(Ok(value)) => {
            headers.insert(&TRACESTATE, value);
        }
        _ => {
            headers.remove(&TRACESTATE);
        }
    }
}

/// Reads a `traceparent`, §3.2. Versions above 00 are read as far as 00 defines them (§4.3).
fn parse_traceparent(field: &[u8]) -> Option<SpanRef> {
    let (known, rest) = field.split_at_checked(TRACEPARENT_BYTES)?;
    if known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
        return None;
    }
    let [version] = hex(&known[..2])?;
    let is_whole = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.first().is_none_or(|next| *next == b'-'),
    };
    let trace_id: [u8; 16] = hex(&known[3..35])?;
    let span_id: [u8; 8] = hex(&known[36..52])?;
    let [flags] = hex(&known[53..])?;
    let is_valid = is_whole && trace_id != [0; 16] && span_id != [0; 8];
    is_valid.then_some(SpanRef {
        trace_id: TraceId(trace_id),
        span_id: SpanId(span_id),
        flags: flags & W3C_FLAGS,
    })
}

/// Writes a `traceparent` of version 00.
fn format_traceparent(span: &SpanRef) -> [u8; TRACEPARENT_BYTES] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; TRACEPARENT_BYTES];
    text[..2].copy_from_slice(b"00");
    text[3..35].copy_from_slice(&span.trace_id.hex());
    text[36..52].copy_from_slice(&span.span_id.hex());
    let flags = span.flags & W3C_FLAGS;
    text[53] = DIGITS[usize::from(flags >> 4)];
    text[54] = DIGITS[usize::from(flags & 15)];
    text
}

/// The `tracestate` of all fields together, where it is valid and says anything.
fn read_state(headers: &HeaderMap) -> Option<Box<str>> {
    let fields = || headers.get_all(&TRACESTATE).iter();
    let size = fields().map(|field| field.len() + 1).sum::<usize>();
    if size == 0 || size - 1 > MAX_STATE_BYTES {
        return None;
    }
    let mut state = String::with_capacity(size);
    for field in fields() {
        if !state.is_empty() {
            state.push(',');
        }
        state.push_str(std::str::from_utf8(field.as_bytes()).ok()?);
    }
    is_valid_state(state.as_bytes()).then(|| state.into_boxed_str())
}

/// Whether a combined `tracestate` keeps to the grammar of §3.3.1, names no key twice, and is not empty.
fn is_valid_state(state: &[u8]) -> bool {
    let mut keys = [&[][..]; MAX_STATE_MEMBERS];
    let mut count = 0;
    for member in members(state) {
        let Some(equals) = member.iter().position(|byte| *byte == b'=') else {
            return false;
        };
        let (key, value) = (&member[..equals], &member[equals + 1..]);
        if count == MAX_STATE_MEMBERS
            || !is_state_key(key)
            || !is_state_value(value)
            || keys[..count].contains(&key)
        {
            return false;
        }
        keys[count] = key;
        count += 1;
    }
    count > 0
}

fn is_state_key(key: &[u8]) -> bool {
    let is_lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    key.len() <= MAX_STATE_WORD
        && key.first().is_some_and(is_lower)
        && key
            .iter()
            .all(|byte| is_lower(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@'))
}

fn is_state_value(value: &[u8]) -> bool {
    // It does not end in a space: white space after it has been trimmed.
    (1..=MAX_STATE_WORD).contains(&value.len())
        && value
            .iter()
            .all(|byte| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'='))
}

#[cfg(test)]
mod tests;
