//! A worker's way from a record to its series: by place in the plan, without a lock, a string or an allocation.
//!
//! One [`Tally`] stands for one worker and one generation. Its slots are filled when a series is first seen, and from
//! then on hold this worker's cell of it. A tally of an older generation stays for the exchanges that began under it.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Counter;
use super::catalogue::{Catalogue, Owner, Wanted, Writer};
use super::exemplar::Mark;
use super::family::{self, Family};
use super::governor::{Ids, Known, Value};
use super::histogram::{DURATIONS, Histogram};
use crate::config::{Name, Plan, Route};
use crate::exchange::{Attempt, Gauge, KnownMethod, Outcome, PHASES, Record};
use crate::telemetry::label;
use crate::telemetry::slo::RouteCounts;

/// One worker's series under one configuration.
pub(in crate::telemetry) struct Tally {
    sources: Source,
    has_exemplars: bool,
    /// By place in the plan; one more for what no route took.
    routes: Vec<RouteSeries>,
    /// Where labels hold what clients say: their values, and the series told apart by them.
    free: Option<Free>,
    upstreams: Vec<UpstreamSeries>,
}

/// Request durations by what clients say.
struct Free {
    known: Known,
    series: HashMap<FreeKey, Arc<Histogram>, foldhash::fast::RandomState>,
    most: usize,
    /// The family has no room: until then new values are `_OTHER` at once.
    full_until_ms: u64,
}

type FreeKey = (u16, KnownMethod, u16, Outcome, Ids);

/// How often a worker asks again for a series where the family has no room.
const ASK_MS: u64 = 1_000;

/// Where series come from that are not yet in their slots.
struct Source {
    catalogue: Arc<Catalogue>,
    plan: Arc<Plan>,
    generation: u32,
    worker: u16,
}

#[derive(Default)]
struct RouteSeries {
    durations: Few<(KnownMethod, u16, Outcome), Arc<Histogram>>,
    streams: Few<Outcome, Arc<Histogram>>,
    calls: Few<u8, Counter>,
    bodies: Option<(Arc<Histogram>, Arc<Histogram>)>,
    phases: [Option<Arc<Histogram>>; PHASES],
    overhead: Option<Arc<Histogram>>,
    active: Option<Gauge>,
    /// Where the route has objectives.
    slo: Option<RouteCounts>,
}

#[derive(Default)]
struct UpstreamSeries {
    attempts: Few<(Option<u16>, Outcome), Arc<Histogram>>,
    endpoints: Vec<EndpointSeries>,
}

#[derive(Default)]
struct EndpointSeries {
    attempts: Few<Outcome, Counter>,
    failures: Option<Counter>,
}

/// A map for few keys, one of which is asked for nearly always: the found entry moves one place to the front, so that
/// the usual look-up is one comparison.
struct Few<K, V>(Vec<(K, V)>);

// === impl Tally ===

impl Tally {
    pub(in crate::telemetry) fn new(
        catalogue: &Arc<Catalogue>,
        plan: &Arc<Plan>,
        generation: u32,
        worker: u16,
    ) -> Self {
        let mut upstreams = Vec::new();
        for upstream in &plan.upstreams {
            let mut series = UpstreamSeries::default();
            series
                .endpoints
                .resize_with(upstream.endpoints.len(), EndpointSeries::default);
            upstreams.push(series);
        }
        let sources = Source {
            catalogue: Arc::clone(catalogue),
            plan: Arc::clone(plan),
            generation,
            worker,
        };
        let of_route = |route: &Route| RouteSeries {
            slo: route
                .slo
                .as_ref()
                .map(|slo| RouteCounts::new(slo, |kind, result| sources.slo(route, kind, result))),
            ..RouteSeries::default()
        };
        let routes = plan.routes.iter().map(of_route);
        Self {
            has_exemplars: plan.telemetry.exemplars,
            free: Known::new(catalogue.governor(), plan).map(|known| Free {
                known,
                series: HashMap::default(),
                most: usize::try_from(plan.telemetry.metrics.max_series / 8).unwrap_or(0),
                full_until_ms: 0,
            }),
            routes: routes.chain([RouteSeries::default()]).collect(),
            upstreams,
            sources,
        }
    }

    pub(in crate::telemetry) fn generation(&self) -> u32 {
        self.sources.generation
    }

    pub(in crate::telemetry) fn plan(&self) -> &Arc<Plan> {
        &self.sources.plan
    }

    /// This worker's share of a route's active requests.
    pub(in crate::telemetry) fn active(&mut self, route: Option<u16>) -> Gauge {
        let place = self.place(route);
        let sources = &self.sources;
        self.routes[place]
            .active
            .get_or_insert_with(|| {
                let (name, pattern, owner) = sources.pattern(route);
                sources.catalogue.gauge(sources.wanted(
                    &family::ACTIVE_REQUESTS,
                    &[name, pattern],
                    owner,
                ))
            })
            .clone()
    }

    /// Counts everything that a record says. `ended_ms` is when it ended, in milliseconds since 1970. Where it can be
    /// kept as a trace, the answer is the mark that its exemplars wait for, if it has become one.
    pub(in crate::telemetry) fn count(
        &mut self,
        record: &Record,
        ended_ms: u64,
        can_be_kept: bool,
    ) -> Option<Mark> {
        let can_be_exemplar = self.has_exemplars && can_be_kept;
        let mark = OnceCell::new();
        let observe = |series: &Histogram, value: u64, span_id| {
            if can_be_exemplar {
                let mark = || mark.get_or_init(Mark::default).clone();
                series.observe_with(value, ended_ms, || (record.trace.trace_id, span_id, mark()));
            } else {
                series.observe(value);
            }
        };
        let place = self.place(record.route);
        let sources = &self.sources;
        let series = &mut self.routes[place];
        let whole = record.duration();
        if let Some(slo) = &series.slo {
            slo.count(record);
        }

        let durations = match &mut self.free {
            Some(free) => free.get(sources, record, ended_ms),
            None => {
                let key = (record.method, record.status, record.outcome);
                series.durations.get(key, || sources.durations(record))
            }
        };
        observe(durations, nanos(record.pace()), record.trace.span_id);
        if record.is_stream {
            let streams = series.streams.get(record.outcome, || {
                sources.of_route(
                    &family::STREAM_DURATION,
                    record.route,
                    Some(record.outcome.as_str()),
                )
            });
            observe(streams, nanos(whole), record.trace.span_id);
        }

        if let Some(status) = record.grpc_status {
            series
                .calls
                .get(status, || sources.calls(record.route, status))
                .count_alone();
        }

        let (requests, responses) = series.bodies.get_or_insert_with(|| {
            let of = |family| {
                let (name, pattern, owner) = sources.pattern(record.route);
                let labels = [name, pattern];
                let wanted = sources.wanted(family, &labels, owner);
                sources.catalogue.histogram(wanted)
            };
            (
                of(&family::REQUEST_BODY_SIZE),
                of(&family::RESPONSE_BODY_SIZE),
            )
        });
        requests.observe(record.bytes_in);
        responses.observe(record.bytes_out);

        for (phase, time) in record.phases.iter() {
            series.phases[phase.index()]
                .get_or_insert_with(|| {
                    sources.of_route(&family::PHASE_DURATION, record.route, Some(phase.as_str()))
                })
                .observe(nanos(time));
        }
        series
            .overhead
            .get_or_insert_with(|| sources.of_route(&family::PROXY_OVERHEAD, record.route, None))
            .observe(nanos(record.overhead()));

        self.count_attempts(record, &observe);
        mark.into_inner()
    }

    fn count_attempts(
        &mut self,
        record: &Record,
        observe: &impl Fn(&Histogram, u64, crate::exchange::SpanId),
    ) {
        let sources = &self.sources;
        let mut before: Option<&Attempt> = None;
        for attempt in record.attempts() {
            if let Some(series) = self.upstreams.get_mut(usize::from(attempt.upstream)) {
                let attempts = series.attempts.get((attempt.status, attempt.outcome), || {
                    sources.attempts(attempt)
                });
                observe(attempts, nanos(attempt.lasted()), attempt.span_id);
                if let Some(endpoint) = series.endpoints.get_mut(usize::from(attempt.endpoint)) {
                    endpoint
                        .attempts
                        .get(attempt.outcome, || sources.endpoint(attempt))
                        .count_alone();
                    // There from the first attempt on, so that a rate has a zero to rise from.
                    let failures = endpoint
                        .failures
                        .get_or_insert_with(|| sources.failures(attempt));
                    if attempt.is_failure() {
                        failures.count_alone();
                    }
                }
            }
            // A request that a dead connection gave back unsent goes out anew outside `retry`.
            if let Some(before) = before
                && !attempt.is_resend
            {
                sources.retries(record.route, before).count_alone();
            }
            before = Some(attempt);
        }
    }

    fn place(&self, route: Option<u16>) -> usize {
        let unmatched = self.routes.len() - 1;
        route.map_or(unmatched, |route| usize::from(route).min(unmatched))
    }
}

// === impl Source ===

impl Source {
    /// The labels of a route, and whose the series is.
    fn pattern(&self, route: Option<u16>) -> (&str, &str, Owner) {
        match route.and_then(|route| self.plan.routes.get(usize::from(route))) {
            Some(route) => (
                route.name.as_str(),
                route.matches.path.as_str(),
                Owner::pattern(route),
            ),
            None => {
                let owner = Owner::Pattern(Name::new(label::UNMATCHED), Box::from(""));
                (label::UNMATCHED, "", owner)
            }
        }
    }

    fn wanted<'a>(
        &self,
        family: &'static Family,
        labels: &'a [&'a str],
        owner: Owner,
    ) -> Wanted<'a> {
        Wanted {
            family,
            labels,
            owner,
            writer: Writer::Worker {
                index: self.worker,
                generation: self.generation,
            },
        }
    }

    fn durations(&self, record: &Record) -> Arc<Histogram> {
        self.durations_of(record, &[])
            .unwrap_or_else(|| self.durations_of_others(record, &[]))
    }

    /// The durations of exchanges like this one, unless the family has no room for them.
    fn durations_of(&self, record: &Record, values: &[Arc<Value>]) -> Option<Arc<Histogram>> {
        let (name, pattern, owner) = self.pattern(record.route);
        let (method, status) = (record.method.as_str(), label::status(record.status));
        let labels = [name, pattern, method, &status, record.outcome.as_str()];
        let wanted = self.wanted(&family::REQUEST_DURATION, &labels, owner);
        self.catalogue.histogram_within(wanted, values)
    }

    /// Where there is no room: only configured names and outcomes are told apart, and those always.
    fn durations_of_others(&self, record: &Record, values: &[Arc<Value>]) -> Arc<Histogram> {
        let (name, pattern, owner) = self.pattern(record.route);
        let labels = [
            name,
            pattern,
            label::OTHER,
            label::OTHER,
            record.outcome.as_str(),
        ];
        let wanted = self.wanted(&family::REQUEST_DURATION, &labels, owner);
        self.catalogue.histogram_anyway(wanted, values)
    }

    fn calls(&self, route: Option<u16>, status: u8) -> Counter {
        let (name, pattern, owner) = self.pattern(route);
        let labels = [name, pattern, label::grpc_status(status)];
        self.catalogue
            .counter(self.wanted(&family::GRPC_REQUESTS, &labels, owner))
    }

    /// A series of a route, with one label of its own where it has one.
    fn of_route(
        &self,
        family: &'static Family,
        route: Option<u16>,
        label: Option<&str>,
    ) -> Arc<Histogram> {
        let (name, _, _) = self.pattern(route);
        let owner = Owner::Route(Name::new(name));
        let labels = [name, label.unwrap_or_default()];
        let labels = &labels[..1 + usize::from(label.is_some())];
        self.catalogue.histogram(self.wanted(family, labels, owner))
    }

    fn slo(&self, route: &Route, slo: &'static str, result: &str) -> Counter {
        let labels = [route.name.as_str(), slo, result];
        let owner = Owner::Slo(route.name.clone(), slo);
        self.catalogue
            .counter(self.wanted(&family::SLO_EVENTS, &labels, owner))
    }

    fn attempts(&self, attempt: &Attempt) -> Arc<Histogram> {
        let upstream = &self.plan.upstreams[usize::from(attempt.upstream)].name;
        let status = attempt.status.map(label::status).unwrap_or_default();
        let of = |status| {
            let labels = [upstream.as_str(), status, attempt.outcome.as_str()];
            let owner = Owner::Upstream(upstream.clone());
            let wanted = self.wanted(&family::CLIENT_DURATION, &labels, owner);
            match status {
                label::OTHER => Some(self.catalogue.histogram_anyway(wanted, &[])),
                _ => self.catalogue.histogram_within(wanted, &[]),
            }
        };
        of(&status)
            .or_else(|| of(label::OTHER))
            .unwrap_or_else(|| Arc::new(Histogram::new(&DURATIONS)))
    }

    fn endpoint(&self, attempt: &Attempt) -> Counter {
        let upstream = &self.plan.upstreams[usize::from(attempt.upstream)];
        let endpoint = &upstream.endpoints[usize::from(attempt.endpoint)];
        let address = endpoint.address.to_string();
        let labels = [upstream.name.as_str(), &address, attempt.outcome.as_str()];
        let owner = Owner::Endpoint(upstream.name.clone(), address.as_str().into());
        self.catalogue
            .counter(self.wanted(&family::ENDPOINT_REQUESTS, &labels, owner))
    }

    fn failures(&self, attempt: &Attempt) -> Counter {
        let upstream = &self.plan.upstreams[usize::from(attempt.upstream)];
        let endpoint = &upstream.endpoints[usize::from(attempt.endpoint)];
        let address = endpoint.address.to_string();
        let labels = [upstream.name.as_str(), &address];
        let owner = Owner::Endpoint(upstream.name.clone(), address.as_str().into());
        self.catalogue
            .counter(self.wanted(&family::ENDPOINT_FAILURES, &labels, owner))
    }

    /// Looked up each time: retries are rare.
    fn retries(&self, route: Option<u16>, before: &Attempt) -> Counter {
        let (name, _, _) = self.pattern(route);
        let owner = Owner::Route(Name::new(name));
        let labels = [name, &label::retry_reason(before)];
        self.catalogue
            .counter(self.wanted(&family::RETRIES, &labels, owner))
    }
}

// === impl Free ===

impl Free {
    fn get(&mut self, sources: &Source, record: &Record, now_ms: u64) -> &Histogram {
        let key = |ids| {
            let route = record.route.unwrap_or(u16::MAX);
            (route, record.method, record.status, record.outcome, ids)
        };
        let (mut ids, mut values) = self.known.ids(record, now_ms);
        if !self.series.contains_key(&key(ids)) {
            if self.series.len() > self.most {
                self.series.clear(); // values come and go; what is used is found again
            }
            let mut found = None;
            if now_ms >= self.full_until_ms {
                found = sources.durations_of(record, &values);
                if found.is_none() {
                    self.full_until_ms = now_ms + ASK_MS;
                }
            }
            match found {
                Some(found) => drop(self.series.insert(key(ids), found)),
                None => (ids, values) = self.known.others(),
            }
        }
        self.series.entry(key(ids)).or_insert_with(|| {
            sources
                .durations_of(record, &values)
                .unwrap_or_else(|| sources.durations_of_others(record, &values))
        })
    }
}

// === impl Few ===

impl<K: Copy + PartialEq, V> Few<K, V> {
    fn get(&mut self, key: K, new: impl FnOnce() -> V) -> &V {
        let place = match self.0.iter().position(|(known, _)| *known == key) {
            Some(0) => 0,
            Some(place) => {
                self.0.swap(place, place - 1);
                place - 1
            }
            None => {
                self.0.push((key, new()));
                self.0.len() - 1
            }
        };
        &self.0[place].1
    }
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

fn nanos(time: Duration) -> u64 {
    // Not `as_nanos`: that is 128 bits wide.
    time.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(time.subsec_nanos()))
}
