//! Live figures: what each route did in the last five minutes, second by second, and in the last hour, by slots of ten
//! seconds, for the pages of the admin port.
//!
//! A reader like the others, on the telemetry thread, so that a page needs no Prometheus. Memory is fixed: each route that
//! was seen has a ring of seconds for its counts and a ring of ten-second slots for its latency, whose buckets grow by a
//! quarter of an octave, so that a percentile is right to a tenth of its value; and a coarser hour (`hour`). Routes are
//! known by name, so that a reload carries them over; one that nobody used for an hour goes when another comes. Beside them
//! stands the last minute of each way through the proxy (`minute`), for the traffic map.

mod durations;
mod hour;
mod minute;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::exchange::Record;
use crate::telemetry::desk::Batch;
use crate::telemetry::label;
use crate::telemetry::log;
use crate::telemetry::reader::ReadRecords;

use hour::Hour;
use minute::Minute;
pub use minute::{Part, Place};

/// What each route did of late. A handle: clones share the figures.
#[derive(Clone, Debug, Default)]
pub struct LiveFigures {
    routes: Arc<Mutex<BTreeMap<Box<str>, Figures>>>,
    minute: Arc<Mutex<Minute>>,
}

/// What one route did of late.
#[derive(Debug)]
struct Figures {
    /// By second, modulo the length; each says which second it is of.
    seconds: Box<[Second; SECONDS]>,
    /// By tenth second, likewise.
    latencies: Box<[Latency; SLOTS]>,
    hour: Hour,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    at: u64,
    requests: u32,
    errors: u32,
    /// Those of the errors that no route takes.
    unrouted: u32,
}

#[derive(Clone, Copy, Debug)]
struct Latency {
    at: u64,
    counts: [u32; BUCKETS],
}

/// How far back the figures go.
const SECONDS: usize = 300;
/// How many seconds share a latency slot.
const SLOT: usize = 10;
const SLOTS: usize = SECONDS / SLOT;
/// Four an octave from a quarter of a microsecond on: the last holds everything above half an hour.
pub(in crate::telemetry) const BUCKETS: usize = 128;
/// The window of the present rate and percentiles, in seconds.
const WINDOW: u64 = 10;

// === impl LiveFigures ===

impl LiveFigures {
    /// The figures of all routes as JSON, `now` after 1970:
    /// `{"now": s, "routes": [{"route", "rate", "error_rate", "unrouted_rate", "p50_ms", "p99_ms", "requests": [...],
    /// "errors": [...], "p50": [...], "p99": [...]}]}`. Rates are of the last ten whole seconds, or of those since the first
    /// exchange, percentiles of the present and the
    /// last ten-second slot; the lists go back 300 seconds and thirty slots, oldest first, with null for a slot without
    /// a request.
    #[must_use]
    pub fn json(&self, now: Duration) -> Vec<u8> {
        let now = now.as_secs();
        let since = self.minute().since().unwrap_or(now);
        // Where the clock was put back since, nobody knows how long ago that was.
        let seconds = now
            .checked_sub(since)
            .map_or(WINDOW, |it| it.clamp(1, WINDOW));
        let mut out = format!("{{\"now\":{now},\"routes\":[");
        for (index, (route, figures)) in self.lock().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{{\"route\":\"{}\",", text(route)); // a string takes everything
            figures.json(&mut out, now, seconds);
            out.push('}');
        }
        out.push_str("]}");
        out.into_bytes()
    }

    /// The last hour as JSON, `now` after 1970, of all routes or of the one that is named:
    /// `{"now": s, "step": 10, "from": s, "scale_ms": [...], "routes": [{"route", "requests": [...], "errors": [...],
    /// "p50": [...], "p99": [...], "failures": {"word": [[slot, count]...]}}]}`. `from` is when the first of the slots
    /// begins, the last of them is the present one. Of a route that is named `heat` says how many exchanges of a slot
    /// took up to each bound of `scale_ms` and more than the one before, the last of them more than all.
    #[must_use]
    pub fn history(&self, now: Duration, route: Option<&str>) -> Vec<u8> {
        let now = now.as_secs();
        let last = now / hour::STEP;
        let first = (last + 1).saturating_sub(hour::SLOTS as u64);
        let (step, from) = (hour::STEP, first * hour::STEP);
        let mut out = format!("{{\"now\":{now},\"step\":{step},\"from\":{from}");
        list(&mut out, "scale_ms", durations::scale(), |out, bound| {
            let _ = write!(out, "{bound:.3}"); // a string takes everything
        });
        out.push_str(",\"routes\":[");
        let routes = self.lock();
        let wanted = routes
            .iter()
            .filter(|(name, _)| route.is_none_or(|wanted| wanted == &***name));
        for (index, (name, figures)) in wanted.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{{\"route\":\"{}\"", text(name));
            figures.hour.json(&mut out, first, last, route.is_some());
            out.push('}');
        }
        out.push_str("]}");
        out.into_bytes()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Figures>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has gone which way in the last minute, `now` after 1970: how many seconds were counted, and the parts of the
    /// map. Routes and their listeners count exchanges, upstreams and endpoints attempts.
    #[must_use]
    pub fn map(&self, now: Duration) -> (u64, Vec<Part>) {
        self.minute().parts(now.as_secs())
    }

    fn minute(&self) -> MutexGuard<'_, Minute> {
        self.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadRecords for LiveFigures {
    fn read(&mut self, batch: &Batch) {
        self.minute().read(batch);
        let mut routes = self.lock();
        for record in &batch.records {
            let route = record
                .route
                .and_then(|at| batch.plan.routes.get(usize::from(at)));
            let name = route.map_or(label::UNMATCHED, |route| route.name.as_str());
            let ended = batch.ended(record);
            match routes.get_mut(name) {
                Some(figures) => figures.count(record, ended),
                None => {
                    let mut figures = Figures::new();
                    figures.count(record, ended);
                    routes.insert(name.into(), figures);
                    let limit = (ended.as_secs() / hour::STEP).saturating_sub(hour::SLOTS as u64);
                    routes.retain(|_, figures| figures.hour.last() >= limit);
                }
            }
        }
    }
}

// === impl Figures ===

impl Figures {
    fn new() -> Self {
        Self {
            seconds: Box::new([Second::default(); SECONDS]),
            latencies: Box::new(
                [Latency {
                    at: 0,
                    counts: [0; BUCKETS],
                }; SLOTS],
            ),
            hour: Hour::new(),
        }
    }

    fn count(&mut self, record: &Record, ended: Duration) {
        let at = ended.as_secs();
        self.hour.count(record, at);
        let second = &mut self.seconds[place(at, SECONDS)];
        if second.at < at {
            *second = Second {
                at,
                ..Second::default()
            };
        }
        let at = at / SLOT as u64;
        let slot = &mut self.latencies[place(at, SLOTS)];
        if slot.at < at {
            *slot = Latency {
                at,
                counts: [0; BUCKETS],
            };
        }
        if second.at != ended.as_secs() || slot.at != at {
            return; // five minutes late: its second is not there any more
        }
        second.requests = second.requests.saturating_add(1);
        if record.is_error() {
            second.errors = second.errors.saturating_add(1);
        }
        if record.is_unrouted() {
            second.unrouted = second.unrouted.saturating_add(1);
        }
        let count = &mut slot.counts[bucket(record.pace())];
        *count = count.saturating_add(1);
    }

    fn second(&self, at: u64) -> Second {
        let second = self.seconds[place(at, SECONDS)];
        if second.at == at {
            second
        } else {
            Second::default()
        }
    }

    fn slot(&self, at: u64) -> [u32; BUCKETS] {
        let slot = &self.latencies[place(at, SLOTS)];
        if slot.at == at {
            slot.counts
        } else {
            [0; BUCKETS]
        }
    }

    fn json(&self, out: &mut String, now: u64, seconds: u64) {
        let window = now.saturating_sub(WINDOW)..now; // the present second is not over
        let (mut requests, mut errors, mut unrouted) = (0, 0, 0);
        for second in window.map(|at| self.second(at)) {
            requests += second.requests;
            errors += second.errors;
            unrouted += second.unrouted;
        }
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        let of = |count: u32| f64::from(count) / f64::from(seconds);
        let _ = write!(
            out,
            "\"rate\":{},\"error_rate\":{},\"unrouted_rate\":{}",
            of(requests),
            of(errors),
            of(unrouted)
        );
        // The present slot has just begun, or is nearly over: with the one before it always covers the window.
        let slot = now / SLOT as u64;
        let mut counts = self.slot(slot);
        for (count, before) in counts.iter_mut().zip(self.slot(slot.saturating_sub(1))) {
            *count += before;
        }
        for (name, share) in [("p50_ms", 0.5), ("p99_ms", 0.99)] {
            let _ = write!(out, ",\"{name}\":");
            percentile(out, &counts, share);
        }
        let seconds = || (now.saturating_sub(SECONDS as u64)..now).map(|at| self.second(at));
        list(out, "requests", seconds(), |out, second| {
            let _ = write!(out, "{}", second.requests);
        });
        list(out, "errors", seconds(), |out, second| {
            let _ = write!(out, "{}", second.errors);
        });
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let slots = (slot + 1).saturating_sub(SLOTS as u64)..slot + 1;
            list(out, name, slots, |out, at| {
                percentile(out, &self.slot(at), share);
            });
        }
    }
}

/// A name as the inside of a JSON text.
fn text(name: &str) -> String {
    let mut out = Vec::new();
    log::json_text(&mut out, name);
    String::from_utf8_lossy(&out).into_owned()
}

fn list<T>(
    out: &mut String,
    name: &str,
    items: impl Iterator<Item = T>,
    write: impl Fn(&mut String, T),
) {
    let _ = write!(out, ",\"{name}\":[");
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

fn place(at: u64, length: usize) -> usize {
    usize::try_from(at % length as u64).unwrap_or_default()
}

/// Where a length falls: the octave of its microseconds, and the quarter within it.
pub(in crate::telemetry) fn bucket(lasted: Duration) -> usize {
    let micros = u64::try_from(lasted.as_micros()).unwrap_or(u64::MAX).max(1);
    // In quarters of a microsecond, so that even the first octave has its quarters.
    let quarters = micros.saturating_mul(4);
    let octave = 63 - quarters.leading_zeros();
    let quarter = (quarters >> (octave - 2)) & 3;
    let place = u64::from(octave - 2) * 4 + quarter;
    usize::try_from(place).map_or(BUCKETS - 1, |place| place.min(BUCKETS - 1))
}

/// The lower and upper bound of a bucket, in milliseconds.
pub(in crate::telemetry) fn bounds(bucket: usize) -> (f64, f64) {
    let bound = |bucket: usize| {
        let (octave, quarter) = (bucket / 4, bucket % 4);
        let quarter = [1.0, 1.25, 1.5, 1.75][quarter];
        let octave = i32::try_from(octave).unwrap_or(i32::MAX);
        2_f64.powi(octave) * quarter / 1000.0
    };
    (bound(bucket), bound(bucket + 1))
}

/// Writes the length below which this share lies, in milliseconds, or null where there is none.
fn percentile(out: &mut String, counts: &[u32; BUCKETS], share: f64) {
    let total: f64 = counts.iter().copied().map(f64::from).sum();
    let mut below = 0.0;
    for (bucket, count) in counts.iter().enumerate() {
        let count = f64::from(*count);
        if count > 0.0 && below + count >= share * total {
            let (from, to) = bounds(bucket);
            let value = from + (to - from) * ((share * total - below) / count);
            let _ = write!(out, "{value:.3}");
            return;
        }
        below += count;
    }
    out.push_str("null");
}

#[cfg(test)]
mod tests;
