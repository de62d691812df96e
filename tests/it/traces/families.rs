//! Families besides W3C's, in and out, and baggage that becomes attributes.

use super::super::rig::partner::Jaeger;
use super::super::rig::{Collector, Config, Request, Upstream, get_with};
use super::{PARENT, TRACE, only_exchange, parts, start, start_with, traces};

const ALL: &str = ", propagation: [b3, jaeger, b3multi, tracecontext, baggage]";

/// Every name that says which trace a request belongs to, with its values.
fn told(request: &Request) -> Vec<(&'static str, Vec<String>)> {
    const NAMES: [&str; 10] = [
        "b3",
        "traceparent",
        "tracestate",
        "uber-trace-id",
        "uberctx-user",
        "x-b3-flags",
        "x-b3-parentspanid",
        "x-b3-sampled",
        "x-b3-spanid",
        "x-b3-traceid",
    ];
    let values = |name| {
        request
            .headers
            .all(name)
            .iter()
            .map(|it| (*it).to_owned())
            .collect()
    };
    let all = NAMES.map(|name| (name, values(name)));
    all.into_iter()
        .filter(|(_, values): &(_, Vec<String>)| !values.is_empty())
        .collect()
}

#[test]
fn each_family_is_followed_in_and_all_are_written_out() {
    let b3 = format!("{TRACE}-{PARENT}-1-{PARENT}");
    let uber = format!("{TRACE}%3A{PARENT}%3A0%3A1");
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let cases: [&[(&str, &str)]; 4] = [
        &[("b3", &b3)],
        &[
            ("X-B3-TraceId", TRACE),
            ("X-B3-SpanId", PARENT),
            ("X-B3-ParentSpanId", PARENT),
            ("X-B3-Sampled", "1"),
        ],
        &[("uber-trace-id", &uber), ("uberctx-user", "7")],
        &[
            ("b3", "junk"),
            ("traceparent", &traceparent),
            ("tracestate", "a=1"),
        ],
    ];
    for came in cases {
        let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
        // The share says no: what is sampled is so because the caller said it.
        let config = Config::new(upstream.address()).telemetry(&traces(
            &collector,
            "grpc",
            &format!(", sample: 0%{ALL}"),
        ));
        let proxy = start(config.telemetry("metrics: {exemplars: false}"));
        assert_eq!(get_with(proxy.public(), "/", came).status, 200);
        let (server, clients) = only_exchange(&collector, &proxy);
        assert_eq!(
            (server.trace_id.as_str(), server.parent_span_id.as_str()),
            (TRACE, PARENT),
            "{came:?}"
        );
        assert_eq!(server.text("sightglass.sampling.reason"), Some("parent"));
        assert_eq!(
            server.attributes["sightglass.sampling.weight"], 1.0,
            "the share had no part in it"
        );
        let (one, span) = (|text: String| vec![text], &clients[0].span_id);
        let mut wanted = vec![
            ("b3", one(format!("{TRACE}-{span}-1"))),
            ("traceparent", one(format!("00-{TRACE}-{span}-01"))),
            ("uber-trace-id", one(format!("{TRACE}:{span}:0:1"))),
            ("x-b3-sampled", one("1".to_owned())),
            ("x-b3-spanid", one(span.clone())),
            ("x-b3-traceid", one(TRACE.to_owned())),
        ];
        for (name, value) in came
            .iter()
            .filter(|(name, _)| ["tracestate", "uberctx-user"].contains(name))
        {
            wanted.push((
                if *name == "tracestate" {
                    "tracestate"
                } else {
                    "uberctx-user"
                },
                one((*value).to_owned()),
            ));
        }
        wanted.sort();
        assert_eq!(told(&upstream.only_request()), wanted, "{came:?}");
        proxy.finish_traced(&collector);
    }
}

#[test]
fn foreign_families_are_dropped_where_the_trace_is_restarted() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address())
        .listener("trace_context: none")
        .telemetry(&traces(&collector, "grpc", ALL));
    let proxy = start(config);
    let b3 = format!("{TRACE}-{PARENT}-d");
    let headers = [
        ("b3", &*b3),
        ("X-B3-Flags", "1"),
        ("X-B3-ParentSpanId", PARENT),
        ("uber-trace-id", "1:1:0:3"),
        ("uberctx-user", "7"),
        ("baggage", "tenant=a"),
        ("tracestate", "a=1"),
    ];
    assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
    let (server, clients) = only_exchange(&collector, &proxy);
    assert_ne!(server.trace_id, TRACE);
    assert_eq!(server.links[0].trace_id, TRACE);
    let (trace, span) = (&server.trace_id, &clients[0].span_id);
    let one = |text: String| vec![text];
    assert_eq!(
        told(&upstream.only_request()),
        [
            ("b3", one(format!("{trace}-{span}-1"))),
            ("traceparent", one(format!("00-{trace}-{span}-03"))),
            ("uber-trace-id", one(format!("{trace}:{span}:0:1"))),
            ("x-b3-sampled", one("1".to_owned())),
            ("x-b3-spanid", one(span.clone())),
            ("x-b3-traceid", one(trace.clone())),
        ]
    );
    assert!(!upstream.only_request().headers.contains("baggage"));
    proxy.finish_traced(&collector);
}

#[test]
fn b3_may_deny_a_trace_that_begins_here() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let traces = traces(&collector, "grpc", ", propagation: [b3]");
    let config = Config::new(upstream.address()).telemetry(&traces);
    let proxy = start(config.telemetry("metrics: {exemplars: false}"));
    assert_eq!(get_with(proxy.public(), "/", &[("b3", "0")]).status, 200);
    let sent = upstream
        .only_request()
        .headers
        .get("b3")
        .unwrap_or_default()
        .to_owned();
    assert!(sent.ends_with("-0") && sent.len() == 51, "{sent}");
    assert_eq!(proxy.wait_log_lines(1)[0]["sampled"], false);
    proxy.finish();
    assert!(collector.exchanges().is_empty());
}

#[test]
fn an_id_of_64_bits_is_widened_and_debug_goes_on() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let keys = ", sample: 0%, propagation: [b3multi, b3]";
    let proxy = start(Config::new(upstream.address()).telemetry(&traces(&collector, "http", keys)));
    let headers = [
        ("X-B3-TraceId", PARENT),
        ("X-B3-SpanId", PARENT),
        ("X-B3-Flags", "1"),
    ];
    assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
    let (server, clients) = only_exchange(&collector, &proxy);
    let wide = format!("{}{PARENT}", "0".repeat(16));
    assert_eq!(
        (&server.trace_id, &server.parent_span_id),
        (&wide, &PARENT.to_owned())
    );
    let request = upstream.only_request();
    assert_eq!(
        request.headers.get("b3"),
        Some(&*format!("{wide}-{}-d", clients[0].span_id))
    );
    assert_eq!(request.headers.get("x-b3-flags"), Some("1"));
    assert!(!request.headers.contains("x-b3-sampled"));
    proxy.finish_traced(&collector);
}

#[test]
fn members_of_a_followed_baggage_become_attributes() {
    for (followed, wanted) in [("all", Some("blue sky")), ("none", None)] {
        let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
        let keys = ", baggage_attributes: [tenant, absent]";
        let config =
            Config::new(upstream.address()).listener(&format!("trace_context: {followed}"));
        let proxy = start(config.telemetry(&traces(&collector, "grpc", keys)));
        let headers = [("baggage", "user=7,tenant=blue%20sky;p=q")];
        assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
        let (server, _) = only_exchange(&collector, &proxy);
        assert_eq!(server.text("tenant"), wanted);
        for key in ["absent", "user"] {
            assert!(!server.attributes.contains_key(key));
        }
        proxy.finish_traced(&collector);
    }
}

#[test]
fn the_standard_variable_names_families_where_the_file_is_silent() {
    let upstream = Upstream::ok("hello");
    let b3 = format!("{TRACE}-{PARENT}-1");
    for (propagators, keys, is_followed) in [
        ("b3,baggage", "", true),
        (" b3 , xray", "", true),
        ("none", "", false),
        ("b3", ", propagation: [tracecontext]", false),
        ("", "", false),
    ] {
        let collector = Collector::start();
        let config = Config::new(upstream.address()).telemetry(&traces(&collector, "grpc", keys));
        let proxy = start_with(config, &[("OTEL_PROPAGATORS", propagators)]);
        assert_eq!(get_with(proxy.public(), "/", &[("b3", &b3)]).status, 200);
        let line = proxy.wait_log_lines(1).remove(0);
        assert_eq!(line["trace_id"] == TRACE, is_followed, "{propagators:?}");
        assert_eq!(
            proxy.stderr().contains("OTEL_PROPAGATORS"),
            propagators.contains("xray")
        );
        let request = upstream.all_requests().pop().expect("a request");
        if propagators == "none" {
            assert!(!request.headers.contains("traceparent"));
        } else if is_followed {
            let sent = request.headers.get("b3").unwrap_or_default();
            assert!(sent.starts_with(TRACE) && sent != b3, "{sent}");
        } else {
            parts(request.headers.get("traceparent").unwrap_or_default());
        }
        proxy.finish();
    }
}

#[test]
fn whoever_looks_in_jaeger_finds_the_trace_of_a_caller_that_speaks_another_family() {
    let Some(jaeger) = Jaeger::start() else {
        return;
    };
    let upstream = Upstream::ok("hello");
    let otlp = format!(
        "traces: {{otlp: {{endpoint: \"http://{}\", protocol: grpc}}, sample: 0%{ALL}}}",
        jaeger.grpc()
    );
    let config = Config::new(upstream.address()).telemetry(&otlp);
    let proxy = start(config.telemetry(super::NO_EXEMPLARS));
    let trace = |number: u32| format!("{number:08x}{}", &TRACE[8..]);
    let cases = [
        ("b3", format!("{}-{PARENT}-1", trace(1))),
        ("uber-trace-id", format!("{}:{PARENT}:0:1", trace(2))),
        ("traceparent", format!("00-{}-{PARENT}-01", trace(3))),
    ];
    for (number, (name, value)) in (1..).zip(&cases) {
        assert_eq!(get_with(proxy.public(), "/", &[(name, value)]).status, 200);
        let spans = jaeger.wait_for_spans(&trace(number), 2);
        let is_parent = |it: &serde_json::Value| it["spanID"] == PARENT;
        let parents = spans
            .iter()
            .flat_map(|span| span["references"].as_array().cloned().unwrap_or_default());
        assert_eq!(parents.filter(is_parent).count(), 1, "{name}: {spans:?}");
    }
    proxy.finish();
}
