//! A record as a JSON object: the line of the access log, and, with more in it, the answer of the flight recorder.
//!
//! Written by hand into a buffer that is used again: a serializer that knows nothing of the record's shape took several
//! times as long. The fields and their order are the contract's; what does not apply is left out.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::escape;
use super::time::Clock;
use crate::config::{Address, Plan};
use crate::exchange::{
    Attempt, Headers, KnownMethod, LimitStates, Protocol, Record, TlsFacts, Words,
};
use crate::telemetry::mask;
use crate::telemetry::wall::Wall;

/// Writes records as JSON objects.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct JsonWriter {
    clock: Clock,
}

// === impl JsonWriter ===

impl JsonWriter {
    /// One line of the access log, with its end.
    pub(in crate::telemetry) fn line(
        &mut self,
        out: &mut Vec<u8>,
        plan: &Plan,
        wall: Wall,
        record: &Record,
    ) {
        out.push(b'{');
        self.fields(out, plan, wall, record);
        out.extend_from_slice(b"}\n");
    }

    /// What the flight recorder knows: the fields of the log and more.
    pub(in crate::telemetry) fn exchange(
        &mut self,
        out: &mut Vec<u8>,
        plan: &Plan,
        wall: Wall,
        record: &Record,
    ) {
        out.push(b'{');
        self.fields(out, plan, wall, record);
        if let Some(parent) = record.trace.parent {
            hex(out, ",\"parent_span_id\":\"", &parent.hex());
        }
        if let Some(link) = &record.trace.link {
            hex(out, ",\"linked_trace_id\":\"", &link.trace_id.hex());
        }
        if let Some(reason) = record.kept {
            word(out, ",\"sampling_reason\":\"", reason.as_str());
        }
        if !record.detail.is_empty() {
            text(out, ",\"detail\":\"", record.detail);
        }
        if let Some(route) = record.route.and_then(|it| plan.routes.get(usize::from(it))) {
            text(out, ",\"route_match\":\"", &route.matches.to_string());
        }
        if let Some(head) = record.head_after {
            key(out, ",\"head_after_ms\":");
            millis(out, head);
        }
        if record.is_stream {
            key(out, ",\"stream\":true");
        }
        if let Some(tls) = &record.tls {
            handshake(out, tls);
        }
        if let Some(kept) = &record.headers {
            headers(out, plan, kept);
        }
        if let Some(states) = &record.limits {
            limits(out, states);
        }
        key(out, ",\"attempt_phases\":[");
        for (index, attempt) in record.attempts().enumerate() {
            key(out, if index == 0 { "{" } else { ",{" });
            hex(out, "\"span_id\":\"", &attempt.span_id.hex());
            key(out, ",\"started_ms\":");
            micros(out, attempt.started_us);
            key(out, ",\"ended_ms\":");
            thousandths(out, attempt.ended_us);
            if attempt.is_resend {
                key(out, ",\"resend\":true");
            }
            candidates(out, plan, attempt);
            key(out, ",\"entered_ms\":{");
            let mut before = "\"";
            for (phase, at) in attempt.phases() {
                key(out, before);
                key(out, phase.as_str());
                key(out, "\":");
                micros(out, at);
                before = ",\"";
            }
            key(out, "}}");
        }
        key(out, "]}");
    }

    fn fields(&mut self, out: &mut Vec<u8>, plan: &Plan, wall: Wall, record: &Record) {
        let words = record.text.words();
        let listener = plan.listeners.get(usize::from(record.listener));
        let trace_id = record.trace.trace_id.hex();

        key(out, "\"time\":\"");
        self.clock.write(out, wall.unix(record.started));
        key(out, "\",\"trace_id\":\"");
        out.extend_from_slice(&trace_id);
        key(out, "\"");
        hex(out, ",\"span_id\":\"", &record.trace.span_id.hex());
        if !words.request_id.is_empty() {
            text(out, ",\"request_id\":\"", words.request_id);
        } else if listener.is_some_and(|listener| listener.request_id) {
            hex(out, ",\"request_id\":\"", &trace_id);
        }
        if let Some(listener) = listener {
            text(out, ",\"listener\":\"", listener.name.as_str());
        }
        key(out, ",\"connection\":");
        integer(out, record.connection);
        if let Some(route) = record.route.and_then(|at| plan.routes.get(usize::from(at))) {
            text(out, ",\"route\":\"", route.name.as_str());
        }
        if let Some((upstream, address)) = place(plan, record.attempts().last()) {
            text(out, ",\"upstream\":\"", upstream);
            endpoint(out, ",\"endpoint\":\"", address);
        }
        who(out, record);
        if let Some(tls) = &record.tls {
            word(out, ",\"tls\":\"", tls.version.as_str());
            if let Some(client) = &tls.client {
                text(out, ",\"client_certificate\":\"", &client.subject);
            }
        }
        request(out, record, &words);
        key(out, ",\"status\":");
        integer(out, u64::from(record.status));
        if let Some(status) = record.grpc_status {
            key(out, ",\"grpc_status\":");
            integer(out, u64::from(status));
        }
        word(out, ",\"outcome\":\"", record.outcome.as_str());
        if let Some(side) = record.outcome.side() {
            word(out, ",\"side\":\"", side.as_str());
        }
        key(out, ",\"duration_ms\":");
        millis(out, record.duration());
        key(out, ",\"phases_ms\":{");
        let mut before = "\"";
        for (phase, time) in record.phases.iter() {
            key(out, before);
            key(out, phase.as_str());
            key(out, "\":");
            millis(out, time);
            before = ",\"";
        }
        key(out, "}");
        attempts(out, plan, record);
        key(out, ",\"bytes_in\":");
        integer(out, record.bytes_in);
        key(out, ",\"bytes_out\":");
        integer(out, record.bytes_out);
        if !words.user_agent.is_empty() {
            text(out, ",\"user_agent\":\"", words.user_agent);
        }
        let sampled = if record.kept.is_some() {
            "true"
        } else {
            "false"
        };
        key(out, ",\"sampled\":");
        key(out, sampled);
        key(out, ",\"config_generation\":");
        integer(out, u64::from(record.generation));
    }
}

/// The header fields that are kept.
fn headers(out: &mut Vec<u8>, plan: &Plan, kept: &Headers) {
    key(out, ",\"headers\":{");
    let names = &plan.telemetry.headers;
    let mut before = "\"";
    for (name, value) in kept
        .iter()
        .filter_map(|(at, it)| Some((names.get(at)?, it)))
    {
        key(out, before);
        key(out, name.as_str());
        text(out, "\":\"", value);
        before = ",\"";
    }
    key(out, "}");
}

/// What the route's limits said.
fn limits(out: &mut Vec<u8>, states: &LimitStates) {
    key(out, ",\"limits\":{");
    if let Some(rate) = &states.rate {
        key(out, "\"rate\":{\"limit\":");
        integer(out, u64::from(rate.limit));
        key(out, ",\"remaining\":");
        integer(out, u64::from(rate.remaining));
        key(out, ",\"reset_ms\":");
        millis(out, rate.reset);
        key(
            out,
            if states.concurrency.is_some() {
                "},"
            } else {
                "}"
            },
        );
    }
    if let Some((live, most)) = states.concurrency {
        key(out, "\"concurrency\":{\"limit\":");
        integer(out, u64::from(most));
        key(out, ",\"live\":");
        integer(out, u64::from(live));
        key(out, "}");
    }
    key(out, "}");
}

/// What the balancer looked at for an attempt.
fn candidates(out: &mut Vec<u8>, plan: &Plan, attempt: &Attempt) {
    key(out, ",\"ready\":");
    integer(out, u64::from(attempt.considered.ready));
    let upstream = plan.upstreams.get(usize::from(attempt.upstream));
    let mut before = ",\"candidates\":[{";
    for (place, load) in attempt.considered.candidates() {
        key(out, before);
        before = ",{";
        if let Some(it) = upstream.and_then(|it| it.endpoints.get(usize::from(place))) {
            endpoint(out, "\"endpoint\":\"", &it.address);
            key(out, ",");
        }
        key(out, "\"load\":");
        if load.is_finite() {
            let _ = write!(out, "{load}"); // a vector takes everything
        } else {
            key(out, "null");
        }
        key(out, "}");
    }
    if before == ",{" {
        key(out, "]");
    }
}

/// What the handshake has settled, besides the version.
fn handshake(out: &mut Vec<u8>, tls: &TlsFacts) {
    word(out, ",\"tls_cipher\":\"", tls.suite);
    if !tls.group.is_empty() {
        word(out, ",\"tls_group\":\"", tls.group);
    }
    key(
        out,
        if tls.is_resumed {
            ",\"tls_resumed\":true"
        } else {
            ",\"tls_resumed\":false"
        },
    );
    if let Some(name) = &tls.server_name {
        text(out, ",\"tls_server_name\":\"", name);
    }
    if let Some(client) = &tls.client {
        word(out, ",\"client_certificate_sha256\":\"", &client.sha256);
        let names = client.uris.iter().chain(&client.dns);
        for (index, name) in names.enumerate() {
            let before = if index == 0 {
                ",\"client_certificate_names\":[\""
            } else {
                ",\""
            };
            text(out, before, name);
        }
        if !(client.uris.is_empty() && client.dns.is_empty()) {
            key(out, "]");
        }
    }
}

/// Who asked, as far as it is known.
pub(super) fn who(out: &mut Vec<u8>, record: &Record) {
    key(out, ",\"client\":\"");
    ip(out, record.client);
    key(out, "\",\"peer\":\"");
    let peer = (record.peer.ip().to_canonical(), record.peer.port());
    socket(out, SocketAddr::from(peer));
    key(out, "\"");
    if let Some(identity) = &record.identity {
        text(out, ",\"user\":\"", &identity.name);
    }
}

/// What was asked for.
pub(super) fn request(out: &mut Vec<u8>, record: &Record, words: &Words<'_>) {
    let scheme = if record.is_tls { "https" } else { "http" };
    text(out, ",\"method\":\"", method(record));
    word(out, ",\"scheme\":\"", scheme);
    for (name, value) in [(",\"host\":\"", words.host), (",\"path\":\"", words.path)] {
        if !value.is_empty() {
            text(out, name, value);
        }
    }
    if !words.query.is_empty() {
        text(out, ",\"query\":\"", &mask::masked(words.query));
    }
    word(out, ",\"protocol\":\"", protocol(record.protocol));
    if let Some(tunnel) = record.tunnel {
        word(out, ",\"tunnel\":\"", tunnel.as_str());
    }
}

fn attempts(out: &mut Vec<u8>, plan: &Plan, record: &Record) {
    if record.first.is_none() {
        return;
    }
    key(out, ",\"attempts\":[");
    for (index, attempt) in record.attempts().enumerate() {
        key(out, if index == 0 { "{" } else { ",{" });
        if let Some((_, address)) = place(plan, Some(attempt)) {
            endpoint(out, "\"endpoint\":\"", address);
            key(out, ",");
        }
        if let Some(status) = attempt.status {
            key(out, "\"status\":");
            integer(out, u64::from(status));
            key(out, ",");
        }
        word(out, "\"outcome\":\"", attempt.outcome.as_str());
        key(out, ",\"duration_ms\":");
        millis(out, attempt.lasted());
        if attempt.early_hints > 0 {
            key(out, ",\"early_hints\":");
            integer(out, u64::from(attempt.early_hints));
        }
        key(out, ",\"reused\":");
        key(out, if attempt.is_reused { "true}" } else { "false}" });
    }
    key(out, "]");
}

/// The upstream and the endpoint of an attempt.
pub(in crate::telemetry) fn place<'a>(
    plan: &'a Plan,
    attempt: Option<&Attempt>,
) -> Option<(&'a str, &'a Address)> {
    let attempt = attempt?;
    let upstream = plan.upstreams.get(usize::from(attempt.upstream))?;
    let endpoint = upstream.endpoints.get(usize::from(attempt.endpoint))?;
    Some((upstream.name.as_str(), &endpoint.address))
}

/// The method as the client wrote it.
pub(in crate::telemetry) fn method(record: &Record) -> &str {
    match (record.method, record.text.words().method) {
        (KnownMethod::Other, word) if !word.is_empty() => word,
        (known, _) => known.as_str(),
    }
}

/// The protocol as people write it.
pub(in crate::telemetry) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http10 => "HTTP/1.0",
        Protocol::Http11 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2",
    }
}

pub(super) fn key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(key.as_bytes());
}

/// A string of ours, which needs no escape.
pub(super) fn word(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    key(out, value);
    out.push(b'"');
}

/// A string of anybody's.
pub(super) fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    escape::json(out, value);
    out.push(b'"');
}

pub(super) fn hex(out: &mut Vec<u8>, name: &str, digits: &[u8]) {
    key(out, name);
    out.extend_from_slice(digits);
    out.push(b'"');
}

/// An address is checked: a host name holds nothing that needs an escape.
pub(super) fn endpoint(out: &mut Vec<u8>, name: &str, address: &Address) {
    key(out, name);
    match address.socket_addr() {
        Some(address) => socket(out, address),
        None => {
            let _ = write!(out, "{address}"); // a vector takes everything
        }
    }
    out.push(b'"');
}

pub(super) fn socket(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        v4 @ IpAddr::V4(_) => {
            ip(out, v4);
            out.push(b':');
            integer(out, u64::from(address.port()));
        }
        IpAddr::V6(_) => {
            let _ = write!(out, "{address}");
        }
    }
}

/// Most addresses are IPv4, and `Display` pads and checks.
fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            let [first, rest @ ..] = v4.octets();
            integer(out, u64::from(first));
            for octet in rest {
                out.push(b'.');
                integer(out, u64::from(octet));
            }
        }
        IpAddr::V6(v6) => {
            let _ = write!(out, "{v6}");
        }
    }
}

pub(super) fn integer(out: &mut Vec<u8>, value: u64) {
    key(out, itoa::Buffer::new().format(value));
}

/// Milliseconds with three decimals, rounded down.
pub(super) fn millis(out: &mut Vec<u8>, time: Duration) {
    thousandths(out, u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

fn micros(out: &mut Vec<u8>, micros: u32) {
    thousandths(out, u64::from(micros));
}

fn thousandths(out: &mut Vec<u8>, value: u64) {
    integer(out, value / 1000);
    let rest = value % 1000;
    key(
        out,
        if rest < 10 {
            ".00"
        } else if rest < 100 {
            ".0"
        } else {
            "."
        },
    );
    integer(out, rest);
}
