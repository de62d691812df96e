//! The identity of an exchange in the traces of its callers and of the services behind it.
//!
//! Only the nouns stand here; `telemetry::trace::propagation` reads and writes the header fields.

use std::fmt;

/// A trace id, W3C Trace Context §3.2.2.3; never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// A span id, W3C Trace Context §3.2.2.4; never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// Somebody's span, as a `traceparent` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanRef {
    /// Its trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// The flags: bit 0 sampled, bit 1 random (level 2).
    pub flags: u8,
}

/// The flag that says the caller may have recorded the trace.
pub const SAMPLED: u8 = 0x01;
/// The flag that says the trace id's last seven bytes are random (level 2).
pub const RANDOM: u8 = 0x02;

/// The flags that W3C Trace Context knows; the others stay in the house.
pub const W3C_FLAGS: u8 = SAMPLED | RANDOM;
/// The flag that says the caller wants this trace whatever it costs: the debug flag of B3 and Jaeger.
pub const DEBUG: u8 = 0x80;
/// The flag that says the head decision is not whose it mostly is: ours although a parent is followed, who left it to
/// us, or the caller's although the trace begins here.
pub(crate) const SWAPPED: u8 = 0x40;

/// Members of the caller's baggage that become attributes, in the order of the configured keys; `None` where one did
/// not come. At most 16 of at most 256 bytes.
pub type Baggage = Box<[Option<Box<str>>]>;

/// The place of an exchange in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracePlace {
    /// The trace.
    pub trace_id: TraceId,
    /// The span of the exchange.
    pub span_id: SpanId,
    /// The caller's span, where its context is followed.
    pub parent: Option<SpanId>,
    /// The flags that go upstream.
    pub flags: u8,
    /// A foreign context that is not followed.
    pub link: Option<SpanRef>,
    /// The `tracestate` that goes upstream, as it came.
    pub state: Option<Box<str>>,
    /// What of a followed baggage becomes attributes; boxed twice, since few configurations ask for it.
    pub baggage: Option<Box<Baggage>>,
    /// Whether somebody who may has asked for the trace.
    pub is_forced: bool,
}

// === impl TracePlace ===

impl TracePlace {
    /// A trace that begins here.
    #[must_use]
    pub fn root(sampled: bool) -> Self {
        Self {
            trace_id: TraceId::random(),
            span_id: SpanId::random(),
            parent: None,
            flags: RANDOM | if sampled { SAMPLED } else { 0 },
            link: None,
            state: None,
            baggage: None,
            is_forced: false,
        }
    }

    /// Somebody who may asks for the trace: it is kept here, and the services behind us record it too.
    pub fn force(&mut self) {
        self.is_forced = true;
        self.flags |= SAMPLED;
    }

    /// Somebody looks through the exchange under this span: it is a child of that, whoever else's it was to be, and forced.
    pub fn look_through(&mut self, parent: SpanRef) {
        self.trace_id = parent.trace_id;
        self.parent = Some(parent.span_id);
        self.flags = parent.flags & W3C_FLAGS;
        self.link = None;
        self.state = None;
        self.force();
    }

    /// Puts the head decision in place of the one before.
    pub fn sample(&mut self, is_sampled: bool) {
        self.flags = self.flags & !SAMPLED | if is_sampled { SAMPLED } else { 0 };
    }

    /// The head decision: a followed parent's flag, else the share; or that somebody asked for it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Whether the head decision is the caller's and not the share's.
    #[must_use]
    pub fn is_callers_decision(&self) -> bool {
        self.parent.is_some() != (self.flags & SWAPPED != 0)
    }

    /// Whether the caller wants this trace whatever it costs (the debug flag of B3 and Jaeger).
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.flags & DEBUG != 0
    }
}

// === impl TraceId ===

impl TraceId {
    /// A fresh one.
    #[must_use]
    pub fn random() -> Self {
        loop {
            let id = fastrand::u128(..);
            if id != 0 {
                return Self(id.to_be_bytes());
            }
        }
    }

    /// As 32 lower-case hex digits.
    #[must_use]
    pub fn hex(&self) -> [u8; 32] {
        let mut out = [0; 32];
        hex(&self.0, &mut out);
        out
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hex()
            .iter()
            .try_for_each(|digit| fmt::Write::write_char(f, char::from(*digit)))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl SpanId ===

impl SpanId {
    /// A fresh one.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::u64(1..).to_be_bytes())
    }

    /// As 16 lower-case hex digits.
    #[must_use]
    pub fn hex(&self) -> [u8; 16] {
        let mut out = [0; 16];
        hex(&self.0, &mut out);
        out
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hex()
            .iter()
            .try_for_each(|digit| fmt::Write::write_char(f, char::from(*digit)))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}
