//! Tests of `propagation`.

use proptest::prelude::*;

use super::super::{extract as extract_by, inject as inject_by, place};
use super::*;
use crate::config::{Propagation, Share};
use crate::exchange::{RANDOM, TracePlace};
use crate::telemetry::trace::HeadShare;

const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "00-12345678901234567890123456789012-1234567890123456-00";

fn headers(fields: &[(&'static HeaderName, &[u8])]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_bytes(value).expect("a field"));
    }
    map
}

fn extract(headers: &HeaderMap) -> Incoming {
    extract_by(headers, &Propagation::default())
}

fn inject(place: &TracePlace, span_id: SpanId, headers: &mut HeaderMap) {
    inject_by(place, span_id, &Propagation::default(), headers);
}

fn flags_of(field: &[u8]) -> Option<u8> {
    let context = extract(&headers(&[(&TRACEPARENT, field)])).context;
    context.map(|context| context.flags)
}

fn state_of(fields: &[&str]) -> Option<String> {
    let mut all: Vec<(&'static HeaderName, &[u8])> = vec![(&TRACEPARENT, PARENT.as_bytes())];
    all.extend(fields.iter().map(|field| (&TRACESTATE, field.as_bytes())));
    let incoming = extract(&headers(&all));
    assert!(incoming.context.is_some(), "a tracestate harms no parent");
    incoming.state.map(String::from)
}

#[test]
fn reads_traceparents_to_the_letter() {
    let valid: &[(&str, u8)] = &[
        ("00-12345678901234567890123456789012-1234567890123456-00", 0),
        ("00-12345678901234567890123456789012-1234567890123456-01", 1),
        ("00-12345678901234567890123456789012-1234567890123456-02", 2),
        ("00-12345678901234567890123456789012-1234567890123456-03", 3),
        ("00-12345678901234567890123456789012-1234567890123456-ff", 3),
        ("00-12345678901234567890123456789012-1234567890123456-04", 0),
        ("00-00000000000000000000000000000001-0000000000000001-09", 1),
        ("00-abcdefabcdefabcdefabcdefabcdefab-abcdefabcdefabcd-01", 1),
        (
            " 00-12345678901234567890123456789012-1234567890123456-01",
            1,
        ),
        (
            "\t 00-12345678901234567890123456789012-1234567890123456-01 \t",
            1,
        ),
        // Later versions are read as far as version 00 goes.
        ("01-12345678901234567890123456789012-1234567890123456-01", 1),
        ("cc-12345678901234567890123456789012-1234567890123456-01", 1),
        ("fe-12345678901234567890123456789012-1234567890123456-03", 3),
        (
            "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
            1,
        ),
        (
            "cc-12345678901234567890123456789012-1234567890123456-01-",
            1,
        ),
    ];
    for (field, flags) in valid {
        assert_eq!(flags_of(field.as_bytes()), Some(*flags), "{field:?}");
    }
}

#[test]
fn refuses_what_is_no_traceparent() {
    let invalid: &[&[u8]] = &[
        b"",
        b"-",
        b"00",
        b"00-",
        b"00-12345678901234567890123456789012-1234567890123456",
        b"00-12345678901234567890123456789012-1234567890123456-",
        b"00-12345678901234567890123456789012-1234567890123456-1",
        b"00-12345678901234567890123456789012-1234567890123456-001",
        b"00-12345678901234567890123456789012-1234567890123456-01.",
        b"00-12345678901234567890123456789012-1234567890123456-01-",
        b"00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
        b"cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-not-be-like",
        b"cc-12345678901234567890123456789012-1234567890123456-011",
        b"ff-12345678901234567890123456789012-1234567890123456-01",
        b"ff-12345678901234567890123456789012-1234567890123456-01-x",
        b".0-12345678901234567890123456789012-1234567890123456-01",
        b"0.-12345678901234567890123456789012-1234567890123456-01",
        b"0-12345678901234567890123456789012-1234567890123456-01",
        b"000-12345678901234567890123456789012-1234567890123456-01",
        b"+0-12345678901234567890123456789012-1234567890123456-01",
        b"CC-12345678901234567890123456789012-1234567890123456-01",
        b"00-00000000000000000000000000000000-1234567890123456-01",
        b"00-12345678901234567890123456789012-0000000000000000-01",
        b"00-.2345678901234567890123456789012-1234567890123456-01",
        b"00-1234567890123456789012345678901.-1234567890123456-01",
        b"00-123456789012345678901234567890123-1234567890123456-01",
        b"00-1234567890123456789012345678901-1234567890123456-01",
        b"00-ABCDEFABCDEFABCDEFABCDEFABCDEFAB-1234567890123456-01",
        b"00-abcdefabcdefabcdefabcdefabcdefab-ABCDEFABCDEFABCD-01",
        b"00-12345678901234567890123456789012-.234567890123456-01",
        b"00-12345678901234567890123456789012-123456789012345.-01",
        b"00-12345678901234567890123456789012-12345678901234567-01",
        b"00-12345678901234567890123456789012-123456789012345-01",
        b"00-12345678901234567890123456789012-1234567890123456-.0",
        b"00-12345678901234567890123456789012-1234567890123456-0.",
        b"00-12345678901234567890123456789012-1234567890123456-0A",
        b"00_12345678901234567890123456789012_1234567890123456_01",
        b"00 12345678901234567890123456789012 1234567890123456 01",
        b"00-+2345678901234567890123456789012-1234567890123456-01",
        b"00-1-2-01",
        b"00-12345678901234567890123456789012-1234567890123456-01,00-12345678901234567890123456789012-1234567890123456-01",
        b"\xff0-12345678901234567890123456789012-1234567890123456-01",
    ];
    for field in invalid {
        let text = String::from_utf8_lossy(field);
        assert_eq!(flags_of(field), None, "{text:?}");
    }
}

#[test]
fn refuses_a_traceparent_that_came_twice() {
    let twice = headers(&[
        (&TRACEPARENT, PARENT.as_bytes()),
        (&TRACEPARENT, PARENT.as_bytes()),
        (&TRACESTATE, b"a=1"),
    ]);
    assert_eq!(extract(&twice), Incoming::default());
}

#[test]
fn a_tracestate_without_a_traceparent_means_nothing() {
    assert_eq!(
        extract(&headers(&[(&TRACESTATE, b"a=1")])),
        Incoming::default()
    );
}

#[test]
fn passes_valid_tracestates_on_as_they_came() {
    let key_256 = "z".repeat(256);
    let value_256 = "v".repeat(256);
    let full: Vec<String> = (0..32).map(|index| format!("k{index}=v")).collect();
    let valid: &[&str] = &[
        "foo=1",
        "foo=1,bar=2",
        "foo=1 \t , \t bar=2, \t baz=3",
        "foo= 1",
        "foo=1;bar",
        "foo=1,,bar=2,",
        ",foo=1",
        "1a-_*/@=1",
        "foo@bar=1",
        "0tenant@system=1",
        "foo@=1",
        "foo@bar@baz=1",
        "abcdefghijklmnopqrstuvwxyz0123456789_-*/@a-z0-9_-*/= !\"#$%&'()*+-./0123456789:;<>?@[\\]^_`{|}~",
        &format!("{key_256}=1"),
        &format!("a={value_256}"),
        &full.join(","),
        &format!("{},,", full.join(",")),
    ];
    for state in valid {
        assert_eq!(state_of(&[state]).as_deref(), Some(*state), "{state:?}");
    }
}

#[test]
fn joins_the_lines_of_a_tracestate_in_order() {
    assert_eq!(
        state_of(&["foo=1,bar=2", "rojo=1,congo=2", "baz=3"]).as_deref(),
        Some("foo=1,bar=2,rojo=1,congo=2,baz=3")
    );
    assert_eq!(state_of(&["foo=1", ""]).as_deref(), Some("foo=1,"));
    assert_eq!(state_of(&["", "foo=1"]).as_deref(), Some("foo=1"));
}

#[test]
fn drops_an_invalid_tracestate_and_keeps_the_parent() {
    let key_257 = "z".repeat(257);
    let value_257 = "v".repeat(257);
    let too_many: Vec<String> = (0..33).map(|index| format!("k{index}=v")).collect();
    let too_large = (0..32)
        .map(|index| format!("k{index}={}", "v".repeat(255)))
        .collect::<Vec<_>>()
        .join(",");
    assert!(too_large.len() > MAX_STATE_BYTES);
    let invalid: &[&[&str]] = &[
        &[""],
        &["", ""],
        &[" , ,"],
        &["foo"],
        &["foo="],
        &["=1"],
        &["foo =1"],
        &["FOO=1"],
        &["foo.bar=1"],
        &["@foo=1,bar=2"],
        &["-foo=1"],
        &["_foo=1"],
        &["foo=bar=baz"],
        &["foo=,bar=3"],
        &["foo=a\tb"],
        &["foo=é"],
        &["foo=1,foo=1"],
        &["foo=1,foo=2"],
        &["foo=1", "foo=2"],
        &["foo=1", "bar=2,FOO=3"],
        &[&too_many.join(",")],
        &[&too_large],
    ];
    for fields in invalid {
        assert_eq!(state_of(fields), None, "{fields:?}");
    }
    assert_eq!(state_of(&[&format!("{key_257}=1")]), None);
    assert_eq!(state_of(&[&format!("a={value_257}")]), None);
}

#[test]
fn passes_on_a_tracestate_of_at_least_512_bytes() {
    let state = format!("a={},b={}", "v".repeat(256), "w".repeat(256));
    assert!(state.len() >= 512);
    assert_eq!(state_of(&[&state]), Some(state));
}

#[test]
fn follows_a_parent_with_its_flags_and_state() {
    let none = HeadShare::new(Share::NONE);
    let incoming = extract(&headers(&[
        (
            &TRACEPARENT,
            b"00-12345678901234567890123456789012-1234567890123456-ff",
        ),
        (&TRACESTATE, b"foo=1"),
    ]));
    let place = place(incoming, true, &none);
    assert_eq!(place.trace_id.to_string(), TRACE);
    assert_eq!(
        place.parent.map(|id| id.to_string()).as_deref(),
        Some("1234567890123456")
    );
    assert_eq!(place.flags, SAMPLED | RANDOM);
    assert_eq!(place.state.as_deref(), Some("foo=1"));
    assert_eq!(place.link, None);
}

#[test]
fn an_unsampled_parent_is_followed_too() {
    let all = HeadShare::new(Share::ALL);
    let incoming = extract(&headers(&[(&TRACEPARENT, PARENT.as_bytes())]));
    assert_eq!(place(incoming.clone(), true, &all).flags, 0);
    let regardless = place(incoming, true, &all.regardless_of_parents());
    assert_eq!(regardless.flags, SAMPLED);
}

#[test]
fn restarts_the_trace_of_a_context_that_is_not_followed() {
    let incoming = extract(&headers(&[
        (&TRACEPARENT, PARENT.as_bytes()),
        (&TRACESTATE, b"foo=1"),
    ]));
    let place = place(incoming.clone(), false, &HeadShare::new(Share::ALL));
    assert_ne!(place.trace_id.to_string(), TRACE);
    assert_eq!(
        (place.parent, place.state, place.link, place.flags),
        (None, None, incoming.context, SAMPLED | RANDOM)
    );
}

#[test]
fn writes_one_traceparent_in_place_of_all_that_came() {
    let mut map = headers(&[
        (&TRACEPARENT, b"junk"),
        (&TRACEPARENT, b"more"),
        (&TRACESTATE, b"a=1"),
        (&TRACESTATE, b"b=2"),
    ]);
    let mut place = TracePlace::root(true);
    inject(&place, SpanId([1; 8]), &mut map);
    let want = format!("00-{}-0101010101010101-03", place.trace_id);
    assert_eq!(
        map.get_all(&TRACEPARENT).iter().collect::<Vec<_>>(),
        [want.as_str()]
    );
    assert_eq!(map.get(&TRACESTATE), None);

    place.state = Some("a=1,b=2".into());
    map.append(&TRACESTATE, HeaderValue::from_static("c=3"));
    inject(&place, SpanId([1; 8]), &mut map);
    assert_eq!(
        map.get_all(&TRACESTATE).iter().collect::<Vec<_>>(),
        ["a=1,b=2"]
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(trace in 1_u128.., span in 1_u64.., flags in 0_u8..4) {
        let sent = SpanRef {
            trace_id: TraceId(trace.to_be_bytes()),
            span_id: SpanId(span.to_be_bytes()),
            flags,
        };
        prop_assert_eq!(parse_traceparent(&format_traceparent(&sent)), Some(sent));
    }

    #[test]
    fn any_bytes_are_read_without_harm(parent: Vec<u8>, state: Vec<u8>) {
        let mut map = HeaderMap::new();
        for (name, value) in [(&TRACEPARENT, &parent[..]), (&TRACEPARENT, PARENT.as_bytes()), (&TRACESTATE, &state)] {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                map.insert(name, value);
            }
        }
        let incoming = extract(&map);
        prop_assert!(incoming.state.is_none_or(|state| is_valid_state(state.as_bytes())));
    }

    #[test]
    fn a_changed_byte_is_never_read_as_the_same_span(at in 0_usize..55, byte in 0x21_u8..0x7f) {
        let mut field = *b"00-12345678901234567890123456789012-1234567890123456-01";
        let sent = parse_traceparent(&field);
        prop_assume!(field[at] != byte && at > 2 && at < 52);
        field[at] = byte;
        prop_assert_ne!(parse_traceparent(&field), sent);
    }
}
