//! Tests of `export`.

use std::time::SystemTime;

use tracing_subscriber::layer::SubscriberExt;

use super::collector::{Fake, Mood};
use std::sync::Arc;

use super::super::queue::Standing;
use super::*;
use crate::config::Telemetry;
use crate::telemetry::ledger::{Balance, Ledger, Signal};
use crate::telemetry::otlp::Batch;
use crate::telemetry::otlp::RejectedLayer;
use crate::telemetry::own_work::{OwnWork, own_layer, own_span};
use crate::telemetry::trace::fixture::{plan, served};
use crate::telemetry::trace::{Environment, words};
use crate::telemetry::wall::Wall;

const BOTH: [OtlpProtocol; 2] = [OtlpProtocol::Grpc, OtlpProtocol::Http];
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

struct Rig {
    ledger: Arc<Ledger>,
    sink: Sink,
    exporter: Exporter,
    plan: Arc<crate::config::Plan>,
}

impl Rig {
    fn start(collector: &Collector, batch: Batch) -> Self {
        let ledger = Arc::new(Ledger::default());
        let sink = Sink::new(batch, Arc::clone(&ledger));
        let environment = Arc::new(Environment::read(&|_| None));
        let resource = environment.resource(&Telemetry::default());
        let handle = Handle::current();
        let exporter = spawn(&handle, sink.clone(), collector, &resource);
        Self {
            ledger,
            sink,
            exporter: exporter.expect("it is built"),
            plan: Arc::new(plan()),
        }
    }

    /// An exchange of two spans.
    fn take(&self) {
        self.sink
            .take(&served(200), &self.plan, Wall::now(), Standing::default());
    }

    fn spans(&self) -> Balance {
        let [balance, ..] = self.ledger.snapshot();
        assert_eq!(balance.signal, Signal::Spans);
        balance
    }

    async fn until(&self, is_so: impl Fn(&Balance) -> bool) -> Balance {
        let poll = async {
            loop {
                let balance = self.spans();
                if is_so(&balance) {
                    return balance;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let balance = tokio::time::timeout(LONG, poll).await;
        balance.unwrap_or_else(|_| panic!("never: {:?}", self.spans()))
    }
}

fn quick() -> Batch {
    Batch {
        delay: Duration::from_millis(10),
        ..Batch::default()
    }
}

#[tokio::test]
async fn spans_reach_the_collector_over_both_flavours() {
    for protocol in BOTH {
        let fake = Fake::start(protocol, Mood::Well).await;
        let rig = Rig::start(&fake.collector(LONG), quick());
        rig.take();
        rig.until(|spans| spans.exported == 2).await;
        rig.take();
        let spans = rig.until(|spans| spans.exported == 4).await;
        assert_eq!((spans.created, spans.queued), (4, 0));
        assert_eq!(spans.last_error, None);

        let names: Vec<_> = fake.spans().into_iter().map(|span| span.name).collect();
        assert_eq!(
            names,
            ["GET /api/checkout", "GET", "GET /api/checkout", "GET"]
        );
        let resource = fake.seen(|seen| seen.requests[0].resource_spans[0].resource.clone());
        let keys = resource.expect("a resource").attributes;
        assert!(keys.iter().any(|pair| pair.key == "service.instance.id"));
    }
}

#[tokio::test]
async fn what_goes_over_the_wire_is_whole() {
    let fake = Fake::start(OtlpProtocol::Grpc, Mood::Well).await;
    let rig = Rig::start(&fake.collector(LONG), quick());
    let mut record = served(200);
    record.trace.parent = Some(crate::exchange::SpanId([5; 8]));
    record.trace.state = Some("a=1".into());
    rig.sink
        .take(&record, &rig.plan, Wall::now(), Standing::default());
    rig.until(|spans| spans.exported == 2).await;
    let [server, client] = &fake.spans()[..] else {
        panic!("two spans");
    };
    assert_eq!(server.trace_id, record.trace.trace_id.0);
    assert_eq!(server.parent_span_id, [5; 8]);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(server.trace_state, "a=1");
    assert_eq!(server.flags, 0x303, "its context is known, and remote");
    assert_eq!(client.flags, 0x103);
    assert_eq!((server.kind, client.kind), (2, 3));
    let took = server.end_time_unix_nano - server.start_time_unix_nano;
    assert_eq!(u128::from(took), record.duration().as_nanos());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let age = now.expect("after 1970").as_nanos() - u128::from(server.end_time_unix_nano);
    assert!(age < LONG.as_nanos(), "{age}");
    let keys: Vec<_> = server.attributes.iter().map(|pair| &*pair.key).collect();
    assert!(keys.contains(&words::ROUTE));
    assert_eq!(client.events.len(), 4);
}

#[tokio::test]
async fn a_partial_success_is_counted_as_rejected() {
    let all = tracing_subscriber::Registry::default().with(RejectedLayer);
    let _heard = tracing::subscriber::set_default(all);
    for protocol in BOTH {
        let fake = Fake::start(protocol, Mood::Rejects(1)).await;
        let rig = Rig::start(&fake.collector(LONG), quick());
        rig.take();
        let spans = rig.until(|spans| spans.queued == 0).await;
        assert_eq!((spans.created, spans.exported), (2, 1), "{protocol:?}");
        assert_eq!(spans.lost(DropReason::Rejected), 1);
        assert_eq!(
            spans.last_error.map(|error| error.what).as_deref(),
            Some("too old")
        );
        fake.turn(Mood::Well);
        rig.take();
        let spans = rig
            .until(|spans| spans.created == 4 && spans.queued == 0)
            .await;
        assert_eq!((spans.exported, spans.lost(DropReason::Rejected)), (3, 1));
    }
}

#[tokio::test]
async fn a_refusal_is_a_counted_drop_with_its_reason() {
    for protocol in BOTH {
        let fake = Fake::start(protocol, Mood::Refuses).await;
        let rig = Rig::start(&fake.collector(LONG), quick());
        rig.take();
        let spans = rig.until(|spans| spans.queued == 0).await;
        assert_eq!(spans.lost(DropReason::ExportFailed), 2);
        let error = spans.last_error.expect("an error").what;
        let words = ["Unauthenticated", "400"];
        assert!(words.iter().any(|word| error.contains(word)), "{error}");
        assert_eq!(fake.seen(|seen| seen.calls), 1, "a refusal is not retried");
    }
}

#[tokio::test]
async fn an_outage_loses_nothing_that_was_queued_when_the_collector_comes_back() {
    for protocol in BOTH {
        let fake = Fake::start(protocol, Mood::HangsUp).await;
        let rig = Rig::start(&fake.collector(LONG), quick());
        rig.take();
        let hung_up = async {
            while fake.seen(|seen| seen.hung_up) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, hung_up).await.expect("it tries");
        rig.take();
        assert_eq!(rig.spans().queued, 4);
        fake.turn(Mood::Well);
        let spans = rig.until(|spans| spans.exported == 4).await;
        assert_eq!(spans.queued, 0, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_request_loses_nothing() {
    for protocol in BOTH {
        let fake = Fake::start(protocol, Mood::BreaksOff).await;
        let rig = Rig::start(&fake.collector(LONG), quick());
        rig.take();
        rig.until(|spans| spans.exported == 2).await;
        assert_eq!(fake.seen(|seen| seen.hung_up), 1, "{protocol:?}");
        // Spans of our own work go another way.
        fake.turn(Mood::BreaksOff);
        let to_sink = tracing_subscriber::Registry::default().with(own_layer(rig.sink.clone()));
        tracing::subscriber::with_default(to_sink, || drop(own_span(OwnWork::Start)));
        let spans = rig.until(|spans| spans.queued == 0).await;
        assert_eq!(spans.exported, 3, "{protocol:?}: {spans:?}");
        assert_eq!(fake.seen(|seen| seen.hung_up), 2, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_collector_that_stalls_costs_bounded_memory_and_counted_spans() {
    for protocol in BOTH {
        let fake = Fake::start(protocol, Mood::Stalls).await;
        let batch = Batch {
            max_queue: 10,
            max_batch: 4,
            delay: Duration::from_millis(1),
        };
        let rig = Rig::start(&fake.collector(Duration::from_millis(200)), batch);
        for _ in 0..50 {
            rig.take();
            let spans = rig.spans();
            let lost: u64 = spans.dropped.iter().map(|(_, lost)| lost).sum();
            assert_eq!(spans.created, spans.exported + lost + spans.queued);
            assert!(rig.sink.waiting() <= 10 && spans.queued <= 14);
            tokio::task::yield_now().await;
        }
        let spans = rig.until(|spans| spans.queued == 0).await;
        assert_eq!(spans.created, 100);
        assert!(spans.lost(DropReason::QueueFull) >= 86);
        let rest = spans.lost(DropReason::ExportFailed);
        assert_eq!(spans.lost(DropReason::QueueFull) + rest, 100);
        fake.turn(Mood::Well);
        rig.take();
        rig.until(|spans| spans.exported == 2).await;
    }
}

#[tokio::test]
async fn a_shutdown_sends_what_waits() {
    let fake = Fake::start(OtlpProtocol::Grpc, Mood::Well).await;
    let batch = Batch {
        delay: LONG * 2,
        max_batch: 4,
        ..Batch::default()
    };
    let rig = Rig::start(&fake.collector(LONG), batch);
    (0..5).for_each(|_| rig.take());
    let (sink, plan, ledger) = (rig.sink.clone(), rig.plan.clone(), rig.ledger.clone());
    rig.exporter.shutdown(LONG).await;
    sink.take(&served(200), &plan, Wall::now(), Standing::default());
    let [spans, ..] = ledger.snapshot();
    assert_eq!((spans.created, spans.exported, spans.queued), (12, 10, 0));
    assert_eq!(spans.lost(DropReason::Shutdown), 2);
    assert_eq!(fake.spans().len(), 10);
}

#[tokio::test]
async fn a_shutdown_gives_up_at_its_deadline_and_counts_what_was_left() {
    let fake = Fake::start(OtlpProtocol::Http, Mood::Stalls).await;
    let batch = Batch {
        max_batch: 2,
        ..quick()
    };
    let rig = Rig::start(&fake.collector(LONG), batch);
    (0..3).for_each(|_| rig.take());
    let ledger = rig.ledger.clone();
    rig.exporter.shutdown(Duration::from_millis(100)).await;
    let [spans, ..] = ledger.snapshot();
    assert_eq!((spans.exported, spans.queued), (0, 0));
    assert_eq!(spans.lost(DropReason::Shutdown), 6);
}

#[tokio::test]
async fn a_batch_goes_when_it_is_full_and_not_before() {
    let fake = Fake::start(OtlpProtocol::Grpc, Mood::Well).await;
    let batch = Batch {
        max_batch: 4,
        delay: LONG * 2,
        ..Batch::default()
    };
    let rig = Rig::start(&fake.collector(LONG), batch);
    rig.take();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(rig.spans().queued, 2);
    rig.take();
    rig.until(|spans| spans.exported == 4).await;
    assert_eq!(fake.seen(|seen| seen.calls), 1);
}

#[tokio::test]
async fn a_collector_that_is_no_url_is_refused_at_the_start() {
    let collector = Collector {
        endpoint: "http://[".to_owned(),
        protocol: OtlpProtocol::Grpc,
        timeout: LONG,
    };
    let sink = Sink::new(Batch::default(), Arc::default());
    let environment = Arc::new(Environment::read(&|_| None));
    let resource = environment.resource(&Telemetry::default());
    let spawned = spawn(&Handle::current(), sink, &collector, &resource);
    assert!(spawned.is_err());
}

/// Not a test but a measurement: `cargo test --release --lib -- --ignored --nocapture cost_of`.
#[test]
#[ignore = "a measurement"]
fn cost_of_an_exported_exchange() {
    let on_thread = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
        nanos.unwrap_or(0_u64)
    };
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().expect("a runtime")
    };
    for protocol in BOTH {
        let (told, hear) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("fake".to_owned());
        let running = thread.spawn(move || {
            runtime().block_on(async {
                let fake = Fake::start(protocol, Mood::Well).await;
                told.send(fake).expect("heard");
                std::future::pending::<()>().await;
            });
        });
        running.expect("a thread");
        let fake = hear.recv().expect("told");
        runtime().block_on(async {
            let batch = Batch {
                delay: Duration::from_millis(1),
                ..Batch::default()
            };
            let rig = Rig::start(&fake.collector(LONG), batch);
            let record = served(200);
            let (began, rounds) = (on_thread(), 100_000);
            for round in 0..rounds {
                rig.sink
                    .take(&record, &rig.plan, Wall::now(), Standing::default());
                if round % 256 == 0 {
                    rig.until(|spans| spans.queued < 4096).await;
                }
            }
            let spans = rig.until(|spans| spans.queued == 0).await;
            assert_eq!(spans.exported, 2 * rounds);
            let each = (on_thread() - began) / rounds;
            eprintln!("{protocol:?}: {each} ns an exchange of two spans");
        });
    }
}
