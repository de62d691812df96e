//! What finds no route since a reload that changed the routes.
//!
//! Strangers ask for much that never was, and that is nobody's fault. So what finds no route is judged only after such a
//! reload, against the five minutes before it: where its first minute, or its first requests, have more of it than is
//! chance, the reload is to blame for as long as that lasts. What lasts for an hour is taken as meant.

use super::books::{SECONDS, place};
use super::finding::WINDOW;
use super::watch::{CALM, Count, REACH, is_unusual, limit};
use crate::telemetry::desk::Batch;

/// All requests, and those without a route.
#[derive(Debug)]
pub(super) struct Strays {
    seconds: Box<[(u64, Count)]>,
    reload: Option<Reload>,
}

/// A reload that changed the routes.
#[derive(Debug)]
struct Reload {
    generation: u32,
    since: u64,
    /// The share without a route before it.
    usual: f64,
    is_to_blame: bool,
    /// Whether it is so now.
    is_told: bool,
}

/// That requests find no route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Straying {
    /// Since when.
    pub(super) since: u64,
    /// With which configuration.
    pub(super) generation: u32,
    /// From when until when it was counted.
    pub(super) from: u64,
    pub(super) until: u64,
    /// Of all requests those without a route.
    pub(super) count: Count,
    /// The share that is usual.
    pub(super) usual: f64,
}

/// A reload shows what it did within so many seconds, or so many requests.
const PROOF: u64 = 60;
const PROOF_REQUESTS: u64 = 100;
/// What lasts for so many seconds is meant.
const MEANT: u64 = 3600;
/// Looked at is what has come since the reload, or within so many seconds.
const LAST: u64 = 10;

// === impl Strays ===

impl Strays {
    pub(super) fn new() -> Self {
        Self {
            seconds: vec![(0, Count::default()); SECONDS].into_boxed_slice(),
            reload: None,
        }
    }

    pub(super) fn read(&mut self, batch: &Batch) {
        for record in &batch.records {
            let at = batch.ended(record).as_secs();
            let second = &mut self.seconds[place(at)];
            if second.0 < at {
                *second = (at, Count::default());
            }
            if second.0 == at {
                second.1.of += 1;
                second.1.bad += u64::from(record.is_unrouted());
            }
        }
    }

    /// At this moment a configuration came in force that has other routes. While an earlier one is told, that is the one.
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more")]
    pub(super) fn reloaded(&mut self, generation: u32, at: u64) {
        if self.reload.as_ref().is_some_and(|it| it.is_told) {
            return;
        }
        let before = self.sum(at.saturating_sub(REACH), at);
        self.reload = Some(Reload {
            generation,
            since: at,
            // As a route's watch begins: one in a hundred, with the weight of a hundred.
            usual: (before.bad as f64 + 1.0) / (before.of as f64 + 100.0),
            is_to_blame: false,
            is_told: false,
        });
    }

    /// Looks at the second before `now`; to be called once for each.
    pub(super) fn look(&mut self, now: u64) {
        let Some(reload) = &self.reload else { return };
        let over = |seconds: u64| self.sum(reload.since.max(now.saturating_sub(seconds)), now);
        let limit = limit(reload.usual);
        let is_much = [over(REACH), over(LAST)]
            .into_iter()
            .any(|count| is_unusual(count, limit));
        let last = over(CALM);
        let is_calm = last.bad == 0 || last.of >= 20 && last.share() <= limit;
        let is_young = now <= reload.since + PROOF || over(REACH).of < PROOF_REQUESTS;
        let (is_to_blame, is_told) = match reload.is_told {
            true => (true, !is_calm),
            false => {
                let is_told = is_much && !is_calm && (is_young || reload.is_to_blame);
                (reload.is_to_blame || is_told, is_told)
            }
        };
        let is_over = now > reload.since + MEANT || !is_young && !is_to_blame;
        self.reload = self.reload.take().filter(|_| !is_over).map(|it| Reload {
            is_to_blame,
            is_told,
            ..it
        });
    }

    /// What there is to tell.
    pub(super) fn straying(&self, now: u64) -> Option<Straying> {
        let reload = self.reload.as_ref().filter(|it| it.is_told)?;
        let from = reload
            .since
            .max(now.saturating_sub(WINDOW))
            .min(now.saturating_sub(1));
        Some(Straying {
            since: reload.since,
            generation: reload.generation,
            from,
            until: now,
            count: self.sum(from, now),
            usual: reload.usual,
        })
    }

    /// What was counted from one second until before another.
    fn sum(&self, from: u64, until: u64) -> Count {
        let of = |at: u64| match self.seconds[place(at)] {
            (second, count) if second == at => count,
            _ => Count::default(),
        };
        (from..until).map(of).sum()
    }
}
