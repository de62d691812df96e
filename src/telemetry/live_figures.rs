//! Live figures: what each route did in the last five minutes, second by second, for the pages of the admin port.
//!
//! A reader like the others, on the telemetry thread, so that a page needs no Prometheus. Memory is fixed: each route that
//! was seen has a ring of seconds for its counts and a ring of ten-second slots for its latency, whose buckets grow by a
//! quarter of an octave, so that a percentile is right to a tenth of its value. Routes are known by name, so that a
//! reload carries them over; one that no configuration has and that nobody used for five minutes goes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::exchange::Record;
use crate::telemetry::desk::Batch;
use crate::telemetry::label;
use crate::telemetry::log;
use crate::telemetry::reader::ReadRecords;

/// What each route did of late. A handle: clones share the figures.
#[derive(Clone, Debug, Default)]
pub struct LiveFigures(Arc<Mutex<BTreeMap<Box<str>, Figures>>>);

/// What one route did of late.
#[derive(Debug)]
struct Figures {
    /// By second, modulo the length; each says which second it is of.
    seconds: Box<[Second; SECONDS]>,
    /// By tenth second, likewise.
    latencies: Box<[Latency; SLOTS]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    at: u64,
    requests: u32,
    errors: u32,
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
const BUCKETS: usize = 128;
/// The window of the present rate and percentiles, in seconds.
const WINDOW: u64 = 10;

// === impl LiveFigures ===

impl LiveFigures {
    /// The figures of all routes as JSON, `now` after 1970:
    /// `{"now": s, "routes": [{"route", "rate", "error_rate", "p50_ms", "p99_ms", "requests": [...], "errors": [...],
    /// "p50": [...], "p99": [...]}]}`. Rates are of the last ten whole seconds, percentiles of the present and the
    /// last ten-second slot; the lists go back 300 seconds and thirty slots, oldest first, with null for a slot without
    /// a request.
    #[must_use]
    pub fn json(&self, now: Duration) -> Vec<u8> {
        let now = now.as_secs();
        let mut out = format!("{{\"now\":{now},\"routes\":[");
        for (index, (route, figures)) in self.lock().iter().enumerate() {
            let mut name = Vec::new();
            log::json_text(&mut name, route);
            let comma = if index == 0 { "" } else { "," };
            let name = String::from_utf8_lossy(&name);
            let _ = write!(out, "{comma}{{\"route\":\"{name}\","); // a string takes everything
            figures.json(&mut out, now);
            out.push('}');
        }
        out.push_str("]}");
        out.into_bytes()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Figures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadRecords for LiveFigures {
    fn read(&mut self, batch: &Batch) {
        let mut routes = self.lock();
        for record in &batch.records {
            let route = record
                .route
                .and_then(|at| batch.plan.routes.get(usize::from(at)));
            let name = route.map_or(label::UNMATCHED, |route| route.name.as_str());
            let ended = batch.wall.unix(record.started + record.duration());
            match routes.get_mut(name) {
                Some(figures) => figures.count(record, ended),
                None => {
                    let mut figures = Figures::new();
                    figures.count(record, ended);
                    routes.insert(name.into(), figures);
                    let limit = ended.as_secs().saturating_sub(SECONDS as u64);
                    routes.retain(|_, figures| figures.last() >= limit);
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
        }
    }

    fn count(&mut self, record: &Record, ended: Duration) {
        let at = ended.as_secs();
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
        let lasted = match record.head_after {
            Some(head) if record.is_stream => head,
            _ => record.duration(),
        };
        let count = &mut slot.counts[bucket(lasted)];
        *count = count.saturating_add(1);
    }

    /// The last second in which something came.
    fn last(&self) -> u64 {
        self.seconds
            .iter()
            .map(|second| second.at)
            .max()
            .unwrap_or_default()
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

    fn json(&self, out: &mut String, now: u64) {
        let window = now.saturating_sub(WINDOW)..now; // the present second is not over
        let (mut requests, mut errors) = (0, 0);
        for second in window.map(|at| self.second(at)) {
            requests += second.requests;
            errors += second.errors;
        }
        let of = |count: u32| f64::from(count) / 10.0;
        let _ = write!(
            out,
            "\"rate\":{},\"error_rate\":{}",
            of(requests),
            of(errors)
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
fn bucket(lasted: Duration) -> usize {
    let micros = u64::try_from(lasted.as_micros()).unwrap_or(u64::MAX).max(1);
    // In quarters of a microsecond, so that even the first octave has its quarters.
    let quarters = micros.saturating_mul(4);
    let octave = 63 - quarters.leading_zeros();
    let quarter = (quarters >> (octave - 2)) & 3;
    let place = u64::from(octave - 2) * 4 + quarter;
    usize::try_from(place).map_or(BUCKETS - 1, |place| place.min(BUCKETS - 1))
}

/// The lower and upper bound of a bucket, in milliseconds.
fn bounds(bucket: usize) -> (f64, f64) {
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
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::exchange::{Outcome, Phase};
    use crate::telemetry::fixture::{batch, plan, record};

    #[test]
    fn a_bucket_holds_what_lies_within_its_bounds() {
        for micros in (1..20_000).chain([1_000_000, 59_999_999, 3_000_000_000]) {
            let lasted = Duration::from_micros(micros);
            let (from, to) = bounds(bucket(lasted));
            let millis = lasted.as_secs_f64() * 1e3;
            assert!(from <= millis && millis < to, "{millis} in {from}..{to}");
            assert!(to <= from * 1.25 + 1e-12);
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn tells_rates_and_percentiles_of_each_route() {
        let mut figures = LiveFigures::default();
        let plan = Arc::new(plan(&["checkout", "web"]));
        let mut records = Vec::new();
        for index in 0..100 {
            let mut one = record(Some(0));
            let millis = if index < 95 { 10 } else { 100 };
            one.phases = [(Phase::Wait, Duration::from_millis(millis))]
                .into_iter()
                .collect();
            if index % 10 == 0 {
                one.outcome = Outcome::ConnectionRefused;
            }
            records.push(one);
        }
        records.push(record(None));
        let batch = batch(&plan, records);
        figures.read(&batch);
        let last = batch.records.last().expect("one");
        let ended = batch.wall.unix(last.started + last.duration());
        let json: serde_json::Value =
            serde_json::from_slice(&figures.json(ended + Duration::from_secs(2))).expect("JSON");
        let routes = json["routes"].as_array().expect("a list");
        let names: Vec<_> = routes.iter().map(|route| &route["route"]).collect();
        assert_eq!(names, ["_unmatched", "checkout"]);
        let checkout = &routes[1];
        assert_eq!(checkout["rate"], 10.0);
        assert_eq!(checkout["error_rate"], 1.0);
        let near = |value: &serde_json::Value, wanted: f64| {
            let value = value.as_f64().expect("a number");
            assert!((value / wanted - 1.0).abs() < 0.25, "{value} for {wanted}");
        };
        near(&checkout["p50_ms"], 10.0);
        near(&checkout["p99_ms"], 100.0);
        let sum = |list: &serde_json::Value| -> u64 {
            let list = list.as_array().expect("a list");
            list.iter().filter_map(serde_json::Value::as_u64).sum()
        };
        assert_eq!(sum(&checkout["requests"]), 100);
        assert_eq!(sum(&checkout["errors"]), 10);
        let later = figures.json(ended + Duration::from_secs(303));
        let later: serde_json::Value = serde_json::from_slice(&later).expect("JSON");
        assert_eq!(sum(&later["routes"][1]["requests"]), 0);
        assert_eq!(later["routes"][1]["p99_ms"], serde_json::Value::Null);
    }
}
