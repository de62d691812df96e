//! Spans, made from the record after the exchange has ended.
//!
//! One SERVER span an exchange and one CLIENT span an attempt, with the names of OpenTelemetry's stable HTTP conventions
//! and ours under `sightglass.`. Live spans were measured and rejected for exchanges: 10 to 12 µs a request, as much
//! when the sampler then drops them; these cost about 7 with their export, and only
//! where a trace is kept.
//!
//! Configured names are shared, addresses kept once, so that a span copies little but the client's words. Nothing here
//! decides what is kept.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foldhash::fast::RandomState;
use opentelemetry::trace::{Event, Link, SpanContext, SpanKind, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, trace};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use opentelemetry_semantic_conventions::attribute as semconv;

use super::names::{EndpointNames, Names};
use super::tls_attributes::tls_attributes;
use super::{Environment, words};
use crate::config::Plan;
use crate::exchange::{
    Attempt, KnownMethod, Outcome, Record, SpanId, SpanRef, TraceId, TracePlace, Words,
};
use crate::telemetry::mask::masked;
use crate::telemetry::wall::Wall;

mod status;

use status::{client_status, error_type, server_status};

/// Makes spans from records; belongs to the one task that exports.
#[derive(Debug)]
pub struct SpanMaker {
    environment: Arc<Environment>,
    names: Option<Names>,
    scope: InstrumentationScope,
    /// Addresses as text.
    addresses: HashMap<IpAddr, Arc<str>, RandomState>,
    /// The masked query of the record in hand, which several spans show.
    query: String,
    /// Where text is put together before it is shared.
    scratch: String,
}

/// How many addresses are kept as text before they are forgotten.
const MAX_ADDRESSES: usize = 4096;

// === impl SpanMaker ===

impl SpanMaker {
    /// One that knows no plan yet.
    #[must_use]
    pub fn new(environment: Arc<Environment>) -> Self {
        Self {
            environment,
            names: None,
            scope: scope(),
            addresses: HashMap::default(),
            query: String::new(),
            scratch: String::new(),
        }
    }

    /// Adds the spans of a kept record, the exchange's first. `plan` is the one whose generation the record carries,
    /// `wall` what time of day its moments were.
    pub fn make(
        &mut self,
        record: &Record,
        plan: &Arc<Plan>,
        wall: Wall,
        spans: &mut Vec<SpanData>,
    ) {
        if !self.names.as_ref().is_some_and(|names| names.are_of(plan)) {
            self.names = Some(Names::new(plan, &self.environment));
        }
        let Some(names) = self.names.take() else {
            return;
        };
        let started = wall.time(record.started);
        let state = trace_state(&record.trace);
        self.query.clear();
        self.query.push_str(&masked(record.text.words().query));
        spans.push(self.server(record, &names, started, &state));
        for (index, attempt) in record.attempts().enumerate() {
            let order = u32::try_from(index).unwrap_or(u32::MAX);
            spans.push(self.client(record, &names, (order, attempt), started, &state));
        }
        self.names = Some(names);
    }

    fn server(
        &mut self,
        record: &Record,
        names: &Names,
        started: SystemTime,
        state: &TraceState,
    ) -> SpanData {
        let ended = started + record.duration();
        let mut links = SpanLinks::default();
        links.links.extend(record.trace.link.map(link));
        SpanData {
            span_context: context(&record.trace, record.trace.span_id, state),
            parent_span_id: record.trace.parent.map_or(trace::SpanId::INVALID, span_id),
            parent_span_is_remote: record.trace.parent.is_some(),
            span_kind: SpanKind::Server,
            name: server_name(record, names),
            start_time: started,
            end_time: ended,
            attributes: self.server_attributes(record, names),
            dropped_attributes_count: 0,
            events: fault_event(record, ended),
            links,
            status: server_status(record),
            instrumentation_scope: self.scope.clone(),
        }
    }

    fn server_attributes(&mut self, record: &Record, names: &Names) -> Vec<KeyValue> {
        let mut all = Vec::with_capacity(24);
        let words = record.text.words();
        self.request_attributes(record, &words, names, &mut all);
        if let Some(route) = names.route(record.route) {
            all.push(KeyValue::new(semconv::HTTP_ROUTE, shared(&route.pattern)));
            all.push(KeyValue::new(words::ROUTE, shared(&route.name)));
        }
        if record.head_after.is_some() {
            let status = i64::from(record.status);
            all.push(KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, status));
        }
        let status = (Some(record.status), record.grpc_status);
        if let Some(error) = error_type(record.outcome, status, 500) {
            all.push(KeyValue::new(semconv::ERROR_TYPE, error));
        }
        all.push(KeyValue::new(words::OUTCOME, record.outcome.as_str()));
        if let Some(reason) = record.kept {
            let weight = names.head.weight(reason, record.trace.parent.is_some());
            all.push(KeyValue::new(words::REASON, reason.as_str()));
            all.push(KeyValue::new(words::WEIGHT, weight));
        }
        let generation = i64::from(record.generation);
        all.push(KeyValue::new(words::GENERATION, generation));
        if let Some(status) = record.grpc_status {
            all.push(KeyValue::new(words::GRPC_STATUS, i64::from(status)));
        }
        if let Some(identity) = &record.identity {
            all.push(KeyValue::new(words::USER, copied(&identity.name)));
        }
        if let Some(tunnel) = record.tunnel {
            all.push(KeyValue::new(words::TUNNEL, tunnel.as_str()));
        }
        all
    }

    /// What was asked for, and by whom.
    fn request_attributes(
        &mut self,
        record: &Record,
        text: &Words<'_>,
        names: &Names,
        all: &mut Vec<KeyValue>,
    ) {
        let method = record.method.as_str();
        all.push(KeyValue::new(semconv::HTTP_REQUEST_METHOD, method));
        if record.method == KnownMethod::Other {
            let original = copied(text.method);
            all.push(KeyValue::new(
                semconv::HTTP_REQUEST_METHOD_ORIGINAL,
                original,
            ));
        }
        let scheme = if record.tls.is_some() {
            "https"
        } else {
            "http"
        };
        all.push(KeyValue::new(semconv::URL_SCHEME, scheme));
        all.push(KeyValue::new(semconv::URL_PATH, copied(text.path)));
        if !self.query.is_empty() {
            all.push(KeyValue::new(semconv::URL_QUERY, copied(&self.query)));
        }
        let (host, port) = match host_and_port(text.host, record.tls.is_some()) {
            Some((host, port)) => (copied(host), port),
            None => names.listener(record.listener),
        };
        all.push(KeyValue::new(semconv::SERVER_ADDRESS, host));
        if port != 0 {
            all.push(KeyValue::new(semconv::SERVER_PORT, i64::from(port)));
        }
        let peer = record.peer.ip().to_canonical();
        let client = self.address(record.client);
        all.push(KeyValue::new(semconv::CLIENT_ADDRESS, client));
        all.push(KeyValue::new(
            semconv::NETWORK_PEER_ADDRESS,
            self.address(peer),
        ));
        let port = i64::from(record.peer.port());
        all.push(KeyValue::new(semconv::NETWORK_PEER_PORT, port));
        let version = record.protocol.as_str();
        all.push(KeyValue::new(semconv::NETWORK_PROTOCOL_VERSION, version));
        if !text.user_agent.is_empty() {
            let agent = copied(text.user_agent);
            all.push(KeyValue::new(semconv::USER_AGENT_ORIGINAL, agent));
        }
        if let Some(tls) = &record.tls {
            tls_attributes(tls, all);
        }
    }

    fn client(
        &mut self,
        record: &Record,
        names: &Names,
        (order, attempt): (u32, &Attempt),
        started: SystemTime,
        state: &TraceState,
    ) -> SpanData {
        let at = |micros: u32| started + Duration::from_micros(u64::from(micros));
        SpanData {
            span_context: context(&record.trace, attempt.span_id, state),
            parent_span_id: span_id(record.trace.span_id),
            parent_span_is_remote: false,
            span_kind: SpanKind::Client,
            name: Cow::Borrowed(method_name(record.method)),
            start_time: at(attempt.started_us),
            end_time: at(attempt.started_us) + attempt.lasted(),
            attributes: self.client_attributes(record, names, order, attempt),
            dropped_attributes_count: 0,
            events: phase_events(attempt, at),
            links: SpanLinks::default(),
            status: client_status(attempt),
            instrumentation_scope: self.scope.clone(),
        }
    }

    fn client_attributes(
        &mut self,
        record: &Record,
        names: &Names,
        order: u32,
        attempt: &Attempt,
    ) -> Vec<KeyValue> {
        let mut all = Vec::with_capacity(16);
        let method = record.method.as_str();
        all.push(KeyValue::new(semconv::HTTP_REQUEST_METHOD, method));
        let upstream = names.upstream(attempt.upstream);
        if let Some(endpoint) = names.endpoint(attempt.upstream, attempt.endpoint) {
            let host = shared(&endpoint.host);
            all.push(KeyValue::new(semconv::SERVER_ADDRESS, host));
            let port = i64::from(endpoint.port);
            all.push(KeyValue::new(semconv::SERVER_PORT, port));
            let url = self.url(record, names, endpoint);
            all.push(KeyValue::new(semconv::URL_FULL, url));
        }
        if let Some(peer) = attempt.peer {
            let address = self.address(peer.ip().to_canonical());
            all.push(KeyValue::new(semconv::NETWORK_PEER_ADDRESS, address));
            let port = i64::from(peer.port());
            all.push(KeyValue::new(semconv::NETWORK_PEER_PORT, port));
            let version = if attempt.is_http2 { "2" } else { "1.1" };
            all.push(KeyValue::new(semconv::NETWORK_PROTOCOL_VERSION, version));
            if let Some(version) = attempt.tls {
                all.push(KeyValue::new(semconv::TLS_PROTOCOL_NAME, "tls"));
                let version = version.as_str();
                all.push(KeyValue::new(semconv::TLS_PROTOCOL_VERSION, version));
            }
            all.push(KeyValue::new(words::REUSED, attempt.is_reused));
        }
        if let Some(status) = attempt.status {
            let status = i64::from(status);
            all.push(KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, status));
        }
        let status = (attempt.status, attempt.grpc_status);
        if let Some(error) = error_type(attempt.outcome, status, 400) {
            all.push(KeyValue::new(semconv::ERROR_TYPE, error));
        }
        if attempt.early_hints > 0 {
            let count = i64::from(attempt.early_hints);
            all.push(KeyValue::new(words::EARLY_HINTS, count));
        }
        if order > 0 {
            let count = i64::from(order);
            all.push(KeyValue::new(semconv::HTTP_REQUEST_RESEND_COUNT, count));
        }
        if let Some(upstream) = upstream {
            all.push(KeyValue::new(words::UPSTREAM, shared(&upstream.name)));
        }
        all.push(KeyValue::new(words::ATTEMPT, i64::from(order) + 1));
        if let Some(status) = attempt.grpc_status {
            all.push(KeyValue::new(words::GRPC_STATUS, i64::from(status)));
        }
        all
    }

    /// The URL that went upstream, with the query masked.
    fn url(&mut self, record: &Record, names: &Names, endpoint: &EndpointNames) -> StringValue {
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
        copied(&self.scratch)
    }

    fn address(&mut self, address: IpAddr) -> StringValue {
        if let Some(text) = self.addresses.get(&address) {
            return shared(text);
        }
        self.scratch.clear();
        let _ = write!(self.scratch, "{address}"); // writing to a String cannot fail
        let text: Arc<str> = Arc::from(self.scratch.as_str());
        if self.addresses.len() == MAX_ADDRESSES {
            self.addresses.clear();
        }
        self.addresses.insert(address, Arc::clone(&text));
        text.into()
    }
}

/// The scope of all our spans.
pub(in crate::telemetry) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("sightglass")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}

fn shared(text: &Arc<str>) -> StringValue {
    Arc::clone(text).into()
}

/// Text in its own memory; counted, since exporters clone spans for each try.
fn copied(text: &str) -> StringValue {
    Arc::<str>::from(text).into()
}

fn span_id(id: SpanId) -> trace::SpanId {
    trace::SpanId::from_bytes(id.0)
}

fn trace_id(id: TraceId) -> trace::TraceId {
    trace::TraceId::from_bytes(id.0)
}

fn trace_state(place: &TracePlace) -> TraceState {
    // The SDK's reader knows only level 1's keys: a state that it refuses goes upstream all the same.
    let state = place.state.as_deref().map(str::parse);
    state.and_then(Result::ok).unwrap_or_default()
}

fn context(place: &TracePlace, id: SpanId, state: &TraceState) -> SpanContext {
    let flags = TraceFlags::new(place.flags);
    SpanContext::new(
        trace_id(place.trace_id),
        span_id(id),
        flags,
        false,
        state.clone(),
    )
}

fn link(foreign: SpanRef) -> Link {
    let flags = TraceFlags::new(foreign.flags);
    Link::with_context(SpanContext::new(
        trace_id(foreign.trace_id),
        span_id(foreign.span_id),
        flags,
        true,
        TraceState::NONE,
    ))
}

fn method_name(method: KnownMethod) -> &'static str {
    match method {
        KnownMethod::Other => "HTTP",
        method => method.as_str(),
    }
}

fn server_name(record: &Record, names: &Names) -> Cow<'static, str> {
    let method = method_name(record.method);
    match names.route(record.route) {
        Some(route) => Cow::Owned([method, " ", &route.pattern].concat()),
        None => Cow::Borrowed(method),
    }
}

/// The host and the port that were asked for; without a port, the scheme's.
fn host_and_port(text: &str, is_tls: bool) -> Option<(&str, u16)> {
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

/// What exactly went wrong, where somebody noted it.
fn fault_event(record: &Record, at: SystemTime) -> SpanEvents {
    let mut events = SpanEvents::default();
    if record.outcome != Outcome::Served && !record.detail.is_empty() {
        let attributes = vec![
            KeyValue::new(words::OUTCOME, record.outcome.as_str()),
            KeyValue::new(words::DETAIL, record.detail),
        ];
        let event = Event::new(words::FAULT, at, attributes, 0);
        events.events.push(event);
    }
    events
}

/// One event a phase, at the time it was first entered.
fn phase_events(attempt: &Attempt, at: impl Fn(u32) -> SystemTime) -> SpanEvents {
    let mut events = SpanEvents::default();
    events.events.reserve_exact(attempt.phases().count());
    let event = |(phase, micros): (crate::exchange::Phase, u32)| {
        Event::new(phase.as_str(), at(micros), Vec::new(), 0)
    };
    events.events.extend(attempt.phases().map(event));
    events.events.sort_by_key(|event| event.timestamp);
    events
}

#[cfg(test)]
mod tests;
