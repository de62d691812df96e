//! The verdict over simulated hours, and what it says of staged causes.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small counts, and places in a ring"
)]

mod strays;

use super::watch::{Count, REACH, Watch};
use super::*;
use crate::config::Plan;
use crate::exchange::{Outcome, Phase, Record};
use crate::telemetry::fixture::{batch, plan, record, retried};
use fastrand::Rng;
use std::time::Duration;

/// How often something happens that happens `mean` times as a rule (Poisson's distribution; Knuth's way where it is
/// small, the normal distribution's where it is large).
fn poisson(dice: &mut Rng, mean: f64) -> u64 {
    if mean > 30.0 {
        let normal = (0..12).map(|_| dice.f64()).sum::<f64>() - 6.0;
        return (mean + mean.sqrt() * normal).round().max(0.0) as u64;
    }
    let (limit, mut product, mut count) = ((-mean).exp(), dice.f64(), 0);
    while product > limit {
        product *= dice.f64();
        count += 1;
    }
    count
}

/// Healthy traffic: requests and errors of a second.
type Healthy = fn(u64, &mut Rng) -> Count;

fn drawn(dice: &mut Rng, rate: f64, errors: f64) -> Count {
    let bad = poisson(dice, rate * errors);
    let of = bad + poisson(dice, rate * (1.0 - errors));
    Count { of, bad }
}

fn daily_swing(second: u64, dice: &mut Rng) -> Count {
    let day = (second as f64 / 86_400.0 * std::f64::consts::TAU).sin();
    drawn(dice, 60.0 + 55.0 * day, 0.002)
}

fn bursts(second: u64, dice: &mut Rng) -> Count {
    // Of each ten minutes twenty seconds with fifty times the traffic, and nothing for a while after.
    let rate = match second % 600 {
        0..20 => 500.0,
        20..60 => 0.0,
        _ => 10.0,
    };
    drawn(dice, rate, 0.005)
}

fn one_a_second(_: u64, dice: &mut Rng) -> Count {
    drawn(dice, 1.0, 0.01)
}

fn steady_errors(_: u64, dice: &mut Rng) -> Count {
    drawn(dice, 100.0, 0.01)
}

const PROFILES: [Healthy; 4] = [daily_swing, bursts, one_a_second, steady_errors];

/// Runs a watch over so many seconds; says when it was raised.
fn run(seconds: u64, mut at: impl FnMut(u64) -> Count) -> (Watch, Vec<u64>) {
    let (mut watch, mut raised) = (Watch::new(), Vec::new());
    let mut ring = [Count::default(); REACH as usize + 2];
    let length = ring.len() as u64;
    for second in REACH..REACH + seconds {
        ring[(second % length) as usize] = at(second - REACH);
        let was = watch.since().is_some();
        watch.look(second + 1, |asked| ring[(asked % length) as usize]);
        if !was && watch.since().is_some() {
            raised.push(second - REACH);
        }
    }
    (watch, raised)
}

fn days_of(profile: Healthy, seed: u64) {
    let mut dice = Rng::with_seed(seed);
    let (_, raised) = run(72 * 3600, |second| profile(second, &mut dice));
    assert_eq!(raised, Vec::<u64>::new(), "seed {seed}");
}

#[test]
fn seventy_two_healthy_hours_raise_nothing() {
    std::thread::scope(|scope| {
        for half in 0..2 {
            let each = (half..20).step_by(2);
            scope.spawn(|| each.for_each(|seed| days_of(PROFILES[seed as usize / 2 % 4], seed)));
        }
    });
}

#[test]
#[ignore = "takes half a minute: every profile with every seed"]
fn seventy_two_healthy_hours_of_every_kind_raise_nothing() {
    for profile in PROFILES {
        for seed in 100..120 {
            days_of(profile, seed);
        }
    }
}

#[test]
fn a_fifth_failing_is_seen_within_ten_seconds_and_its_beginning_within_two() {
    for seed in 0..50 {
        let mut dice = Rng::with_seed(seed);
        let begin = 100 + seed * 7;
        let (watch, raised) = run(begin + 10, |second| {
            let errors = if second >= begin { 0.2 } else { 0.01 };
            drawn(&mut dice, 100.0, errors)
        });
        assert_eq!(raised.len(), 1, "seed {seed}");
        let since = watch.since().expect("raised") - REACH;
        assert!(
            since.abs_diff(begin) <= 2,
            "{since} for {begin}, seed {seed}"
        );
    }
}

#[test]
fn what_goes_on_for_hours_does_not_become_usual_and_ends_when_it_ends() {
    let mut dice = Rng::with_seed(1);
    let mut told = Vec::new();
    let mut counts = |second: u64| {
        let is_bad = (1000..1000 + 6 * 3600).contains(&second);
        drawn(&mut dice, 50.0, if is_bad { 0.1 } else { 0.001 })
    };
    let (mut watch, mut ring) = (Watch::new(), [Count::default(); REACH as usize + 2]);
    let length = ring.len() as u64;
    for second in REACH..REACH + 7 * 3600 {
        ring[(second % length) as usize] = counts(second - REACH);
        watch.look(second + 1, |asked| ring[(asked % length) as usize]);
        if watch.since().is_some() {
            told.push(second - REACH);
        }
    }
    let (first, last) = (told[0], told[told.len() - 1]);
    assert!((1000..1010).contains(&first), "{first}");
    assert!((22_600..22_650).contains(&last), "{last}");
    assert_eq!(told.len() as u64, last - first + 1, "without a gap");
}

// === What it says ===

/// A judge with a plan, and traffic in its seconds.
struct Court {
    judge: Judge,
    plan: Arc<Plan>,
    now: u64,
}

impl Court {
    fn new(routes: &[&str]) -> Self {
        let verdict = Verdict::default();
        let plan = Arc::new(plan(routes));
        let ledger = Arc::<Ledger>::default();
        Self {
            judge: verdict.judge(&ledger, &Catalogue::new(), &plan.listeners),
            plan,
            now: 0,
        }
    }

    /// Its filter is one, and so is that of each clause; the clauses are the sentence.
    fn reads(&self, finding: &Finding) {
        let read = |filter: &str| {
            crate::telemetry::filter::Filter::read_for(filter, &self.plan).expect(filter);
        };
        read(finding.filter.as_deref().expect("a filter"));
        let all = finding.clauses.iter();
        let words: String = all.clone().map(|it| it.text.as_str()).collect();
        assert_eq!(words, finding.sentence);
        assert!(finding.clauses.len() > 2, "{finding:?}");
        for clause in all {
            match &clause.behind {
                Behind::Exchanges(filter) => read(filter),
                Behind::Hour(route) => assert_eq!(Some(route), finding.route.as_ref()),
                other => panic!("{other:?} is of no route"),
            }
        }
    }

    /// So many seconds, each with these exchanges.
    fn pass(&mut self, seconds: u64, records: impl Fn() -> Vec<Record>) -> Vec<Finding> {
        for _ in 0..seconds {
            let mut batch = batch(&self.plan, records());
            // Each ends in the present second of this court, whatever the clock of the machine says.
            if self.now == 0 {
                self.now = 1_000_000;
                self.judge.judged = self.now - 1;
            }
            let anchor = batch.records[0].started;
            for record in &mut batch.records {
                record.started = anchor;
            }
            batch.wall = crate::telemetry::wall::Wall::new(anchor, Duration::from_secs(self.now));
            self.judge.read(&batch);
            self.now += 1;
            self.judge.judge(self.now);
        }
        self.judge.verdict.findings()
    }
}

fn good(route: u16, endpoint: u16, count: usize) -> Vec<Record> {
    let mut one = record(Some(route));
    one.first.as_mut().expect("an attempt").endpoint = endpoint;
    vec![one; count]
}

fn refused(route: u16, endpoint: u16, count: usize) -> Vec<Record> {
    let mut all = good(route, endpoint, count);
    for one in &mut all {
        one.outcome = Outcome::ConnectionRefused;
        one.status = 502;
        let first = one.first.as_mut().expect("an attempt");
        (first.outcome, first.status) = (Outcome::ConnectionRefused, None);
    }
    all
}

#[test]
fn the_endpoint_the_way_and_the_beginning_are_named_and_silence_follows_recovery() {
    let mut court = Court::new(&["checkout", "web"]);
    let healthy = || [good(0, 0, 50), good(0, 1, 50), good(1, 0, 50)].concat();
    assert_eq!(court.pass(30, healthy), []);
    let begin = court.now;
    let found = court.pass(10, || {
        [good(0, 0, 50), refused(0, 1, 50), good(1, 0, 50)].concat()
    });
    assert_eq!(found.len(), 1, "{found:?}");
    let one = &found[0];
    let endpoint = court.plan.upstreams[0].endpoints[1].address.to_string();
    let sentence = format!(
        "checkout: 50 % failing since {}, all on {endpoint}, connection_refused",
        "13:47:10 UTC"
    );
    assert_eq!(one.sentence, sentence);
    assert!(one.since.abs_diff(begin) <= 2, "{} for {begin}", one.since);
    assert_eq!(one.route.as_deref(), Some("checkout"));
    assert_eq!(one.outcome.as_deref(), Some("connection_refused"));
    assert_eq!((one.evidence.bad, one.evidence.of), (500, 1000));
    let filter = one.filter.as_deref().expect("one");
    court.reads(one);
    assert!(filter.contains(&endpoint), "{filter}");
    assert_eq!(court.pass(40, healthy), [], "it is over");
}

#[test]
fn failures_everywhere_blame_no_endpoint_and_few_are_called_thin() {
    let mut court = Court::new(&["checkout"]);
    let healthy = || [good(0, 0, 50), good(0, 1, 50)].concat();
    court.pass(30, healthy);
    let found = court.pass(5, || [refused(0, 0, 20), refused(0, 1, 20)].concat());
    let sentence = &found[0].sentence;
    assert!(
        sentence.contains("on every endpoint of checkout-service"),
        "{sentence}"
    );
    assert!(!sentence.contains("thin"), "{sentence}");

    let mut court = Court::new(&["checkout"]);
    court.pass(30, || good(0, 0, 1));
    let found = court.pass(8, || refused(0, 0, 1));
    assert!(found[0].sentence.ends_with("(thin: 8 of 8)"), "{found:?}");
    assert!(
        !found[0].sentence.contains(" on "),
        "nobody else was tried: {found:?}"
    );
}

#[test]
fn what_retries_hide_is_told_and_where() {
    let mut court = Court::new(&["checkout"]);
    let healthy = || [good(0, 0, 50), good(0, 1, 50)].concat();
    court.pass(30, healthy);
    let found = court.pass(5, || {
        let hidden = good(0, 0, 20).into_iter().map(retried);
        [hidden.collect(), good(0, 1, 80)].concat()
    });
    assert_eq!(found.len(), 1);
    let it = &found[0];
    assert_eq!(it.kind, "rescued");
    court.reads(it);
    let endpoint = court.plan.upstreams[0].endpoints[0].address.to_string();
    assert!(
        it.sentence.contains("20 % needed a retry"),
        "{}",
        it.sentence
    );
    assert!(
        it.sentence
            .contains(&format!("all on {endpoint}, status_503")),
        "{}",
        it.sentence
    );
    assert!(
        it.sentence.ends_with("; retries hid it from clients"),
        "{}",
        it.sentence
    );
}

#[test]
fn slowness_is_measured_by_what_is_usual_for_the_route() {
    let mut court = Court::new(&["checkout"]);
    let slow = |count| {
        let mut all = good(0, 1, count);
        for one in &mut all {
            let millis = Duration::from_millis;
            one.phases = [(Phase::Admit, millis(1)), (Phase::Wait, millis(400))]
                .into_iter()
                .collect();
        }
        all
    };
    court.pass(60, || [good(0, 0, 50), good(0, 1, 50)].concat());
    let found = court.pass(5, || [good(0, 0, 50), slow(50)].concat());
    assert_eq!(found.len(), 1, "{found:?}");
    let it = &found[0];
    let endpoint = court.plan.upstreams[0].endpoints[1].address.to_string();
    let (sentence, slow_over) = (&it.sentence, it.evidence.slow_over.expect("learned"));
    assert!(sentence.contains("50 % slower than "), "{sentence}");
    assert!(
        sentence.contains(&format!("all on {endpoint}, in wait")),
        "{sentence}"
    );
    let millis = slow_over.as_millis();
    assert!(
        (30..60).contains(&millis),
        "exchanges of 12 ms are usual: {millis}"
    );
    court.reads(it);
}

#[test]
fn clients_that_leave_and_limits_that_refuse_are_told_apart_from_failures() {
    let mut court = Court::new(&["checkout"]);
    court.pass(30, || good(0, 0, 100));
    let ended = |outcome: Outcome, status: u16| {
        let mut all = good(0, 0, 40);
        for one in &mut all {
            (one.outcome, one.status, one.head_after) = (outcome, status, None);
        }
        [all, good(0, 0, 60)].concat()
    };
    let found = court.pass(5, || ended(Outcome::ClientClosed, 499));
    assert_eq!(found[0].kind, "left", "{found:?}");
    court.reads(&found[0]);
    assert!(found[0].sentence.contains("40 % given up by their clients"));
    court.pass(60, || good(0, 0, 100));
    let found = court.pass(5, || ended(Outcome::RateLimited, 429));
    assert_eq!(found[0].kind, "refused", "{found:?}");
    court.reads(&found[0]);
    assert!(found[0].sentence.contains("40 % refused"), "{found:?}");
    assert!(found[0].sentence.contains(", rate_limited"), "{found:?}");
}

#[test]
fn connections_that_a_listener_refuses_are_told_first_and_for_as_long_as_it_does() {
    let mut court = Court::new(&["checkout"]);
    let catalogue = Arc::clone(&court.judge.catalogue);
    catalogue.adopt(&court.plan, 1);
    let listener = court.plan.listeners[0].name.clone();
    let meters = catalogue.listener(&listener);
    let _open: Vec<_> = (0..64).map(|_| meters.active.enter()).collect();
    assert_eq!(court.pass(5, || good(0, 0, 10)), []);
    meters.error("limit").add(4);
    assert_eq!(
        court.pass(2, || good(0, 0, 10)),
        [],
        "one client that tries again"
    );
    meters.error("limit").add(33);
    let found = court.pass(2, || good(0, 0, 10));
    let [it] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (it.kind, it.outcome.as_deref()),
        ("connections", Some("limit"))
    );
    assert!(
        it.sentence
            .starts_with(&format!("{listener}: 37 connections refused since ")),
        "{}",
        it.sentence
    );
    assert!(
        it.sentence
            .ends_with(", its limit was reached (64 open now)"),
        "{}",
        it.sentence
    );
    assert_eq!(court.pass(31, || good(0, 0, 10)), []);
}

#[test]
fn lost_telemetry_is_told_for_as_long_as_it_is_lost() {
    let mut court = Court::new(&["checkout"]);
    let ledger = Arc::clone(&court.judge.ledger);
    assert_eq!(court.pass(5, || good(0, 0, 10)), []);
    let spans = ledger.account(crate::telemetry::ledger::Signal::Spans);
    spans.create(50);
    spans.drop(40, crate::telemetry::ledger::DropReason::QueueFull);
    let found = court.pass(2, || good(0, 0, 10));
    assert_eq!(found[0].kind, "telemetry");
    assert!(
        found[0]
            .sentence
            .starts_with("telemetry: 40 spans lost since "),
        "{found:?}"
    );
    assert!(found[0].sentence.contains("queue_full"), "{found:?}");
    assert_eq!(court.pass(31, || good(0, 0, 10)), []);
}
