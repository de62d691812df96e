//! For how many exchanges a kept one stands: counts by route and outcome, rebuilt from the sums of weights.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::Value;

use super::super::rig::{Client, Collector, Config, Proxy, Span, Upstream, reply};
use super::{NO_EXEMPLARS, start, traces};

/// By route and outcome.
type Counts = BTreeMap<(String, String), f64>;

const ROUTES: &str = "
- {name: often, match: {path: {prefix: /often}}, upstream: web, traces: {sample: 25%}}
- {name: failing, match: {path: {prefix: /failing}}, upstream: web}
- {name: gone, match: {path: {prefix: /gone}}, upstream: gone}
- {name: limited, match: {path: {prefix: /limited}}, upstream: web, rate_limit: {rate: 1/m, burst: 1, key: all}}
- name: retried
  match: {path: {prefix: /retried}}
  upstream: web
  retry: {attempts: 2, when: [503], backoff: 1ms..1ms, budget: {ratio: 100%, min_per_second: 1000}}
";

const PATHS: [(&str, usize); 6] = [
    ("/", 30),
    ("/often", 30),
    ("/failing", 10),
    ("/gone", 5),
    ("/limited", 5),
    ("/retried", 5),
];

/// Fails where it is told to, and the first time of two where it is to be tried again.
fn upstream() -> Upstream {
    let tries = AtomicUsize::new(0);
    Upstream::answering(move |request| {
        let status = match request.target.as_str() {
            "/failing" => 500,
            "/retried" if tries.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) => 503,
            _ => 200,
        };
        reply(status, &[], "hello")
    })
}

fn config(upstream: &Upstream, collector: &Collector, more: &str) -> Config {
    let gone = Upstream::refuse();
    Config::new(upstream.address())
        .workers(1)
        .more_routes(ROUTES)
        .more_upstreams(&format!(
            "- {{name: gone, endpoints: [{{address: {}}}]}}",
            gone.address()
        ))
        .telemetry(&traces(collector, "grpc", more))
}

/// So many rounds of everything; how many requests that were.
fn send(proxy: &Proxy, rounds: usize) -> usize {
    let mut client = Client::connect(proxy.public());
    for _ in 0..rounds {
        for (path, count) in PATHS {
            for _ in 0..count {
                client.request("GET", path, &[], b"");
            }
            for _ in 0..count {
                client.read_response();
            }
        }
    }
    rounds * PATHS.iter().map(|(_, count)| count).sum::<usize>()
}

fn key(route: Option<&str>, outcome: Option<&str>) -> (String, String) {
    let text = |word: Option<&str>| word.unwrap_or_default().to_owned();
    (text(route), text(outcome))
}

fn logged(lines: &[Value]) -> Counts {
    let mut counts = Counts::new();
    for line in lines {
        let key = key(line["route"].as_str(), line["outcome"].as_str());
        *counts.entry(key).or_default() += 1.0;
    }
    counts
}

/// The sums of weights, and of `w (w - 1)`.
fn rebuilt(spans: &[Span]) -> BTreeMap<(String, String), (f64, f64)> {
    let mut sums: BTreeMap<_, (f64, f64)> = BTreeMap::new();
    for span in spans {
        let weight = span.attributes["sightglass.sampling.weight"]
            .as_f64()
            .expect("a number");
        assert!(weight >= 1.0, "{span:#?}");
        let key = key(
            span.text("sightglass.route"),
            span.text("sightglass.outcome"),
        );
        let sum = sums.entry(key).or_default();
        sum.0 += weight;
        sum.1 += weight * (weight - 1.0);
    }
    sums
}

fn shed(proxy: &Proxy) -> f64 {
    proxy.metrics().sum("sightglass_traces_shed_total", &[])
}

#[test]
fn counts_are_rebuilt_from_a_share_under_a_rate_cap() {
    let (collector, upstream) = (Collector::start(), upstream());
    let more = ", sample: 10%, max_per_second: 150";
    let proxy = start(config(&upstream, &collector, more));
    let began = Instant::now();
    let requests = send(&proxy, 60);
    let lines = proxy.wait_log_lines(requests);
    let kept = lines.iter().filter(|line| line["sampled"] == true).count();
    proxy.wait_until("every kept one is exported or shed", || {
        collector.exchanges().len() as f64 + shed(&proxy) == kept as f64
    });
    let seconds = began.elapsed().as_secs_f64();
    let shed = shed(&proxy);
    proxy.finish();

    let spans = collector.exchanges();
    assert!(shed > 0.0 && (spans.len() as f64) < 150.0 * (seconds + 1.0));
    let (wanted, found) = (logged(&lines), rebuilt(&spans));
    assert_eq!(wanted.len(), 7, "{wanted:?}");
    for (key, count) in &wanted {
        let (sum, spread) = found.get(key).copied().unwrap_or_default();
        let bound = 4.0 * spread.max(0.0).sqrt() + 1e-6 * count;
        assert!(
            (sum - count).abs() <= bound,
            "{key:?}: {sum} for {count}, within {bound}"
        );
    }
    let reasons = ["error", "retried", "limited", "exemplar", "head"];
    for reason in reasons {
        let is_of = |span: &&Span| span.text("sightglass.sampling.reason") == Some(reason);
        assert!(
            spans.iter().any(|span| is_of(&span)),
            "nothing was kept as {reason}"
        );
    }
}

#[test]
fn at_a_hundred_percent_counts_are_exact_whatever_the_cap() {
    for more in ["", ", max_per_second: 40"] {
        let (collector, upstream) = (Collector::start(), upstream());
        let config = config(&upstream, &collector, &format!(", sample: 100%{more}"));
        let proxy = start(config.to_string().replace(", traces: {sample: 25%}", ""));
        let requests = send(&proxy, 8);
        let lines = proxy.wait_log_lines(requests);
        proxy.wait_until("every one is exported or shed", || {
            collector.exchanges().len() as f64 + shed(&proxy) == requests as f64
        });
        assert_eq!(shed(&proxy) > 0.0, !more.is_empty());
        let told = proxy.get_admin("/api/v1/telemetry").json();
        assert_eq!(
            told["traces_shed"]["head"].is_u64(),
            !more.is_empty(),
            "{told}"
        );
        proxy.finish();
        let found = rebuilt(&collector.exchanges());
        let wanted = logged(&lines);
        assert_eq!(found.len(), wanted.len());
        for (key, count) in wanted {
            let (sum, _) = found[&key];
            assert!(
                (sum - count).abs() < 1e-6 * count,
                "{key:?}: {sum} for {count}"
            );
        }
    }
}

#[test]
fn a_routes_own_share_goes_upstream_and_onto_the_span() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address())
        .route("traces: {sample: 50%}")
        .telemetry(&traces(&collector, "grpc", ", sample: 0%"))
        .telemetry(NO_EXEMPLARS);
    let proxy = start(config);
    let mut client = Client::connect(proxy.public());
    for _ in 0..100 {
        client.request("GET", "/", &[], b"");
        assert_eq!(client.read_response().status, 200);
    }
    let lines = proxy.wait_log_lines(100);
    proxy.finish();
    let spans = collector.exchanges();
    assert!((20..80).contains(&spans.len()), "{}", spans.len());
    for span in &spans {
        assert_eq!(span.text("sightglass.sampling.reason"), Some("head"));
        assert_eq!(span.attributes["sightglass.sampling.weight"], 2.0);
    }
    let kept = lines.iter().filter(|line| line["sampled"] == true);
    assert_eq!(kept.count(), spans.len());
    let requests = upstream.all_requests();
    let flagged = requests.iter().filter(|request| {
        let traceparent = request.headers.get("traceparent").unwrap_or_default();
        traceparent.ends_with("-03")
    });
    assert_eq!(
        flagged.count(),
        spans.len(),
        "the head's word went upstream"
    );
}
