//! Exemplars: which exchange stands for a bucket, and whether it may be shown.
//!
//! A bucket has one slot, which all workers' cells of a series share. An exchange that falls into the bucket while the
//! slot is free takes it and is kept as a trace for that, whatever the head share says. The slot is then taken for a
//! minute, so that a bucket keeps at most one trace a minute for its exemplar. What took it waits there, unseen, until
//! the collector has acknowledged its trace ([`Mark`]); what was acknowledged before is shown meanwhile. So no exemplar
//! that a page shows leads nowhere: a trace that was dropped, shed or refused never had its mark set.
//!
//! What a worker looks at for each sample is one time stamp, which changes once a minute. Only who takes a slot locks it,
//! and never waits: where a page is just being made, the slot stays free for the next.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::exchange::{SpanId, TraceId};

/// A sample that a trace tells more about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The trace.
    pub trace_id: TraceId,
    /// The span in it.
    pub span_id: SpanId,
    /// The sample, in the unit that is observed.
    pub value: u64,
    /// When it was, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Whether the collector has acknowledged a trace. A handle: it goes with the trace's record, and clones wait in all
/// slots that the exchange took.
#[derive(Clone, Debug, Default)]
pub struct Mark(Arc<AtomicBool>);

/// The slots of a series, one a bucket.
#[derive(Debug)]
pub(super) struct Slots(Box<[Slot]>);

#[derive(Debug, Default)]
struct Slot {
    /// When it was last taken, in milliseconds since 1970; zero where it never was.
    taken_ms: AtomicU64,
    /// Boxed, since most buckets never hold one.
    held: Mutex<Option<Box<Held>>>,
}

#[derive(Debug, Default)]
struct Held {
    shown: Option<Exemplar>,
    waiting: Option<(Exemplar, Mark)>,
}

/// A slot stays taken for so long.
pub(super) const STAYS_MS: u64 = 60_000;

// === impl Mark ===

impl Mark {
    /// The collector has the trace.
    pub fn acknowledge(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the collector has the trace.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

// === impl Slots ===

impl Slots {
    pub(super) fn new(buckets: usize) -> Self {
        Self(
            std::iter::repeat_with(Slot::default)
                .take(buckets)
                .collect(),
        )
    }

    /// A sample fell into the bucket at `place`: takes its slot where that is free, and only then asks for the rest.
    pub(super) fn offer(
        &self,
        place: usize,
        value: u64,
        now_ms: u64,
        exemplar: impl FnOnce() -> (TraceId, SpanId, Mark),
    ) {
        let Some(slot) = self.0.get(place) else {
            return;
        };
        let taken_ms = slot.taken_ms.load(Ordering::Relaxed);
        if taken_ms == 0 || now_ms >= taken_ms.saturating_add(STAYS_MS) {
            slot.take(taken_ms, value, now_ms, exemplar);
        }
    }

    /// What each bucket shows now; empty where none shows anything.
    pub(super) fn shown(&self) -> Vec<Option<Exemplar>> {
        let all: Vec<_> = self.0.iter().map(Slot::shown).collect();
        match all.iter().any(Option::is_some) {
            true => all,
            false => Vec::new(),
        }
    }
}

// === impl Slot ===

impl Slot {
    /// Rare: once a minute.
    #[cold]
    fn take(
        &self,
        taken_ms: u64,
        value: u64,
        now_ms: u64,
        exemplar: impl FnOnce() -> (TraceId, SpanId, Mark),
    ) {
        let Ok(mut held) = self.held.try_lock() else {
            return; // a page is being made, or another worker takes it
        };
        let order = (Ordering::Relaxed, Ordering::Relaxed);
        let now_ms = now_ms.max(1);
        if self
            .taken_ms
            .compare_exchange(taken_ms, now_ms, order.0, order.1)
            .is_err()
        {
            return; // another worker was faster
        }
        let (trace_id, span_id, mark) = exemplar();
        let held = held.get_or_insert_default();
        held.settle();
        let exemplar = Exemplar {
            trace_id,
            span_id,
            value,
            at_ms: now_ms,
        };
        held.waiting = Some((exemplar, mark));
    }

    fn shown(&self) -> Option<Exemplar> {
        if self.taken_ms.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut held = self.lock();
        let held = held.as_mut()?;
        held.settle();
        held.shown
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Held ===

impl Held {
    /// Shows what waits, where it has been acknowledged.
    fn settle(&mut self) {
        if let Some((exemplar, mark)) = &self.waiting
            && mark.is_acknowledged()
        {
            self.shown = Some(*exemplar);
            self.waiting = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers a sample; its mark where it took the slot.
    fn offer(slots: &Slots, trace: u8, now_ms: u64) -> Option<Mark> {
        let mut taken = None;
        slots.offer(1, 5, now_ms, || {
            let mark = Mark::default();
            taken = Some(mark.clone());
            (TraceId([trace; 16]), SpanId([trace; 8]), mark)
        });
        taken
    }

    fn shown(slots: &Slots) -> Option<u8> {
        let all = slots.shown();
        assert!(
            all.iter()
                .enumerate()
                .all(|(at, one)| at == 1 || one.is_none())
        );
        all.get(1)?.map(|exemplar| exemplar.trace_id.0[0])
    }

    #[test]
    fn a_slot_is_taken_for_a_minute_whoever_comes() {
        let slots = Slots::new(3);
        assert!(offer(&slots, 1, 1_000).is_some());
        assert!(offer(&slots, 2, 60_999).is_none());
        assert!(offer(&slots, 3, 61_000).is_some());
    }

    #[test]
    fn it_shows_only_what_the_collector_has_acknowledged() {
        let slots = Slots::new(3);
        let first = offer(&slots, 1, 1_000).expect("the slot is free");
        assert_eq!(shown(&slots), None);
        first.acknowledge();
        assert_eq!(shown(&slots), Some(1));
        let lost = offer(&slots, 2, 70_000).expect("a minute has passed");
        assert_eq!(shown(&slots), Some(1), "the one before is shown meanwhile");
        drop(lost);
        let third = offer(&slots, 3, 140_000).expect("another minute");
        assert_eq!(shown(&slots), Some(1), "what was lost is never shown");
        third.acknowledge();
        assert!(offer(&slots, 4, 210_000).is_some());
        assert_eq!(shown(&slots), Some(3), "taking a slot loses nothing");
    }

    #[test]
    fn workers_take_a_slot_once_together() {
        let slots = Slots::new(3);
        for minute in 1..200 {
            let took: usize = std::thread::scope(|scope| {
                let take = |trace| offer(&slots, trace, minute * STAYS_MS).map_or(0, |_| 1);
                let workers = [1, 2, 3].map(|trace| scope.spawn(move || take(trace)));
                workers
                    .map(|worker| worker.join().expect("no panic"))
                    .iter()
                    .sum()
            });
            assert!(took <= 1, "{took} took it");
        }
    }

    #[test]
    fn a_page_that_is_being_made_holds_nobody_up() {
        let slots = Slots::new(3);
        let page = slots.0[1].lock();
        assert!(offer(&slots, 1, 1_000).is_none());
        drop(page);
        assert!(offer(&slots, 1, 1_001).is_some(), "it stayed free");
    }
}
