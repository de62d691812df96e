//! Staged causes come out on top, and where there is no cause nothing does.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::config::{self, Plan};
use crate::exchange::{KnownMethod, Outcome, Phase, Record};
use crate::telemetry::fixture::{batch, plan, record};
use crate::telemetry::wall::Wall;

/// Ten endpoints, two routes.
fn ten() -> Plan {
    let mut plan = plan(&["checkout", "web"]);
    for upstream in &mut plan.upstreams {
        let one = upstream.endpoints[0].clone();
        upstream.endpoints = (0..10)
            .map(|number| {
                let mut endpoint = one.clone();
                endpoint.address.port = 9000 + number;
                endpoint
            })
            .collect();
    }
    plan
}

/// An exchange as traffic brings it: everything is drawn, apart from everything else.
fn drawn(random: &mut fastrand::Rng) -> Record {
    let mut record = record(Some(u16::from(random.bool())));
    let first = record.first.as_mut().expect("an attempt");
    first.endpoint = random.u16(..10);
    first.is_reused = random.u8(..10) > 0;
    record.client = IpAddr::from([10, 0, random.u8(..8), random.u8(..)]);
    record.method = if random.u8(..4) == 0 {
        KnownMethod::Post
    } else {
        KnownMethod::Get
    };
    record.bytes_in = [0, 100, 10_000, 2_000_000][random.usize(..4)];
    record.generation = 1 + u32::from(random.bool());
    record
}

fn fail(record: &mut Record) {
    record.status = 502;
    record.outcome = Outcome::ConnectionTerminated;
}

/// What is found after so many exchanges, of which those fail that `is_bad` says.
fn found(
    count: usize,
    filter: Option<&str>,
    is_bad: impl Fn(&Record, &mut fastrand::Rng) -> bool,
) -> Answer {
    let mut random = fastrand::Rng::with_seed(7);
    let records = (0..count).map(|_| {
        let mut record = drawn(&mut random);
        if is_bad(&record, &mut random) {
            fail(&mut record);
        }
        record
    });
    found_in(records.collect(), filter)
}

/// What is found in these exchanges.
fn found_in(records: Vec<Record>, filter: Option<&str>) -> Answer {
    let recorder = Recorder::new(&config::Recorder::default());
    recorder.keep(batch(&Arc::new(ten()), records));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    why(
        &recorder,
        &Question {
            filter: filter.map(|text| Filter::read(text).expect("a filter")),
            minutes: 10,
            now,
        },
    )
}

/// What is found in these exchanges, a minute each.
fn found_by_minutes(minutes: Vec<Vec<Record>>, filter: Option<&str>) -> Answer {
    let recorder = Recorder::new(&config::Recorder::default());
    let plan = Arc::new(ten());
    let mut now = Duration::from_secs(60_020);
    for records in minutes {
        now += Duration::from_secs(60);
        let mut batch = batch(&plan, records);
        batch.wall = Wall::new(batch.records[0].started, now);
        recorder.keep(batch);
    }
    let question = Question {
        filter: filter.map(|text| Filter::read(text).expect("a filter")),
        minutes: 10,
        now: now + Duration::from_secs(20),
    };
    why(&recorder, &question)
}

fn first(answer: &Answer) -> (&str, &str) {
    let first = answer
        .differences
        .first()
        .expect("something sets them apart");
    (&first.fact.name, &first.fact.value)
}

#[test]
fn the_first_second_of_a_minute_is_a_window_too() {
    let recorder = Recorder::new(&config::Recorder::default());
    let question = Question {
        filter: None,
        minutes: 10,
        now: Duration::from_secs(120),
    };
    assert_eq!(why(&recorder, &question).window, (120, 121));
}

#[test]
fn staged_causes_come_out_on_top() {
    let at = |record: &Record| record.first.as_ref().map(|it| it.endpoint);
    let endpoint = found(20_000, None, |it, _| at(it) == Some(7));
    assert_eq!(first(&endpoint), ("endpoint", "127.0.0.1:9007"));
    assert!(endpoint.differences[0].matched_share > 0.99, "{endpoint:?}");
    assert!(endpoint.differences[0].rest_share < 0.01, "{endpoint:?}");

    let network = |it: &Record| matches!(it.client, IpAddr::V4(it) if it.octets()[2] == 3);
    let network = found(20_000, None, |it, random| {
        network(it) && random.u8(..10) < 6
    });
    assert_eq!(first(&network), ("client_network", "10.0.3.0/24"));

    let generation = found(20_000, None, |it, random| {
        it.generation == 2 && random.u8(..10) < 3
    });
    assert_eq!(first(&generation), ("config_generation", "2"));

    let new = |it: &Record| it.first.as_ref().is_some_and(|it| !it.is_reused);
    assert_eq!(
        first(&found(20_000, None, |it, _| new(it))),
        ("connection", "new")
    );
}

#[test]
fn of_two_conditions_the_second_is_found_within_the_first() {
    let answer = found(20_000, None, |it, _| {
        it.method == KnownMethod::Post && it.bytes_in > 1 << 20
    });
    let mut told: Vec<&str> = std::iter::once(first(&answer).0)
        .chain(
            answer.differences[0]
                .within
                .iter()
                .map(|it| it.fact.name.as_str()),
        )
        .collect();
    told.sort_unstable(); // each is as telling as the other
    assert_eq!(told, ["method", "request_size"], "{answer:?}");
    assert_eq!(
        answer.differences.len(),
        1,
        "the rest is explained: {answer:?}"
    );
}

#[test]
fn two_causes_are_both_told() {
    let answer = found(30_000, None, |it, random| {
        it.first.as_ref().is_some_and(|it| it.endpoint == 7)
            || it.client == IpAddr::from([10, 0, 3, 1])
            || matches!(it.client, IpAddr::V4(it) if it.octets()[2] == 5) && random.bool()
    });
    let told: Vec<&str> = answer
        .differences
        .iter()
        .map(|it| it.fact.value.as_str())
        .collect();
    assert!(
        told.contains(&"127.0.0.1:9007") && told.contains(&"10.0.5.0/24"),
        "{told:?}"
    );
}

#[test]
fn rare_failures_are_taken_from_the_ring_that_keeps_them_all() {
    let answer = found(60_000, None, |it, random| {
        it.first.as_ref().is_some_and(|it| it.endpoint == 7) && random.u16(..100) == 0
    });
    assert!((40..90).contains(&answer.matched), "{}", answer.matched);
    assert_eq!(first(&answer), ("endpoint", "127.0.0.1:9007"));
}

#[test]
fn what_the_filter_names_and_what_follows_from_failing_is_not_ranked() {
    let is_bad =
        |it: &Record, _: &mut fastrand::Rng| it.first.as_ref().is_some_and(|it| it.endpoint == 7);
    let answer = found(20_000, Some("error && method==\"GET\""), is_bad);
    assert_eq!(first(&answer), ("endpoint", "127.0.0.1:9007"));
    let names = |differences: &[Difference]| -> Vec<String> {
        differences.iter().map(|it| it.fact.name.clone()).collect()
    };
    for name in names(&answer.differences) {
        assert!(
            !["status", "outcome", "attempts", "method"].contains(&name.as_str()),
            "{name}"
        );
    }
    let symptoms: Vec<&str> = answer
        .symptoms
        .iter()
        .map(|it| it.fact.value.as_str())
        .collect();
    assert!(
        symptoms.contains(&"502") && symptoms.contains(&"connection_terminated"),
        "{symptoms:?}"
    );
}

#[test]
fn what_is_wrong_at_a_place_is_compared_with_the_others_there() {
    let at =
        |network: u8, it: &Record| matches!(it.client, IpAddr::V4(it) if it.octets()[2] == network);
    let records = |usual: u8| -> Vec<Record> {
        let mut random = fastrand::Rng::with_seed(7);
        let records = (0..20_000).map(|_| {
            let mut record = drawn(&mut random);
            let is_there = record.route == Some(0);
            if is_there {
                record.method = KnownMethod::Put; // which the other route has never
            }
            let chance = if at(3, &record) { 90 } else { usual };
            if is_there && random.u8(..100) < chance {
                fail(&mut record);
            }
            record
        });
        records.collect()
    };
    let answer = found_in(records(30), Some("route==\"checkout\" && error"));
    let place = answer.place.as_ref().map(ToString::to_string);
    assert_eq!(place.as_deref(), Some("route==\"checkout\""));
    assert_eq!(first(&answer), ("client_network", "10.0.3.0/24"));
    assert!(
        answer.differences.iter().all(|it| it.fact.name != "method"),
        "{answer:?}"
    );
    // Where nearly all fail there are too few others at the place.
    let answer = found_in(records(100), Some("route==\"checkout\" && error"));
    assert_eq!(answer.place, None);
    let note = answer.note.as_deref().unwrap_or_default();
    assert!(note.contains("too few others at the same place"), "{note}");
    assert!(
        answer.differences.is_empty(),
        "all is the place itself: {answer:?}"
    );
}

#[test]
fn what_has_come_to_a_place_as_a_whole_shows_beside_all_others() {
    let mut random = fastrand::Rng::with_seed(7);
    let records = (0..20_000).map(|_| {
        let mut record = drawn(&mut random);
        if record.route == Some(0) {
            // A neighbour asks there for two thirds of all, and everybody is refused alike.
            if random.u8(..3) > 0 {
                record.client = IpAddr::from([10, 0, 99, 1]);
            }
            if random.bool() {
                fail(&mut record);
            }
        }
        record
    });
    let answer = found_in(records.collect(), Some("route==\"checkout\" && error"));
    assert_eq!(answer.place, None);
    assert!(
        answer
            .note
            .as_ref()
            .is_some_and(|it| it.contains("are like them")),
        "{answer:?}"
    );
    let told: Vec<&str> = (answer.differences.iter())
        .flat_map(|it| std::iter::once(it).chain(&it.within))
        .map(|it| it.fact.value.as_str())
        .collect();
    assert!(told.contains(&"10.0.99.0/24"), "{told:?}");
}

#[test]
fn a_place_that_is_down_is_not_compared_with_its_better_minutes() {
    let mut random = fastrand::Rng::with_seed(7);
    let minutes = (0..10).map(|minute| {
        let records = (0..600).map(|_| {
            let mut record = drawn(&mut random);
            if minute >= 8 && record.route == Some(0) {
                fail(&mut record);
            }
            record
        });
        records.collect()
    });
    let answer = found_by_minutes(minutes.collect(), Some("route==\"checkout\" && error"));
    let note = answer.note.as_deref().unwrap_or_default();
    assert!(note.contains("too few others at the same place"), "{note}");
}

#[test]
fn what_is_usual_is_that_of_all_minutes_although_the_newest_have_more_samples() {
    let minutes = (0..10).map(|minute| {
        let mut random = fastrand::Rng::with_seed(minute);
        let records = (0..1_300).map(|_| {
            let mut record = drawn(&mut random);
            if minute >= 8 {
                let wait = [(Phase::Wait, Duration::from_millis(400))];
                record.phases = wait.into_iter().collect();
            }
            record
        });
        records.collect()
    });
    let answer = found_by_minutes(minutes.collect(), None);
    assert!(answer.matched > answer.rest, "{answer:?}");
}

#[test]
fn that_no_route_took_it_is_how_it_failed_and_not_why() {
    let mut random = fastrand::Rng::with_seed(7);
    let records = (0..20_000).map(|number| {
        let mut record = drawn(&mut random);
        if number % 20 == 0 {
            record.route = None;
            record.first = None;
            record.status = 404;
            record.outcome = Outcome::DestinationNotFound;
        } else if record.first.as_ref().is_some_and(|it| it.endpoint == 7) && random.u8(..5) == 0 {
            fail(&mut record);
        }
        record
    });
    let answer = found_in(records.collect(), None);
    assert_eq!(first(&answer), ("endpoint", "127.0.0.1:9007"));
    let is_told = |it: &Symptom| it.fact.name == "route" && it.fact.value == "_unmatched";
    assert!(answer.symptoms.iter().any(is_told), "{answer:?}");
}

#[test]
fn too_little_is_called_too_little() {
    let few = found(200, Some("trace_id==\"none\""), |_, _| false);
    assert_eq!(
        few.note.as_deref(),
        Some("nothing matches in these minutes")
    );
    let five = std::cell::Cell::new(0);
    let few = found(200, Some("error"), |_, _| {
        five.set(five.get() + 1);
        five.get() <= 5
    });
    assert_eq!(
        few.note.as_deref(),
        Some("only 5 match: too few to conclude anything (at least 10)")
    );
    let all = found(200, Some("status==200"), |_, _| false);
    assert!(
        all.note
            .is_some_and(|it| it.contains("nothing to compare with"))
    );
}

/// A thousand times labels that have nothing to do with the facts.
#[test]
fn shuffled_labels_find_something_in_one_of_a_hundred_runs_at_most() {
    let mut random = fastrand::Rng::with_seed(11);
    let (mut ghosts, mut ghosts_at_places) = (0, 0);
    for _ in 0..1_000 {
        let share = [2, 5, 20, 50][random.usize(..4)];
        let cases: Vec<(Case, bool)> = (0..400)
            .map(|_| {
                let minute = random.u64(..5);
                // Facts of many values and of few, and more failures in some minutes.
                let facts = vec![
                    random.u32(..2),
                    10 + random.u32(..10),
                    100 + random.u32(..40),
                    1_000 + u32::from(random.u8(..20) == 0),
                ];
                let case = Case {
                    minute,
                    weight: 1.0,
                    facts,
                };
                (case, random.u64(..100) < share * (1 + minute % 2))
            })
            .collect();
        let of = |label: bool| -> Vec<&Case> {
            let cases = cases.iter().filter(|(_, is)| *is == label);
            cases.map(|(case, _)| case).collect()
        };
        ghosts += usize::from(rank::most_telling(&of(true), &of(false), |_| true).is_some());
        // Those of a place, beside the others of it and then beside all others.
        let is_there = |case: &&Case| case.has(0);
        let (matched, there): (Vec<_>, Vec<_>) = (
            of(true).into_iter().filter(is_there).collect(),
            of(false).into_iter().filter(is_there).collect(),
        );
        let all: Vec<&Case> = (of(false).into_iter())
            .chain(of(true).into_iter().filter(|case| !is_there(case)))
            .collect();
        let finds = |rest: &[&Case]| rank::most_telling(&matched, rest, |fact| fact > 1).is_some();
        ghosts_at_places += usize::from(finds(&there) || finds(&all));
    }
    assert!(ghosts <= 10, "{ghosts} of 1,000");
    assert!(ghosts_at_places <= 10, "{ghosts_at_places} of 1,000");
}

#[test]
#[ignore = "a measurement"]
fn time_of_a_question_over_a_hundred_thousand() {
    let begun = std::time::Instant::now();
    let mut random = fastrand::Rng::with_seed(7);
    let recorder = Recorder::new(&config::Recorder {
        memory: config::ByteSize(256 << 20),
        ..config::Recorder::default()
    });
    let plan = Arc::new(ten());
    let records = (0..100_000).map(|_| {
        let mut record = drawn(&mut random);
        if random.u8(..10) == 0 {
            fail(&mut record);
        }
        record
    });
    recorder.keep(batch(&plan, records.collect()));
    println!("kept after {:?}", begun.elapsed());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let begun = std::time::Instant::now();
    let answer = why(
        &recorder,
        &Question {
            filter: None,
            minutes: 10,
            now,
        },
    );
    println!(
        "{} and {} in {:?}",
        answer.matched,
        answer.rest,
        begun.elapsed()
    );
}
