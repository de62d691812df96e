//! The sum of all signals: a long run of mixed exchanges, with faults, retries, refusals and clients that go away, through
//! a collector that flaps. What the clients counted is what the metrics, the log and the recorder's books say, to the
//! exchange; and the weights of the spans that were kept add up to it.
//!
//! 200,000 exchanges where the real partners are required, as in CI, a tenth of it elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::rig::{Client, Collector, Config, Metrics, Mode, Proxy, Upstream, try_wait_until};

const THREADS: usize = 8;

/// How an exchange ended, as a client, a metric, a line and a span can all tell it: the route, the status, the outcome.
type Ending = (String, u16, String);
type Counts = BTreeMap<Ending, f64>;

/// What a client may ask for; how often, of a thousand.
const KINDS: [(&str, u32); 9] = [
    ("/ok", 600),
    ("/missing", 60),
    ("/error", 40),
    ("/flaky", 100),
    ("/large", 20),
    ("/limited", 80),
    ("/refused", 40),
    ("/left", 50),
    ("/stuck", 10),
];

fn total() -> usize {
    if std::env::var_os("SIGHTGLASS_REQUIRE_PARTNERS").is_some() {
        200_000
    } else {
        20_000
    }
}

/// A service that answers by path, a thread a connection, and remembers nothing: the rig's own keeps every byte.
struct Service(SocketAddr);

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(AtomicUsize::new(0));
        // Both threads end with the test's process; the proxy closes its connections before.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let asked = Arc::clone(&asked);
                std::thread::spawn(move || serve(stream, &asked));
            }
        });
        Self(address)
    }
}

/// Answers requests without bodies until the connection ends. An error is the proxy's way to go.
fn serve(mut stream: TcpStream, asked: &AtomicUsize) -> Option<()> {
    let large = "x".repeat(64 << 10);
    let (mut read, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        while !read.windows(4).any(|end| end == b"\r\n\r\n") {
            let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
            read.extend_from_slice(&chunk[..count]);
        }
        let head = String::from_utf8(std::mem::take(&mut read)).ok()?;
        let path = head.split(' ').nth(1)?;
        let (status, body) = match path {
            "/missing" => (404, "not here"),
            "/error" => (500, "no"),
            // Two of three attempts fail: some requests get through, some use up their attempts.
            "/flaky" if !asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) => (503, "later"),
            "/large" => (200, &*large),
            "/left" => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nso far")
                    .ok()?;
                let _ = stream.read(&mut chunk); // until the proxy lets go
                return None;
            }
            "/stuck" => {
                let _ = stream.read(&mut chunk);
                return None;
            }
            _ => (200, "fine"),
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} S\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

/// Sends so many requests, one after the other, and counts how they ended.
fn send(proxy: &Proxy, is_behind: &AtomicBool, count: usize, thread: usize) -> Counts {
    let mut counts = Counts::new();
    let mut random = fastrand::Rng::with_seed(thread as u64);
    let mut client = Client::connect(proxy.public());
    for _ in 0..count {
        while is_behind.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut place = random.u32(..1000);
        let kind = KINDS.iter().find(|(_, share)| {
            let is_it = place < *share;
            place = place.saturating_sub(*share);
            is_it
        });
        let path = kind.expect("the shares add up").0;
        client.request("GET", path, &[], b"");
        let route = match path {
            "/limited" => "limited",
            "/refused" => "refused",
            "/stuck" => "stuck",
            _ => "web",
        };
        let (status, outcome) = if path == "/left" {
            let status = client.read_head().word(1).parse().unwrap_or(0);
            let left = std::mem::replace(&mut client, Client::connect(proxy.public()));
            left.reset();
            (status, "client_closed")
        } else {
            let status = client.read_response().status;
            let outcome = match (path, status) {
                ("/limited", 429) => "rate_limited",
                ("/refused", _) => "connection_refused",
                ("/stuck", _) => "http_response_timeout",
                _ => "served",
            };
            (status, outcome)
        };
        let ending = (route.to_owned(), status, outcome.to_owned());
        *counts.entry(ending).or_default() += 1.0;
    }
    counts
}

/// More spans than these are not let wait: the queue takes 32 MiB, and none may be dropped here.
const MOST_WAITING: u64 = 20_000;
const FEW_WAITING: u64 = 2_000;

fn waiting(proxy: &Proxy) -> u64 {
    let told = proxy.get_admin("/api/v1/telemetry").json();
    let signals = told["signals"].as_array().expect("signals");
    let spans = signals.iter().find(|it| it["signal"] == "spans");
    spans
        .and_then(|it| it["queued"].as_u64())
        .expect("a figure")
}

/// Plays the collector's moods until told to stop: well, down, refusing, well. Where more waits than may, since the
/// machine has too much to do, it is well and the senders pause until it has caught up.
fn flap(proxy: &Proxy, collector: &Collector, is_over: &AtomicBool, is_behind: &AtomicBool) {
    let mut mood = 0;
    while !is_over.load(Ordering::Relaxed) {
        if waiting(proxy) > MOST_WAITING {
            is_behind.store(true, Ordering::Relaxed);
            if mood % 4 == 2 {
                collector.restart();
            }
            collector.set(Mode::Accept);
            proxy.wait_until("the collector has caught up", || {
                waiting(proxy) < FEW_WAITING
            });
            is_behind.store(false, Ordering::Relaxed);
            mood = 0;
        }
        match mood % 4 {
            0 => collector.set(Mode::Accept),
            1 => collector.stop(),
            2 => collector.restart(),
            _ => collector.set(Mode::Refuse),
        }
        mood += 1;
        std::thread::sleep(Duration::from_millis(150));
    }
    if mood % 4 == 2 {
        collector.restart();
    }
    collector.set(Mode::Accept);
}

fn in_metrics(metrics: &Metrics) -> Counts {
    let mut counts = Counts::new();
    for sample in metrics.samples("http_server_request_duration_seconds_count", &[]) {
        let label = |name: &str| sample.labels[name].clone();
        let status = label("http_response_status_code").parse().unwrap_or(0);
        *counts
            .entry((label("route"), status, label("outcome")))
            .or_default() += sample.value;
    }
    counts
}

fn in_log(text: &str) -> Counts {
    let mut counts = Counts::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let status = line["status"]
            .as_u64()
            .and_then(|it| u16::try_from(it).ok());
        let ending = (word("route"), status.unwrap_or(0), word("outcome"));
        *counts.entry(ending).or_default() += 1.0;
    }
    counts
}

/// By ending, the sum of weights and that of w(w-1), over the server spans that were kept.
fn in_spans(collector: &Collector) -> BTreeMap<Ending, (f64, f64)> {
    // A batch whose acknowledgement was lost with the connection came twice.
    let spans: HashMap<String, _> = collector
        .exchanges()
        .into_iter()
        .map(|span| (span.span_id.clone(), span))
        .collect();
    let mut sums = BTreeMap::new();
    for span in spans.values() {
        let text = |key: &str| span.attributes[key].as_str().unwrap_or_default().to_owned();
        let status = span.attributes["http.response.status_code"].as_u64();
        let status = status.and_then(|it| u16::try_from(it).ok()).unwrap_or(0);
        let weight = span.attributes["sightglass.sampling.weight"].as_f64();
        let weight = weight.expect("each server span has one");
        let ending = (text("sightglass.route"), status, text("sightglass.outcome"));
        let (sum, spread) = sums.entry(ending).or_insert((0.0, 0.0));
        *sum += weight;
        *spread += weight * (weight - 1.0);
    }
    sums
}

#[test]
fn every_exchange_is_in_every_signal_through_faults_aborts_retries_and_a_flapping_collector() {
    let (service, collector, refusing) = (Service::start(), Collector::start(), Upstream::refuse());
    let config = Config::new(service.0)
        .access_log("access_log: {output: {file: access.log}, format: json, sample: 100%}")
        .route("retry: {attempts: 3, when: [503], backoff: 1ms..2ms, budget: {ratio: 100%, min_per_second: 10000}}")
        .more_routes(
            "- {name: limited, match: {path: {prefix: /limited}}, upstream: web, rate_limit: {rate: 50/s, burst: 50, key: all}}\n\
             - {name: refused, match: {path: {prefix: /refused}}, upstream: refusing}\n\
             - {name: stuck, match: {path: {prefix: /stuck}}, upstream: web, timeout: {total: 30ms}}",
        )
        .more_upstreams(&format!(
            "- {{name: refusing, endpoints: [{{address: \"{}\"}}]}}",
            refusing.address()
        ))
        .telemetry(&format!(
            "traces: {{otlp: {{endpoint: \"{}\", protocol: grpc}}, sample: 10%}}",
            collector.url()
        ));
    let mut proxy = Proxy::start_with(config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
        command.env("OTEL_BSP_MAX_QUEUE_SIZE", "1000000");
        // A batch may meet the collector in a bad mood many times over.
        command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "60000");
    });

    let [is_over, is_behind] = [false; 2].map(AtomicBool::new);
    let counted = std::thread::scope(|scope| {
        scope.spawn(|| flap(&proxy, &collector, &is_over, &is_behind));
        let senders: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (proxy, is_behind) = (&proxy, &is_behind);
                scope.spawn(move || send(proxy, is_behind, total() / THREADS, thread))
            })
            .collect();
        let mut counted = Counts::new();
        for sender in senders {
            let counts = sender.join().expect("a sender gets its answers");
            for (ending, count) in counts {
                *counted.entry(ending).or_default() += count;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        counted
    });
    let all: f64 = counted.values().sum();
    assert_eq!(all, (total() / THREADS * THREADS) as f64);
    assert!(counted.len() >= 9, "every ending was there: {counted:#?}");

    let items = |metrics: &Metrics, signal: &str, state: &str| {
        let labels = [("signal", signal), ("state", state)];
        metrics.sum("sightglass_telemetry_items_total", &labels)
    };
    // The last of a run are on their way when the clients have their answers.
    let is_told = try_wait_until(Duration::from_secs(30), || {
        let metrics = proxy.metrics();
        items(&metrics, "records", "exported") == all
            && items(&metrics, "logs", "exported") == all
            && metrics.sum("sightglass_telemetry_queued_items", &[]) == 0.0
    });
    let metrics = proxy.metrics();
    assert!(
        is_told,
        "{:?}",
        metrics.samples("sightglass_telemetry_items_total", &[])
    );
    assert_eq!(in_metrics(&metrics), counted, "metrics");
    let told = proxy.get_admin("/api/v1/telemetry").text();
    assert_eq!(items(&metrics, "spans", "dropped"), 0.0, "{told}");
    assert!(proxy.stop().success());
    let log = std::fs::read_to_string(proxy.dir().join("access.log"));
    assert_eq!(in_log(&log.expect("the log is there")), counted, "log");

    let sums = in_spans(&collector);
    for (ending, count) in &counted {
        let (sum, spread) = sums.get(ending).copied().unwrap_or_default();
        let off = (sum - *count).abs();
        assert!(
            off <= 4.0 * spread.sqrt() + 1e-6,
            "{ending:?}: {count} exchanges, weights of {sum}, which may be off by {}",
            4.0 * spread.sqrt()
        );
    }
}
