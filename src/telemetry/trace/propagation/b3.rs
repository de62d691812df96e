//! B3, Zipkin's: in one field (`b3`) or in several (`X-B3-TraceId` and its kin).
//!
//! Trace ids of 64 bits are widened with zeros and go on with 128, as all else that we write and record. Hex digits are
//! taken in either case, `true` and `false` for `1` and `0`, as Zipkin's own libraries do. The parent's span id is read
//! past and not written: ours is in the spans. A debug flag means sampled, and goes on as such.

use http::{HeaderMap, HeaderName};

use super::{Incoming, number, only, put};
use crate::exchange::{DEBUG, SAMPLED, SpanId, SpanRef, TraceId};

static B3: HeaderName = HeaderName::from_static("b3");
static TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
static SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
static PARENT_SPAN_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
static IS_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
static FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// What the sampling state says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Deny,
    Accept,
    Debug,
}

/// Reads `b3`: `{trace}-{span}[-{state}[-{parent}]]`, or the state alone.
pub(super) fn read_single(headers: &HeaderMap) -> Option<Incoming> {
    let field = only(headers, &B3)?;
    let mut parts = field.split(|byte| *byte == b'-');
    let all = [parts.next(), parts.next(), parts.next(), parts.next()];
    if parts.next().is_some() {
        return None;
    }
    match all {
        [Some(state), None, ..] => Some(incoming(None, Some(decision(state)?))),
        [Some(trace), Some(span), state, parent] => {
            let decision = match state {
                Some(state) => Some(decision(state)?),
                None => None,
            };
            if let Some(parent) = parent {
                parent_id(parent)?;
            }
            Some(incoming(Some(ids(trace, span)?), decision))
        }
        _ => None,
    }
}

/// Reads `X-B3-TraceId` and its kin.
pub(super) fn read_multi(headers: &HeaderMap) -> Option<Incoming> {
    let decision = match (only(headers, &FLAGS), only(headers, &IS_SAMPLED)) {
        (Some(b"1"), _) => Some(Decision::Debug),
        (_, Some(b"1" | b"true")) => Some(Decision::Accept),
        (_, Some(b"0" | b"false")) => Some(Decision::Deny),
        (_, Some(_)) => return None,
        (_, None) => None,
    };
    let has = |name| headers.contains_key(name);
    if !has(&TRACE_ID) && !has(&SPAN_ID) {
        return decision.map(|decision| incoming(None, Some(decision)));
    }
    let ids = ids(only(headers, &TRACE_ID)?, only(headers, &SPAN_ID)?)?;
    Some(incoming(Some(ids), decision))
}

/// Writes `b3`.
pub(super) fn write_single(span: &SpanRef, headers: &mut HeaderMap) {
    let mut text = [b'-'; 51];
    text[..32].copy_from_slice(&span.trace_id.hex());
    text[33..49].copy_from_slice(&span.span_id.hex());
    text[50] = match (span.flags & DEBUG != 0, span.flags & SAMPLED != 0) {
        (true, _) => b'd',
        (false, true) => b'1',
        (false, false) => b'0',
    };
    put(&B3, &text, headers);
}

/// Writes `X-B3-TraceId` and its kin.
pub(super) fn write_multi(span: &SpanRef, headers: &mut HeaderMap) {
    put(&TRACE_ID, &span.trace_id.hex(), headers);
    put(&SPAN_ID, &span.span_id.hex(), headers);
    headers.remove(&PARENT_SPAN_ID);
    // Debug means sampled, which is then not said beside it.
    if span.flags & DEBUG != 0 {
        put(&FLAGS, b"1", headers);
        headers.remove(&IS_SAMPLED);
    } else {
        headers.remove(&FLAGS);
        let is_sampled = span.flags & SAMPLED != 0;
        put(&IS_SAMPLED, if is_sampled { b"1" } else { b"0" }, headers);
    }
}

fn incoming(ids: Option<(TraceId, SpanId)>, decision: Option<Decision>) -> Incoming {
    let flags = match decision {
        Some(Decision::Debug) => SAMPLED | DEBUG,
        Some(Decision::Accept) => SAMPLED,
        Some(Decision::Deny) | None => 0,
    };
    Incoming {
        context: ids.map(|(trace_id, span_id)| SpanRef {
            trace_id,
            span_id,
            flags,
        }),
        decision: decision.map(|decision| decision != Decision::Deny),
        state: None,
    }
}

fn decision(state: &[u8]) -> Option<Decision> {
    match state {
        b"0" | b"false" => Some(Decision::Deny),
        b"1" | b"true" => Some(Decision::Accept),
        b"d" => Some(Decision::Debug),
        _ => None,
    }
}

fn ids(trace: &[u8], span: &[u8]) -> Option<(TraceId, SpanId)> {
    let is_whole = matches!(trace.len(), 16 | 32) && span.len() == 16;
    is_whole.then_some(())?;
    Some((TraceId(number(trace)?), SpanId(number(span)?)))
}

fn parent_id(parent: &[u8]) -> Option<[u8; 8]> {
    (parent.len() == 16).then(|| number(parent))?
}
