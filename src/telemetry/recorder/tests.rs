//! What is kept, for how long, in how much memory, and what is found; [`dumps`] has what a dump holds.

mod dumps;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::config::{ByteSize, Plan};
use crate::exchange::{KeepReason, Outcome, Phase, Record, TraceId, Words};
use crate::telemetry::filter::Filter;
use crate::telemetry::fixture::{batch, plan, record, record_of, retried};

fn recorder(memory: u64) -> Arc<Recorder> {
    Recorder::new(&config::Recorder {
        memory: ByteSize(memory),
        dump: None,
    })
}

fn asked(recorder: &Recorder, query: &Query) -> Vec<Value> {
    let answer: Value = serde_json::from_slice(&recorder.query(query)).expect("JSON");
    answer["exchanges"].as_array().expect("a list").clone()
}

/// So many exchanges of a route, numbered by their connections.
fn numbered(route: u16, numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers
        .map(|number| {
            let mut record = record(Some(route));
            record.connection = number;
            record
        })
        .collect()
}

/// The same, failed; as streams, so that they are not kept for being slow.
fn failed(route: u16, numbers: std::ops::Range<u64>) -> Vec<Record> {
    let mut records = numbered(route, numbers);
    for record in &mut records {
        record.status = 503;
        record.is_stream = true;
    }
    records
}

fn lasting(mut record: Record, time: Duration) -> Record {
    record.phases = [(Phase::Wait, time)].into_iter().collect();
    record
}

fn keep(recorder: &Recorder, plan: &Arc<Plan>, records: Vec<Record>) {
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        recorder.keep(batch(plan, records.by_ref().take(64).collect()));
    }
}

fn connections(recorder: &Recorder, filter: &str) -> Vec<u64> {
    let query = Query {
        filter: Some(Filter::read(filter).expect("a filter")),
        ..Query::default()
    };
    let found = recorder.find(&query);
    found.iter().map(|kept| kept.record.connection).collect()
}

#[test]
fn answers_newest_first() {
    let recorder = recorder(64 << 20);
    let plan = Arc::new(plan(&["checkout"]));
    keep(&recorder, &plan, numbered(0, 0..2_000));
    let all = asked(&recorder, &Query::default());
    let numbers = all.iter().map(|it| it["connection"].as_u64());
    assert!(numbers.eq((0..2_000).rev().map(Some)));
    let limit = Query {
        limit: Some(2),
        ..Query::default()
    };
    assert_eq!(asked(&recorder, &limit), all[..2]);
    assert_eq!(recorder.len(), 2_000);
}

#[test]
fn the_memory_is_never_exceeded_whatever_comes() {
    let memory = 1 << 20;
    let recorder = recorder(memory);
    let plan = Arc::new(plan(&["a", "b", "c", "d"]));
    fastrand::seed(7);
    for turn in 0..400 {
        let records = (0..64).map(|_| {
            let path = "x".repeat(fastrand::usize(..if turn % 10 == 0 { 8_000 } else { 200 }));
            let words = Words {
                path: &path,
                ..Words::default()
            };
            let mut record = record_of(Some(fastrand::u16(..4)), &words);
            if fastrand::u8(..3) == 0 {
                record = retried(record);
            }
            if fastrand::u8(..3) == 0 {
                record.outcome = Outcome::ConnectionRefused;
            }
            lasting(record, Duration::from_micros(fastrand::u64(1..1_000_000)))
        });
        recorder.keep(batch(&plan, records.collect()));
        let figures = recorder.figures();
        assert!(figures.bytes <= memory, "{figures:?}");
        let shares = [40, 25, 10, 10, 15];
        for ((ring, _, bytes), share) in figures.rings.into_iter().zip(shares) {
            assert!(bytes <= memory / 100 * share, "{ring}: {figures:?}");
        }
        let held: u64 = recorder
            .find(&Query::default())
            .iter()
            .map(|it| it.bytes)
            .sum();
        assert_eq!(held, figures.bytes, "each is counted once and truly");
    }
    let figures = recorder.figures();
    assert_eq!(figures.seen, 400 * 64);
    assert!(
        figures.bytes > memory / 2,
        "what is paid for is used: {figures:?}"
    );
}

#[test]
fn what_is_kept_is_counted_with_all_that_it_holds() {
    let recorder = recorder(64 << 20);
    let plan = Arc::new(plan(&["a"]));
    let bytes_of = |record: Record| {
        let before = recorder.figures().bytes;
        recorder.keep(batch(&plan, vec![record]));
        recorder.figures().bytes - before
    };
    let plain = bytes_of(record(Some(0)));
    let path = "x".repeat(8_000);
    let long = bytes_of(record_of(
        Some(0),
        &Words {
            path: &path,
            ..Words::default()
        },
    ));
    assert!(long - plain >= 7_900, "{plain} {long}");
    let more = bytes_of(retried(record(Some(0))));
    assert!(more - plain >= size_of::<crate::exchange::Attempt>() as u64);
    println!("an exchange takes {plain} bytes");
}

#[test]
fn a_burst_of_healthy_traffic_pushes_no_failure_out() {
    let recorder = recorder(1 << 20);
    let plan = Arc::new(plan(&["checkout", "web"]));
    keep(&recorder, &plan, failed(0, 0..20));
    let again = failed(0, 20..40).into_iter().map(|mut record| {
        record.status = 200;
        retried(record)
    });
    let again = again.collect();
    keep(&recorder, &plan, again);
    keep(&recorder, &plan, numbered(1, 1_000..40_000));
    assert_eq!(
        connections(&recorder, "error"),
        (0..20).rev().collect::<Vec<_>>()
    );
    let retried = connections(&recorder, "retried && !error");
    assert_eq!(retried, (20..40).rev().collect::<Vec<_>>());
}

#[test]
fn the_failures_of_one_route_do_not_push_out_anothers() {
    let recorder = recorder(1 << 20);
    let plan = Arc::new(plan(&["loud", "quiet", "other"]));
    keep(&recorder, &plan, failed(1, 0..10));
    keep(&recorder, &plan, failed(0, 100..20_000));
    keep(&recorder, &plan, failed(2, 20_000..20_010));
    keep(&recorder, &plan, failed(0, 30_000..50_000));
    assert_eq!(
        connections(&recorder, "route==\"quiet\""),
        (0..10).rev().collect::<Vec<_>>()
    );
    assert_eq!(connections(&recorder, "route==\"other\"").len(), 10);
    let loud = connections(&recorder, "route==\"loud\"");
    assert_eq!(loud.first(), Some(&49_999), "its own oldest went");
    assert!(loud.len() > 100);
}

#[test]
fn the_slowest_of_each_route_stay_for_an_hour() {
    let recorder = recorder(4 << 20);
    let plan = Arc::new(plan(&["fast", "slow"]));
    let second = Duration::from_secs(1);
    let slow: Vec<Record> = (0..40)
        .map(|number| {
            let mut record = lasting(record(Some(1)), second * (number + 1));
            record.connection = u64::from(number);
            record
        })
        .collect();
    keep(&recorder, &plan, slow);
    keep(&recorder, &plan, numbered(0, 1_000..40_000));
    let mut kept = connections(&recorder, "route==\"slow\"");
    kept.sort_unstable();
    // Some of the others are in the minute's sample.
    assert!((8..40).all(|number| kept.contains(&number)), "{kept:?}");
    let mut stream = lasting(record(Some(1)), second * 100);
    stream.is_stream = true;
    stream.connection = 77;
    keep(&recorder, &plan, vec![stream]);
    assert!(
        !recorder
            .rings()
            .slowest
            .of("slow")
            .iter()
            .any(|it| it.record.connection == 77)
    );

    // An hour later the night is over: the next that is slow takes its place, however much faster it is.
    let mut later = batch(&plan, vec![lasting(record(Some(1)), second)]);
    later.wall = crate::telemetry::wall::Wall::new(
        later.wall.instant(),
        later.wall.unix(later.wall.instant()) + Duration::from_secs(3_700),
    );
    recorder.keep(later);
    assert_eq!(recorder.rings().slowest.of("slow").len(), 1);
}

#[test]
fn a_minutes_sample_is_drawn_fairly_new_and_thinned() {
    fastrand::seed(11);
    let plan = Arc::new(plan(&["a"]));
    let mut sizes = Vec::new();
    for is_old in [false, true] {
        let mut hits = [0_u32; 1_000];
        for _ in 0..200 {
            let recorder = recorder(16 << 20);
            let keep = |count: u64, unix: u64| {
                let mut batch = batch(&plan, numbered(0, 0..count));
                let wall = batch.wall.instant();
                batch.wall = crate::telemetry::wall::Wall::new(wall, Duration::from_secs(unix));
                recorder.keep(batch);
            };
            keep(1_000, 90);
            if is_old {
                keep(1, 210);
                keep(1, 270);
            }
            let mut minutes = recorder.minutes();
            minutes.retain(|it| it.seen > 1);
            let seen: u64 = minutes.iter().map(|it| it.seen).sum();
            assert_eq!(seen, 1_000);
            for minute in minutes {
                let kept: BTreeSet<u64> = minute.kept.iter().map(|it| it.number).collect();
                assert_eq!(kept.len(), minute.kept.len(), "none is in it twice");
                for kept in minute.kept {
                    hits[usize::try_from(kept.record.connection).expect("small")] += 1;
                }
            }
        }
        let all: u32 = hits.iter().sum();
        let mean = f64::from(all) / 1_000.0;
        // Each was drawn by chance `mean / 200` in 200 draws: the squares add up to about 999.
        let spread: f64 = hits.iter().map(|it| (f64::from(*it) - mean).powi(2)).sum();
        let chi = spread / (mean * (1.0 - mean / 200.0));
        assert!((850.0..1_150.0).contains(&chi), "{chi} at a mean of {mean}");
        let early: u32 = hits[..500].iter().sum();
        assert!((f64::from(early) / f64::from(all) - 0.5).abs() < 0.03);
        sizes.push(mean / 200.0);
    }
    assert!(sizes[0] > 2.0 * sizes[1], "{sizes:?}");
}

#[test]
fn the_newest_minutes_have_more_samples_and_what_comes_late_has_its_chance_in_a_thinned_one() {
    fastrand::seed(12);
    let recorder = recorder(128 << 20);
    let plan = Arc::new(plan(&["a"]));
    let keep = |numbers: std::ops::Range<u64>, minute: u64| {
        let mut batch = batch(&plan, numbered(0, numbers));
        let unix = Duration::from_secs(minute * 60 + 20);
        batch.wall = crate::telemetry::wall::Wall::new(batch.records[0].started, unix);
        recorder.keep(batch);
    };
    for minute in 1..=4 {
        keep(0..3_000, minute);
    }
    let sizes = || -> Vec<usize> {
        let minutes = recorder.minutes();
        minutes.iter().map(|it| it.kept.len()).collect()
    };
    assert_eq!(sizes(), [256, 256, 1_024, 1_024]);
    keep(3_000..6_000, 1); // half of all that it has seen
    assert_eq!(sizes(), [256, 256, 1_024, 1_024]);
    let first = &recorder.minutes()[0];
    assert_eq!(first.seen, 6_000);
    let late = first.kept.iter();
    let late = late.filter(|it| it.record.connection >= 3_000).count();
    assert!((96..=160).contains(&late), "{late}");
}

#[test]
fn thirty_minutes_are_kept_and_a_late_record_finds_its_own() {
    let recorder = recorder(64 << 20);
    let plan = Arc::new(plan(&["a"]));
    let at = |minute: u64| {
        let mut batch = batch(
            &plan,
            vec![lasting(record(Some(0)), Duration::from_millis(1))],
        );
        let unix = Duration::from_secs(minute * 60 + 30);
        batch.wall = crate::telemetry::wall::Wall::new(batch.records[0].started, unix);
        recorder.keep(batch);
    };
    (100..140).for_each(at);
    at(138);
    at(109); // which nobody keeps any more
    let minutes = recorder.minutes();
    let numbers: Vec<u64> = minutes.iter().map(|it| it.number).collect();
    assert_eq!(numbers, (110..140).collect::<Vec<_>>());
    assert_eq!(minutes[28].seen, 2);
    at(10); // the clock was set right by more than half an hour
    assert_eq!(recorder.minutes().len(), 1);
}

#[test]
fn finds_by_route_outcome_length_time_endpoint_and_trace() {
    let recorder = recorder(64 << 20);
    let plan = Arc::new(plan(&["checkout", "web"]));
    let mut refused = record(Some(1));
    refused.outcome = Outcome::ConnectionRefused;
    refused.detail = "connect: refused";
    let mut slow = lasting(retried(record(Some(0))), Duration::from_secs(2));
    slow.kept = Some(KeepReason::Retried);
    let id = slow.trace.trace_id;
    recorder.keep(batch(&plan, vec![refused, slow, record(None)]));
    let all = Query::default;
    let count = |query: Query| asked(&recorder, &query).len();
    let route = |name: &str| Query {
        route: Some(name.to_owned()),
        ..all()
    };
    let endpoint = |address: &str| Query {
        endpoint: Some(address.to_owned()),
        ..all()
    };
    assert_eq!(count(route("web")), 1);
    assert_eq!(count(route("_unmatched")), 1);
    assert_eq!(count(route("none")), 0);
    assert_eq!(count(endpoint("127.0.0.1:9001")), 2);
    assert_eq!(count(endpoint("127.0.0.1:9002")), 1);
    let now = std::time::SystemTime::now();
    let now = now
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    let hour = Duration::from_secs(3600);
    for (since, until, wanted) in [
        (Some(now - hour), None, 3),
        (Some(now + hour), None, 0),
        (None, Some(now - hour), 0),
        (None, Some(now + hour), 3),
    ] {
        assert_eq!(
            count(Query {
                since,
                until,
                ..all()
            }),
            wanted
        );
    }
    let outcome = Some(Outcome::Served);
    assert_eq!(count(Query { outcome, ..all() }), 2);
    let min_duration = Some(Duration::from_secs(1));
    assert_eq!(
        count(Query {
            min_duration,
            ..all()
        }),
        1
    );
    let trace_id = Some(id);
    let found = asked(&recorder, &Query { trace_id, ..all() });
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["sampling_reason"], "retried");
    assert_eq!(found[0]["attempt_phases"].as_array().map(Vec::len), Some(2));
    let alone = recorder.exchange(id).expect("it is kept");
    let alone: Value = serde_json::from_slice(&alone).expect("JSON");
    assert_eq!(alone, found[0]);
    assert!(recorder.exchange(TraceId::random()).is_none());
    assert_eq!(
        asked(&recorder, &route("web"))[0]["detail"],
        "connect: refused"
    );
}

#[test]
fn questions_and_records_do_not_get_in_each_others_way() {
    let recorder = recorder(2 << 20);
    let plan = Arc::new(plan(&["a", "b"]));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            for _ in 0..50 {
                let found = recorder.find(&Query::default());
                let numbers: Vec<u64> = found.iter().map(|it| it.number).collect();
                assert!(
                    numbers.windows(2).all(|pair| pair[0] > pair[1]),
                    "once each, in order"
                );
            }
        });
        for from in 0..100 {
            keep(&recorder, &plan, failed(0, from * 64..from * 64 + 64));
            keep(&recorder, &plan, numbered(1, from * 64..from * 64 + 64));
        }
        asking.join().expect("no panic");
    });
    let figures = recorder.figures();
    assert!(figures.bytes <= 2 << 20, "{figures:?}");
}

/// `cargo test --release --lib recorder::tests::cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn cost_of_keeping_and_asking() {
    let recorder = recorder(64 << 20);
    let plan = Arc::new(plan(&["a", "b"]));
    let records = numbered(0, 0..500_000);
    let started = std::time::Instant::now();
    keep(&recorder, &plan, records);
    println!("keep: {:?} an exchange", started.elapsed() / 500_000);
    println!("{:?}", recorder.figures());
    let query = Query {
        filter: Some(
            Filter::read("status>=500 && route==\"a\" && phase.wait>200ms").expect("a filter"),
        ),
        ..Query::default()
    };
    let started = std::time::Instant::now();
    assert!(recorder.find(&query).is_empty());
    println!("a question that finds nothing: {:?}", started.elapsed());
}

#[test]
fn failures_of_a_while_are_all_there_or_none_is_given() {
    let recorder = Recorder::new(&config::Recorder::default());
    let plan = Arc::new(plan(&["checkout", "web"]));
    let hour = Duration::from_secs(3600);
    let mut old = failed(0, 0..700);
    for record in &mut old {
        record.started -= hour;
    }
    keep(&recorder, &plan, old);
    keep(&recorder, &plan, failed(1, 700..720));
    keep(&recorder, &plan, failed(0, 720..730));
    keep(&recorder, &plan, numbered(0, 730..800));
    let newest = recorder.minutes().last().expect("a minute").number * 60;
    let recent = recorder.failures(newest - 120, 600).expect("few");
    let mut numbers: Vec<u64> = recent.iter().map(|it| it.record.connection).collect();
    numbers.sort_unstable();
    assert_eq!(
        numbers,
        (700..730).collect::<Vec<u64>>(),
        "what is old hides nothing of the others"
    );
    assert!(recorder.failures(0, 600).is_none(), "a part would mislead");
    assert_eq!(recorder.failures(0, 730).map(|it| it.len()), Some(730));
    assert_eq!(recorder.errors_gone(), 0, "each is there");
    let small = Recorder::new(&config::Recorder {
        memory: config::ByteSize(1 << 20),
        ..config::Recorder::default()
    });
    keep(&small, &plan, failed(0, 0..3_000));
    assert!(
        small.errors_gone() >= newest - 120,
        "the first had to go, and that is known"
    );
}
