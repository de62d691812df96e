//! A plan and records for the tests of this room.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{
    Address, Admin, Balance, Drain, Endpoint, HeaderEdits, Host, Listener, ListenerLimits,
    ListenerTimeouts, Match, Name, PathPattern, Plan, Protocol as Spoken, Rewrite, Route,
    RouteTimeouts, Runtime, Split, Telemetry, TraceContext, Tunnels, Upstream, UpstreamLimits,
};
use crate::exchange::{
    Carried, Connection, Exchange, Outcome, Phase, Protocol, Record, SpanId, Text, Words,
};

/// A plan with one listener, one upstream a route and two endpoints an upstream; each route takes the prefix of its
/// name.
pub(super) fn plan(routes: &[&str]) -> Plan {
    let endpoint = |port| Endpoint {
        address: Address {
            host: Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port,
        },
        weight: 1,
    };
    Plan {
        listeners: vec![Listener {
            name: Name::new("public"),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            http1: true,
            http2: true,
            trusted_proxies: Vec::new(),
            trace_context: TraceContext::Private,
            request_id: true,
            timeout: ListenerTimeouts::default(),
            limits: ListenerLimits::default(),
            tls: None,
            proxy_protocol: false,
            redirect_to_https: None,
        }],
        routes: (0..)
            .zip(routes)
            .map(|(upstream, name)| Route {
                name: Name::new(name),
                matches: Match {
                    hosts: Vec::new(),
                    path: PathPattern::Prefix(format!("/{name}")),
                    methods: Vec::new(),
                    headers: Vec::new(),
                    query: Vec::new(),
                    is_grpc: false,
                },
                to: vec![Split {
                    upstream,
                    weight: 1,
                }],
                timeout: RouteTimeouts::default(),
                max_body: None,
                rewrite: Rewrite::default(),
                request_headers: HeaderEdits::default(),
                response_headers: HeaderEdits::default(),
                rate_limit: None,
                concurrency: None,
                retry: None,
                slo: None,
                access: crate::config::Access::default(),
                tunnels: Tunnels::default(),
                traces: crate::config::RouteTraces::default(),
            })
            .collect(),
        upstreams: routes
            .iter()
            .map(|name| Upstream {
                name: Name::new(&format!("{name}-service")),
                endpoints: vec![endpoint(9001), endpoint(9002)],
                tls: None,
                proxy_protocol: None,
                protocol: Spoken::Http1,
                balance: Balance::PeakEwma,
                connect_timeout: Duration::from_secs(1),
                idle_timeout: Duration::from_secs(60),
                limits: UpstreamLimits::default(),
            })
            .collect(),
        telemetry: Telemetry::default(),
        admin: Admin::default(),
        runtime: Runtime {
            workers: 1,
            drain: Drain::default(),
        },
        hash: "abc123".to_owned(),
    }
}

/// The record of an exchange on this route of generation 1 that was served with 200 in 12 ms.
pub(super) fn record(route: Option<u16>) -> Record {
    let words = Words {
        host: "shop.test:8080",
        path: "/cart",
        query: "",
        user_agent: "curl/8.5.0",
        request_id: "",
        method: "",
    };
    record_of(route, &words)
}

/// The same with these words.
pub(super) fn record_of(route: Option<u16>, words: &Words<'_>) -> Record {
    let address = SocketAddr::from(([127, 0, 0, 1], 40000));
    let body = Duration::from_secs(30);
    let connection = Rc::new(Connection::new(7, 0, address, address, false, body));
    let exchange = Exchange::open(&connection, &http::Method::GET, Protocol::Http11, 1);
    exchange.note_words(Text::new(words));
    if let Some(route) = route {
        exchange.begin_attempt(route, 0, SpanId::random());
        exchange.note_connection(Carried {
            peer: address,
            is_reused: true,
            is_http2: false,
            tls: None,
        });
        exchange.enter(Phase::Wait);
        exchange.note_attempt_head(200);
    }
    exchange.note_head(200, false);
    let mut record = exchange
        .finish(Outcome::Served)
        .expect("the first to end it");
    record.route = route;
    record.bytes_out = 100;
    let millis = Duration::from_millis;
    record.phases = [
        (Phase::Admit, millis(1)),
        (Phase::Wait, millis(10)),
        (Phase::BodyClient, millis(1)),
    ]
    .into_iter()
    .collect();
    record
}

/// A second attempt, at the other endpoint.
pub(super) fn retried(mut record: Record) -> Record {
    let first = record.first.as_mut().expect("an attempt");
    first.status = Some(503);
    let mut second = first.clone();
    second.endpoint = 1;
    second.status = Some(200);
    second.span_id = SpanId::random();
    record.more.push(second);
    record
}

/// What a test sends to the readers.
pub(super) fn batch(plan: &Arc<Plan>, records: Vec<Record>) -> super::desk::Batch {
    super::desk::Batch {
        plan: Arc::clone(plan),
        generation: 1,
        wall: super::wall::Wall::now(),
        records,
        marks: Vec::new(),
    }
}
