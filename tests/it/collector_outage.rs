//! A collector that is down, slow or refuses: it costs counted spans and bounded memory, and no request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::rig::{Client, Collector, Config, Metrics, Mode, Proxy, Upstream, get};

/// A request that takes longer than this was held up by something.
const HELD_UP: Duration = Duration::from_secs(2);

/// The books of a signal, of spans unless another is named, as one scrape tells them.
#[derive(Debug)]
struct Books {
    created: f64,
    exported: f64,
    dropped: f64,
    queued: f64,
}

// === impl Books ===

impl Books {
    fn of(metrics: &Metrics) -> Self {
        Self::of_signal(metrics, "spans")
    }

    fn of_signal(metrics: &Metrics, signal: &str) -> Self {
        let sum = |state| {
            let labels = [("signal", signal), ("state", state)];
            metrics.sum("sightglass_telemetry_items_total", &labels)
        };
        Self {
            created: sum("created"),
            exported: sum("exported"),
            dropped: sum("dropped"),
            queued: metrics.sum("sightglass_telemetry_queued_items", &[("signal", signal)]),
        }
    }

    /// That the law holds at this moment.
    fn check(&self) {
        let told = self.exported + self.dropped + self.queued;
        assert!((self.created - told).abs() < 0.5, "{self:?}");
    }
}

/// Exports soon, gives up soon, and lets so many spans wait.
fn start(config: impl ToString, queue: usize) -> Proxy {
    Proxy::start_with(config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
        command.env("OTEL_BSP_MAX_QUEUE_SIZE", queue.to_string());
        command.env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64");
        // Not less: a machine under load would settle failed batches faster than the test makes spans.
        command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "1000");
    })
}

/// Every trace to this collector, by this protocol.
fn traced(upstream: &Upstream, collector: &Collector, protocol: &str) -> Config {
    Config::new(upstream.address()).telemetry(&format!(
        "traces: {{otlp: {{endpoint: \"{}\", protocol: {protocol}}}, sample: 100%}}",
        collector.url()
    ))
}

/// So many good requests over one connection, none of them held up.
fn send(proxy: &Proxy, count: usize) {
    let mut client = Client::connect(proxy.public());
    for _ in 0..count {
        let sent = Instant::now();
        client.request("GET", "/", &[], b"");
        assert_eq!(client.read_response().status, 200);
        assert!(sent.elapsed() < HELD_UP, "held up for {:?}", sent.elapsed());
    }
}

fn dropped(proxy: &Proxy, reason: &str) -> f64 {
    let labels = [
        ("signal", "spans"),
        ("state", "dropped"),
        ("reason", reason),
    ];
    proxy
        .metrics()
        .sum("sightglass_telemetry_items_total", &labels)
}

#[test]
fn a_collector_that_is_down_from_the_start_costs_spans_and_no_request() {
    for protocol in ["grpc", "http"] {
        let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
        collector.stop();
        let proxy = start(traced(&upstream, &collector, protocol), 200);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut scrapes = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let books = Books::of(&proxy.metrics());
                    books.check();
                    assert!(books.queued <= 200.0 + 64.0, "{books:?}");
                    scrapes += 1;
                }
                scrapes
            });
            send(&proxy, 400);
            is_over.store(true, Ordering::Relaxed);
            let scrapes = watch.join().expect("the law holds at each moment");
            assert!(scrapes > 1);
        });
        proxy.wait_until("spans that found no room", || {
            send(&proxy, 100);
            dropped(&proxy, "queue_full") > 0.0
        });
        proxy.wait_until("spans that nobody took", || {
            dropped(&proxy, "export_failed") > 0.0
        });
        proxy.wait_stderr("the collector takes no spans");
        let told = proxy.get_admin("/api/v1/telemetry").json();
        let last = &told["signals"][0]["last_error"];
        assert!(
            last["what"].is_string() && last["at_unix_seconds"].is_number(),
            "{told}"
        );

        collector.restart();
        proxy.wait_until("the queue is empty", || {
            Books::of(&proxy.metrics()).queued == 0.0
        });
        let before = collector.exchanges().len();
        send(&proxy, 10);
        proxy.wait_until("new spans", || collector.exchanges().len() == before + 10);
        proxy.wait_stderr("the collector takes spans again");
        let books = Books::of(&proxy.metrics());
        books.check();
        assert_eq!(books.exported, collector.spans().len() as f64, "{protocol}");
        proxy.finish();
    }
}

#[test]
fn a_collector_that_never_answers_costs_spans_and_no_request() {
    for protocol in ["grpc", "http"] {
        let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
        collector.set(Mode::Stall);
        let proxy = start(traced(&upstream, &collector, protocol), 200);
        send(&proxy, 100);
        proxy.wait_until("an export that stalls", || collector.stalled_exports() > 0);
        send(&proxy, 300);
        proxy.wait_until("the stalled ones are given up", || {
            dropped(&proxy, "export_failed") > 0.0
        });
        Books::of(&proxy.metrics()).check();
        collector.set(Mode::Accept);
        proxy.wait_until("the rest is taken", || {
            Books::of(&proxy.metrics()).queued == 0.0
        });
        assert!(!collector.exchanges().is_empty(), "{protocol}");
        proxy.finish();
    }
}

#[test]
fn a_slow_collector_gets_what_fits_and_holds_up_no_request() {
    for protocol in ["grpc", "http"] {
        let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
        collector.set(Mode::Slow);
        let proxy = start(traced(&upstream, &collector, protocol), 200);
        let mut sent = 0_u32;
        while dropped(&proxy, "queue_full") == 0.0 {
            assert!(sent < 20_000, "it keeps up with everything");
            send(&proxy, 100);
            sent += 100;
            let books = Books::of(&proxy.metrics());
            books.check();
            assert!(books.queued <= 200.0 + 64.0, "{books:?}");
        }
        proxy.wait_until("what was queued is taken", || {
            let books = Books::of(&proxy.metrics());
            books.created == 1.0 + 2.0 * f64::from(sent) && books.queued == 0.0
        });
        let books = Books::of(&proxy.metrics());
        books.check();
        assert_eq!(books.exported, collector.spans().len() as f64, "{protocol}");
        assert_eq!(books.dropped, dropped(&proxy, "queue_full"), "{protocol}");
        collector.set(Mode::Accept);
        proxy.finish();
    }
}

#[test]
fn through_every_mood_of_a_collector_each_book_is_even_and_each_record_told() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let proxy = start(traced(&upstream, &collector, "grpc"), 400);
    let books = |signal| {
        let books = Books::of_signal(&proxy.metrics(), signal);
        books.check();
        books
    };
    let moods = [
        Mode::Accept,
        Mode::RejectHalf,
        Mode::Slow,
        Mode::Refuse,
        Mode::Accept,
    ];
    for (round, mood) in (1..).zip(moods) {
        collector.set(mood);
        send(&proxy, 150);
        for signal in ["spans", "logs", "records"] {
            books(signal);
        }
        if round == 2 {
            collector.stop();
            send(&proxy, 150);
            collector.restart();
        }
    }
    let sent = f64::from(6 * 150);
    proxy.wait_until("all is settled", || {
        let spans = books("spans");
        spans.created == 1.0 + 2.0 * sent && spans.queued == 0.0
    });
    let spans = books("spans");
    // An answer that was lost on the way leaves spans with the collector that we do not count.
    assert!(
        spans.exported <= collector.spans().len() as f64,
        "{spans:?}"
    );
    assert!(spans.exported > 0.0 && spans.dropped > 0.0, "{spans:?}");
    for signal in ["logs", "records"] {
        proxy.wait_until("every record is told", || {
            let books = books(signal);
            (books.created, books.exported) == (sent, sent)
        });
    }
    proxy.finish();
}

#[test]
fn what_a_busy_collector_refuses_is_sent_again() {
    for protocol in ["grpc", "http"] {
        let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
        collector.set(Mode::Refuse);
        let config = traced(&upstream, &collector, protocol);
        let proxy = Proxy::start_with(config, |command| {
            command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
        });
        send(&proxy, 20);
        proxy.wait_until("a refusal", || collector.refused_spans() > 0);
        collector.set(Mode::Accept);
        proxy.wait_until("all of them", || collector.exchanges().len() == 20);
        assert_eq!(Books::of(&proxy.metrics()).dropped, 0.0, "{protocol}");
        proxy.finish_traced(&collector);
    }
}

#[test]
fn what_a_collector_refuses_for_good_is_lost_at_once_and_counted() {
    for protocol in ["grpc", "http"] {
        let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
        let proxy = start(traced(&upstream, &collector, protocol), 10_000);
        proxy.wait_until("the span of the start", || collector.spans().len() == 1);
        collector.set(Mode::RefuseForGood);
        let exports = collector.exports();
        assert_eq!(get(proxy.public(), "/").status, 200);
        proxy.wait_until("the loss", || dropped(&proxy, "export_failed") == 2.0);
        assert_eq!(collector.exports(), exports + 1, "it is not tried again");
        let books = proxy.get_admin("/api/v1/telemetry").json();
        let spans = &books["signals"][0];
        assert_eq!(spans["dropped"]["export_failed"], 2, "{books}");
        assert!(spans["last_error"]["what"].is_string(), "{books}");
        proxy.finish();
    }
}

#[test]
fn what_a_partial_success_rejects_is_counted_as_that() {
    for protocol in ["grpc", "http"] {
        let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
        let proxy = start(traced(&upstream, &collector, protocol), 10_000);
        proxy.wait_until("the span of the start", || collector.spans().len() == 1);
        collector.set(Mode::RejectHalf);
        send(&proxy, 50);
        proxy.wait_until("all is settled", || {
            let books = Books::of(&proxy.metrics());
            books.created == 101.0 && books.queued == 0.0
        });
        let rejected = collector.rejected_spans();
        assert!(rejected >= 40, "{protocol}: {rejected}");
        assert_eq!(dropped(&proxy, "rejected"), rejected as f64, "{protocol}");
        let books = Books::of(&proxy.metrics());
        books.check();
        assert_eq!(books.exported, collector.spans().len() as f64);
        proxy.wait_stderr("half is enough");
        collector.set(Mode::Accept);
        proxy.finish();
    }
}

#[test]
fn the_end_does_not_wait_for_a_collector_that_never_answers() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    collector.set(Mode::Stall);
    let config = traced(&upstream, &collector, "grpc");
    let mut proxy = Proxy::start(config);
    send(&proxy, 20);
    proxy.wait_until("an export that stalls", || collector.stalled_exports() > 0);
    let asked = Instant::now();
    assert!(proxy.stop().success());
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(proxy.log_lines().len(), 20, "the log is whole all the same");
}

#[test]
fn memory_stays_bounded_while_nobody_takes_spans() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    collector.set(Mode::Stall);
    let config = traced(&upstream, &collector, "grpc")
        .access_log("access_log: {output: off}")
        .telemetry("recorder: {memory: 1MiB}"); // full before it is measured
    let proxy = start(config, 1_000);
    let resident = || proxy.metrics().sum("process_resident_memory_bytes", &[]);
    let path = format!("/{}", "x".repeat(4_000));
    let flood = |rounds: usize| {
        let mut client = Client::connect(proxy.public());
        for _ in 0..rounds {
            for _ in 0..50 {
                client.request("GET", &path, &[], b"");
            }
            for _ in 0..50 {
                assert_eq!(client.read_response().status, 200);
            }
        }
    };
    flood(20);
    proxy.wait_until("the queue is full", || dropped(&proxy, "queue_full") > 0.0);
    let before = resident();
    flood(60);
    let grown = resident() - before;
    // Three thousand records of 4 KiB and their spans would be more than twice as much.
    assert!(grown < 12e6, "grew by {grown} bytes");
    Books::of(&proxy.metrics()).check();
    collector.set(Mode::Accept);
    proxy.finish();
}
