//! Tests of `sampling`.

use super::*;
use crate::config::{Keep, RouteTraces};
use crate::exchange::{Outcome, Phase, SpanId};
use crate::telemetry::trace::fixture::{attempt, end, open, plan, route, served};

fn ids() -> impl Iterator<Item = TraceId> {
    (0..20_000).map(|_| TraceId::random())
}

#[test]
fn all_and_none_are_exact() {
    let (all, none) = (HeadShare::new(Share::ALL), HeadShare::new(Share::NONE));
    let edges = [[0; 16], [0xff; 16]].map(TraceId);
    for id in edges.into_iter().chain(ids()) {
        assert!(all.takes(id) && !none.takes(id), "{id}");
    }
}

#[test]
fn a_share_is_taken_within_chance() {
    for share in [0.01, 0.1, 0.5, 0.9] {
        let head = HeadShare::new(Share(share));
        let taken = u32::try_from(ids().filter(|id| head.takes(*id)).count()).unwrap_or(0);
        let spread = (20_000.0 * share * (1.0 - share)).sqrt();
        let off = (f64::from(taken) - 20_000.0 * share).abs();
        assert!(off < 6.0 * spread, "{taken} of 20000 at {share}");
    }
}

#[test]
fn a_larger_share_takes_all_that_a_smaller_one_takes() {
    let (small, large) = (HeadShare::new(Share(0.1)), HeadShare::new(Share(0.3)));
    assert!(ids().all(|id| !small.takes(id) || large.takes(id)));
}

#[test]
fn the_first_seventy_two_bits_do_not_matter() {
    let half = HeadShare::new(Share(0.5));
    let with = |first: u8, middle: u8| {
        let mut id = [first; 16];
        id[9] = middle;
        half.takes(TraceId(id))
    };
    assert!(with(0, 0x80) && with(0xff, 0x80));
    assert!(!with(0, 0x7f) && !with(0xff, 0x7f));
}

#[test]
fn only_the_share_weighs() {
    let tenth = HeadShare::new(Share(0.1));
    for reason in KeepReason::ALL {
        let weight = if reason == KeepReason::Head {
            10.0
        } else {
            1.0
        };
        assert_eq!(tenth.weight(reason), weight, "{}", reason.as_str());
    }
    assert_eq!(HeadShare::new(Share::NONE).weight(KeepReason::Head), 1.0);
}

/// The rules of a plan whose one route says this of its traces.
fn rules(keep: Keep, head: f64, own: RouteTraces) -> KeepRules {
    let mut plan = plan();
    plan.telemetry.traces.keep = keep;
    plan.routes[0].traces = own;
    KeepRules::new(&plan, HeadShare::new(Share(head)), &LivePaces::default())
}

fn slower_than_100ms() -> Keep {
    Keep {
        slower_than: SlowerThan::Fixed(Duration::from_millis(100)),
        ..Keep::default()
    }
}

fn retried(status: u16) -> Record {
    let exchange = open("GET");
    route(&exchange);
    attempt(&exchange, 0, 503);
    exchange.end_attempt(Outcome::Served);
    exchange.enter(Phase::Backoff);
    exchange.begin_attempt(0, 1, SpanId::random());
    exchange.note_head(status, false);
    end(&exchange, Outcome::Served)
}

fn took(millis: u64) -> Record {
    let mut record = served(200);
    record.phases = std::iter::once((Phase::Wait, Duration::from_millis(millis))).collect();
    record
}

fn ended(outcome: Outcome) -> Record {
    let exchange = open("GET");
    route(&exchange);
    exchange.note_head(outcome.status(), false);
    end(&exchange, outcome)
}

fn forced(mut record: Record) -> Record {
    record.trace.force();
    record
}

fn streamed(mut record: Record) -> Record {
    record.is_stream = true;
    record
}

/// A record whose followed parent was sampled or not.
fn followed(is_sampled: bool) -> Record {
    let mut record = served(200);
    record.trace.parent = Some(SpanId::random());
    record.trace.sample(is_sampled);
    record
}

#[test]
fn the_first_rule_that_matches_is_the_reason() {
    use KeepReason::{Error, Exemplar, Forced, Head, Limited, Parent, Retried, Slow};
    let rules = rules(slower_than_100ms(), 1.0, RouteTraces::default());
    for (record, is_exemplar, want) in [
        (served(200), false, Head),
        (served(404), false, Head),
        (served(200), true, Exemplar),
        (served(500), true, Error),
        (retried(200), true, Retried),
        (retried(500), false, Error),
        (took(110), true, Slow),
        (streamed(took(110)), false, Head),
        (ended(Outcome::RateLimited), true, Limited),
        (ended(Outcome::Overloaded), false, Limited),
        (ended(Outcome::ConnectionRefused), false, Error),
        (followed(true), false, Parent),
        (followed(true), true, Exemplar),
        (forced(served(500)), true, Forced),
        (forced(followed(false)), false, Forced),
    ] {
        let kept = rules.keep(&record, is_exemplar);
        assert_eq!(kept, Some(want), "{} {}", record.status, record.outcome);
    }
}

#[test]
fn what_no_rule_keeps_the_head_decides() {
    let lax = Keep {
        errors: false,
        retried: false,
        limited: false,
        slower_than: SlowerThan::Off,
    };
    for (head, want) in [(0.0, None), (1.0, Some(KeepReason::Head))] {
        let rules = rules(lax, head, RouteTraces::default());
        for record in [
            served(500),
            retried(200),
            took(60_000),
            ended(Outcome::RateLimited),
            ended(Outcome::Overloaded),
        ] {
            assert_eq!(rules.keep(&record, false), want, "{}", record.outcome);
        }
    }
    let all = rules(lax, 1.0, RouteTraces::default());
    assert_eq!(
        all.keep(&followed(false), false),
        None,
        "its parent decided"
    );
    let none = rules(lax, 0.0, RouteTraces::default());
    assert_eq!(none.keep(&followed(true), false), Some(KeepReason::Parent));
}

#[test]
fn a_share_regardless_of_parents_decides_for_them_too() {
    let mut plan = plan();
    plan.telemetry.traces.keep = slower_than_100ms();
    for (share, want) in [(0.0, None), (1.0, Some(KeepReason::Head))] {
        let head = HeadShare::new(Share(share)).regardless_of_parents();
        let rules = KeepRules::new(&plan, head, &LivePaces::default());
        assert_eq!(rules.keep(&followed(share == 0.0), false), want);
    }
}

#[test]
fn a_route_has_its_own_share_and_its_own_limit() {
    let own = RouteTraces {
        sample: Some(Share::NONE),
        slower_than: Some(SlowerThan::Fixed(Duration::from_millis(20))),
    };
    let rules = rules(slower_than_100ms(), 1.0, own);
    let mut unmatched = took(50);
    assert_eq!(rules.keep(&unmatched, false), Some(KeepReason::Slow));
    assert_eq!(rules.keep(&took(10), false), None);
    unmatched.route = None;
    assert_eq!(rules.keep(&unmatched, false), Some(KeepReason::Head));
}

#[test]
fn slow_is_what_the_live_percentile_says() {
    let paces = LivePaces::default();
    let mut plan = plan();
    plan.routes[0].traces.slower_than = Some(SlowerThan::P99);
    let rules = KeepRules::new(&plan, HeadShare::new(Share::NONE), &paces);
    assert_eq!(
        rules.keep(&took(60_000), false),
        None,
        "nobody knows it yet"
    );
    paces
        .of(&plan.routes[0].name)
        .store(30_000_000, Ordering::Relaxed);
    assert_eq!(rules.keep(&took(31), false), Some(KeepReason::Slow));
    assert_eq!(rules.keep(&took(30), false), None);
}
