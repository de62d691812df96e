//! `/metrics`: every family of the contract after a mixed run ([`mixed`]), figures that add up, pages that strict readers take
//! ([`readers`]).

mod labels;
mod mixed;
mod native;
mod push;
mod readers;

use std::collections::{BTreeMap, BTreeSet};

use super::rig::{Client, Config, Metrics, Proxy, Upstream, get};
use mixed::{FAMILIES, Mixed, SENT, ended};

/// The family of a sample, and what tells its series apart.
fn family(name: &str, labels: &BTreeMap<String, String>) -> (String, Vec<String>) {
    let is_histogram = |base: &str| {
        FAMILIES
            .iter()
            .any(|(family, _)| *family == base && !family.ends_with("_total"))
    };
    let base = ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .find(|base| is_histogram(base))
        .unwrap_or(name);
    let labels = labels.keys().filter(|label| *label != "le").cloned();
    (base.to_owned(), labels.collect())
}

#[test]
fn every_family_of_the_contract_is_there_with_exactly_its_labels() {
    let mixed = Mixed::run();
    let metrics = mixed.proxy.metrics();
    let mut seen: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
    for sample in metrics.all() {
        let (family, labels) = family(&sample.name, &sample.labels);
        seen.entry(family).or_default().insert(labels);
    }
    for (name, labels) in FAMILIES {
        let wanted: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(
            seen.remove(name),
            Some(BTreeSet::from([wanted])),
            "{name} and its labels"
        );
    }
    let unknown: Vec<&String> = seen
        .keys()
        .filter(|name| !name.starts_with("process_") && !name.starts_with("tokio_"))
        .collect();
    assert!(unknown.is_empty(), "not in the contract: {unknown:?}");
    mixed.finish();
}

#[test]
fn each_request_is_counted_once_and_the_phases_add_up_to_the_durations() {
    let mixed = Mixed::run();
    let metrics = mixed.proxy.metrics();
    for (outcome, count) in SENT {
        assert_eq!(ended(&metrics, outcome), count, "{outcome}");
    }
    let all = metrics.sum("http_server_request_duration_seconds_count", &[]);
    assert_eq!(all, SENT.iter().map(|(_, count)| count).sum::<f64>());
    let size = "http_server_response_body_size_bytes";
    assert_eq!(metrics.sum(&format!("{size}_count"), &[]), all);
    assert_eq!(
        metrics.get(&format!("{size}_sum"), &[("route", "retried")]),
        Some(6.0)
    );
    let size = "http_server_request_body_size_bytes_sum";
    assert_eq!(metrics.get(size, &[("route", "web")]), Some(6.0));

    // Of event streams the duration ends with the head, the phases with the stream.
    let sum = |name: &str, route: &str| metrics.sum(name, &[("route", route)]);
    for route in metrics.label_values("sightglass_phase_duration_seconds_sum", "route") {
        let phases = sum("sightglass_phase_duration_seconds_sum", &route);
        let whole = match route.as_str() {
            "events" => sum("sightglass_stream_duration_seconds_sum", &route),
            _ => sum("http_server_request_duration_seconds_sum", &route),
        };
        assert!(
            (phases - whole).abs() < 1e-6,
            "{route}: phases {phases}, durations {whole}"
        );
    }
    let events = [("route", "events")];
    assert_eq!(
        metrics.sum("sightglass_stream_duration_seconds_count", &events),
        2.0
    );

    // Two more attempts than exchanges that had one: one was retried, and none of what was refused had any.
    let attempts = metrics.sum("http_client_request_duration_seconds_count", &[]);
    assert_eq!(attempts, 16.0 + 2.0 + 1.0 + 1.0);
    assert_eq!(
        metrics.sum("sightglass_endpoint_requests_total", &[]),
        attempts
    );
    let failed = |upstream| {
        metrics.sum(
            "sightglass_endpoint_failures_total",
            &[("upstream", upstream)],
        )
    };
    assert_eq!((failed("failing"), failed("dead")), (2.0, 2.0));
    assert_eq!((failed("web"), failed("stalled")), (0.0, 0.0));
    for (name, labels, count) in [
        (
            "sightglass_retries_total",
            [("route", "retried"), ("reason", "503")],
            1.0,
        ),
        (
            "sightglass_retry_budget_exhausted_total",
            [("route", "exhausted"), ("reason", "503")],
            1.0,
        ),
        (
            "sightglass_rate_limited_total",
            [("route", "limited"), ("limiter", "rate_limit")],
            2.0,
        ),
        (
            "sightglass_overloaded_total",
            [("route", "crowded"), ("limiter", "concurrency")],
            1.0,
        ),
    ] {
        assert_eq!(metrics.get(name, &labels), Some(count), "{name}");
    }
    mixed.finish();
}

#[test]
fn what_is_now_goes_back_to_zero_when_it_is_over() {
    let mixed = Mixed::run();
    let proxy = &mixed.proxy;
    proxy.wait_until("nothing is active", || {
        let metrics = proxy.metrics();
        [
            "http_server_active_requests",
            "sightglass_endpoint_active_requests",
            "sightglass_active_connections",
            "sightglass_worker_connections",
        ]
        .iter()
        .all(|name| metrics.sum(name, &[]) == 0.0)
            && metrics.sum(
                "sightglass_upstream_active_connections",
                &[("state", "active")],
            ) == 0.0
    });
    let metrics = proxy.metrics();
    assert_eq!(
        metrics.label_values("sightglass_worker_connections", "worker"),
        ["0", "1"]
    );
    // The one to the stalled upstream went with its client.
    let pooled = metrics.sum(
        "sightglass_upstream_active_connections",
        &[("state", "idle")],
    );
    assert!(pooled >= 1.0, "connections are kept: {pooled}");
    let opened = metrics.sum("sightglass_upstream_connections_opened_total", &[]);
    assert!(opened >= pooled, "{opened} opened, {pooled} kept");
    mixed.finish();
}

#[test]
fn no_label_holds_a_word_of_a_client() {
    let mixed = Mixed::run();
    let metrics = mixed.proxy.metrics();
    let count = "http_server_request_duration_seconds_count";
    let other = |label| metrics.sum(count, &[(label, "_OTHER")]);
    assert_eq!(other("http_request_method"), 1.0);
    assert_eq!(other("http_response_status_code"), 1.0);
    assert_eq!(
        metrics.sum(count, &[("route", "_unmatched"), ("http_route", "")]),
        3.0
    );
    for page in ["/metrics", "/api/v1/routes"] {
        let page = mixed.proxy.get_admin(page);
        assert_eq!(page.status, 200);
        let page = page.text().to_lowercase();
        assert!(!page.contains("secret"), "{page}");
    }
    mixed.finish();
}

#[test]
fn a_reload_is_counted_whether_it_takes_or_not() {
    let upstream = Upstream::ok("hello");
    let config = Config::new(upstream.address());
    let proxy = Proxy::start(&config);
    let state = |metrics: &Metrics| {
        (
            metrics.get("sightglass_config_generation", &[]),
            metrics.get("sightglass_config_last_reload_success", &[]),
            metrics.label_values("sightglass_config_info", "hash"),
        )
    };
    let reloads = |result| {
        let metrics = proxy.metrics();
        metrics.sum("sightglass_config_reloads_total", &[("result", result)])
    };
    let (generation, success, first) = state(&proxy.metrics());
    assert_eq!((generation, success), (Some(1.0), Some(1.0)));

    proxy.write_config("listeners: nonsense");
    proxy.signal("HUP");
    proxy.wait_until("the failure is counted", || reloads("failure") == 1.0);
    assert_eq!(
        state(&proxy.metrics()),
        (Some(1.0), Some(0.0), first.clone())
    );
    assert_eq!(get(proxy.public(), "/").status, 200);

    proxy.write_config(config.route("max_body: 1MiB"));
    proxy.signal("HUP");
    proxy.wait_until("the success is counted", || reloads("success") == 1.0);
    let (generation, success, second) = state(&proxy.metrics());
    assert_eq!((generation, success), (Some(2.0), Some(1.0)));
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second);
    assert_eq!(get(proxy.public(), "/").status, 200);
    assert_eq!(proxy.wait_log_lines(2)[1]["config_generation"], 2);
    proxy.finish();
}

#[test]
fn the_series_of_an_endpoint_go_with_it_and_those_of_a_route_wait_for_who_is_under_way() {
    let (first, second) = (Upstream::ok("1"), Upstream::ok("2"));
    let both = Config::new(first.address())
        .endpoint(second.address())
        .more_routes("- {name: extra, match: {path: {exact: /extra}}, upstream: web}");
    let proxy = Proxy::start(&both);
    for path in ["/", "/", "/", "/extra"] {
        assert_eq!(get(proxy.public(), path).status, 200);
    }
    let mut late = Client::connect(proxy.public());
    late.send(b"POST /extra HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n1");
    proxy.wait_until("it is under way", || {
        let labels = [("route", "extra")];
        proxy.metrics().sum("http_server_active_requests", &labels) == 1.0
    });
    let is_there = |what: &str| {
        let page = proxy.get_admin("/metrics").text();
        page.contains(what)
    };
    let gone = format!("endpoint=\"{}\"", second.address());
    let stays = format!("endpoint=\"{}\"", first.address());
    proxy.wait_until("all is there", || {
        is_there(&gone) && is_there(&stays) && is_there("route=\"extra\"")
    });
    proxy.write_config(Config::new(first.address()));
    proxy.signal("HUP");
    proxy.wait_until("the reload is done", || {
        proxy.metrics().get("sightglass_config_generation", &[]) == Some(2.0)
    });
    assert!(!is_there(&gone));
    assert!(is_there(&stays) && is_there("route=\"web\""));
    late.send(b"2");
    assert_eq!(late.read_response().status, 200);
    let labels = [("route", "extra")];
    proxy.wait_until("who was under way is counted", || {
        let metrics = proxy.metrics();
        metrics.sum("http_server_request_duration_seconds_count", &labels) == 2.0
            && metrics.sum("http_server_active_requests", &labels) == 0.0
    });
    proxy.finish();
}

#[test]
fn one_bad_endpoint_of_ten_is_plain_to_see() {
    let good: Vec<Upstream> = (0..9).map(|_| Upstream::ok("good")).collect();
    let bad = Upstream::status(500);
    let config = good
        .iter()
        .fold(Config::new(bad.address()), |config, good| {
            config.endpoint(good.address())
        });
    let proxy = Proxy::start(config.upstream("balance: round_robin"));
    let mut client = Client::connect(proxy.public());
    for _ in 0..40 {
        client.request("GET", "/", &[], b"");
        client.read_response();
    }
    let metrics = proxy.metrics();
    let failures = metrics.samples("sightglass_endpoint_failures_total", &[]);
    assert_eq!(failures.len(), 10, "each that was asked has its series");
    for sample in failures {
        let is_bad = sample.labels["endpoint"] == bad.address().to_string();
        assert_eq!(sample.value > 0.0, is_bad, "{sample:?}");
    }
    proxy.finish();
}

#[test]
fn the_process_and_its_runtimes_say_how_they_are() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let before = proxy.metrics();
    for _ in 0..50 {
        get(proxy.public(), "/");
    }
    let metrics = proxy.metrics();
    let runtimes = metrics.label_values("tokio_workers", "runtime");
    assert_eq!(runtimes, ["control", "worker-0", "worker-1"]);
    for name in [
        "tokio_alive_tasks",
        "tokio_global_queue_depth",
        "tokio_worker_park_total",
        "tokio_worker_busy_seconds_total",
    ] {
        assert_eq!(metrics.label_values(name, "runtime"), runtimes, "{name}");
    }
    for name in ["tokio_worker_busy_seconds_total", "tokio_worker_park_total"] {
        assert!(
            metrics.sum(name, &[]) > before.sum(name, &[]),
            "{name} rises"
        );
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_threads",
        "process_start_time_seconds",
    ] {
        assert!(metrics.get(name, &[]) > Some(0.0), "{name}");
    }
    assert_eq!(metrics.get("sightglass_build_info", &[]), Some(1.0));
    assert_eq!(
        metrics.sum("sightglass_connections_total", &[("listener", "public")]),
        50.0
    );
    proxy.finish();
}
