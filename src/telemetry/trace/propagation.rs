//! The header fields by which a trace goes from one process to the next: W3C Trace Context, levels 1 and 2, and W3C
//! Baggage.
//!
//! It reads, judges and writes fields; whose context is followed is the caller's decision. The parser is ours because
//! the SDK's is lax (it takes `00-1-2-01` and signs in numbers), loses level 2's random flag and allocates. A request
//! without `tracestate` costs no allocation to read.
//!
//! Choices that the standards leave open:
//! - `tracestate` is passed on exactly as it came, several fields joined by a comma. It is taken up to 8 KiB (§3.3.1.5
//!   asks for at least 512 bytes); a larger one is dropped whole, as is one with a key twice.
//! - Keys follow level 2, whose grammar contains level 1's simple and multi-tenant keys.
//! - Of the flags only sampled and random are known; the others are zero in what we write (§3.2.2.5), which is always
//!   version 00.
//! - Baggage is passed on unchanged where the context is followed, up to 8192 bytes and 64 members; a larger one is
//!   dropped whole.
//! - With `propagation` without `tracecontext` its fields are neither read nor written: they pass through as any other.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::HeadShare;
use crate::exchange::{RANDOM, SAMPLED, SpanId, SpanRef, TraceId, TracePlace};

/// What a request says about the trace it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// The caller's span, where there is exactly one valid `traceparent`.
    pub context: Option<SpanRef>,
    /// The `tracestate` that came with it, where it is valid and not empty.
    pub state: Option<Box<str>>,
}

/// The field that names the caller's span.
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The field of the vendors.
pub static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The field of the application.
pub static BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// The length of a `traceparent` of version 00, in bytes.
const TRACEPARENT_BYTES: usize = 55;
/// The largest `tracestate` that is passed on, in bytes.
const MAX_STATE_BYTES: usize = 8192;
/// The most members of a `tracestate`, §3.3.1.1.
const MAX_STATE_MEMBERS: usize = 32;
/// The longest key, and the longest value, of a member, §3.3.1.3.
const MAX_STATE_WORD: usize = 256;
/// The largest baggage that is passed on, in bytes; W3C Baggage §3.3.2.
const MAX_BAGGAGE_BYTES: usize = 8192;
/// The most members of a baggage; W3C Baggage §3.3.2.
const MAX_BAGGAGE_MEMBERS: usize = 64;

/// Reads the trace context of a request.
#[must_use]
pub fn extract(headers: &HeaderMap) -> Incoming {
    let mut fields = headers.get_all(&TRACEPARENT).iter();
    let context = match (fields.next(), fields.next()) {
        (Some(only), None) => parse_traceparent(only.as_bytes()),
        _ => None,
    };
    // Without a valid traceparent the tracestate means nothing, §3.3.
    let state = context.and_then(|_| read_state(headers));
    Incoming { context, state }
}

/// Where an exchange stands: within the caller's trace where that is followed, else at the root of its own, with the
/// foreign context as a link.
#[must_use]
pub fn place(incoming: Incoming, follow: bool, sample: &HeadShare) -> TracePlace {
    match incoming.context {
        Some(parent) if follow => {
            let sampled = match sample.follows_parents() {
                true => parent.flags & SAMPLED,
                false => flag(sample.takes(parent.trace_id)),
            };
            TracePlace {
                trace_id: parent.trace_id,
                span_id: SpanId::random(),
                parent: Some(parent.span_id),
                flags: parent.flags & RANDOM | sampled,
                link: None,
                state: incoming.state,
            }
        }
        link => {
            let mut root = TracePlace::root(false);
            root.flags |= flag(sample.takes(root.trace_id));
            root.link = link;
            root
        }
    }
}

/// Writes the context that goes upstream in place of whatever came: the parent of what happens there is `span_id`.
pub fn inject(place: &TracePlace, span_id: SpanId, headers: &mut HeaderMap) {
    let text = format_traceparent(&SpanRef {
        trace_id: place.trace_id,
        span_id,
        flags: place.flags,
    });
    if let Ok(value) = HeaderValue::from_bytes(&text) {
        headers.insert(&TRACEPARENT, value);
    }
    match place.state.as_deref().map(HeaderValue::from_str) {
        Some(Ok(value)) => {
            headers.insert(&TRACESTATE, value);
        }
        _ => {
            headers.remove(&TRACESTATE);
        }
    }
}

/// Removes baggage that does not go upstream: all of it where the context is not followed, else what is too large.
pub fn limit_baggage(headers: &mut HeaderMap, follow: bool) {
    if headers.contains_key(&BAGGAGE) && !(follow && is_bounded_baggage(headers)) {
        headers.remove(&BAGGAGE);
    }
}

fn flag(is_sampled: bool) -> u8 {
    if is_sampled { SAMPLED } else { 0 }
}

/// Reads a `traceparent`, §3.2. Versions above 00 are read as far as 00 defines them (§4.3).
fn parse_traceparent(field: &[u8]) -> Option<SpanRef> {
    let field = trim(field);
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
        flags: flags & (SAMPLED | RANDOM),
    })
}

/// Writes a `traceparent` of version 00.
fn format_traceparent(span: &SpanRef) -> [u8; TRACEPARENT_BYTES] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; TRACEPARENT_BYTES];
    text[..2].copy_from_slice(b"00");
    text[3..35].copy_from_slice(&span.trace_id.hex());
    text[36..52].copy_from_slice(&span.span_id.hex());
    let flags = span.flags & (SAMPLED | RANDOM);
    text[53] = DIGITS[usize::from(flags >> 4)];
    text[54] = DIGITS[usize::from(flags & 15)];
    text
}

/// Lower-case hex digits, exactly twice as many as bytes.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Without optional white space, RFC 9110 §5.6.3.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
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

/// The members of a list, RFC 9110 §5.6.1, without the empty ones.
fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',')
        .map(trim)
        .filter(|member| !member.is_empty())
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

fn is_bounded_baggage(headers: &HeaderMap) -> bool {
    let fields = || headers.get_all(&BAGGAGE).iter().map(HeaderValue::as_bytes);
    let bytes = fields().map(|field| field.len() + 1).sum::<usize>();
    let count = fields().flat_map(members).count();
    bytes <= MAX_BAGGAGE_BYTES + 1 && count <= MAX_BAGGAGE_MEMBERS
}

#[cfg(test)]
mod tests;
