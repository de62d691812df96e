//! The header fields by which a trace goes from one process to the next, in every family that is configured.
//!
//! ```text
//! tracecontext  traceparent, tracestate       W3C Trace Context, levels 1 and 2
//! b3            b3; X-B3-TraceId and its kin  Zipkin's, in one field or in several
//! jaeger        uber-trace-id                 Jaeger's own
//! baggage       baggage, uberctx-*            what the application sends along
//! ```
//!
//! It reads, judges and writes fields; whose context is followed is the caller's decision. The parsers are ours because
//! the SDK's are lax (its W3C reader takes `00-1-2-01` and signs in numbers), lose level 2's random flag and allocate. A
//! request without `tracestate` costs no allocation to read.
//!
//! Choices that the standards leave open:
//! - The families are read in the order of the configuration; the first whose fields are valid names the trace, and
//!   what the others say is not looked at. Upstream go all that are configured, made anew, so that none is there twice
//!   and none tells of another trace.
//! - With B3, a request may bring a decision without a trace (`b3: 0`): the trace begins here and the decision is
//!   followed. It may bring a trace without a decision: then the share decides.
//! - A family that is not configured is neither read nor written: its fields pass through as any other.

mod b3;
mod baggage;
mod jaeger;
mod tracecontext;

#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName, HeaderValue};

pub use self::baggage::{BAGGAGE, limit as limit_baggage, pick as pick_baggage};
pub use self::tracecontext::{TRACEPARENT, TRACESTATE};
use super::HeadShare;
use crate::config::{Propagation, TraceFormat};
use crate::exchange::{DEBUG, RANDOM, SAMPLED, SWAPPED, SpanId, SpanRef, TracePlace};

/// What a request says about the trace it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// The caller's span, where the fields that name it are valid.
    pub context: Option<SpanRef>,
    /// Whether the caller wants it sampled; `None` where it leaves that to us. There may be a decision without a span.
    pub decision: Option<bool>,
    /// The `tracestate` that came with it, where it is valid and not empty.
    pub state: Option<Box<str>>,
}

/// Reads the trace context of a request.
#[must_use]
pub fn extract(headers: &HeaderMap, propagation: &Propagation) -> Incoming {
    let read = |format| match format {
        TraceFormat::TraceContext => tracecontext::read(headers),
        TraceFormat::B3 => b3::read_single(headers),
        TraceFormat::B3Multi => b3::read_multi(headers),
        TraceFormat::Jaeger => jaeger::read(headers),
    };
    propagation.formats().find_map(read).unwrap_or_default()
}

/// Where an exchange stands: within the caller's trace where that is followed, else at the root of its own, with the
/// foreign context as a link.
#[must_use]
pub fn place(incoming: Incoming, follow: bool, sample: &HeadShare) -> TracePlace {
    let followed = incoming
        .decision
        .filter(|_| follow && sample.follows_parents());
    match incoming.context {
        Some(parent) if follow => {
            let is_sampled = followed.unwrap_or_else(|| sample.takes(parent.trace_id));
            let is_left_to_us = incoming.decision.is_none();
            TracePlace {
                trace_id: parent.trace_id,
                span_id: SpanId::random(),
                parent: Some(parent.span_id),
                flags: parent.flags & RANDOM
                    | flag(is_sampled, SAMPLED | parent.flags & DEBUG)
                    | flag(is_left_to_us, SWAPPED),
                link: None,
                state: incoming.state,
                baggage: None,
                is_forced: false,
            }
        }
        link => {
            let mut root = TracePlace::root(false);
            let is_sampled = followed.unwrap_or_else(|| sample.takes(root.trace_id));
            root.flags |= flag(is_sampled, SAMPLED) | flag(followed.is_some(), SWAPPED);
            root.link = link;
            root
        }
    }
}

/// Writes the context that goes upstream in place of whatever came, in each family that is configured: the parent of
/// what happens there is `span_id`.
pub fn inject(
    place: &TracePlace,
    span_id: SpanId,
    propagation: &Propagation,
    headers: &mut HeaderMap,
) {
    let span = SpanRef {
        trace_id: place.trace_id,
        span_id,
        flags: place.flags,
    };
    for format in propagation.formats() {
        match format {
            TraceFormat::TraceContext => {
                tracecontext::write(&span, place.state.as_deref(), headers);
            }
            TraceFormat::B3 => b3::write_single(&span, headers),
            TraceFormat::B3Multi => b3::write_multi(&span, headers),
            TraceFormat::Jaeger => jaeger::write(&span, headers),
        }
    }
}

fn flag(is_set: bool, bits: u8) -> u8 {
    if is_set { bits } else { 0 }
}

/// The value of a field that is there exactly once, without the white space around it.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut fields = headers.get_all(name).iter();
    match (fields.next(), fields.next()) {
        (Some(only), None) => Some(trim(only.as_bytes())),
        _ => None,
    }
}

/// Puts a field in place of all that have its name.
fn put(name: &'static HeaderName, text: &[u8], headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::from_bytes(text) {
        headers.insert(name, value);
    }
}

/// Lower-case hex digits, exactly twice as many as bytes.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

/// A number of up to twice as many hex digits as bytes, of either case, that is not zero.
fn number<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.is_empty() || digits.len() > 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (place, digit) in digits.iter().rev().enumerate() {
        let nibble = nibble(digit.to_ascii_lowercase())?;
        bytes[N - 1 - place / 2] |= nibble << (4 * (place % 2));
    }
    (bytes != [0; N]).then_some(bytes)
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

/// The members of a list, RFC 9110 §5.6.1, without the empty ones.
fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',')
        .map(trim)
        .filter(|member| !member.is_empty())
}
