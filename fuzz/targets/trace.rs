//! Any `traceparent`, `tracestate` and `baggage`: what is accepted comes out as it went in, and nothing grows past its limit.

#![no_main]

use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use sightglass::config::Share;
use sightglass::exchange::{RANDOM, SAMPLED, SpanId};
use sightglass::telemetry::trace::HeadShare;
use sightglass::telemetry::trace::propagation::{extract, inject, limit_baggage, place};
use sightglass_fuzz::fields;

fuzz_target!(|data: &[u8]| {
    let mut headers = fields(data);
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
            (here.trace_id, span, here.flags)
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

fn baggage(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let lines = headers.get_all("baggage").iter();
    lines.map(|line| line.as_bytes().to_vec()).collect()
}
