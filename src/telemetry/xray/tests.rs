//! X-ray: what is told of what is inside, and that nothing is asked while nobody looks.

use std::sync::MutexGuard;

use tracing::level_filters::LevelFilter;
use tracing::{debug, trace};
use tracing_log::LogTracer;
use tracing_subscriber::layer::{Filter, SubscriberExt as _};

use super::*;
use crate::telemetry::ledger::Ledger;
use crate::telemetry::otlp::Batch;
use crate::telemetry::own_work::{own_layer, steps_layer};
use crate::telemetry::trace::Sink;

/// How many look is the whole process's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with_subscriber<T>(act: impl FnOnce(&Sink) -> T) -> T {
    let sink = Sink::new(Batch::default(), Arc::<Ledger>::default());
    let all = Registry::default()
        .with(own_layer(sink.clone()))
        .with(steps_layer());
    tracing::subscriber::with_default(all, || act(&sink))
}

fn told(xray: &Xray) -> Vec<String> {
    let (steps, lost) = xray.steps().told();
    assert_eq!(lost, 0);
    let line = |it: Step| {
        let fields = it
            .fields
            .iter()
            .map(|(name, value)| format!(" {name}={value}"));
        format!(
            "{} {}: {}{}",
            it.level,
            it.target,
            it.message,
            fields.collect::<String>()
        )
    };
    steps.into_iter().map(line).collect()
}

#[test]
fn what_is_said_inside_is_told_and_becomes_the_events_of_a_span() {
    let _alone = alone();
    with_subscriber(|sink| {
        trace!(target: "sightglass::proxy::route", "before anybody looks");
        let xray = Xray::begin(KnownMethod::Get).expect("nobody looks yet");
        trace!(target: "sightglass::proxy::route", "outside");
        xray.beam().0.in_scope(|| {
            trace!(target: "sightglass::proxy::route", route = "web", "taken");
            debug!(target: "h2::codec", frame = ?[1, 2], "send");
            trace!(target: "tokio::net", "not of those that are heard");
            let span = tracing::trace_span!(target: "h2", "poll");
            span.in_scope(|| trace!(target: "h2::codec", "within a span of its own"));
        });
        let expected = [
            "TRACE sightglass::proxy::route: taken route=web",
            "DEBUG h2::codec: send frame=[1, 2]",
            "TRACE h2::codec: within a span of its own",
        ];
        assert_eq!(told(&xray), expected);
        let place = xray.place();
        drop(xray);
        let spans = sink.drain_own();
        let [span] = &spans[..] else {
            panic!("{spans:?}");
        };
        assert_eq!(span.name, "xray GET");
        assert_eq!(span.span_context.trace_id().to_bytes(), place.trace_id.0);
        assert_eq!(span.span_context.span_id().to_bytes(), place.span_id.0);
        let names: Vec<_> = span.events.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["taken", "send", "within a span of its own"]);
    });
}

#[test]
fn a_line_of_log_is_heard_under_the_name_of_who_said_it() {
    let _alone = alone();
    let _ = log::set_boxed_logger(Box::new(LogTracer::new())); // another test may have
    with_subscriber(|_| {
        let xray = Xray::begin(KnownMethod::Get).expect("nobody looks yet");
        log::debug!(target: "rustls::client::hs", "outside");
        xray.beam()
            .0
            .in_scope(|| log::debug!(target: "rustls::client::hs", "Using ciphersuite {}", 7));
        assert_eq!(
            told(&xray),
            ["DEBUG rustls::client::hs: Using ciphersuite 7"]
        );
    });
}

#[test]
fn while_nobody_looks_no_call_site_is_asked() {
    let _alone = alone();
    // What the filter wants and not what the process's level is: other tests have subscribers of their own.
    let wanted = || Filter::<Registry>::max_level_hint(&Through);
    with_subscriber(|_| {
        assert_eq!(wanted(), Some(LevelFilter::OFF));
        let xray = Xray::begin(KnownMethod::Get).expect("nobody looks yet");
        assert_eq!(wanted(), Some(LevelFilter::TRACE));
        assert_eq!(log::max_level(), log::LevelFilter::Trace);
        let second = Xray::begin(KnownMethod::Get).expect("two may look");
        assert!(Xray::begin(KnownMethod::Get).is_none(), "a third may not");
        drop(xray);
        assert_eq!(wanted(), Some(LevelFilter::TRACE), "one looks still");
        drop(second);
        assert_eq!(wanted(), Some(LevelFilter::OFF));
        assert_eq!(log::max_level(), log::LevelFilter::Off);
        assert!(Xray::begin(KnownMethod::Get).is_some(), "places come back");
    });
}

#[test]
fn a_beam_goes_along_into_what_it_carries_and_is_nothing_without_a_look() {
    let _alone = alone();
    with_subscriber(|_| {
        assert!(!Beam::here().is_on());
        let xray = Xray::begin(KnownMethod::Get).expect("nobody looks yet");
        assert!(!Beam::here().is_on(), "this task is not looked at");
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        let work = xray.beam().carry(async {
            let within = Beam::here();
            assert!(within.is_on());
            tokio::task::yield_now().await;
            trace!(target: "sightglass::upstream", "still inside");
        });
        runtime.block_on(work);
        trace!(target: "sightglass::upstream", "no longer");
        assert_eq!(told(&xray), ["TRACE sightglass::upstream: still inside"]);
    });
}

#[test]
fn what_is_long_is_cut_and_what_is_too_much_is_counted() {
    let _alone = alone();
    with_subscriber(|_| {
        let xray = Xray::begin(KnownMethod::Get).expect("nobody looks yet");
        xray.beam().0.in_scope(|| {
            trace!(target: "h2", "{}", "ü".repeat(4000));
            for _ in 0..5000 {
                trace!(target: "h2", "again");
            }
        });
        let (steps, lost) = xray.steps().told();
        assert_eq!((steps.len(), lost), (4096, 905));
        assert!(steps[0].message.len() <= 520, "{}", steps[0].message.len());
        assert!(steps[0].message.ends_with('…'));
    });
}
