//! Tests of `intake`: what the kept ones say of all, when what each stands for is added up.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::pace::LivePaces;
use super::super::queue::Item;
use super::super::sampling::KeepRules;
use super::*;
use crate::config::{RouteTraces, Share};
use crate::exchange::{Outcome, SpanId, TraceId};
use crate::telemetry::fixture::{batch, plan, record, retried};
use crate::telemetry::ledger::{DropReason, Ledger};
use crate::telemetry::metrics::exemplar::Mark;
use crate::telemetry::otlp::Batch as Batching;

/// Two routes, of which the second has a head share of its own.
fn two_routes(head: f64, own: f64) -> Arc<Plan> {
    let mut plan = plan(&["checkout", "web"]);
    plan.telemetry.traces.sample = Some(Share(head));
    plan.routes[1].traces = RouteTraces {
        sample: Some(Share(own)),
        slower_than: None,
    };
    Arc::new(plan)
}

/// What happens to an exchange, by number: most are served, some fail, are limited, retried, or asked for.
fn exchange(number: u32) -> Record {
    let mut record = record(Some(u16::from(number.is_multiple_of(3))));
    match number % 40 {
        0..5 => record.outcome = Outcome::HttpResponseTimeout,
        5..8 => record.outcome = Outcome::RateLimited,
        8..12 => record = retried(record),
        12 => record.trace.force(),
        _ => {}
    }
    if number.is_multiple_of(7) {
        // A sampled parent's share is not known: it stands for itself, and here all of them are sampled.
        record.trace.parent = Some(SpanId::random());
        record.trace.sample(true);
    }
    record
}

struct Rig {
    plan: Arc<Plan>,
    sink: Sink,
    ledger: Arc<Ledger>,
    intake: Intake,
    rules: KeepRules,
}

impl Rig {
    fn new(plan: &Arc<Plan>, most: Option<u32>) -> Self {
        let environment = Arc::new(Environment::read(&|_| None));
        let ledger = Arc::new(Ledger::default());
        let batching = Batching {
            max_queue: 1 << 20,
            ..Batching::default()
        };
        let sink = Sink::new(batching, Arc::clone(&ledger));
        let head = environment.head(&plan.telemetry.traces);
        Self {
            plan: Arc::clone(plan),
            sink: sink.clone(),
            ledger,
            intake: Intake::new(sink, &environment, most),
            rules: KeepRules::new(plan, head, &LivePaces::default()),
        }
    }

    /// The same as a desk does, with an exemplar every now and then.
    fn read(&mut self, records: impl Iterator<Item = Record>) {
        let mut records: Vec<Record> = records.collect();
        for (number, record) in records.iter_mut().enumerate() {
            record.kept = self.rules.keep(record, number.is_multiple_of(50));
        }
        self.intake.read(&batch(&self.plan, records));
    }

    /// What is in the queue: route, outcome and what it stands for.
    fn passed(&self) -> Vec<((Option<u16>, u8), Standing)> {
        let mut items = Vec::new();
        while self.sink.pull(&mut items) > 0 {}
        let kept = items.into_iter().map(|item| match item {
            Item::Exchange(record, _, _, standing) => {
                ((record.route, record.outcome as u8), standing)
            }
            Item::Own(_) => panic!("nothing works here"),
        });
        kept.collect()
    }

    fn shed(&self) -> u64 {
        self.ledger.shed_traces().map(|(_, count)| count).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn counts_by_route_and_outcome_are_rebuilt(head in 0.05_f64..1.0, own in 0.05_f64..1.0, most in prop::option::of(40_u32..2_000)) {
        let plan = two_routes(head, own);
        let mut rig = Rig::new(&plan, most);
        let mut wanted: BTreeMap<_, f64> = BTreeMap::new();
        for _second in 0..4 {
            let all: Vec<Record> = (0..3_000).map(exchange).collect();
            for record in &all {
                *wanted.entry((record.route, record.outcome as u8)).or_default() += 1.0;
            }
            rig.read(all.into_iter());
            rig.intake.close(true);
        }
        let mut found: BTreeMap<_, (f64, f64)> = BTreeMap::new();
        let passed = rig.passed();
        for (key, standing) in &passed {
            let sums = found.entry(*key).or_default();
            sums.0 += standing.weight;
            sums.1 += standing.weight * (standing.weight - 1.0);
        }
        for (key, count) in wanted {
            let (sum, spread) = found[&key];
            let bound = 4.0 * spread.max(0.0).sqrt() + 1e-6 * count;
            prop_assert!((sum - count).abs() <= bound, "{key:?}: {sum} for {count}, bound {bound}");
        }
        if let Some(most) = most {
            prop_assert!(passed.len() <= 4 * most as usize);
        } else {
            prop_assert_eq!(rig.shed(), 0);
        }
    }

    #[test]
    fn at_a_hundred_percent_they_are_exact(count in 1_u32..3_000, most in prop::option::of(8_u32..200)) {
        let plan = two_routes(1.0, 1.0);
        let mut rig = Rig::new(&plan, most);
        let mut wanted: BTreeMap<_, f64> = BTreeMap::new();
        let all: Vec<Record> = (0..count).map(exchange).collect();
        for record in &all {
            *wanted.entry((record.route, record.outcome as u8)).or_default() += 1.0;
        }
        rig.read(all.into_iter());
        rig.intake.end();
        let mut found: BTreeMap<_, f64> = BTreeMap::new();
        let passed = rig.passed();
        for (key, standing) in &passed {
            *found.entry(*key).or_default() += standing.weight;
        }
        // Fewer places than strata: then only the sum of all is.
        let is_split = most.is_none_or(|most| most >= 24);
        for (key, count) in wanted.iter().filter(|_| is_split) {
            prop_assert!((found[key] - count).abs() < 1e-6 * count, "{key:?}: {} for {count}", found[key]);
        }
        let sum: f64 = found.values().sum();
        prop_assert!((sum - f64::from(count)).abs() < 1e-3);
        prop_assert_eq!(rig.shed() + passed.len() as u64, u64::from(count));
    }
}

#[test]
fn what_is_shed_never_was_a_span_and_shows_no_exemplar() {
    let plan = two_routes(1.0, 1.0);
    let mut rig = Rig::new(&plan, Some(10));
    let mut records: Vec<Record> = (0..500).map(|_| record(Some(0))).collect();
    let marks: Vec<Mark> = records.iter().map(|_| Mark::default()).collect();
    for record in &mut records {
        record.kept = Some(KeepReason::Exemplar);
    }
    let mut batch = batch(&plan, records);
    batch.marks = marks.iter().cloned().enumerate().collect();
    rig.intake.read(&batch);
    assert_eq!(rig.sink.waiting(), 0, "held until the second is over");
    rig.intake.end();
    let passed = rig.passed();
    assert_eq!((passed.len(), rig.shed()), (10, 490));
    let [spans, ..] = rig.ledger.snapshot();
    assert_eq!((spans.created, spans.lost(DropReason::QueueFull)), (20, 0));
    for (_, standing) in &passed {
        assert_eq!(standing.weight, 50.0);
        standing.mark.as_ref().expect("its own").acknowledge();
    }
    let shown = marks.iter().filter(|mark| mark.is_acknowledged());
    assert_eq!(shown.count(), 10, "each has the mark of its own record");
}

#[test]
fn a_second_ends_without_another_record() {
    let plan = two_routes(1.0, 1.0);
    let mut rig = Rig::new(&plan, Some(10));
    rig.read((0..5).map(|_| record(Some(1))));
    rig.intake.tick();
    assert_eq!(rig.sink.waiting(), 0);
    rig.intake.began -= SECOND;
    rig.intake.tick();
    assert_eq!(rig.passed().len(), 5);
}

#[test]
fn a_route_weighs_by_its_own_share() {
    let plan = two_routes(0.5, 0.25);
    let mut rig = Rig::new(&plan, None);
    let taken = TraceId([0xff; 16]);
    let records = [Some(0), Some(1), None].map(|route| {
        let mut record = record(route);
        record.trace.trace_id = taken;
        record.kept = Some(KeepReason::Head);
        record
    });
    rig.intake.read(&batch(&plan, records.into()));
    let weights: Vec<f64> = rig.passed().iter().map(|(_, it)| it.weight).collect();
    assert_eq!(weights, [2.0, 4.0, 2.0]);
}
