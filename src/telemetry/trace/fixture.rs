//! A plan and records to test with.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{
    Address, Admin, Balance, Drain, Endpoint, HeaderEdits, Host, Listener, ListenerLimits,
    ListenerTimeouts, Match, Name, PathPattern, Plan, Protocol as Speaks, Rewrite, Route,
    RouteTimeouts, Runtime, Split, Telemetry, TraceContext, Tunnels, Upstream, UpstreamLimits,
};
use crate::exchange::{
    Carried, Connection, Exchange, Gauge, Outcome, Phase, Protocol, Record, SpanId, Text,
    TracePlace, Words,
};

/// One listener, one route `checkout` at `/api/checkout`, one upstream of two endpoints.
pub(super) fn plan() -> Plan {
    let endpoint = |host, port| Endpoint {
        address: Address { host, port },
        weight: 1,
    };
    Plan {
        listeners: vec![Listener {
            name: Name::new("public"),
            address: address("127.0.0.1:8080"),
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
        routes: vec![Route {
            name: Name::new("checkout"),
            matches: Match {
                hosts: Vec::new(),
                path: PathPattern::Prefix("/api/checkout".to_owned()),
                methods: Vec::new(),
                headers: Vec::new(),
                query: Vec::new(),
                is_grpc: false,
            },
            to: vec![Split {
                upstream: 0,
                weight: 1,
            }],
            timeout: RouteTimeouts::default(),
            max_body: None,
            rewrite: Rewrite {
                strip_prefix: Some("/api".to_owned()),
                ..Rewrite::default()
            },
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            rate_limit: None,
            concurrency: None,
            retry: None,
            slo: None,
            access: crate::config::Access::default(),
            tunnels: Tunnels::default(),
            traces: crate::config::RouteTraces::default(),
        }],
        upstreams: vec![Upstream {
            name: Name::new("shop"),
            endpoints: vec![
                endpoint(Host::Ip([127, 0, 0, 1].into()), 9001),
                endpoint(Host::Name(Arc::from("shop.internal")), 9002),
            ],
            tls: None,
            proxy_protocol: None,
            protocol: Speaks::Http1,
            balance: Balance::PeakEwma,
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(60),
            limits: UpstreamLimits::default(),
        }],
        telemetry: Telemetry::default(),
        admin: Admin::default(),
        runtime: Runtime {
            workers: 1,
            drain: Drain::default(),
        },
        hash: "abc".to_owned(),
    }
}

const BODY: Duration = Duration::from_secs(30);

/// An exchange that has just begun.
pub(super) fn open(method: &str) -> Exchange {
    let (peer, local) = (address("[::ffff:10.1.2.3]:4711"), address("127.0.0.1:8080"));
    let connection = Rc::new(Connection::new(7, 0, peer, local, false, BODY));
    let method = http::Method::from_bytes(method.as_bytes()).expect("a method");
    let exchange = Exchange::open(&connection, &method, Protocol::Http11, 3);
    exchange.note_trace(TracePlace::root(true));
    exchange.note_words(Text::new(&Words {
        host: "shop.test:8443",
        path: "/api/checkout/cart",
        query: "v=2&token=abc",
        user_agent: "curl/8",
        request_id: "",
        method: method.as_str(),
    }));
    exchange
}

/// Finds its route.
pub(super) fn route(exchange: &Exchange) {
    let gauge = Gauge::default();
    let hour = Duration::from_secs(3600);
    exchange.note_route(0, hour, hour, gauge.enter());
}

/// One attempt at an endpoint, to its head.
pub(super) fn attempt(exchange: &Exchange, endpoint: u16, status: u16) -> SpanId {
    let id = SpanId::random();
    exchange.begin_attempt(0, endpoint, id);
    exchange.enter(Phase::Pick);
    let peer = address(if endpoint == 0 {
        "127.0.0.1:9001"
    } else {
        "127.0.0.2:9002"
    });
    exchange.note_connection(Carried {
        peer,
        is_reused: endpoint == 1,
        is_http2: false,
        tls: None,
    });
    exchange.enter(Phase::SendUpstream);
    exchange.enter(Phase::Wait);
    exchange.note_attempt_head(status);
    id
}

/// A served exchange of one attempt.
pub(super) fn served(status: u16) -> Record {
    let exchange = open("GET");
    route(&exchange);
    attempt(&exchange, 0, status);
    exchange.note_head(status, false);
    exchange.enter(Phase::BodyUpstream);
    end(&exchange, Outcome::Served)
}

/// Its record.
pub(super) fn end(exchange: &Exchange, outcome: Outcome) -> Record {
    exchange.finish(outcome).expect("it ends once")
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
