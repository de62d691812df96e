//! Any trace context in every family (W3C, B3 in one field and in several, Jaeger's) and any baggage: what is accepted comes
//! out as it went in, in the family it came in and in all others, and nothing grows past its limit.

#![no_main]

use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use sightglass::config::{Propagation, Share, TraceFormat};
use sightglass::exchange::{DEBUG, RANDOM, SAMPLED, SpanId, W3C_FLAGS};
use sightglass::telemetry::trace::HeadShare;
use sightglass::telemetry::trace::propagation::{
    extract as extract_by, inject as inject_by, limit_baggage as limit_by, pick_baggage, place,
};
use sightglass_fuzz::fields;

const FAMILIES: [TraceFormat; 4] = [
    TraceFormat::TraceContext,
    TraceFormat::B3,
    TraceFormat::B3Multi,
    TraceFormat::Jaeger,
];

fuzz_target!(|data: &[u8]| {
    let mut headers = fields(data);
    every_family(&headers);
    let w3c = Propagation::default();
    let extract = |headers: &HeaderMap| extract_by(headers, &w3c);
    let inject = |here: &_, span, headers: &mut HeaderMap| inject_by(here, span, &w3c, headers);
    let limit_baggage = |headers: &mut HeaderMap, follow| limit_by(headers, &w3c, follow);
    let came = extract(&headers);
    assert!(
        came.context.is_some() || came.state.is_none(),
        "a state without a context"
    );
    if let Some(context) = &came.context {
        assert_ne!(context.trace_id.0, [0; 16]);
        assert_ne!(context.span_id.0, [0; 8]);
        assert_eq!(context.flags & !(SAMPLED | RANDOM), 0);
        assert_eq!(headers.get_all("traceparent").iter().count(), 1);
    }
    if let Some(state) = &came.state {
        assert!((1..=8192).contains(&state.len()));
        assert!(
            state
                .bytes()
                .all(|byte| matches!(byte, b'\t' | b' '..=b'~')),
            "{state:?}"
        );
        let members = state.split(',').filter(|it| !it.trim().is_empty()).count();
        assert!((1..=32).contains(&members), "{members} members");
    }

    for follow in [true, false] {
        let here = place(came.clone(), follow, &HeadShare::new(Share::ALL));
        let mut sent = headers.clone();
        let span = SpanId([7; 8]);
        inject(&here, span, &mut sent);
        let read = extract(&sent);
        let context = read.context.expect("what we write can be read");
        assert_eq!(
            (context.trace_id, context.span_id, context.flags),
            (here.trace_id, span, here.flags & W3C_FLAGS)
        );
        assert_eq!(read.state, here.state, "the state is passed on as it came");
        assert_eq!(
            sent.get_all("tracestate").iter().count(),
            usize::from(here.state.is_some())
        );
        match (&came.context, follow) {
            (Some(context), true) => {
                assert_eq!(
                    (here.trace_id, here.parent),
                    (context.trace_id, Some(context.span_id))
                );
                assert_eq!(here.state, came.state);
            }
            _ => assert_eq!(
                (here.parent, &here.state, here.link),
                (None, &None, came.context)
            ),
        }
    }

    let all = baggage(&headers);
    limit_baggage(&mut headers, true);
    let kept = baggage(&headers);
    assert!(kept.is_empty() || kept == all, "baggage is dropped whole");
    assert!(kept.iter().map(Vec::len).sum::<usize>() <= 8192);
    limit_baggage(&mut headers, false);
    assert!(baggage(&headers).is_empty());
});

/// What all families together make of the fields.
fn every_family(headers: &HeaderMap) {
    let all = Propagation::new(&FAMILIES, true);
    let mut reversed = FAMILIES;
    reversed.reverse();
    for (order, follow) in [
        (all, true),
        (all, false),
        (Propagation::new(&reversed, true), true),
    ] {
        let came = extract_by(headers, &order);
        assert!(came.context.is_some() || came.state.is_none());
        if let Some(context) = &came.context {
            assert_ne!((context.trace_id.0, context.span_id.0), ([0; 16], [0; 8]));
            assert_eq!(context.flags & !(W3C_FLAGS | DEBUG), 0);
        }
        let mut sent = headers.clone();
        limit_by(&mut sent, &order, follow);
        let picked = pick_baggage(&sent, &["a".into(), "tenant".into()]);
        let texts = picked.iter().flat_map(|all| all.iter().flatten());
        texts.for_each(|text| assert!(text.len() <= 256));
        let here = place(came, follow, &HeadShare::new(Share::ALL));
        inject_by(&here, SpanId([7; 8]), &order, &mut sent);
        for family in FAMILIES {
            let read = extract_by(&sent, &Propagation::new(&[family], true));
            let context = read.context.expect("what we write can be read");
            assert_eq!(
                (context.trace_id, context.span_id, read.decision),
                (here.trace_id, SpanId([7; 8]), Some(here.is_sampled()))
            );
        }
    }
}

fn baggage(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let lines = headers.get_all("baggage").iter();
    lines.map(|line| line.as_bytes().to_vec()).collect()
}
