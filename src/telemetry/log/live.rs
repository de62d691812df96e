//! What is in flight as JSON: exchanges that go on, and connections. The words are the log's where it has the same.

use super::json::{endpoint, hex, integer, key, millis, place, request, socket, text, who, word};
use super::time::Clock;
use crate::config::Plan;
use crate::exchange::{LiveConnection, LiveExchange};
use crate::telemetry::label;
use crate::telemetry::wall::Wall;

/// An exchange, as an object.
pub(in crate::telemetry) fn exchange(
    out: &mut Vec<u8>,
    plan: &Plan,
    wall: Wall,
    live: &LiveExchange,
) {
    let record = &live.record;
    key(out, "{\"began\":\"");
    Clock::default().write(out, wall.unix(record.started));
    key(out, "\",\"age_ms\":");
    millis(out, record.duration());
    word(out, ",\"phase\":\"", live.phase.as_str());
    key(out, ",\"in_phase_ms\":");
    millis(out, live.in_phase);
    key(out, ",\"phases_ms\":{");
    for (index, (phase, time)) in record.phases.iter().enumerate() {
        key(out, if index == 0 { "\"" } else { ",\"" });
        key(out, phase.as_str());
        key(out, "\":");
        millis(out, time);
    }
    key(out, "}");
    hex(out, ",\"trace_id\":\"", &record.trace.trace_id.hex());
    if let Some(listener) = plan.listeners.get(usize::from(record.listener)) {
        text(out, ",\"listener\":\"", listener.name.as_str());
    }
    key(out, ",\"connection\":");
    integer(out, record.connection);
    let route = record.route.and_then(|at| plan.routes.get(usize::from(at)));
    let route = route.map_or(label::UNMATCHED, |route| route.name.as_str());
    text(out, ",\"route\":\"", route);
    if let Some((upstream, address)) = place(plan, record.attempts().last()) {
        text(out, ",\"upstream\":\"", upstream);
        endpoint(out, ",\"endpoint\":\"", address);
    }
    key(out, ",\"attempts\":");
    integer(out, record.attempts().count() as u64);
    who(out, record);
    request(out, record, &record.text.words());
    if record.head_after.is_some() {
        key(out, ",\"status\":");
        integer(out, u64::from(record.status));
    }
    key(out, ",\"bytes_in\":");
    integer(out, record.bytes_in);
    key(out, ",\"bytes_out\":");
    integer(out, record.bytes_out);
    key(out, ",\"config_generation\":");
    integer(out, u64::from(record.generation));
    key(out, "}");
}

/// A connection, as an object.
pub(in crate::telemetry) fn connection(out: &mut Vec<u8>, plan: &Plan, live: &LiveConnection) {
    key(out, "{\"connection\":");
    integer(out, live.id);
    if let Some(listener) = plan.listeners.get(usize::from(live.listener)) {
        text(out, ",\"listener\":\"", listener.name.as_str());
    }
    key(out, ",\"peer\":\"");
    socket(
        out,
        (live.peer.ip().to_canonical(), live.peer.port()).into(),
    );
    key(out, "\",\"age_ms\":");
    millis(out, live.age);
    word(out, ",\"state\":\"", live.state);
    if let Some(time) = live.in_state {
        key(out, ",\"in_state_ms\":");
        millis(out, time);
    }
    word(
        out,
        ",\"protocol\":\"",
        if live.is_http2 { "HTTP/2" } else { "HTTP/1" },
    );
    if let Some(tls) = live.tls {
        word(out, ",\"tls\":\"", tls.as_str());
    }
    key(out, ",\"carries\":");
    integer(out, u64::from(live.carries));
    key(out, ",\"exchanges\":");
    integer(out, live.served);
    key(out, "}");
}
