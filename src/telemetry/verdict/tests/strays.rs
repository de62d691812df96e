//! What is told of requests that find no route, and of which reload.

use super::*;

/// Exchanges that found no route.
fn stray(count: usize) -> Vec<Record> {
    let mut one = record(None);
    (one.outcome, one.status) = (Outcome::DestinationNotFound, 404);
    vec![one; count]
}

/// So many of a hundred exchanges found no route.
fn lost(percent: usize) -> impl Fn() -> Vec<Record> {
    move || [good(0, 0, 100 - percent), stray(percent)].concat()
}

/// Routes change at this moment.
fn reload(court: &mut Court, generation: u32) -> u64 {
    court.judge.strays.reloaded(generation, court.now);
    court.now
}

#[test]
fn what_finds_no_route_since_a_reload_is_told_for_as_long_as_it_does() {
    let mut court = Court::new(&["checkout"]);
    assert_eq!(court.pass(60, lost(1)), []);
    let begin = reload(&mut court, 2);
    let found = court.pass(10, lost(20));
    let [it] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((it.kind, it.route.as_deref()), ("unrouted", None));
    assert_eq!(it.since, begin);
    let (words, with) = (
        "20 % of requests find no route since ",
        ", with configuration 2",
    );
    assert!(
        it.sentence.starts_with(words) && it.sentence.ends_with(with),
        "{}",
        it.sentence
    );
    // Another reload that does not help is not to blame.
    reload(&mut court, 3);
    let found = court.pass(100, lost(20));
    assert!(found[0].sentence.ends_with(with), "{found:?}");
    assert_eq!(court.pass(40, lost(1)), []);
    // Who asks for it again is told again.
    assert!(court.pass(10, lost(20))[0].sentence.ends_with(with));
    reload(&mut court, 4); // while it is told
    assert_eq!(court.pass(40, lost(1)), []);
    assert_eq!(reload(&mut court, 5), court.now);
    assert_eq!(court.pass(70, lost(1)), []);
    assert_eq!(court.pass(30, lost(20)), [], "it had its time to show");
}

#[test]
fn what_lasts_for_an_hour_is_meant() {
    let mut court = Court::new(&["checkout"]);
    court.pass(60, lost(1));
    reload(&mut court, 2);
    assert_eq!(court.pass(3_599, lost(5)).len(), 1);
    assert_eq!(court.pass(5, lost(5)), []);
}

#[test]
fn strangers_are_passed_over_in_silence_and_hide_no_reload() {
    let mut court = Court::new(&["checkout"]);
    court.pass(60, lost(1));
    assert_eq!(court.pass(60, lost(30)), [], "a scan");
    reload(&mut court, 2); // in the midst of it
    assert_eq!(court.pass(100, lost(30)), []);
    reload(&mut court, 3);
    let found = court.pass(10, lost(80));
    assert!(
        found[0].sentence.ends_with(", with configuration 3"),
        "{found:?}"
    );
}

#[test]
fn only_a_reload_that_changes_routes_is_one() {
    let verdict = Verdict::default();
    let changed = || {
        verdict
            .routes()
            .changed
            .take()
            .map(|(generation, _)| generation)
    };
    verdict.adopt(&plan(&["a", "b"]), 1);
    verdict.adopt(&plan(&["a", "b"]), 2);
    assert_eq!(changed(), None);
    verdict.adopt(&plan(&["a"]), 3);
    assert_eq!(changed(), Some(3));
    let mut other = plan(&["a"]);
    other.routes[0].matches.is_grpc = true;
    verdict.adopt(&other, 4);
    assert_eq!(changed(), Some(4));
}
