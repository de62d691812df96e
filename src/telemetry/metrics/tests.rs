//! The catalogue, and whole pages as Prometheus' own tools read them.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::catalogue::{Owner, Wanted, Writer};
use super::scrape::recorder;
use super::tally::Tally;
use super::*;
use crate::config::{Name, Plan};
use crate::exchange::Outcome;
use crate::telemetry::fixture::{plan, record, retried};
use crate::telemetry::ledger::Ledger;

mod messages;

const OPEN_METRICS: &str =
    "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
    application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

fn page(catalogue: &Catalogue, format: Format) -> String {
    let mut page = Page::new(format);
    catalogue.draw(&mut page);
    page.finish()
}

fn counted(workers: u16, each: u32) -> (Arc<Catalogue>, Arc<Plan>) {
    let catalogue = Catalogue::new();
    let plan = Arc::new(plan(&["checkout", "web"]));
    catalogue.adopt(&plan, 1);
    for worker in 0..workers {
        let mut tally = Tally::new(&catalogue, &plan, 1, worker);
        for _ in 0..each {
            if let Some(mark) = tally.count(&record(Some(0)), 1_700_000_000_123, true) {
                mark.acknowledge();
            }
            tally.count(&retried(record(Some(1))), 1_700_000_000_123, false);
            tally.count(&record(None), 1_700_000_000_123, false);
        }
    }
    (catalogue, plan)
}

fn has(page: &str, line: &str) -> bool {
    page.lines().any(|found| found == line)
}

#[test]
fn adds_up_what_the_workers_counted() {
    let (catalogue, _) = counted(3, 5);
    let text = page(&catalogue, Format::Text);
    let duration = "route=\"checkout\",http_route=\"/checkout\",http_request_method=\"GET\",\
        http_response_status_code=\"200\",outcome=\"served\"";
    for line in [
        format!("http_server_request_duration_seconds_count{{{duration}}} 15"),
        format!("http_server_request_duration_seconds_bucket{{{duration},le=\"0.01\"}} 0"),
        format!("http_server_request_duration_seconds_bucket{{{duration},le=\"0.025\"}} 15"),
        format!("http_server_request_duration_seconds_sum{{{duration}}} 0.18"),
    ] {
        assert!(has(&text, &line), "{line} is not in {text}");
    }
    for line in [
        "sightglass_retries_total{route=\"web\",reason=\"503\"} 15",
        "sightglass_endpoint_requests_total{upstream=\"web-service\",endpoint=\"127.0.0.1:9001\",outcome=\"served\"} 15",
        "sightglass_endpoint_requests_total{upstream=\"web-service\",endpoint=\"127.0.0.1:9002\",outcome=\"served\"} 15",
        "http_client_request_duration_seconds_count{upstream=\"web-service\",http_response_status_code=\"503\",outcome=\"served\"} 15",
        "sightglass_phase_duration_seconds_count{route=\"_unmatched\",phase=\"wait\"} 15",
        "http_server_response_body_size_bytes_sum{route=\"web\",http_route=\"/web\"} 1500",
        "sightglass_config_info{hash=\"abc123\"} 1",
    ] {
        assert!(has(&text, line), "{line} is not in {text}");
    }
    assert!(!text.contains(" # {"), "0.0.4 knows no exemplars");
}

#[test]
fn a_stream_is_measured_to_its_head_and_as_a_whole() {
    let catalogue = Catalogue::new();
    let plan = Arc::new(plan(&["web"]));
    let mut tally = Tally::new(&catalogue, &plan, 1, 0);
    let mut stream = record(Some(0));
    stream.is_stream = true;
    stream.head_after = Some(std::time::Duration::from_millis(3));
    stream.outcome = Outcome::ClientClosed;
    tally.count(&stream, 0, false);
    let text = page(&catalogue, Format::Text);
    assert!(has(
        &text,
        "sightglass_stream_duration_seconds_sum{route=\"web\",outcome=\"client_closed\"} 0.012"
    ));
    assert!(text.contains("outcome=\"client_closed\"} 0.003\n"));
}

#[test]
fn a_retry_is_counted_by_what_was_wrong_before_it() {
    let catalogue = Catalogue::new();
    let plan = Arc::new(plan(&["web"]));
    let mut tally = Tally::new(&catalogue, &plan, 1, 0);
    for (outcome, status) in [
        (Outcome::ConnectionRefused, None),
        (Outcome::ConnectionTimeout, None),
        (Outcome::ConnectionTerminated, None),
        (Outcome::HttpResponseTimeout, None),
        (Outcome::Served, Some(503)),
        (Outcome::Served, Some(599)),
    ] {
        let mut record = retried(record(Some(0)));
        let first = record.first.as_mut().expect("an attempt");
        (first.outcome, first.status) = (outcome, status);
        tally.count(&record, 0, false);
    }
    let mut unsent = retried(record(Some(0)));
    unsent.more[0].is_resend = true;
    tally.count(&unsent, 0, false);
    let text = page(&catalogue, Format::Text);
    let found = text
        .lines()
        .filter(|line| line.starts_with("sightglass_retries_total"));
    let wanted = [
        ("503", 1),
        ("_OTHER", 1),
        ("connect_failure", 2),
        ("reset", 1),
        ("timeout", 1),
    ];
    let line = |(reason, count)| {
        format!("sightglass_retries_total{{route=\"web\",reason=\"{reason}\"}} {count}")
    };
    assert_eq!(found.collect::<Vec<_>>(), wanted.map(line));
}

/// When the farewell of whoever leaves now is nearly over, and when it is.
fn in_the_farewell() -> Instant {
    Instant::now() + Duration::from_secs(290)
}

fn after_the_farewell() -> Instant {
    Instant::now() + Duration::from_secs(301)
}

#[test]
fn a_reload_carries_names_over_and_the_others_go_when_they_were_scraped() {
    let (catalogue, _) = counted(1, 1);
    let listener = catalogue.listener(&Name::new("public"));
    listener.accepted.count();
    let next = Arc::new(plan(&["web", "new"]));
    catalogue.adopt(&next, 2);
    let mut tally = Tally::new(&catalogue, &next, 2, 0);
    tally.count(&record(Some(0)), 0, false);
    catalogue.part(in_the_farewell());
    assert!(page(&catalogue, Format::Text).contains("checkout"));
    catalogue.part(after_the_farewell());
    let text = page(&catalogue, Format::Text);
    assert!(!text.contains("checkout"), "{text}");
    assert!(has(
        &text,
        "http_server_request_body_size_bytes_count{route=\"web\",http_route=\"/web\"} 2"
    ));
    assert!(has(
        &text,
        "sightglass_connections_total{listener=\"public\"} 1"
    ));
    assert!(has(&text, "sightglass_config_info{hash=\"abc123\"} 1"));
}

#[test]
fn an_exchange_that_outlived_its_route_is_counted_and_brings_no_series_back_that_have_gone() {
    let catalogue = Catalogue::new();
    let old = Arc::new(plan(&["checkout", "web"]));
    catalogue.adopt(&old, 1);
    let mut tally = Tally::new(&catalogue, &old, 1, 0);
    catalogue.adopt(&plan(&["web"]), 2);
    tally.count(&record(Some(0)), 0, false);
    tally.count(&record(Some(1)), 0, false);
    let text = page(&catalogue, Format::Text);
    let counted =
        "http_server_request_body_size_bytes_count{route=\"checkout\",http_route=\"/checkout\"} 1";
    assert!(has(&text, counted), "{text}");
    assert!(text.contains("route=\"web\""));

    catalogue.part(after_the_farewell());
    let mut late = Tally::new(&catalogue, &old, 1, 1);
    for tally in [&mut tally, &mut late] {
        tally.count(&record(Some(0)), 0, false);
    }
    let text = page(&catalogue, Format::Text);
    assert!(!text.contains("checkout"), "{text}");
}

#[test]
fn a_name_that_comes_back_goes_on_where_it_was() {
    let catalogue = Catalogue::new();
    let both = Arc::new(plan(&["checkout", "web"]));
    catalogue.adopt(&both, 1);
    Tally::new(&catalogue, &both, 1, 0).count(&record(Some(0)), 0, false);
    catalogue.adopt(&plan(&["web"]), 2);
    catalogue.adopt(&both, 3);
    Tally::new(&catalogue, &both, 3, 0).count(&record(Some(0)), 0, false);
    catalogue.part(after_the_farewell());
    let text = page(&catalogue, Format::Text);
    let counted =
        "http_server_request_body_size_bytes_count{route=\"checkout\",http_route=\"/checkout\"} 2";
    assert!(has(&text, counted), "{text}");
}

#[test]
fn what_the_next_configuration_looks_up_does_not_go_meanwhile() {
    let catalogue = Catalogue::new();
    let both = Arc::new(plan(&["checkout", "web"]));
    catalogue.adopt(&both, 1);
    Tally::new(&catalogue, &both, 1, 0).count(&record(Some(0)), 0, false);
    catalogue.adopt(&plan(&["web"]), 2);
    let end = Instant::now() + Duration::from_secs(300);
    std::thread::sleep(Duration::from_millis(20));
    // The graph is built and its workers begin before the plan is adopted.
    let next = Arc::new(plan(&["checkout", "new"]));
    let mut tally = Tally::new(&catalogue, &next, 3, 0);
    tally.count(&record(Some(0)), 0, false);
    tally.count(&record(Some(1)), 0, false);
    catalogue.part(end + Duration::from_millis(10)); // which would be the end of checkout
    catalogue.adopt(&next, 3);
    let text = page(&catalogue, Format::Text);
    for (route, count) in [("checkout", 2), ("new", 1)] {
        let counted = format!(
            "http_server_request_body_size_bytes_count{{route=\"{route}\",http_route=\"/{route}\"}} {count}"
        );
        assert!(has(&text, &counted), "{text}");
    }
}

#[test]
fn a_gauge_of_a_route_counts_who_is_in_it() {
    let catalogue = Catalogue::new();
    let plan = Arc::new(plan(&["web"]));
    let [mut one, mut two] = [0, 1].map(|worker| Tally::new(&catalogue, &plan, 1, worker));
    let entered = [one.active(Some(0)).enter(), two.active(Some(0)).enter()];
    let line =
        |count| format!("http_server_active_requests{{route=\"web\",http_route=\"/web\"}} {count}");
    assert!(has(&page(&catalogue, Format::Text), &line(2)));
    drop(entered);
    assert!(has(&page(&catalogue, Format::Text), &line(0)));
}

#[test]
fn a_reason_that_nobody_had_is_not_shown() {
    let catalogue = Catalogue::new();
    let listener = catalogue.listener(&Name::new("public"));
    let error = listener.error("tls_handshake");
    assert!(!page(&catalogue, Format::Text).contains("tls_handshake"));
    error.count();
    assert!(page(&catalogue, Format::Text).contains("tls_handshake"));
}

#[test]
fn gives_openmetrics_to_whoever_names_it() {
    for (accept, format) in [
        ("", Format::Text),
        ("*/*", Format::Text),
        ("text/html, */*;q=0.1", Format::Text),
        (OPEN_METRICS, Format::OpenMetrics),
        ("application/openmetrics-text", Format::OpenMetrics),
        ("application/openmetrics-text;q=0", Format::Text),
        (PROTOBUF, Format::Protobuf),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
            Format::Text,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.1, text/plain",
            Format::Text,
        ),
        (
            "text/plain, application/openmetrics-text; q=0.5",
            Format::Text,
        ),
    ] {
        assert_eq!(Format::accepted(accept), format, "{accept}");
    }
}

#[test]
fn of_two_graphs_that_draw_the_same_endpoint_the_newer_is_believed() {
    struct Health(f64);
    impl Draw for Health {
        fn draw(&self, page: &mut Page) {
            page.sample(&family::ENDPOINT_HEALTHY, &["web", "127.0.0.1:1"], self.0);
        }
    }
    let catalogue = Catalogue::new();
    let graphs: [Arc<dyn Draw>; 2] = [Arc::new(Health(1.0)), Arc::new(Health(0.0))];
    for graph in &graphs {
        catalogue.draw_with(Arc::downgrade(graph));
    }
    let text = page(&catalogue, Format::Text);
    let line = "sightglass_endpoint_healthy{upstream=\"web\",endpoint=\"127.0.0.1:1\"}";
    assert!(has(&text, &format!("{line} 0")) && !has(&text, &format!("{line} 1")));
}

/// Everything at once: the facade's half, names that want escaping, each kind of handle, somebody who draws.
fn whole(accept: &str) -> String {
    struct Health;
    impl Draw for Health {
        fn draw(&self, page: &mut Page) {
            for endpoint in ["127.0.0.1:9002", "127.0.0.1:9001"] {
                let labels = ["web-service", endpoint];
                page.sample(&family::ENDPOINT_HEALTHY, &labels, 1.0);
                page.sample(&family::ENDPOINT_LATENCY_EWMA, &labels, 0.000_25);
            }
        }
    }
    let (catalogue, plan) = counted(2, 3);
    let health: Arc<dyn Draw> = Arc::new(Health);
    catalogue.draw_with(Arc::downgrade(&health));
    catalogue.draw_with(Weak::<Health>::new());
    let ledger: Arc<dyn Draw> = Arc::new(Ledger::default());
    catalogue.draw_with(Arc::downgrade(&ledger));
    let nasty = catalogue.counter(Wanted {
        family: &family::RATE_LIMITED,
        labels: &["^/v[0-9]+\\d\"\n# HELP x{}", "rate_limit"],
        owner: Owner::Process,
        writer: Writer::Any,
    });
    nasty.count();
    let route = catalogue.route(&plan.routes[0]);
    route.rate_limited("rate_limit").count();
    route.retry_budget_exhausted("reset").count();
    route
        .overloaded(Some(&plan.upstreams[0].name), "concurrency")
        .count();
    let upstream = catalogue.upstream(&plan.upstreams[0].name);
    upstream.opened.count();
    let _idle = upstream.idle.enter();
    let _held = catalogue.worker(0).enter();

    let recorder = recorder().expect("buckets");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let runtimes = Arc::new(Runtimes::default());
    runtimes.register("control", runtime.handle());
    let scraper = Scraper::new(recorder.handle(), &catalogue, &runtimes);
    metrics::with_local_recorder(&recorder, || {
        scraper.say_constants();
        metrics::counter!("sightglass_config_reloads_total", "result" => "success").increment(3);
        metrics::gauge!("sightglass_config_generation").set(3.0);
        metrics::describe_counter!("sightglass_events_total", "Events, by \"name\" \\ kind.");
        metrics::counter!("sightglass_events_total", "name" => "b\"\\\n").increment(1);
        metrics::counter!("sightglass_events_total", "name" => "a").increment(1);
        metrics::describe_histogram!("sightglass_probe_duration_seconds", "Length of probes.");
        metrics::histogram!("sightglass_probe_duration_seconds", "upstream" => "b").record(0.2);
        metrics::histogram!("sightglass_probe_duration_seconds", "upstream" => "a").record(2.0);
        scraper.upkeep();
        let (content_type, page) = scraper.page(accept);
        assert_eq!(content_type, Format::accepted(accept).content_type());
        String::from_utf8(page).expect("text")
    })
}

/// Gives a page to a partner; `None` where it is not there and need not be.
fn judged(command: &mut Command, page: &str) -> Option<String> {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let is_required = std::env::var("SIGHTGLASS_REQUIRE_PARTNERS").is_ok_and(|value| value == "1");
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            assert!(!is_required, "{command:?}: {error}");
            return None;
        }
    };
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(page.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if said.contains("No module named") {
        assert!(!is_required, "{said}");
        return None;
    }
    Some(format!("{} {said}", output.status))
}

#[test]
fn promtool_has_nothing_to_say() {
    let page = whole("");
    if let Some(said) = judged(Command::new("promtool").args(["check", "metrics"]), &page) {
        assert_eq!(said.trim(), "exit status: 0");
    }
}

#[test]
fn prometheus_client_reads_both_formats() {
    let text = "import sys\n\
        from prometheus_client.parser import text_string_to_metric_families as read\n\
        names = [family.name for family in read(sys.stdin.read())]\n\
        assert len(names) == len(set(names)), names\n";
    let open = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        families = list(read(sys.stdin.read()))\n\
        found = [(sample, family) for family in families for sample in family.samples if sample.exemplar]\n\
        assert found\n\
        for sample, family in found:\n\
        \x20   assert family.name in ('http_server_request_duration_seconds', 'http_client_request_duration_seconds')\n\
        \x20   assert len(sample.exemplar.labels['trace_id']) == 32 and len(sample.exemplar.labels['span_id']) == 16\n\
        \x20   assert float(sample.exemplar.timestamp) == 1700000000.123, sample\n\
        \x20   assert sample.exemplar.value <= float(sample.labels['le'])\n";
    for (accept, script) in [("", text), (OPEN_METRICS, open)] {
        let page = whole(accept);
        if let Some(said) = judged(Command::new("python3").args(["-c", script]), &page) {
            assert_eq!(said.trim(), "exit status: 0");
        }
    }
}

#[test]
fn pages_are_in_order_and_say_each_family_once() {
    let [one, two] = [(); 2].map(|()| whole(OPEN_METRICS));
    let shape = |page: &str| -> Vec<String> {
        let lines = page.lines().filter(|line| !line.contains("trace_id="));
        let name = |line: &str| line.rsplit_once(' ').map(|(name, _)| name.to_owned());
        lines.filter_map(name).collect()
    };
    assert_eq!(shape(&one), shape(&two));
    let mut types: Vec<_> = one
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    let count = types.len();
    types.dedup();
    assert_eq!(types.len(), count);
    assert!(one.ends_with("# EOF\n"));
    assert!(one.contains("# TYPE process_cpu_seconds counter\n"));
    assert!(!one.contains("_created"));
    let bounds = one.match_indices(",le=\"").map(|(at, _)| &one[at + 5..]);
    for bound in bounds.filter_map(|rest| rest.split('"').next()) {
        assert!(bound == "+Inf" || bound.contains(['.', 'e']), "{bound}");
    }
}

#[test]
fn ten_thousand_series_are_written_in_a_few_milliseconds() {
    let catalogue = Catalogue::new();
    let names: Vec<String> = (0..100).map(|index| format!("route-{index}")).collect();
    let plan = Arc::new(plan(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    for worker in 0..2 {
        let mut tally = Tally::new(&catalogue, &plan, 1, worker);
        (0..100).for_each(|route| drop(tally.count(&record(Some(route)), 0, false)));
    }
    let started = std::time::Instant::now();
    let text = page(&catalogue, Format::Text);
    let took = started.elapsed();
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(lines > 9_000, "{lines}");
    // Unoptimized and on a busy machine; optimized it takes about two.
    assert!(took.as_millis() < 500, "{took:?} for {lines} lines");
}
