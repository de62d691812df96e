//! Tests of `propagation` over its families.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::config::Share;
use crate::exchange::TraceId;

const ALL: [TraceFormat; 4] = [
    TraceFormat::TraceContext,
    TraceFormat::B3,
    TraceFormat::B3Multi,
    TraceFormat::Jaeger,
];
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        map.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    map
}

fn by(formats: &[TraceFormat]) -> Propagation {
    Propagation::new(formats, true)
}

/// Trace, span, flags and decision as they are read.
fn read(
    format: TraceFormat,
    fields: &[(&str, &str)],
) -> Option<(String, String, u8, Option<bool>)> {
    let incoming = extract(&headers(fields), &by(&[format]));
    let context = incoming.context?;
    let (trace, span) = (context.trace_id.to_string(), context.span_id.to_string());
    Some((trace, span, context.flags, incoming.decision))
}

fn decided(format: TraceFormat, fields: &[(&str, &str)]) -> Option<bool> {
    let incoming = extract(&headers(fields), &by(&[format]));
    assert_eq!(incoming.context, None, "{fields:?}");
    incoming.decision
}

#[test]
fn b3_in_one_field_is_read_to_the_letter() {
    let widened = format!("{}8448eb211c80319c", "0".repeat(16));
    let both = format!("{TRACE}-{SPAN}");
    for (field, trace, flags, decision) in [
        (format!("{both}-1"), TRACE, SAMPLED, Some(true)),
        (format!(" {both}-1\t"), TRACE, SAMPLED, Some(true)),
        (format!("{both}-0"), TRACE, 0, Some(false)),
        (format!("{both}-d"), TRACE, SAMPLED | DEBUG, Some(true)),
        (format!("{both}-1-{SPAN}"), TRACE, SAMPLED, Some(true)),
        (format!("{both}-true"), TRACE, SAMPLED, Some(true)),
        (both.clone(), TRACE, 0, None),
        (both.to_uppercase(), TRACE, 0, None),
        (
            format!("8448eb211c80319c-{SPAN}-1"),
            &*widened,
            SAMPLED,
            Some(true),
        ),
    ] {
        let wanted = (trace.to_owned(), SPAN.to_owned(), flags, decision);
        assert_eq!(
            read(TraceFormat::B3, &[("b3", &field)]),
            Some(wanted),
            "{field}"
        );
    }
    for field in [
        "",
        "-",
        "--",
        "2",
        "1-1",
        "x-y-1",
        "00-00-1",
        &format!("{both}-"),
        &format!("{both}-2"),
        &format!("{both}-D"),
        &format!("{both}-1-"),
        &format!("{both}-1-12"),
        &format!("{both}-{SPAN}"),
        &format!("{both}-1-{SPAN}-1"),
        &format!("{TRACE}0-{SPAN}-1"),
        &format!("{TRACE}-{SPAN}0-1"),
        &format!("{}-{SPAN}-1", "0".repeat(32)),
        &format!("{TRACE}-{}-1", "0".repeat(16)),
        &format!("{}g-{SPAN}-1", &TRACE[1..]),
        &format!("{both}-1-{}", "0".repeat(16)),
    ] {
        let incoming = extract(&headers(&[("b3", field)]), &by(&[TraceFormat::B3]));
        assert_eq!(incoming, Incoming::default(), "{field:?}");
    }
    let one = format!("{both}-1");
    assert_eq!(
        read(TraceFormat::B3, &[("b3", &one), ("b3", &one)]),
        None,
        "it came twice"
    );
}

#[test]
fn a_decision_may_come_alone() {
    let single = |field| decided(TraceFormat::B3, &[("b3", field)]);
    assert_eq!(
        [single("0"), single("1"), single("d")],
        [Some(false), Some(true), Some(true)]
    );
    let multi = |name, value| decided(TraceFormat::B3Multi, &[(name, value)]);
    assert_eq!(multi("X-B3-Sampled", "0"), Some(false));
    assert_eq!(multi("X-B3-Sampled", "true"), Some(true));
    assert_eq!(multi("X-B3-Flags", "1"), Some(true));
    assert_eq!(multi("X-B3-Sampled", "maybe"), None);

    let none = HeadShare::new(Share::NONE);
    let all = HeadShare::new(Share::ALL);
    let incoming = |decision| Incoming {
        decision: Some(decision),
        ..Incoming::default()
    };
    for (decision, follow, share, sampled, callers) in [
        (true, true, &none, true, true),
        (false, true, &all, false, true),
        (true, false, &none, false, false),
        (false, false, &all, true, false),
    ] {
        let place = place(incoming(decision), follow, share);
        assert_eq!((place.parent, place.is_sampled()), (None, sampled));
        assert_eq!(place.is_callers_decision(), callers);
    }
}

#[test]
fn b3_in_several_fields_is_read_to_the_letter() {
    let ids = [("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN)];
    let with = |more: &[(&'static str, &'static str)]| {
        read(TraceFormat::B3Multi, &[&ids[..], more].concat())
            .map(|(.., flags, decision)| (flags, decision))
    };
    assert_eq!(with(&[]), Some((0, None)));
    assert_eq!(with(&[("X-B3-Sampled", "1")]), Some((SAMPLED, Some(true))));
    assert_eq!(
        with(&[("X-B3-Sampled", "0"), ("X-B3-Flags", "0")]),
        Some((0, Some(false)))
    );
    assert_eq!(
        with(&[("X-B3-Flags", "1")]),
        Some((SAMPLED | DEBUG, Some(true)))
    );
    assert_eq!(with(&[("X-B3-Sampled", "2")]), None);
    assert_eq!(with(&[("X-B3-SpanId", SPAN)]), None, "it came twice");
    let alone = |field| {
        extract(
            &headers(&[field, ("X-B3-Sampled", "1")]),
            &by(&[TraceFormat::B3Multi]),
        )
    };
    assert_eq!(
        [alone(ids[0]), alone(ids[1])],
        [Incoming::default(), Incoming::default()]
    );
}

#[test]
fn jaegers_field_is_read_to_the_letter() {
    let widened = |digits: &str, length: usize| format!("{digits:0>length$}");
    for (field, trace, span, flags, decision) in [
        (
            format!("{TRACE}:{SPAN}:0:1"),
            TRACE.to_owned(),
            SPAN.to_owned(),
            SAMPLED,
            true,
        ),
        (
            format!("{TRACE}:{SPAN}:{SPAN}:00"),
            TRACE.to_owned(),
            SPAN.to_owned(),
            0,
            false,
        ),
        (
            format!("{TRACE}%3A{SPAN}%3a0:03"),
            TRACE.to_owned(),
            SPAN.to_owned(),
            SAMPLED | DEBUG,
            true,
        ),
        (
            "ABC:1:0:9".to_owned(),
            widened("abc", 32),
            widened("1", 16),
            SAMPLED,
            true,
        ),
        (
            format!("{TRACE}:{SPAN}:0:2"),
            TRACE.to_owned(),
            SPAN.to_owned(),
            0,
            false,
        ),
    ] {
        let wanted = (trace, span, flags, Some(decision));
        assert_eq!(
            read(TraceFormat::Jaeger, &[("uber-trace-id", &field)]),
            Some(wanted),
            "{field}"
        );
    }
    for field in [
        "",
        ":",
        ":::",
        "1:1:0",
        "1:1:0:",
        "1:1:0:1:",
        "1:1::1",
        "0:1:0:1",
        "1:0:0:1",
        "1:1:0:001",
        "1:1:x:1",
        "g:1:0:1",
        "1:1:0:g",
        "1%3:1:0:1",
        "-1:1:0:1",
        "+1:1:0:1",
        &format!("{TRACE}0:{SPAN}:0:1"),
        &format!("{TRACE}:{SPAN}0:0:1"),
        &"0".repeat(500),
    ] {
        assert_eq!(
            read(TraceFormat::Jaeger, &[("uber-trace-id", field)]),
            None,
            "{field:?}"
        );
    }
}

#[test]
fn the_first_valid_family_in_order_names_the_trace() {
    let other = "1".repeat(32);
    let b3 = format!("{TRACE}-{SPAN}-1");
    let uber = format!("{other}:{SPAN}:0:1");
    let map = headers(&[
        ("traceparent", "junk"),
        ("b3", &b3),
        ("uber-trace-id", &uber),
    ]);
    for (order, wanted) in [
        (
            &[
                TraceFormat::TraceContext,
                TraceFormat::B3,
                TraceFormat::Jaeger,
            ][..],
            TRACE,
        ),
        (&[TraceFormat::Jaeger, TraceFormat::B3], &*other),
        (
            &[TraceFormat::B3Multi, TraceFormat::Jaeger, TraceFormat::B3],
            &*other,
        ),
    ] {
        let context = extract(&map, &by(order)).context.expect("a context");
        assert_eq!(context.trace_id.to_string(), wanted, "{order:?}");
    }
    assert_eq!(extract(&map, &by(&[])), Incoming::default());
}

#[test]
fn what_came_is_replaced_in_every_family_and_never_doubled() {
    let mut map = headers(&[
        ("b3", "0"),
        ("b3", "junk"),
        ("X-B3-TraceId", TRACE),
        ("X-B3-TraceId", TRACE),
        ("X-B3-SpanId", SPAN),
        ("X-B3-ParentSpanId", SPAN),
        ("X-B3-Flags", "1"),
        ("uber-trace-id", "a"),
        ("uber-trace-id", "b"),
        ("traceparent", "junk"),
        ("tracestate", "a=1"),
        ("x-other", "stays"),
    ]);
    let place = TracePlace::root(true);
    let span = SpanId([1; 8]);
    inject(&place, span, &by(&ALL), &mut map);
    let (trace, ones) = (place.trace_id, "0101010101010101");
    let mut told: Vec<_> = map
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            format!("b3: {trace}-{ones}-1"),
            format!("traceparent: 00-{trace}-{ones}-03"),
            format!("uber-trace-id: {trace}:{ones}:0:1"),
            "x-b3-sampled: 1".to_owned(),
            format!("x-b3-spanid: {ones}"),
            format!("x-b3-traceid: {trace}"),
            "x-other: stays".to_owned(),
        ]
    );
}

#[test]
fn a_debug_flag_goes_on_in_every_family_that_has_one() {
    let map = headers(&[("b3", &format!("{TRACE}-{SPAN}-d"))]);
    let here = place(extract(&map, &by(&ALL)), true, &HeadShare::new(Share::NONE));
    assert!(here.is_debug() && here.is_sampled() && here.is_callers_decision());
    let mut sent = HeaderMap::new();
    inject(&here, SpanId([1; 8]), &by(&ALL), &mut sent);
    let text = |name| {
        sent.get(name)
            .map(|value: &HeaderValue| value.to_str().expect("text").to_owned())
    };
    assert!(
        text("traceparent").is_some_and(|field| field.ends_with("-01")),
        "the house's flags stay in it"
    );
    assert!(text("b3").is_some_and(|field| field.ends_with("-d")));
    assert_eq!(
        (text("x-b3-flags").as_deref(), text("x-b3-sampled")),
        (Some("1"), None)
    );
    assert!(text("uber-trace-id").is_some_and(|field| field.ends_with(":0:3")));
}

#[test]
fn a_parent_who_leaves_the_decision_to_us_is_followed_by_the_share() {
    let map = headers(&[("b3", &format!("{TRACE}-{SPAN}"))]);
    for (share, sampled) in [(Share::ALL, true), (Share::NONE, false)] {
        let incoming = extract(&map, &by(&[TraceFormat::B3]));
        let here = place(incoming, true, &HeadShare::new(share));
        assert_eq!(
            (here.trace_id.to_string().as_str(), here.is_sampled()),
            (TRACE, sampled)
        );
        assert!(here.parent.is_some() && !here.is_callers_decision());
    }
}

#[test]
fn baggage_goes_on_where_it_is_followed_and_bounded() {
    let many = vec!["k=v"; 65].join(",");
    let most = vec!["k=v"; 64].join(",");
    let large = format!("k={}", "v".repeat(8191));
    let largest = format!("k={}", "v".repeat(8190));
    for (baggage, follow, passes) in [
        ("k=v", true, true),
        ("k=v", false, false),
        (&most, true, true),
        (&many, true, false),
        (&largest, true, true),
        (&large, true, false),
    ] {
        let mut map = headers(&[("baggage", baggage)]);
        limit_baggage(&mut map, &Propagation::default(), follow);
        assert_eq!(map.contains_key(&BAGGAGE), passes, "{}", baggage.len());
    }
    let mut split = headers(&[("baggage", &most), ("baggage", "k=v")]);
    limit_baggage(&mut split, &Propagation::default(), true);
    assert!(!split.contains_key(&BAGGAGE), "members add up over fields");
}

#[test]
fn jaegers_baggage_is_judged_where_jaeger_is_configured() {
    let came = [
        ("uberctx-user", "7"),
        ("uberctx-tenant", "a"),
        ("x-other", "stays"),
    ];
    for (formats, baggage, follow, left) in [
        (&[TraceFormat::Jaeger][..], true, true, 3),
        (&[TraceFormat::Jaeger], true, false, 1),
        (&[TraceFormat::Jaeger], false, true, 1),
        (&[TraceFormat::TraceContext], true, false, 3),
    ] {
        let mut map = headers(&came);
        limit_baggage(&mut map, &Propagation::new(formats, baggage), follow);
        assert_eq!(map.len(), left, "{formats:?} {baggage} {follow}");
    }
    let mut large = headers(&[
        ("uberctx-a", &*"v".repeat(8000)),
        ("uberctx-b", &*"v".repeat(300)),
    ]);
    limit_baggage(&mut large, &by(&[TraceFormat::Jaeger]), true);
    assert!(large.is_empty());
}

#[test]
fn members_of_a_baggage_are_picked_decoded_and_cut() {
    let keys = ["tenant", "user"].map(Box::from);
    let pick = |fields: &[&str]| {
        let fields: Vec<_> = fields.iter().map(|field| ("baggage", *field)).collect();
        let picked = pick_baggage(&headers(&fields), &keys)?;
        Some(
            picked
                .iter()
                .map(|value| value.as_deref().map(str::to_owned))
                .collect::<Vec<_>>(),
        )
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        pick(&["a=1, tenant = blue%20sky ;p=q , user=7"]),
        Some(vec![some("blue sky"), some("7")])
    );
    assert_eq!(
        pick(&["tenant=old,x", "tenant=new"]),
        Some(vec![some("new"), None])
    );
    assert_eq!(pick(&["user=%ff"]), Some(vec![None, some("\u{fffd}")]));
    assert_eq!(pick(&["Tenant=1,tenan=2,=3,user"]), None);
    assert_eq!(pick(&[]), None);
    let long = pick(&[&format!("user={}", "%E2%82%AC".repeat(500))])
        .and_then(|mut all| all.pop().flatten());
    assert_eq!(
        long.map(|text| text.len()),
        Some(255),
        "whole characters alone"
    );
    assert!(pick_baggage(&headers(&[("baggage", "tenant=1")]), &[]).is_none());
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_in_every_family(trace in 1_u128.., span in 1_u64.., flags in 0_u8..4, debug: bool) {
        let is_debug = debug && flags & SAMPLED != 0;
        let place = TracePlace {
            trace_id: TraceId(trace.to_be_bytes()),
            flags: flags | flag(is_debug, DEBUG),
            ..TracePlace::root(false)
        };
        let span_id = SpanId(span.to_be_bytes());
        for format in ALL {
            let mut map = HeaderMap::new();
            inject(&place, span_id, &by(&[format]), &mut map);
            let incoming = extract(&map, &by(&[format]));
            let context = incoming.context.expect("what we write can be read");
            prop_assert_eq!((context.trace_id, context.span_id), (place.trace_id, span_id));
            prop_assert_eq!(incoming.decision, Some(place.is_sampled()));
            let is_w3c = format == TraceFormat::TraceContext;
            let known = if is_w3c { SAMPLED | RANDOM } else { SAMPLED | DEBUG };
            prop_assert_eq!(context.flags, place.flags & known);
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm_and_replaced(
        fields in proptest::collection::vec((0_usize..9, proptest::collection::vec(any::<u8>(), 0..80)), 0..12),
        follow: bool,
    ) {
        const NAMES: [&str; 9] = ["b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags",
            "uber-trace-id", "uberctx-a", "baggage"];
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(NAMES[name], value);
            }
        }
        let all = by(&ALL);
        limit_baggage(&mut map, &all, follow);
        let _ = pick_baggage(&map, &["a".into()]);
        let incoming = extract(&map, &all);
        let here = place(incoming, follow, &HeadShare::new(Share::ALL));
        inject(&here, SpanId([7; 8]), &all, &mut map);
        for format in ALL {
            let read = extract(&map, &by(&[format])).context.expect("what we write can be read");
            prop_assert_eq!((read.trace_id, read.span_id), (here.trace_id, SpanId([7; 8])));
        }
    }

    #[test]
    fn hostile_fields_of_the_right_alphabet_do_no_harm(single in "[0-9a-fd-]{0,80}", uber in "[0-9a-f:%3A]{0,90}") {
        let map = headers(&[("b3", &single), ("uber-trace-id", &uber)]);
        for format in ALL {
            let incoming = extract(&map, &by(&[format]));
            if let Some(context) = incoming.context {
                prop_assert_ne!(context.trace_id.0, [0; 16]);
                prop_assert_ne!(context.span_id.0, [0; 8]);
            }
        }
    }
}
