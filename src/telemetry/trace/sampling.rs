//! Which exchanges become traces, and for how many each of them stands.
//!
//! Two decisions, for two readers. The **head** decision falls before an attempt and goes upstream in the sampled flag: a
//! followed parent's flag, else a share by trace id. The **keep rules** look at what happened, at the end. Of a trace that
//! only a rule kept, the services behind us have recorded nothing.
//!
//! A rule's word wins over the head's. Rules keep all that they match, whatever the head said, so each of these spans
//! stands for one exchange; a span that the share alone kept stands for `1 / share` of them. With the head's word first,
//! failures would be counted with the share's weight in some spans and with 1 in others, and no sum would be right. For
//! the same reason an exchange takes a bucket's exemplar slot before anybody looks at the share, and also where a rule has
//! kept it: whether the slot is free depends on what came before, never on the coin that the share is.
//!
//! Counts are rebuilt from the sum of weights, with an error of about `sqrt(sum of w (w - 1))`. One thing they cannot
//! tell: exchanges whose followed parent was not sampled and that no rule keeps. Their share is the caller's secret, so
//! what a sampled parent made us keep stands for itself alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::pace::LivePaces;
use crate::config::{self, Plan, Share, SlowerThan};
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

/// What one plan says about which exchanges are kept, route by route.
#[derive(Debug)]
pub struct KeepRules {
    errors: bool,
    retried: bool,
    limited: bool,
    /// By place in the plan.
    routes: Box<[RouteRules]>,
    /// Where no route took it.
    unmatched: RouteRules,
}

/// What may differ from route to route.
#[derive(Debug)]
struct RouteRules {
    slower_than: Limit,
    head: HeadShare,
}

/// What an exchange must have taken longer than to be slow.
#[derive(Debug)]
enum Limit {
    Never,
    Fixed(Duration),
    /// Nanoseconds, as the telemetry thread last saw them.
    Live(Arc<AtomicU64>),
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

    /// This share where a route says none of its own. A route's own follows parents if this does.
    #[must_use]
    pub fn or_of(self, route: &config::Route) -> Self {
        match route.traces.sample {
            Some(share) => Self {
                follows_parents: self.follows_parents,
                ..Self::new(share)
            },
            None => self,
        }
    }

    /// For how many exchanges one stands that was kept for this reason, as far as the share goes.
    #[must_use]
    pub fn weight(&self, reason: KeepReason) -> f64 {
        match reason {
            KeepReason::Head => self.weight,
            KeepReason::Forced
            | KeepReason::Error
            | KeepReason::Slow
            | KeepReason::Retried
            | KeepReason::Limited
            | KeepReason::Exemplar
            | KeepReason::Parent => 1.0,
        }
    }

    /// The head decision at the end: what a followed parent said, else the share.
    fn decide(&self, record: &Record) -> Option<KeepReason> {
        if record.trace.is_callers_decision() && self.follows_parents {
            record.trace.is_sampled().then_some(KeepReason::Parent)
        } else {
            self.takes(record.trace.trace_id)
                .then_some(KeepReason::Head)
        }
    }
}

// === impl KeepRules ===

impl KeepRules {
    /// The rules of a plan, whose head share is `head` where a route says none of its own.
    #[must_use]
    pub fn new(plan: &Plan, head: HeadShare, paces: &LivePaces) -> Self {
        let keep = plan.telemetry.traces.keep;
        let of = |route: &config::Route| RouteRules {
            slower_than: match slower_than(plan, route) {
                SlowerThan::Fixed(limit) => Limit::Fixed(limit),
                SlowerThan::Objective => objective(route).map_or(Limit::Never, Limit::Fixed),
                SlowerThan::P99 => Limit::Live(paces.of(&route.name)),
                SlowerThan::Off => Limit::Never,
            },
            head: head.or_of(route),
        };
        Self {
            errors: keep.errors,
            retried: keep.retried,
            limited: keep.limited,
            routes: plan.routes.iter().map(of).collect(),
            unmatched: RouteRules {
                slower_than: match keep.slower_than {
                    SlowerThan::Fixed(limit) => Limit::Fixed(limit),
                    SlowerThan::Objective | SlowerThan::P99 | SlowerThan::Off => Limit::Never,
                },
                head,
            },
        }
    }

    /// Why this exchange is kept, if it is: the first rule that says so, else the head decision. `is_exemplar` says
    /// whether it has become a bucket's exemplar.
    #[must_use]
    pub fn keep(&self, record: &Record, is_exemplar: bool) -> Option<KeepReason> {
        let route = record.route.and_then(|at| self.routes.get(usize::from(at)));
        let route = route.unwrap_or(&self.unmatched);
        let is_limited = record.is_limited();
        if record.trace.is_forced || record.trace.is_debug() {
            Some(KeepReason::Forced)
        } else if self.errors && !is_limited && record.is_error() {
            Some(KeepReason::Error)
        } else if route.slower_than.is_exceeded(record) {
            Some(KeepReason::Slow)
        } else if self.retried && !record.more.is_empty() {
            Some(KeepReason::Retried)
        } else if self.limited && is_limited {
            Some(KeepReason::Limited)
        } else if is_exemplar {
            Some(KeepReason::Exemplar)
        } else {
            route.head.decide(record)
        }
    }
}

/// What counts as slow on a route.
pub(super) fn slower_than(plan: &Plan, route: &config::Route) -> SlowerThan {
    let own = route.traces.slower_than;
    own.unwrap_or(plan.telemetry.traces.keep.slower_than)
}

/// The latency objective of a route, where it has one.
fn objective(route: &config::Route) -> Option<Duration> {
    Some(route.slo.as_ref()?.latency.as_ref()?.within)
}

// === impl Limit ===

impl Limit {
    fn is_exceeded(&self, record: &Record) -> bool {
        match self {
            Self::Never => false,
            Self::Fixed(limit) => record.pace() > *limit,
            Self::Live(limit) => {
                record.pace() > Duration::from_nanos(limit.load(Ordering::Relaxed))
            }
        }
    }
}

#[cfg(test)]
mod tests;
