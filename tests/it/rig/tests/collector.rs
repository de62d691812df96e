//! Exports by hand into the Collector, over both wires and in each mode.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use super::super::{
    Client, Collector, Http2Client, Http2Response, Kind, Mode, Response, SpanStatus, wait_until,
};

pub(super) const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn a_span_is_told_flat_and_whole() {
    let collector = Collector::start();
    assert_eq!(export_http(&collector, 1).status, 200);
    let span = &collector.spans()[0];
    assert_eq!(
        (span.name.as_str(), span.kind, span.status),
        ("GET /", Kind::Server, SpanStatus::Error)
    );
    assert_eq!(
        (
            span.trace_id.as_str(),
            span.span_id.as_str(),
            span.parent_span_id.as_str()
        ),
        (TRACE_ID, "0000000000000000", "")
    );
    assert_eq!((span.start, span.end, span.flags), (1, 2, 0x101));
    assert_eq!(
        (
            span.text("http.route"),
            span.integer("http.response.status_code")
        ),
        (Some("/"), Some(500))
    );
    assert_eq!(span.event_names(), ["wait"]);
    assert_eq!(span.links[0].trace_id, TRACE_ID);
    assert_eq!(
        (
            span.trace_state.as_str(),
            span.resource["service.name"].as_str()
        ),
        ("a=b", Some("shop"))
    );
    assert_eq!(collector.trace(TRACE_ID).len(), 1);
}

#[test]
fn both_wires_share_one_port() {
    let collector = Collector::start();
    let answer = export_grpc(&collector, 2).expect("an answer");
    assert_eq!(answer.trailers.expect("trailers")["grpc-status"], "0");
    assert_eq!(&answer.body[..], [0; 5]);
    assert_eq!(export_http(&collector, 1).status, 200);
    assert_eq!(
        (
            collector.wait_for(Kind::Server, 3).len(),
            collector.exports()
        ),
        (3, 2)
    );
    assert!(collector.last_headers().contains(&(
        "content-type".to_owned(),
        "application/x-protobuf".to_owned()
    )));
}

#[test]
fn a_refusing_collector_refuses_and_keeps_nothing() {
    let collector = Collector::start();
    collector.set(Mode::Refuse);
    assert_eq!(export_http(&collector, 1).status, 503);
    assert_eq!(
        export_grpc(&collector, 2).expect("an answer").headers["grpc-status"],
        "14"
    );
    collector.set(Mode::RefuseForGood);
    assert_eq!(
        export_grpc(&collector, 1).expect("an answer").headers["grpc-status"],
        "3"
    );
    assert_eq!((collector.spans().len(), collector.refused_spans()), (0, 4));
    collector.set(Mode::Accept);
    assert_eq!(export_http(&collector, 1).status, 200);
    assert_eq!(collector.spans().len(), 1);
}

#[test]
fn a_partial_success_says_how_many_were_rejected() {
    let collector = Collector::start();
    collector.set(Mode::RejectHalf);
    let answer = ExportTraceServiceResponse::decode(export_http(&collector, 5).body.as_slice())
        .expect("an answer");
    assert_eq!(
        answer
            .partial_success
            .expect("a partial success")
            .rejected_spans,
        2
    );
    assert_eq!(
        (collector.spans().len(), collector.rejected_spans()),
        (3, 2)
    );
}

#[test]
fn a_stalled_export_ends_when_the_collector_stops() {
    let collector = Collector::start();
    collector.set(Mode::Stall);
    std::thread::scope(|scope| {
        let stalled = scope.spawn(|| export_grpc(&collector, 1));
        wait_until("the export stalls", || collector.stalled_exports() == 1);
        collector.stop();
        assert!(
            stalled
                .join()
                .expect("the exporter does not panic")
                .is_err()
        );
    });
    assert!(std::net::TcpStream::connect(collector.address()).is_err());
    collector.set(Mode::Accept);
    collector.restart();
    assert_eq!(export_http(&collector, 1).status, 200);
    assert_eq!(collector.spans().len(), 1);
}

fn export_http(collector: &Collector, count: u8) -> Response {
    let mut client = Client::connect(collector.address());
    client.request(
        "POST",
        "/v1/traces",
        &[("content-type", "application/x-protobuf")],
        export(count).encode_to_vec(),
    );
    client.read_response()
}

fn export_grpc(collector: &Collector, count: u8) -> Result<Http2Response, h2::Error> {
    send_grpc(&Http2Client::connect(collector.address()), &export(count))
}

/// One call of `TraceService/Export`.
pub(super) fn send_grpc(
    client: &Http2Client,
    export: &ExportTraceServiceRequest,
) -> Result<Http2Response, h2::Error> {
    let message = export.encode_to_vec();
    let length = u32::try_from(message.len())
        .expect("a short message")
        .to_be_bytes();
    let frame = [&[0], length.as_slice(), &message].concat();
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    client.request(
        "POST",
        path,
        &[("content-type", "application/grpc"), ("te", "trailers")],
        frame,
        &[],
    )
}

/// An export with this many spans of one trace.
pub(super) fn export(count: u8) -> ExportTraceServiceRequest {
    let trace_id = u128::from_str_radix(TRACE_ID, 16)
        .expect("a valid id")
        .to_be_bytes()
        .to_vec();
    let span = |number: u8| Span {
        trace_id: trace_id.clone(),
        span_id: vec![number; 8],
        trace_state: "a=b".to_owned(),
        flags: 0x101,
        name: "GET /".to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        attributes: vec![
            attribute("http.route", any_value::Value::StringValue("/".to_owned())),
            attribute("http.response.status_code", any_value::Value::IntValue(500)),
        ],
        events: vec![Event {
            name: "wait".to_owned(),
            time_unix_nano: 1,
            ..Event::default()
        }],
        links: vec![Link {
            trace_id: trace_id.clone(),
            span_id: vec![9; 8],
            ..Link::default()
        }],
        status: Some(Status {
            code: StatusCode::Error.into(),
            message: String::new(),
        }),
        ..Span::default()
    };
    let scope_spans = ScopeSpans {
        scope: Some(InstrumentationScope {
            name: "rig".to_owned(),
            ..InstrumentationScope::default()
        }),
        spans: (0..count).map(span).collect(),
        ..ScopeSpans::default()
    };
    let name = attribute(
        "service.name",
        any_value::Value::StringValue("shop".to_owned()),
    );
    let resource = Resource {
        attributes: vec![name],
        ..Resource::default()
    };
    let spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![spans],
    }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
