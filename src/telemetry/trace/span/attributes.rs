//! The attributes of spans: what was asked for and by whom, what became of it, and by which rule it is here.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use opentelemetry_semantic_conventions::attribute as semconv;

use super::field::ATTRIBUTE;
use super::status::error_type;
use crate::exchange::{Attempt, KnownMethod, Record, TlsFacts, Words};
use crate::telemetry::mask::masked;
use crate::telemetry::otlp::{Message, Value};
use crate::telemetry::trace::names::{EndpointNames, Names};
use crate::telemetry::trace::words;

/// Writes attributes; keeps as text what repeats.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Addresses as text.
    addresses: HashMap<IpAddr, Box<str>, RandomState>,
    /// The masked query of the record in hand, which several spans show.
    query: String,
    /// Where text is put together.
    scratch: String,
}

/// Where attributes go: into a span's bytes, or wherever else the facts of an exchange are told.
pub(super) trait Tell {
    /// Text.
    fn text(&mut self, key: &str, value: &str);
    /// A whole number.
    fn number(&mut self, key: &str, value: i64);
    /// A number.
    fn double(&mut self, key: &str, value: f64);
    /// Yes or no.
    fn flag(&mut self, key: &str, value: bool);
}

/// How many addresses are kept as text before they are forgotten.
const MAX_ADDRESSES: usize = 4096;

// === impl Message ===

impl Tell for Message {
    fn text(&mut self, key: &str, value: &str) {
        self.attribute(ATTRIBUTE, key, Value::Text(value));
    }

    fn number(&mut self, key: &str, value: i64) {
        self.attribute(ATTRIBUTE, key, Value::Number(value));
    }

    fn double(&mut self, key: &str, value: f64) {
        self.attribute(ATTRIBUTE, key, Value::Double(value));
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.attribute(ATTRIBUTE, key, Value::Flag(value));
    }
}

// === impl Attributes ===

impl Attributes {
    /// From now on it is about this record.
    pub(super) fn begin(&mut self, record: &Record) {
        self.query.clear();
        self.query.push_str(&masked(record.text.words().query));
    }

    /// Those of an exchange.
    pub(super) fn server(
        &mut self,
        to: &mut impl Tell,
        record: &Record,
        names: &Names,
        weight: f64,
    ) {
        self.request(to, record, &record.text.words(), names);
        if let Some(route) = names.route(record.route) {
            to.text(semconv::HTTP_ROUTE, &route.pattern);
            to.text(words::ROUTE, &route.name);
        }
        if record.head_after.is_some() {
            let status = i64::from(record.status);
            to.number(semconv::HTTP_RESPONSE_STATUS_CODE, status);
        }
        let status = (Some(record.status), record.grpc_status);
        if let Some(error) = error_type(record.outcome, status, 500) {
            to.text(semconv::ERROR_TYPE, &error);
        }
        to.text(words::OUTCOME, record.outcome.as_str());
        if let Some(reason) = record.kept {
            to.text(words::REASON, reason.as_str());
            to.double(words::WEIGHT, weight);
        }
        let generation = i64::from(record.generation);
        to.number(words::GENERATION, generation);
        if let Some(status) = record.grpc_status {
            to.number(words::GRPC_STATUS, i64::from(status));
        }
        if let Some(identity) = &record.identity {
            to.text(words::USER, &identity.name);
        }
        if let Some(tunnel) = record.tunnel {
            to.text(words::TUNNEL, tunnel.as_str());
        }
        if let Some(baggage) = &record.trace.baggage {
            for (key, value) in std::iter::zip(&names.baggage, baggage.iter()) {
                if let Some(value) = value {
                    to.text(key, value);
                }
            }
        }
    }

    /// What was asked for, and by whom.
    fn request(&mut self, to: &mut impl Tell, record: &Record, text: &Words<'_>, names: &Names) {
        let method = record.method.as_str();
        to.text(semconv::HTTP_REQUEST_METHOD, method);
        if record.method == KnownMethod::Other {
            let key = semconv::HTTP_REQUEST_METHOD_ORIGINAL;
            to.text(key, text.method);
        }
        let scheme = if record.is_tls { "https" } else { "http" };
        to.text(semconv::URL_SCHEME, scheme);
        to.text(semconv::URL_PATH, text.path);
        if !self.query.is_empty() {
            to.text(semconv::URL_QUERY, &self.query);
        }
        let (host, port) = match host_and_port(text.host, record.is_tls) {
            Some(known) => known,
            None => names.listener(record.listener),
        };
        to.text(semconv::SERVER_ADDRESS, host);
        if port != 0 {
            to.number(semconv::SERVER_PORT, i64::from(port));
        }
        self.address(to, semconv::CLIENT_ADDRESS, record.client);
        let peer = record.peer.ip().to_canonical();
        self.address(to, semconv::NETWORK_PEER_ADDRESS, peer);
        let port = i64::from(record.peer.port());
        to.number(semconv::NETWORK_PEER_PORT, port);
        let version = record.protocol.as_str();
        to.text(semconv::NETWORK_PROTOCOL_VERSION, version);
        if !text.user_agent.is_empty() {
            to.text(semconv::USER_AGENT_ORIGINAL, text.user_agent);
        }
        if let Some(tls) = &record.tls {
            handshake(to, tls);
        }
    }

    /// Those of an attempt.
    pub(super) fn client(
        &mut self,
        to: &mut impl Tell,
        record: &Record,
        names: &Names,
        (order, attempt): (u32, &Attempt),
    ) {
        let method = record.method.as_str();
        to.text(semconv::HTTP_REQUEST_METHOD, method);
        if record.method == KnownMethod::Other {
            let key = semconv::HTTP_REQUEST_METHOD_ORIGINAL;
            to.text(key, record.text.words().method);
        }
        if let Some(endpoint) = names.endpoint(attempt.upstream, attempt.endpoint) {
            to.text(semconv::SERVER_ADDRESS, &endpoint.host);
            let port = i64::from(endpoint.port);
            to.number(semconv::SERVER_PORT, port);
            let url = self.url(record, names, endpoint);
            to.text(semconv::URL_FULL, url);
        }
        if let Some(peer) = attempt.peer {
            let address = peer.ip().to_canonical();
            self.address(to, semconv::NETWORK_PEER_ADDRESS, address);
            let port = i64::from(peer.port());
            to.number(semconv::NETWORK_PEER_PORT, port);
            let version = if attempt.is_http2 { "2" } else { "1.1" };
            to.text(semconv::NETWORK_PROTOCOL_VERSION, version);
            if let Some(version) = attempt.tls {
                to.text(semconv::TLS_PROTOCOL_NAME, "tls");
                to.text(semconv::TLS_PROTOCOL_VERSION, version.as_str());
            }
            to.flag(words::REUSED, attempt.is_reused);
        }
        if let Some(status) = attempt.status {
            let status = i64::from(status);
            to.number(semconv::HTTP_RESPONSE_STATUS_CODE, status);
        }
        let status = (attempt.status, attempt.grpc_status);
        if let Some(error) = error_type(attempt.outcome, status, 400) {
            to.text(semconv::ERROR_TYPE, &error);
        }
        if attempt.early_hints > 0 {
            let count = i64::from(attempt.early_hints);
            to.number(words::EARLY_HINTS, count);
        }
        if order > 0 {
            let count = i64::from(order);
            to.number(semconv::HTTP_REQUEST_RESEND_COUNT, count);
        }
        if let Some(upstream) = names.upstream(attempt.upstream) {
            to.text(words::UPSTREAM, &upstream.name);
        }
        to.number(words::ATTEMPT, i64::from(order) + 1);
        if let Some(status) = attempt.grpc_status {
            to.number(words::GRPC_STATUS, i64::from(status));
        }
    }

    /// The URL that went upstream, with the query masked.
    fn url(&mut self, record: &Record, names: &Names, endpoint: &EndpointNames) -> &str {
        let text = record.text.words();
        self.scratch.clear();
        self.scratch.push_str(endpoint.scheme);
        self.scratch.push_str("://");
        self.scratch.push_str(&endpoint.authority);
        names.push_upstream_path(record.route, text.path, &mut self.scratch);
        if !self.query.is_empty() {
            self.scratch.push('?');
            self.scratch.push_str(&self.query);
        }
        &self.scratch
    }

    fn address(&mut self, to: &mut impl Tell, key: &str, address: IpAddr) {
        if let Some(text) = self.addresses.get(&address) {
            return to.text(key, text);
        }
        self.scratch.clear();
        let _ = write!(self.scratch, "{address}"); // writing to a String cannot fail
        if self.addresses.len() == MAX_ADDRESSES {
            self.addresses.clear();
        }
        self.addresses.insert(address, self.scratch.as_str().into());
        to.text(key, &self.scratch);
    }
}

/// What the client's TLS handshake has settled. OpenTelemetry's names of these are still experimental: they are not part
/// of what dashboards may rely on.
fn handshake(to: &mut impl Tell, tls: &TlsFacts) {
    let version = tls.version.as_str();
    to.text(semconv::TLS_PROTOCOL_VERSION, version);
    to.text(semconv::TLS_CIPHER, tls.suite);
    if !tls.group.is_empty() {
        to.text(semconv::TLS_CURVE, tls.group);
    }
    to.flag(semconv::TLS_RESUMED, tls.is_resumed);
    if let Some(client) = &tls.client {
        to.text(semconv::TLS_CLIENT_SUBJECT, &client.subject);
        to.text(semconv::TLS_CLIENT_HASH_SHA256, &client.sha256);
    }
}

/// The host and the port that were asked for; without a port, the scheme's.
pub(super) fn host_and_port(text: &str, is_tls: bool) -> Option<(&str, u16)> {
    let standard = if is_tls { 443 } else { 80 };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.and_then(|port| port.parse().ok()).unwrap_or(standard);
    (!host.is_empty()).then_some((host, port))
}
