//! Tests of `sampling`.

use super::*;
use crate::exchange::{Outcome, Phase, SAMPLED, SpanId};
use crate::telemetry::trace::fixture::{attempt, end, open, route, served};

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
    assert_eq!(tenth.weight(KeepReason::Head, false), 10.0);
    assert_eq!(tenth.weight(KeepReason::Head, true), 1.0);
    assert_eq!(
        tenth.regardless_of_parents().weight(KeepReason::Head, true),
        10.0
    );
    for reason in [KeepReason::Error, KeepReason::Slow, KeepReason::Retried] {
        assert_eq!(tenth.weight(reason, false), 1.0);
    }
    assert_eq!(
        HeadShare::new(Share::NONE).weight(KeepReason::Head, false),
        1.0
    );
}

const RULES: KeepRules = KeepRules {
    errors: true,
    slower_than: Some(Duration::from_millis(100)),
    retried: true,
};

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

fn slow(is_stream: bool) -> Record {
    let exchange = open("GET");
    exchange.note_head(200, is_stream);
    std::thread::sleep(Duration::from_millis(110));
    end(&exchange, Outcome::Served)
}

#[test]
fn the_first_rule_that_matches_is_the_reason() {
    for (record, want) in [
        (served(200), KeepReason::Head),
        (served(404), KeepReason::Head),
        (served(500), KeepReason::Error),
        (retried(200), KeepReason::Retried),
        (retried(500), KeepReason::Error),
        (slow(false), KeepReason::Slow),
        (slow(true), KeepReason::Head),
    ] {
        assert_eq!(RULES.keep(&record), Some(want), "{}", record.status);
    }
}

#[test]
fn what_no_rule_keeps_the_head_decides() {
    let mut record = served(500);
    record.trace.flags &= !SAMPLED;
    assert_eq!(RULES.keep(&record), Some(KeepReason::Error));
    let lax = KeepRules {
        errors: false,
        ..RULES
    };
    assert_eq!(lax.keep(&record), None);
    record.trace.flags |= SAMPLED;
    assert_eq!(lax.keep(&record), Some(KeepReason::Head));
}
