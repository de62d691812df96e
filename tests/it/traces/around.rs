//! What the standard `OTEL_*` variables say where the file is silent, and the spans of the proxy's own work.

use std::collections::BTreeSet;

use super::super::rig::{Collector, Config, Kind, Span, SpanStatus, Upstream, get, get_with};
use super::{NO_EXEMPLARS, PARENT, TRACE, only_exchange, start, start_with, traces};

#[test]
fn the_standard_variables_speak_where_the_file_is_silent() {
    let upstream = Upstream::ok("hello");
    for (protocol, endpoint) in [
        ("grpc", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ] {
        let collector = Collector::start();
        let variables = [
            (endpoint, &*collector.url()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "x-tenant=blue,authorization=Bearer%20abc",
            ),
            ("OTEL_SERVICE_NAME", "from-outside"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "deployment.environment.name=test,team=a%20b",
            ),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "nonsense"),
        ];
        let proxy = start_with(Config::new(upstream.address()), &variables);
        assert_eq!(get(proxy.public(), "/").status, 200);
        let (server, _) = only_exchange(&collector, &proxy);
        for (key, value) in [
            ("service.name", "from-outside"),
            ("deployment.environment.name", "test"),
            ("team", "a b"),
            ("service.version", env!("CARGO_PKG_VERSION")),
        ] {
            assert_eq!(server.resource[key], value, "{protocol}: {key}");
        }
        let headers = collector.last_headers();
        for (name, value) in [("x-tenant", "blue"), ("authorization", "Bearer abc")] {
            let field = (name.to_owned(), value.to_owned());
            assert!(headers.contains(&field), "{protocol}: {headers:?}");
        }
        assert!(
            proxy.stderr().contains("OTEL_BSP_MAX_QUEUE_SIZE"),
            "what cannot be read is said: {}",
            proxy.stderr()
        );
        assert!(!proxy.stderr().contains("Bearer"));
        proxy.finish_traced(&collector);
    }
}

#[test]
fn the_file_has_the_last_word_over_the_variables() {
    let (ours, theirs, upstream) = (
        Collector::start(),
        Collector::start(),
        Upstream::ok("hello"),
    );
    let config = Config::new(upstream.address())
        .telemetry("service_name: from-the-file")
        .traces(ours.address());
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*theirs.url()),
        ("OTEL_SERVICE_NAME", "from-outside"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ];
    let proxy = start_with(config, &variables);
    assert_eq!(get(proxy.public(), "/").status, 200);
    let (server, _) = only_exchange(&ours, &proxy);
    assert_eq!(server.resource["service.name"], "from-the-file");
    proxy.finish_traced(&ours);
    assert_eq!(theirs.exports(), 0);
}

#[test]
fn a_sampler_from_the_variables_decides_where_the_file_has_no_share() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    for (sampler, parent_flag, is_kept) in [
        ("always_off", "01", false),
        ("parentbased_always_off", "01", true),
        ("parentbased_always_on", "00", false),
        ("always_on", "00", true),
    ] {
        let config = Config::new(upstream.address()).telemetry(&traces(&collector, "grpc", ""));
        let config = config.telemetry(NO_EXEMPLARS);
        let proxy = start_with(config, &[("OTEL_TRACES_SAMPLER", sampler)]);
        let traceparent = format!("00-{TRACE}-{PARENT}-{parent_flag}");
        let headers = [("traceparent", traceparent.as_str())];
        assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
        let line = &proxy.wait_log_lines(1)[0];
        assert_eq!(line["sampled"], is_kept, "{sampler}");
        proxy.finish();
    }
}

#[test]
fn the_proxys_own_work_is_traced_too() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address()).traces(collector.address());
    let proxy = start(&config);
    let own = |name: &str| -> Option<Span> {
        let spans = collector.spans();
        spans.iter().find(|span| span.name == name).cloned()
    };
    let wait = |name: &str| {
        proxy.wait_until(&format!("the span {name:?}"), || own(name).is_some());
        own(name).expect("it is there")
    };
    let start = wait("start");
    assert_eq!(start.kind, Kind::Internal);
    assert_eq!(start.parent_span_id, "");
    assert_eq!(start.event_names(), ["ready"]);

    assert_eq!(proxy.get_admin("/api/v1/upstreams").status, 200);
    let call = wait("GET /api/v1/upstreams");
    assert_eq!(call.kind, Kind::Server);
    assert_eq!(call.text("http.route"), Some("/api/v1/upstreams"));

    proxy.signal("HUP");
    let reload = wait("reload");
    assert_eq!(reload.status, SpanStatus::Unset);
    proxy.write_config("nonsense: true");
    proxy.signal("HUP");
    proxy.wait_until("a reload that failed", || {
        let spans = collector.spans();
        spans
            .iter()
            .any(|span| span.name == "reload" && span.status == SpanStatus::Error)
    });

    // What a scraper or our own page asks all the time would bury the rest.
    assert_eq!(proxy.get_admin("/metrics").status, 200);
    let poll = [
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-site", "same-origin"),
    ];
    assert_eq!(proxy.get_admin_with("/api/v1/routes", &poll).status, 200);
    proxy.finish();
    assert!(own("drain").is_some(), "the end is a span as well");
    let names: BTreeSet<String> = collector
        .spans()
        .into_iter()
        .map(|span| span.name)
        .collect();
    let wanted = ["GET /api/v1/upstreams", "drain", "reload", "start"];
    assert_eq!(names, wanted.map(str::to_owned).into());
}

#[test]
fn nothing_is_exported_where_the_variables_forbid_it() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    for forbidding in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url()),
            forbidding,
        ];
        let proxy = start_with(Config::new(upstream.address()), &variables);
        assert_eq!(get(proxy.public(), "/").status, 200);
        assert_eq!(proxy.wait_log_lines(1)[0]["sampled"], false);
        proxy.finish();
        assert_eq!(collector.exports(), 0, "{forbidding:?}");
    }
}
