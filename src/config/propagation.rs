//! `telemetry.traces.propagation` and `.baggage_attributes`: the header fields by which a trace goes from process to process.
//!
//! The order of the list counts: the first family whose fields are valid says which trace an exchange belongs to.

use schemars::JsonSchema;
use serde::Deserialize;

use super::notes::At;

/// Which context headers are read, in this order, and written, all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagation {
    formats: [Option<TraceFormat>; TraceFormat::COUNT],
    /// Whether baggage is passed on where the context is followed.
    pub baggage: bool,
}

/// A family of header fields that name a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    /// `traceparent` and `tracestate`, W3C Trace Context.
    TraceContext,
    /// `b3`, one field.
    B3,
    /// `X-B3-TraceId` and its kin.
    B3Multi,
    /// `uber-trace-id`.
    Jaeger,
}

/// The most members of the baggage that become attributes.
const MAX_ATTRIBUTES: usize = 16;

/// The longest key of such a member, in bytes.
const MAX_ATTRIBUTE: usize = 128;

/// How the names begin that our spans give to what they say themselves.
const OURS: [&str; 13] = [
    "client.",
    "error.",
    "exception.",
    "host.",
    "http.",
    "k8s.",
    "network.",
    "process.",
    "server.",
    "service.",
    "sightglass.",
    "tls.",
    "url.",
];

// === impl Propagation ===

impl Propagation {
    /// These families, in this order; one that is named again counts once.
    #[must_use]
    pub fn new(formats: &[TraceFormat], baggage: bool) -> Self {
        let mut all = [None; TraceFormat::COUNT];
        let mut places = all.iter_mut();
        for (position, format) in formats.iter().enumerate() {
            if !formats[..position].contains(format)
                && let Some(place) = places.next()
            {
                *place = Some(*format);
            }
        }
        Self {
            formats: all,
            baggage,
        }
    }

    /// The families, in order.
    pub fn formats(&self) -> impl Iterator<Item = TraceFormat> + '_ {
        self.formats.iter().map_while(|format| *format)
    }
}

impl Default for Propagation {
    /// W3C Trace Context and Baggage.
    fn default() -> Self {
        Self::new(&[TraceFormat::TraceContext], true)
    }
}

// === impl TraceFormat ===

impl TraceFormat {
    /// How many there are.
    const COUNT: usize = 4;

    /// The word for it, as `propagation` and `OTEL_PROPAGATORS` have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TraceContext => "tracecontext",
            Self::B3 => "b3",
            Self::B3Multi => "b3multi",
            Self::Jaeger => "jaeger",
        }
    }
}

// === As written ===

/// A family of context headers.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum PropagationWritten {
    /// `traceparent` and `tracestate`.
    TraceContext,
    /// `baggage`.
    Baggage,
    /// `b3`.
    B3,
    /// `X-B3-TraceId` and its kin.
    B3Multi,
    /// `uber-trace-id`.
    Jaeger,
}

// === Checks ===

/// Checks the families.
pub(super) fn check(list: &[PropagationWritten], at: &At<'_>) -> Propagation {
    for (position, family) in list.iter().enumerate() {
        if list.iter().take(position).any(|other| other == family) {
            at.item(position).error("named twice");
        }
    }
    let formats = list.iter().filter_map(|family| match family {
        PropagationWritten::TraceContext => Some(TraceFormat::TraceContext),
        PropagationWritten::B3 => Some(TraceFormat::B3),
        PropagationWritten::B3Multi => Some(TraceFormat::B3Multi),
        PropagationWritten::Jaeger => Some(TraceFormat::Jaeger),
        PropagationWritten::Baggage => None,
    });
    Propagation::new(
        &formats.collect::<Vec<_>>(),
        list.contains(&PropagationWritten::Baggage),
    )
}

/// Checks the members of the baggage that become attributes.
pub(super) fn check_attributes(list: &[String], at: &At<'_>) -> Vec<Box<str>> {
    if list.len() > MAX_ATTRIBUTES {
        at.error(format!("at most {MAX_ATTRIBUTES} can become attributes"));
    }
    for (position, key) in list.iter().enumerate() {
        let at = at.item(position);
        if !is_key(key) {
            at.error("is no key of a baggage: a token of RFC 9110 of at most 128 bytes");
        } else if OURS.iter().any(|ours| key.starts_with(ours)) || key.starts_with("user_agent") {
            at.error("is a name that spans give to what they say themselves");
        } else if list[..position].contains(key) {
            at.error("named twice");
        }
    }
    list.iter().map(|key| Box::from(key.as_str())).collect()
}

/// Whether this is a token, RFC 9110 §5.6.2, which a key of a baggage is (W3C Baggage §3.3.1).
fn is_key(key: &str) -> bool {
    (1..=MAX_ATTRIBUTE).contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
