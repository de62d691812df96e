//! The last minute of each way through the proxy: from a listener to a route, and from a route to an endpoint.
//!
//! The traffic map is drawn from it. A way is six ten-second slots and the present one, each with how many came, how many
//! failed and how long they took: 1.3 KiB a way, 4,096 ways at most; what comes beyond that is not counted here (it is
//! everywhere else). A way that nobody went for a minute goes when the next one comes or a plan changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::Plan;
use crate::exchange::Record;
use crate::telemetry::desk::Batch;
use crate::telemetry::failure::Failure;
use crate::telemetry::label;

use super::durations::Durations;

/// What has gone which way of late.
#[derive(Debug, Default)]
pub(super) struct Minute {
    ways: Vec<Way>,
    /// Where the ways of the present plan are, by its numbers.
    places: Option<Places>,
    /// The first second that was seen.
    since: Option<u64>,
}

#[derive(Debug)]
struct Places {
    plan: Arc<Plan>,
    of: HashMap<Numbers, usize>,
}

/// A way by the plan's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Numbers {
    Route(u16, Option<u16>),
    Endpoint(Option<u16>, u16, u16),
}

/// One way.
#[derive(Debug)]
struct Way {
    from_to: Place,
    slots: [Slot; SLOTS],
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    at: u64,
    sum: Sum,
}

/// What was counted.
#[derive(Clone, Copy, Debug)]
struct Sum {
    count: u32,
    errors: u32,
    unrouted: u32,
    took: Durations,
}

/// A place on the map, or a way between two.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A listener.
    Listener(String),
    /// A route; `_unmatched` where none was found.
    Route(String),
    /// An upstream.
    Upstream(String),
    /// An endpoint of an upstream.
    Endpoint(String, String),
    /// From a listener to a route.
    ListenerRoute(String, String),
    /// From a route to an endpoint of an upstream.
    RouteEndpoint(String, String, String),
}

/// What went through a place in the last minute.
#[derive(Clone, Debug)]
pub struct Part {
    /// Where.
    pub place: Place,
    /// How many exchanges or attempts ended.
    pub count: u32,
    /// How many of them failed.
    pub errors: u32,
    /// How many of those no route takes.
    pub unrouted: u32,
    /// Half of them took up to so many milliseconds, right to a fifth.
    pub p50_ms: Option<f64>,
    /// All but a hundredth took up to so many milliseconds, right to a fifth.
    pub p99_ms: Option<f64>,
}

/// How long a slot is, in seconds.
const STEP: u64 = 10;
const SLOTS: usize = 7;
const MOST_WAYS: usize = 4096;

// === impl Minute ===

impl Minute {
    pub(super) fn read(&mut self, batch: &Batch) {
        let is_known = self.places.as_ref();
        if !is_known.is_some_and(|it| Arc::ptr_eq(&it.plan, &batch.plan)) {
            self.places = None;
        }
        for record in &batch.records {
            let ended = batch.ended(record);
            let second = ended.as_secs();
            self.since.get_or_insert(second);
            let numbers = Numbers::Route(record.listener, record.route);
            self.count(&batch.plan, numbers, second, |sum| {
                sum.errors += u32::from(record.is_error());
                sum.unrouted += u32::from(record.is_unrouted());
                sum.took.count(record.pace());
            });
            for attempt in record.attempts() {
                let numbers = Numbers::Endpoint(record.route, attempt.upstream, attempt.endpoint);
                self.count(&batch.plan, numbers, second, |sum| {
                    sum.errors += u32::from(Failure::of_attempt(attempt).is_some());
                    sum.took.count(took(record, attempt));
                });
            }
        }
    }

    fn count(
        &mut self,
        plan: &Arc<Plan>,
        numbers: Numbers,
        second: u64,
        count: impl FnOnce(&mut Sum),
    ) {
        let Some(way) = self.way(plan, numbers, second) else {
            return;
        };
        let at = second / STEP;
        let slot = &mut way.slots[super::place(at, SLOTS)];
        if slot.at < at {
            *slot = Slot { at, sum: Sum::NONE };
        }
        if slot.at == at {
            slot.sum.count = slot.sum.count.saturating_add(1);
            count(&mut slot.sum);
        }
    }

    /// The way of these numbers, known or new; `None` where there are too many, or the plan does not know it.
    fn way(&mut self, plan: &Arc<Plan>, numbers: Numbers, second: u64) -> Option<&mut Way> {
        let known = self.places.as_ref().and_then(|it| it.of.get(&numbers));
        if let Some(at) = known {
            return self.ways.get_mut(*at);
        }
        if self.places.is_none() || self.ways.len() >= MOST_WAYS {
            let oldest = (second / STEP).saturating_sub(SLOTS as u64 - 1);
            self.ways.retain(|way| way.last() >= oldest);
            let of = HashMap::new(); // the ways have moved
            self.places = Some(Places {
                plan: Arc::clone(plan),
                of,
            });
        }
        let from_to = numbers.named(plan)?;
        let at = match self.ways.iter().position(|way| way.from_to == from_to) {
            Some(at) => at,
            None if self.ways.len() >= MOST_WAYS => return None,
            None => {
                self.ways.push(Way {
                    from_to,
                    slots: [Slot::NEVER; SLOTS],
                });
                self.ways.len() - 1
            }
        };
        if let Some(places) = &mut self.places {
            places.of.insert(numbers, at);
        }
        self.ways.get_mut(at)
    }

    /// The second in which the first exchange of the process ended; `None` before.
    pub(super) fn since(&self) -> Option<u64> {
        self.since
    }

    /// How many seconds were counted until now, and what in them, in the order of the places.
    pub(super) fn parts(&self, now: u64) -> (u64, Vec<Part>) {
        let first = (now / STEP).saturating_sub(SLOTS as u64 - 2);
        let since = self.since.unwrap_or(now).clamp(first * STEP, now);
        let mut sums: BTreeMap<Place, Sum> = BTreeMap::new();
        for way in &self.ways {
            let mut sum = Sum::NONE;
            let slots = way.slots.iter().filter(|slot| slot.at >= first);
            slots.for_each(|slot| sum.add(&slot.sum));
            if sum.count > 0 {
                for place in way.from_to.with_ends() {
                    sums.entry(place).or_insert(Sum::NONE).add(&sum);
                }
            }
        }
        let parts = sums.into_iter().map(|(place, sum)| Part {
            place,
            count: sum.count,
            errors: sum.errors,
            unrouted: sum.unrouted,
            p50_ms: sum.took.percentile(0.5),
            p99_ms: sum.took.percentile(0.99),
        });
        (now - since + 1, parts.collect())
    }
}

/// How long an attempt took; of a stream, whose length says nothing, how long until the client had its head.
fn took(record: &Record, attempt: &crate::exchange::Attempt) -> std::time::Duration {
    if record.is_stream {
        return record.pace();
    }
    let micros = attempt
        .ended_us
        .saturating_sub(u64::from(attempt.started_us));
    std::time::Duration::from_micros(micros)
}

// === impl Numbers ===

impl Numbers {
    fn named(self, plan: &Plan) -> Option<Place> {
        let route = |at: Option<u16>| match at {
            None => Some(label::UNMATCHED.to_owned()),
            Some(at) => Some(plan.routes.get(usize::from(at))?.name.as_str().to_owned()),
        };
        Some(match self {
            Self::Route(listener, to) => {
                let listener = plan.listeners.get(usize::from(listener))?;
                Place::ListenerRoute(listener.name.as_str().to_owned(), route(to)?)
            }
            Self::Endpoint(from, upstream, endpoint) => {
                let upstream = plan.upstreams.get(usize::from(upstream))?;
                let endpoint = upstream.endpoints.get(usize::from(endpoint))?;
                let name = upstream.name.as_str().to_owned();
                Place::RouteEndpoint(route(from)?, name, endpoint.address.to_string())
            }
        })
    }
}

// === impl Place ===

impl Place {
    /// The way and the places that are counted by it: a route is counted where it is entered.
    fn with_ends(&self) -> Vec<Self> {
        let ends = match self {
            Self::ListenerRoute(listener, route) => {
                vec![Self::Listener(listener.clone()), Self::Route(route.clone())]
            }
            Self::RouteEndpoint(_, upstream, endpoint) => vec![
                Self::Upstream(upstream.clone()),
                Self::Endpoint(upstream.clone(), endpoint.clone()),
            ],
            _ => Vec::new(),
        };
        ends.into_iter().chain([self.clone()]).collect()
    }
}

// === impl Way ===

impl Way {
    fn last(&self) -> u64 {
        self.slots.iter().map(|it| it.at).max().unwrap_or_default()
    }
}

// === impl Slot ===

impl Slot {
    const NEVER: Self = Self {
        at: 0,
        sum: Sum::NONE,
    };
}

// === impl Sum ===

impl Sum {
    const NONE: Self = Self {
        count: 0,
        errors: 0,
        unrouted: 0,
        took: Durations::NONE,
    };

    fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.errors = self.errors.saturating_add(other.errors);
        self.unrouted = self.unrouted.saturating_add(other.unrouted);
        self.took.add(&other.took);
    }
}
