//! Tests of `span`.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{Span, status};
use prost::Message as _;

use super::super::fixture::{attempt, end, open, plan, route, served};
use super::attributes::host_and_port;
use super::*;
use crate::config::{Share, Telemetry};
use crate::exchange::{KeepReason, RANDOM, SAMPLED, TraceId};
use crate::telemetry::trace::Environment;

fn maker() -> SpanMaker {
    let environment = Environment::read(&|_| None);
    SpanMaker::new(&environment.resource(&Telemetry::default()))
}

/// The spans of a record as a collector reads them, with the moment at which it began.
fn spans(record: &Record, plan: Plan) -> (Vec<Span>, u64) {
    let (wall, mut maker) = (Wall::now(), maker());
    maker.make(record, &Arc::new(plan), wall, 4.0);
    let began = nanos(wall.unix(record.started).as_nanos());
    let request = ExportTraceServiceRequest::decode(maker.request()).expect("protobuf");
    assert!(maker.is_empty());
    let [resource] = &request.resource_spans[..] else {
        panic!("one resource");
    };
    let known = resource.resource.as_ref().expect("a resource");
    let keys = known.attributes.iter().map(|pair| &*pair.key);
    assert!(keys.into_iter().any(|key| key == "service.name"));
    let [scope] = &resource.scope_spans[..] else {
        panic!("one scope");
    };
    let name = &scope.scope.as_ref().expect("a scope").name;
    assert_eq!(name, "sightglass");
    (scope.spans.clone(), began)
}

fn text(pair: &KeyValue) -> String {
    let value = pair.value.clone().and_then(|it| it.value);
    let value = match value.expect("a value") {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::DoubleValue(number) => number.to_string(),
        any_value::Value::BoolValue(flag) => flag.to_string(),
        other => panic!("{other:?}"),
    };
    format!("{}={value}", pair.key)
}

fn attributes(span: &Span) -> Vec<String> {
    span.attributes.iter().map(text).collect()
}

fn names(span: &Span) -> Vec<&str> {
    span.events.iter().map(|event| &*event.name).collect()
}

/// What a span says of itself: nothing, or what failed.
fn failure(span: &Span) -> Option<&str> {
    let status = span.status.as_ref()?;
    assert_eq!(status.code, status::StatusCode::Error as i32);
    Some(&status.message)
}

/// What the server span of an exchange of ours says besides its attributes.
fn is_frame_of_an_exchange(server: &Span, record: &Record, started: u64) {
    assert_eq!(server.name, "GET /api/checkout");
    assert_eq!(server.kind, 2);
    assert!(server.parent_span_id.is_empty());
    assert_eq!(server.flags, u32::from(record.trace.flags) | 0x100);
    assert_eq!(failure(server), None);
    assert_eq!((server.links.len(), server.events.len()), (0, 0));
    assert_eq!(server.start_time_unix_nano, started);
    let took = nanos(record.duration().as_nanos());
    assert_eq!(server.end_time_unix_nano, started + took);
}

#[test]
fn a_served_exchange_is_a_server_span_and_a_client_span() {
    let mut record = served(200);
    record.kept = Some(KeepReason::Head);
    record.grpc_status = Some(0);
    let mut plan = plan();
    plan.telemetry.traces.sample = Some(Share(0.25));
    let (spans, started) = spans(&record, plan);
    let [server, client] = &spans[..] else {
        panic!("{spans:?}");
    };

    is_frame_of_an_exchange(server, &record, started);
    assert_eq!(
        attributes(server),
        [
            "http.request.method=GET",
            "url.scheme=http",
            "url.path=/api/checkout/cart",
            "url.query=v=2&token=REDACTED",
            "server.address=shop.test",
            "server.port=8443",
            "client.address=10.1.2.3",
            "network.peer.address=10.1.2.3",
            "network.peer.port=4711",
            "network.protocol.version=1.1",
            "user_agent.original=curl/8",
            "http.route=/api/checkout",
            "sightglass.route=checkout",
            "http.response.status_code=200",
            "sightglass.outcome=served",
            "sightglass.sampling.reason=head",
            "sightglass.sampling.weight=4",
            "sightglass.config.generation=3",
            "sightglass.grpc_status=0",
        ]
    );

    let attempt = record.first.as_ref().expect("one attempt");
    assert_eq!(client.name, "GET");
    assert_eq!(client.kind, 3);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(client.span_id, attempt.span_id.0);
    assert_eq!(client.trace_id, server.trace_id);
    assert_eq!(failure(client), None);
    let at = |micros: u64| started + micros * 1000;
    let began = at(u64::from(attempt.started_us));
    assert_eq!(client.start_time_unix_nano, began);
    assert_eq!(client.end_time_unix_nano, at(attempt.ended_us));
    assert_eq!(
        attributes(client),
        [
            "http.request.method=GET",
            "server.address=127.0.0.1",
            "server.port=9001",
            "url.full=http://127.0.0.1:9001/checkout/cart?v=2&token=REDACTED",
            "network.peer.address=127.0.0.1",
            "network.peer.port=9001",
            "network.protocol.version=1.1",
            "sightglass.connection.reused=false",
            "http.response.status_code=200",
            "sightglass.upstream=shop",
            "sightglass.attempt=1",
        ]
    );
    assert_eq!(
        names(client),
        ["pick", "send_upstream", "wait", "body_upstream"]
    );
    let times: Vec<_> = client
        .events
        .iter()
        .map(|event| event.time_unix_nano)
        .collect();
    let entered: Vec<_> = attempt
        .phases()
        .map(|(_, micros)| at(u64::from(micros)))
        .collect();
    assert_eq!(times, entered);
}

#[test]
fn a_retried_exchange_has_a_client_span_an_attempt() {
    let exchange = open("PUT");
    route(&exchange);
    attempt(&exchange, 0, 503);
    exchange.end_attempt(Outcome::Served);
    exchange.enter(Phase::Backoff);
    attempt(&exchange, 1, 200);
    exchange.note_head(200, false);
    let mut record = end(&exchange, Outcome::Served);
    record.kept = Some(KeepReason::Retried);
    let (spans, _) = spans(&record, plan());
    let [server, first, second] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(failure(server), None);
    assert_eq!(failure(first), Some(""));
    assert_eq!(
        attributes(first)[8..],
        [
            "http.response.status_code=503",
            "error.type=503",
            "sightglass.upstream=shop",
            "sightglass.attempt=1",
        ]
    );
    assert_eq!(failure(second), None);
    assert_eq!(
        attributes(second),
        [
            "http.request.method=PUT",
            "server.address=shop.internal",
            "server.port=9002",
            "url.full=http://shop.internal:9002/checkout/cart?v=2&token=REDACTED",
            "network.peer.address=127.0.0.2",
            "network.peer.port=9002",
            "network.protocol.version=1.1",
            "sightglass.connection.reused=true",
            "http.response.status_code=200",
            "http.request.resend_count=1",
            "sightglass.upstream=shop",
            "sightglass.attempt=2",
        ]
    );
    assert!(attributes(server).contains(&"sightglass.sampling.weight=4".to_owned()));
}

#[test]
fn a_failed_exchange_says_what_failed() {
    let exchange = open("GET");
    route(&exchange);
    exchange.begin_attempt(0, 0, SpanId::random());
    exchange.enter(Phase::Connect);
    exchange.end_attempt(Outcome::ConnectionRefused);
    exchange.note_detail("connect: refused");
    exchange.note_head(502, false);
    let record = end(&exchange, Outcome::ConnectionRefused);
    let (spans, _) = spans(&record, plan());
    let [server, client] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(failure(server), Some("connect: refused"));
    assert_eq!(
        attributes(server)[13..],
        [
            "http.response.status_code=502",
            "error.type=connection_refused",
            "sightglass.outcome=connection_refused",
            "sightglass.config.generation=3",
        ]
    );
    assert_eq!(names(server), ["sightglass.fault"]);
    let told: Vec<_> = server.events[0].attributes.iter().map(text).collect();
    assert_eq!(
        told,
        [
            "sightglass.outcome=connection_refused",
            "sightglass.detail=connect: refused",
        ]
    );
    assert_eq!(failure(client), Some("connection_refused"));
    assert_eq!(
        attributes(client)[4..],
        [
            "error.type=connection_refused",
            "sightglass.upstream=shop",
            "sightglass.attempt=1",
        ]
    );
    assert_eq!(names(client), ["pick", "connect"]);
}

#[test]
fn an_unmatched_exchange_has_no_route_and_no_attempt() {
    let exchange = open("BREW");
    exchange.note_head(404, false);
    let record = end(&exchange, Outcome::DestinationNotFound);
    let (spans, _) = spans(&record, plan());
    let [server] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(server.name, "HTTP");
    assert_eq!(failure(server), None, "a 404 of ours is whole");
    assert_eq!(
        attributes(server)[..2],
        [
            "http.request.method=_OTHER",
            "http.request.method_original=BREW"
        ]
    );
    assert_eq!(
        attributes(server)[12..],
        [
            "http.response.status_code=404",
            "error.type=destination_not_found",
            "sightglass.outcome=destination_not_found",
            "sightglass.config.generation=3",
        ]
    );
}

#[test]
fn follows_parents_and_links_strangers() {
    let foreign = SpanRef {
        trace_id: TraceId([7; 16]),
        span_id: SpanId([8; 8]),
        flags: SAMPLED,
    };
    let mut record = served(200);
    record.trace.link = Some(foreign);
    let (linked, _) = spans(&record, plan());
    assert_eq!(linked[0].links.len(), 1);
    let link = &linked[0].links[0];
    assert_eq!(link.trace_id, foreign.trace_id.0);
    assert_eq!(link.span_id, foreign.span_id.0);
    assert_eq!(link.flags, 0x301, "sampled, and remote");

    record.trace = TracePlace {
        trace_id: foreign.trace_id,
        span_id: SpanId([9; 8]),
        parent: Some(foreign.span_id),
        flags: SAMPLED | RANDOM,
        link: None,
        state: Some("a=1,b=2".into()),
        baggage: None,
        is_forced: false,
    };
    let (followed, _) = spans(&record, plan());
    let server = &followed[0];
    assert_eq!(server.parent_span_id, foreign.span_id.0);
    assert_eq!((server.flags, followed[1].flags), (0x303, 0x103));
    for span in &followed {
        assert_eq!(span.trace_state, "a=1,b=2");
        assert_eq!(span.trace_id, foreign.trace_id.0);
    }
}

#[test]
fn an_answer_that_broke_off_is_an_error_whatever_its_status() {
    for (status, outcome, is_error) in [
        (200, Outcome::Served, false),
        (404, Outcome::Served, false),
        (500, Outcome::Served, true),
        (200, Outcome::ClientClosed, true),
        (200, Outcome::HttpResponseIncomplete, true),
        (404, Outcome::HttpResponseIncomplete, true),
        (413, Outcome::HttpRequestError, false),
        (200, Outcome::HttpRequestError, true),
        (429, Outcome::RateLimited, false),
        (503, Outcome::Overloaded, true),
    ] {
        let exchange = open("GET");
        exchange.note_head(status, false);
        let record = end(&exchange, outcome);
        let (spans, _) = spans(&record, plan());
        let was = failure(&spans[0]).is_some();
        assert_eq!(was, is_error, "{status} {outcome}");
    }
}

#[test]
fn reads_the_host_that_was_asked_for() {
    for (text, is_tls, want) in [
        ("a.test", false, Some(("a.test", 80))),
        ("a.test", true, Some(("a.test", 443))),
        ("a.test:81", false, Some(("a.test", 81))),
        ("[::1]:82", false, Some(("::1", 82))),
        ("[::1]", false, Some(("::1", 80))),
        ("", false, None),
        ("[::1", false, None),
    ] {
        assert_eq!(host_and_port(text, is_tls), want, "{text}");
    }
}

/// Not a test but a measurement: `cargo test --release -- --ignored --nocapture cost_of`.
#[test]
#[ignore = "a measurement"]
fn cost_of_two_spans() {
    let (record, plan) = (served(200), Arc::new(plan()));
    let mut maker = maker();
    let (wall, began) = (Wall::now(), std::time::Instant::now());
    let rounds = 200_000;
    for round in 0..rounds {
        maker.make(&record, &plan, wall, 1.0);
        if round % 256 == 255 {
            std::hint::black_box(maker.request());
        }
    }
    eprintln!("{:?} for two spans", began.elapsed() / rounds);
}
