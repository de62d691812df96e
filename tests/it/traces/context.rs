//! The context in and out, to the letter of W3C Trace Context and Baggage: whose is followed, and what is not valid.

use serde_json::json;

use super::super::rig::{Client, Collector, Config, Proxy, Upstream, get_with};
use super::{NO_EXEMPLARS, PARENT, TRACE, only_exchange, parts, start, traces};

#[test]
fn a_followed_context_goes_on_with_its_state_and_baggage() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let proxy = start(Config::new(upstream.address()).traces(collector.address()));
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let mut client = Client::connect(proxy.public());
    client.request(
        "GET",
        "/",
        &[
            ("traceparent", &traceparent),
            ("tracestate", "b=2,a@x=1"),
            ("tracestate", "c=3"),
            ("baggage", "user=7;p=q"),
        ],
        b"",
    );
    assert_eq!(client.read_response().status, 200);
    let (server, clients) = only_exchange(&collector, &proxy);
    assert_eq!(
        (server.trace_id.as_str(), server.parent_span_id.as_str()),
        (TRACE, PARENT)
    );
    assert!(server.links.is_empty());
    assert_eq!(server.flags & 0xff, 1);
    let request = upstream.only_request();
    let (trace, parent, flags) = parts(request.headers.get("traceparent").unwrap_or_default());
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    assert_eq!(parent, clients[0].span_id);
    let state = request.headers.all("tracestate").join(",");
    assert_eq!(state, "b=2,a@x=1,c=3");
    assert_eq!(request.headers.get("baggage"), Some("user=7;p=q"));
    proxy.finish_traced(&collector);
}

#[test]
fn a_followed_parent_decides_what_is_sampled() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address()).traces(collector.address());
    let proxy = start(config.telemetry(NO_EXEMPLARS));
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    assert_eq!(
        get_with(proxy.public(), "/", &[("traceparent", &unsampled)]).status,
        200
    );
    let request = upstream.only_request();
    let (trace, _, flags) = parts(request.headers.get("traceparent").unwrap_or_default());
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(
        (&line["sampled"], &line["trace_id"]),
        (&json!(false), &json!(TRACE))
    );
    proxy.finish();
    assert!(collector.exchanges().is_empty());
}

#[test]
fn a_foreign_context_is_a_link_and_goes_no_further() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address())
        .listener("trace_context: none")
        .traces(collector.address());
    let proxy = start(config);
    let traceparent = format!("00-{TRACE}-{PARENT}-00");
    let headers = [
        ("traceparent", traceparent.as_str()),
        ("tracestate", "a=1"),
        ("baggage", "user=7"),
    ];
    assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
    let (server, _) = only_exchange(&collector, &proxy);
    assert_ne!(server.trace_id, TRACE);
    assert_eq!(server.parent_span_id, "");
    let links: Vec<_> = server
        .links
        .iter()
        .map(|link| (link.trace_id.as_str(), link.span_id.as_str()))
        .collect();
    assert_eq!(links, [(TRACE, PARENT)]);
    let request = upstream.only_request();
    let (trace, ..) = parts(request.headers.get("traceparent").unwrap_or_default());
    assert_eq!(trace, server.trace_id);
    for field in ["tracestate", "baggage"] {
        assert!(!request.headers.contains(field), "{field}");
    }
    proxy.finish_traced(&collector);
}

#[test]
fn whose_context_is_followed_is_the_listeners_to_say() {
    let upstream = Upstream::ok("hello");
    let trusted = "\ntrusted_proxies: [127.0.0.0/8]";
    let from_outside = [("x-forwarded-for", "203.0.113.7")];
    for (keys, more, is_followed) in [
        ("trace_context: trusted", &[][..], false),
        (&format!("trace_context: trusted{trusted}"), &[], true),
        ("trace_context: private", &[], true),
        // A stranger's word on where it comes from counts for nothing.
        ("trace_context: private", &from_outside, true),
        ("trace_context: all", &[], true),
        ("trace_context: none", &[], false),
        (&format!("trace_context: none{trusted}"), &[], false),
    ] {
        let proxy = Proxy::start(Config::new(upstream.address()).listener(keys));
        let traceparent = format!("00-{TRACE}-{PARENT}-01");
        let headers = [&[("traceparent", traceparent.as_str())], more].concat();
        assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
        let line = &proxy.wait_log_lines(1)[0];
        assert_eq!(line["trace_id"] == TRACE, is_followed, "{keys}");
        proxy.finish();
    }
}

#[test]
fn a_context_that_is_not_valid_begins_a_new_trace() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let good = format!("00-{TRACE}-{PARENT}-01");
    let upper = good.to_uppercase();
    let all = |text: &str| vec![text.to_owned()];
    let cases: [(Vec<String>, bool); 15] = [
        (all(&good), true),
        // Versions to come are read as far as this one goes.
        (all(&format!("01-{TRACE}-{PARENT}-01")), true),
        (
            all(&format!("cc-{TRACE}-{PARENT}-01-what-comes-later")),
            true,
        ),
        (
            all(&format!("cc-{TRACE}-{PARENT}-01.what-comes-later")),
            false,
        ),
        (all(&format!("ff-{TRACE}-{PARENT}-01")), false),
        (all(&format!("{good}-more")), false),
        (all(&upper), false),
        (all(&format!("00-{}-{PARENT}-01", "0".repeat(32))), false),
        (all(&format!("00-{TRACE}-{}-01", "0".repeat(16))), false),
        (all(&format!("00-{TRACE}-{PARENT}-0x")), false),
        (all(&good[..54]), false),
        (all("nonsense"), false),
        (all(""), false),
        (all(&good.repeat(100)), false),
        (vec![good.clone(), good.clone()], false),
    ];
    for (number, (values, is_followed)) in cases.iter().enumerate() {
        let mut headers: Vec<(&str, &str)> = values
            .iter()
            .map(|value| ("traceparent", value.as_str()))
            .collect();
        headers.push(("tracestate", "a=1"));
        assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
        let request = &upstream.all_requests()[number];
        let sent = request.headers.all("traceparent");
        assert_eq!(sent.len(), 1, "{values:?}: {sent:?}");
        let (trace, parent, _) = parts(sent[0]);
        assert_eq!(trace == TRACE, *is_followed, "{values:?}");
        assert_ne!(parent, PARENT, "{values:?}");
        let state = request.headers.get("tracestate");
        assert_eq!(state, is_followed.then_some("a=1"), "{values:?}");
    }
    proxy.finish();
}

#[test]
fn a_state_that_is_not_valid_is_dropped_and_the_parent_followed() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|number| format!("k{number}=v")).collect();
        members.join(",")
    };
    let long = format!("a={}", "v".repeat(257));
    let (few, too_many) = (many(32), many(33));
    let large = many(32).replace("=v", &format!("={}", "v".repeat(256)));
    let cases = [
        ("a=1", true),
        (few.as_str(), true),
        ("1a-_*/@z=any thing", true),
        (too_many.as_str(), false),
        (large.as_str(), false),
        (long.as_str(), false),
        ("a=1,a=2", false),
        ("A=1", false),
        ("a", false),
        ("=1", false),
        ("a=b=c", false),
        ("", false),
    ];
    for (number, (state, is_passed_on)) in cases.iter().enumerate() {
        let headers = [("traceparent", traceparent.as_str()), ("tracestate", state)];
        assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
        let request = &upstream.all_requests()[number];
        let (trace, ..) = parts(request.headers.get("traceparent").unwrap_or_default());
        assert_eq!(trace, TRACE, "{state:?}");
        let sent = request.headers.get("tracestate");
        assert_eq!(sent, is_passed_on.then_some(*state), "{state:?}");
    }
    proxy.finish();
}

#[test]
fn what_propagation_does_not_name_is_left_alone() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address());
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [("traceparent", traceparent.as_str()), ("baggage", "user=7")];

    let only_context = traces(&collector, "grpc", ", propagation: [tracecontext]");
    let proxy = start(config.clone().telemetry(&only_context));
    assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
    let request = upstream.all_requests()[0].clone();
    assert!(!request.headers.contains("baggage"));
    proxy.finish();

    let only_baggage = traces(&collector, "grpc", ", propagation: [baggage]");
    let proxy = start(config.telemetry(&only_baggage));
    assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
    let request = upstream.all_requests()[1].clone();
    assert_eq!(request.headers.get("traceparent"), Some(&*traceparent));
    assert_eq!(request.headers.get("baggage"), Some("user=7"));
    let line = &proxy.wait_log_lines(1)[0];
    assert_ne!(line["trace_id"], TRACE);
    proxy.finish();
}

#[test]
fn baggage_that_is_too_large_is_dropped_whole() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let large = format!("a={}", "v".repeat(8192));
    for (baggage, is_passed_on) in [("a=1", true), (large.as_str(), false)] {
        let headers = [("traceparent", traceparent.as_str()), ("baggage", baggage)];
        assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
        let request = upstream.all_requests().pop().expect("a request");
        assert_eq!(request.headers.contains("baggage"), is_passed_on);
    }
    proxy.finish();
}
