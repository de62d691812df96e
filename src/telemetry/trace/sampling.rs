//! Which exchanges become traces.
//!
//! Two decisions, for two readers. The **head** decision falls before the first attempt and goes upstream in the
//! sampled flag: a followed parent's flag, else a share by trace id. The **keep rules** look at what happened, at the
//! end: failed, slow, retried. Of a trace that only a rule kept, the services behind us have recorded nothing.
//!
//! A rule's word wins over the head's. Rules keep all that they match, whatever the head said, so each of these spans
//! stands for one exchange; a span that the share alone kept stands for `1 / share` of them. With the head's word first,
//! failures would be counted with the share's weight in some spans and with 1 in others, and no sum would be right.

use std::time::Duration;

use crate::config::{Keep, Share};
use crate::exchange::{KeepReason, Record, TraceId};

/// The share of traces that the head decision takes.
///
/// By the trace id's last 56 bits against a threshold, as OpenTelemetry's consistent probability sampling has it
/// (*TraceState: Probability Sampling*): services with the same share decide alike, and 0 % and 100 % are exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadShare {
    /// Ids whose last 56 bits are below this are not taken.
    threshold: u64,
    weight: f64,
    follows_parents: bool,
}

/// What is kept whatever the head decision was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepRules {
    errors: bool,
    slower_than: Option<Duration>,
    retried: bool,
}

/// How many values 56 random bits have.
const RANDOM_VALUES: u64 = 1 << 56;

// === impl HeadShare ===

impl HeadShare {
    /// This share, unless a followed parent has decided.
    #[must_use]
    pub fn new(share: Share) -> Self {
        let share = share.0.clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "2^56 is exact in an f64, and the product lies between it and 0"
        )]
        let threshold = ((1.0 - share) * RANDOM_VALUES as f64).round() as u64;
        Self {
            threshold,
            weight: if share > 0.0 { 1.0 / share } else { 1.0 },
            follows_parents: true,
        }
    }

    /// This share, whatever a parent has decided: `OTEL_TRACES_SAMPLER` without `parentbased_`.
    #[must_use]
    pub fn regardless_of_parents(self) -> Self {
        Self {
            follows_parents: false,
            ..self
        }
    }

    /// Whether a followed parent's flag decides in its stead.
    #[must_use]
    pub fn follows_parents(&self) -> bool {
        self.follows_parents
    }

    /// Whether a trace of this id is taken.
    #[must_use]
    pub fn takes(&self, id: TraceId) -> bool {
        let [.., a, b, c, d, e, f, g] = id.0;
        u64::from_be_bytes([0, a, b, c, d, e, f, g]) >= self.threshold
    }

    /// For how many exchanges a kept one stands: `sightglass.sampling.weight`. A sampled parent's share is not known to
    /// us, so what it made us keep stands for itself.
    #[must_use]
    pub fn weight(&self, reason: KeepReason, has_followed_parent: bool) -> f64 {
        match reason {
            KeepReason::Head if !(has_followed_parent && self.follows_parents) => self.weight,
            KeepReason::Head | KeepReason::Error | KeepReason::Slow | KeepReason::Retried => 1.0,
        }
    }
}

// === impl KeepRules ===

impl KeepRules {
    /// The rules of a configuration.
    #[must_use]
    pub fn new(keep: Keep) -> Self {
        let Keep {
            errors,
            slower_than,
            retried,
        } = keep;
        Self {
            errors,
            slower_than,
            retried,
        }
    }

    /// Why this exchange is kept, if it is: the first rule that says so, else the head decision.
    #[must_use]
    pub fn keep(&self, record: &Record) -> Option<KeepReason> {
        if self.errors && record.is_error() {
            Some(KeepReason::Error)
        } else if self.is_slow(record) {
            Some(KeepReason::Slow)
        } else if self.retried && !record.more.is_empty() {
            Some(KeepReason::Retried)
        } else {
            record.trace.is_sampled().then_some(KeepReason::Head)
        }
    }

    /// A stream's length says nothing about speed: there the time to its head is looked at.
    fn is_slow(&self, record: &Record) -> bool {
        self.slower_than.is_some_and(|limit| {
            let took = match record.head_after {
                Some(head) if record.is_stream => head,
                _ => record.duration(),
            };
            took > limit
        })
    }
}

#[cfg(test)]
mod tests;
