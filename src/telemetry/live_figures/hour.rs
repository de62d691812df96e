//! The last hour of a route, in slots of ten seconds: how many exchanges ended, how they failed, and how long they took.
//!
//! For charts that somebody opens when the minute in question is over already. A slot takes 48 bytes, where something ended about 180 more, and 8 for each kind of failure:
//! an hour of one route is 80 KiB as a rule, and 130 at most.

use std::fmt::Write;

use crate::exchange::Record;
use crate::telemetry::failure::Failure;

use super::durations::Durations;

/// The slots of one route.
#[derive(Debug)]
pub(super) struct Hour {
    /// By tenth second, modulo the length; each says which it is of.
    slots: Box<[Slot]>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    at: u64,
    requests: u32,
    /// How many failed, and how.
    failures: Vec<(Failure, u32)>,
    /// How many took how long; nothing where nothing ended.
    heat: Option<Box<Durations>>,
}

/// How long a slot is, in seconds.
pub(super) const STEP: u64 = 10;
/// How many there are: an hour, and the present one.
pub(super) const SLOTS: usize = 361;
/// The kinds of failure that a slot tells apart; more are the last one's.
const KINDS: usize = 16;

// === impl Hour ===

impl Hour {
    pub(super) fn new() -> Self {
        Self {
            slots: vec![Slot::default(); SLOTS].into_boxed_slice(),
        }
    }

    /// Counts an exchange that ended in this second.
    pub(super) fn count(&mut self, record: &Record, second: u64) {
        let at = second / STEP;
        let slot = &mut self.slots[place(at)];
        if slot.at < at {
            // Its heat is kept for what comes: a slot is used again and again.
            let mut heat = slot.heat.take();
            if let Some(heat) = &mut heat {
                **heat = Durations::NONE;
            }
            *slot = Slot {
                at,
                heat,
                ..Slot::default()
            };
        }
        if slot.at != at {
            return; // an hour late: its slot is not there any more
        }
        slot.requests = slot.requests.saturating_add(1);
        let heat = slot.heat.get_or_insert_with(|| Box::new(Durations::NONE));
        heat.count(record.pace());
        if record.is_error() {
            slot.fail(Failure::of(record));
        }
    }

    /// The last slot in which something ended.
    pub(super) fn last(&self) -> u64 {
        self.slots.iter().map(|it| it.at).max().unwrap_or_default()
    }

    /// Writes `"requests": [...], "errors": [...], "p50": [...], "p99": [...], "failures": {"word": [[slot, count]...]}`
    /// of the slots from `first` to `last`, oldest first; `"heat": [[...] | null ...]` with `with_heat`.
    pub(super) fn json(&self, out: &mut String, first: u64, last: u64, with_heat: bool) {
        let slots = || (first..=last).map(|at| self.slot(at));
        super::list(out, "requests", slots(), |out, slot| {
            let _ = write!(out, "{}", slot.map_or(0, |it| it.requests)); // a string takes everything
        });
        super::list(out, "errors", slots(), |out, slot| {
            let _ = write!(out, "{}", slot.map_or(0, Slot::errors));
        });
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            super::list(out, name, slots(), |out, slot| {
                match slot.and_then(|it| it.heat.as_deref()?.percentile(share)) {
                    Some(millis) => drop(write!(out, "{millis:.2}")),
                    None => out.push_str("null"),
                }
            });
        }
        if with_heat {
            super::list(out, "heat", slots(), |out, slot| {
                match slot.and_then(|it| it.heat.as_deref()) {
                    Some(heat) => drop(write!(out, "{:?}", heat.rows())),
                    None => out.push_str("null"),
                }
            });
        }
        self.failures(out, first, last);
    }

    /// Each kind of failure, with the slots in which it was there, as places from `first` on.
    fn failures(&self, out: &mut String, first: u64, last: u64) {
        let mut all: Vec<(Failure, u64, u32)> = Vec::new();
        for (index, slot) in (0..).zip((first..=last).map(|at| self.slot(at))) {
            let failures = slot.map_or(&[][..], |it| &it.failures);
            all.extend(failures.iter().map(|(kind, count)| (*kind, index, *count)));
        }
        all.sort_unstable();
        out.push_str(",\"failures\":{");
        for (index, of_kind) in all.chunk_by(|one, next| one.0 == next.0).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(out, "{comma}\"{}\":[", of_kind[0].0);
            for (index, (_, slot, count)) in of_kind.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let _ = write!(out, "{comma}[{slot},{count}]");
            }
            out.push(']');
        }
        out.push('}');
    }

    fn slot(&self, at: u64) -> Option<&Slot> {
        Some(&self.slots[place(at)]).filter(|slot| slot.at == at && slot.requests > 0)
    }
}

// === impl Slot ===

impl Slot {
    fn fail(&mut self, failure: Failure) {
        let is_full = self.failures.len() == KINDS;
        let known = self.failures.iter().position(|(kind, _)| *kind == failure);
        match known.or(is_full.then_some(KINDS - 1)) {
            Some(index) => {
                let count = &mut self.failures[index].1;
                *count = count.saturating_add(1);
            }
            None => self.failures.push((failure, 1)),
        }
    }

    fn errors(&self) -> u32 {
        let counts = self.failures.iter().map(|(_, count)| *count);
        counts.fold(0, u32::saturating_add)
    }
}

fn place(at: u64) -> usize {
    super::place(at, SLOTS)
}
