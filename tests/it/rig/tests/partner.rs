//! Each partner starts, does its work, and is gone afterwards.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};

use super::super::partner::{Jaeger, Nginx, Prometheus, Reserved, check_metrics, partner};
use super::super::{Http2Client, Upstream, get, reply, wait_until};
use super::collector::{TRACE_ID, export, send_grpc};

#[test]
fn nginx_serves_three_sizes_and_logs_them() {
    let Some(nginx) = Nginx::start() else { return };
    assert_eq!(get(nginx.address(), "/small").text(), "small\n");
    assert_eq!(get(nginx.address(), "/64k").body.len(), 64 * 1024);
    assert_eq!(get(nginx.address(), "/1m?x").body.len(), 1024 * 1024);
    assert_eq!(get(nginx.address(), "/none").status, 404);
    wait_until("four lines of its log", || nginx.log_lines().len() == 4);
    assert!(
        nginx.log_lines()[2].starts_with("GET /1m?x 200 "),
        "{:?}",
        nginx.log_lines()
    );
}

#[test]
fn jaeger_shows_a_trace_that_was_sent_to_it() {
    let Some(jaeger) = Jaeger::start() else {
        return;
    };
    assert!(jaeger.trace(TRACE_ID).is_none());
    let mut export = export(2);
    // Span ids of zeros are not valid.
    export.resource_spans[0].scope_spans[0].spans[0].span_id = vec![7; 8];
    let answer = send_grpc(&Http2Client::connect(jaeger.grpc()), &export).expect("an answer");
    assert_eq!(answer.trailers.expect("trailers")["grpc-status"], "0");
    let spans = jaeger.wait_for_spans(TRACE_ID, 2);
    assert_eq!(spans[0]["operationName"], "GET /");
    assert!(jaeger.services().contains(&"shop".to_owned()));
}

#[test]
fn prometheus_scrapes_values_and_exemplars() {
    const PAGE: &str = "# TYPE a histogram\na_bucket{le=\"1.0\"} 3 # {trace_id=\"ab\"} 0.5\na_bucket{le=\"+Inf\"} 3\na_count 3\na_sum 1.5\n# EOF\n";
    let kind = [(
        "content-type",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    let page = Upstream::answering(move |_| reply(200, &kind, PAGE));
    let Some(prometheus) = Prometheus::start(page.address()) else {
        return;
    };
    wait_until("a sample", || prometheus.value("a_count") == Some(3.0));
    wait_until("an exemplar", || {
        !prometheus.exemplars("a_bucket").is_empty()
    });
    assert_eq!(
        prometheus.exemplars("a_bucket")[0]["exemplars"][0]["labels"]["trace_id"],
        "ab"
    );
    assert_eq!(prometheus.scrape_error().as_deref(), Some(""));
}

#[test]
fn promtool_is_content_with_a_good_page_only() {
    let Some(said) = check_metrics("# HELP a_total b\n# TYPE a_total counter\na_total 1\n") else {
        return;
    };
    assert_eq!(said, "");
    let said = check_metrics("# TYPE a counter\na 1\n").expect("it was there a moment ago");
    assert!(said.contains("_total"), "{said}");
}

#[test]
fn a_missing_partner_is_skipped() {
    if std::env::var_os("SIGHTGLASS_REQUIRE_PARTNERS").is_none() {
        assert!(partner("no-such-program-anywhere").is_none());
    }
}

#[test]
fn a_reserved_port_is_given_to_nobody_else_and_refuses_until_its_program_listens() {
    let ports: Vec<_> = (0..200).map(|_| Reserved::new()).collect();
    let numbers: BTreeSet<_> = ports.iter().map(Reserved::address).collect();
    assert_eq!(numbers.len(), ports.len());
    let address = ports[0].address();
    assert!(TcpStream::connect(address).is_err());
    // As servers do, std sets SO_REUSEADDR.
    let listener = TcpListener::bind(address).expect("its program can listen");
    assert!(TcpStream::connect(address).is_ok());
    drop(listener);
}
