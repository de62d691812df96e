//! A process that has seen traffic, made up, for the tests of this room and for looking at the page.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

use super::{
    Control, EndpointFigures, HoldAsked, HoldRefused, LookedThrough, Running, Sources,
    UpstreamFigures,
};
use crate::config::{Name, Plan, parse};
use crate::exchange::{
    Carried, Connection, Exchange, KeepReason, Outcome, Phase, Protocol, Record, SpanId, Text,
    TraceId, Words,
};
use crate::telemetry::happened::Happened;
use crate::telemetry::ledger::{Ledger, Signal};
use crate::telemetry::live_figures::LiveFigures;
use crate::telemetry::log_levels::LogLevels;
use crate::telemetry::metrics::Scraper;
use crate::telemetry::reader::Reader;
use crate::telemetry::recorder::Recorder;
use crate::telemetry::slo::Slos;
use crate::telemetry::tail::Tail;
use crate::telemetry::verdict::Verdict;
use crate::telemetry::{Catalogue, Desk};

const PLAN: &str = "
listeners: [{name: public, address: 127.0.0.1:8080}]
routes:
  - {name: checkout, match: {path: {prefix: /api/checkout}}, upstream: checkout, slo: {availability: 99.9%, latency: {within: 300ms, for: 99%}}}
  - {name: search, match: {path: {prefix: /search}}, upstream: search}
  - {name: everything-else, match: {path: {prefix: /}}, upstream: web}
upstreams:
  - {name: checkout, endpoints: [{address: 10.0.0.7:9001, weight: 2}, {address: 10.0.0.8:9001}]}
  - {name: search, endpoints: [{address: search.internal:9200}]}
  - {name: web, endpoints: [{address: 10.0.1.1:80}, {address: 10.0.1.2:80}, {address: 10.0.1.3:80}], balance: round_robin}
";

/// A process; its telemetry thread lives as long as it.
pub(super) struct Sample {
    pub(super) sources: Sources,
    desk: Desk,
    reader: Option<Reader>,
}

/// What an exchange was like; times in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Like {
    pub(super) route: u16,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// The endpoint, the status and the milliseconds until the head of each attempt; a status of 0 is a refused
    /// connection.
    pub(super) attempts: &'static [(u16, u16, u64)],
    pub(super) outcome: Outcome,
    pub(super) body: u64,
}

struct Fixed(Arc<Plan>);

// === impl Sample ===

/// Does nothing.
struct NoControl;

impl Control for NoControl {
    fn reload(&self) -> Result<(u32, String), String> {
        Err("there is nothing to reload".to_owned())
    }

    fn drain(&self) {}

    fn hold(&self, _: &HoldAsked<'_>, _: IpAddr) -> Result<(), HoldRefused> {
        Err(HoldRefused::NoUpstream)
    }

    fn look_through(&self, _: LookedThrough) -> bool {
        false
    }
}

impl Sample {
    pub(super) fn new() -> Self {
        let plan = Arc::new(parse(PLAN, "sample.yaml").expect("a plan").plan);
        let (catalogue, ledger) = (Catalogue::new(), Arc::new(Ledger::default()));
        let (recorder, figures) = (
            Recorder::new(&plan.telemetry.recorder),
            LiveFigures::default(),
        );
        let readers: Vec<Box<dyn crate::telemetry::reader::ReadRecords>> =
            vec![Box::new(figures.clone())];
        let reader =
            Reader::start(readers, &recorder, &ledger, Duration::from_secs(1)).expect("a thread");
        let keep = |record: &Record, _| record.is_error().then_some(KeepReason::Error);
        catalogue.adopt(&plan, 1);
        let slos = Slos::new(&catalogue, Box::new(|_| {}));
        slos.adopt(&plan);
        let desk = Desk::new(0, &catalogue, &ledger, reader.outlet());
        desk.set_plan(&plan, 1, Some(Box::new(keep)));
        let sources = Sources {
            scraper: Arc::new(Scraper::detached(&catalogue)),
            catalogue,
            recorder,
            figures,
            verdict: Verdict::default(),
            tail: Tail::default(),
            happened: Happened::default(),
            slos,
            ledger,
            listeners: vec![(
                Name::new("public"),
                SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            )],
            log_levels: LogLevels::detached(),
            control: Arc::new(NoControl),
            explain: |_, _| serde_json::json!({}),
            running: Arc::new(Fixed(Arc::clone(&plan))),
        };
        Self {
            sources,
            desk,
            reader: Some(reader),
        }
    }

    /// An exchange like this; takes as long as it says.
    pub(super) fn exchange(&self, like: &Like) -> Record {
        let client = SocketAddr::from(([192, 0, 2, 41], 40000));
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        let connection = Rc::new(Connection::new(
            7,
            0,
            client,
            local,
            false,
            Duration::from_secs(30),
        ));
        let method = http::Method::from_bytes(like.method.as_bytes()).expect("a method");
        let exchange = Exchange::open(&connection, &method, Protocol::Http11, 1);
        exchange.note_words(Text::new(&Words {
            host: "shop.test",
            path: like.path,
            user_agent: "Mozilla/5.0",
            ..Words::default()
        }));
        let millis = |count| sleep(Duration::from_millis(count));
        for (index, (endpoint, status, wait)) in like.attempts.iter().enumerate() {
            if index > 0 {
                exchange.enter(Phase::Backoff);
                millis(12);
            }
            exchange.enter(Phase::Pick);
            exchange.begin_attempt(like.route, *endpoint, SpanId::random());
            exchange.enter(Phase::Connect);
            millis(2);
            if *status == 0 {
                exchange.end_attempt(Outcome::ConnectionRefused);
                continue;
            }
            exchange.note_connection(Carried {
                peer: SocketAddr::from(([10, 0, 0, 7], 9001)),
                is_reused: index > 0,
                is_http2: false,
                tls: None,
            });
            exchange.enter(Phase::SendUpstream);
            exchange.enter(Phase::Wait);
            millis(*wait);
            exchange.note_attempt_head(*status);
            if index + 1 < like.attempts.len() {
                exchange.end_attempt(Outcome::Served);
            } else {
                exchange.note_head(*status, false);
                exchange.enter(Phase::BodyUpstream);
                millis(like.body / 2);
                exchange.enter(Phase::BodyClient);
                millis(like.body / 2);
            }
        }
        let mut record = exchange.finish(like.outcome).expect("it ends once");
        record.route = (like.route != u16::MAX).then_some(like.route);
        record.bytes_out = 4321;
        record
    }

    /// Says that a record like this one ended so long ago, as an exchange of its own.
    pub(super) fn tell(&self, record: &Record, ago: Duration) -> TraceId {
        let mut record = record.clone();
        let duration = record.duration();
        let ended = Instant::now()
            .checked_sub(ago)
            .expect("after the start of the machine");
        record.started = ended
            .checked_sub(duration)
            .expect("after the start of the machine");
        record.trace.trace_id = TraceId::random();
        record.trace.span_id = SpanId::random();
        let trace_id = record.trace.trace_id;
        let spans = 1 + record.attempts().count() as u64;
        if record.is_error() {
            let account = self.sources.ledger.account(Signal::Spans);
            account.create(spans);
            account.export(spans);
        }
        self.desk.take(record);
        trace_id
    }

    /// Sends off what was told.
    pub(super) fn flush(&self) {
        self.desk.flush();
    }

    /// Lets the telemetry thread read all of it.
    pub(super) fn read_all(&mut self) {
        self.desk.flush();
        if let Some(reader) = self.reader.take() {
            reader.end();
        }
    }
}

// === impl Fixed ===

impl Running for Fixed {
    fn loaded_at(&self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH
    }

    fn plan(&self) -> (Arc<Plan>, u32) {
        (Arc::clone(&self.0), 1)
    }

    fn in_flight(&self) -> crate::telemetry::in_flight::InFlight {
        crate::telemetry::in_flight::InFlight::default()
    }

    fn upstreams(&self) -> Vec<UpstreamFigures> {
        let upstreams = self.0.upstreams.iter().map(|upstream| UpstreamFigures {
            name: upstream.name.clone(),
            protocol: upstream.protocol,
            balance: upstream.balance,
            endpoints: (0..)
                .zip(&upstream.endpoints)
                .map(|(index, endpoint)| EndpointFigures {
                    address: endpoint.address.clone(),
                    weight: endpoint.weight,
                    active: index * 2 + 1,
                    held: None,
                    latency_seconds: 0.008 + 0.3 * f64::from(index * index),
                })
                .collect(),
            active_connections: 3,
            idle_connections: 12,
            opened_connections: 57,
        });
        upstreams.collect()
    }
}
