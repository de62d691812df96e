//! What is told of a tunnel: phases, figures, spans.

use std::time::Duration;

use super::super::rig::{Collector, Proxy};
use super::{End, agreed, config, listener};

#[test]
fn a_tunnel_is_one_record_with_phases_figures_and_spans() {
    let collector = Collector::start();
    let socket = listener();
    let proxy = Proxy::start(config(&socket).traces(collector.address()));
    let (mut client, mut peer) = agreed(proxy.public(), &socket);
    let active = |proxy: &Proxy| proxy.metrics().sum("http_server_active_requests", &[]);
    proxy.wait_until("it is live", || active(&proxy) == 1.0);
    std::thread::sleep(Duration::from_millis(300));
    client.say(b"hello");
    peer.hear(5);
    client.end();
    peer.hear_end();
    peer.end();
    client.hear_end();

    let line = proxy.wait_log_lines(1).remove(0);
    let millis = |value: &serde_json::Value| value.as_f64().expect("milliseconds");
    let phases = line["phases_ms"].as_object().expect("phases");
    let sum: f64 = phases.values().map(millis).sum();
    let total = millis(&line["duration_ms"]);
    assert!((sum - total).abs() < 0.05, "{line}");
    assert!(total >= 300.0, "{line}");
    assert!(
        millis(&phases["body_upstream"]) >= 300.0,
        "both were quiet: {line}"
    );
    let attempt = &line["attempts"][0];
    assert_eq!(attempt["status"], 101);
    assert!(
        millis(&attempt["duration_ms"]) >= 300.0,
        "it lasts as long as the tunnel"
    );

    let metrics = proxy.metrics();
    let labels = [("http_response_status_code", "101"), ("outcome", "served")];
    assert_eq!(
        metrics.sum("http_server_request_duration_seconds_count", &labels),
        1.0
    );
    let to_head = metrics.sum("http_server_request_duration_seconds_sum", &labels);
    assert!(
        to_head < 0.3,
        "a request's duration is that to the head: {to_head}"
    );
    let whole = metrics.sum(
        "sightglass_stream_duration_seconds_sum",
        &[("outcome", "served")],
    );
    assert!(whole >= 0.3, "a stream's is the whole: {whole}");
    assert_eq!(
        metrics.sum("http_server_request_body_size_bytes_sum", &[]),
        5.0
    );
    assert_eq!(active(&proxy), 0.0);

    proxy.wait_until("the spans", || collector.exchanges().len() == 1);
    let server = collector.exchanges().remove(0);
    assert_eq!(server.text("sightglass.tunnel"), Some("websocket"));
    proxy.finish_traced(&collector);
}
