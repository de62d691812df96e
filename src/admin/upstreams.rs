//! `/api/v1/upstreams`: the upstreams and their endpoints, as the balancer sees them now.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Sources;
use super::reply::{self, Reply};
use crate::config::{Address, Balance, HeldState, Name, Protocol};
use crate::telemetry::Catalogue;

/// An upstream as it is now.
#[derive(Clone, Debug)]
pub struct UpstreamFigures {
    /// Its name.
    pub name: Name,
    /// What is spoken to it.
    pub protocol: Protocol,
    /// How an endpoint is picked.
    pub balance: Balance,
    /// Its endpoints, in the plan's order.
    pub endpoints: Vec<EndpointFigures>,
    /// Connections that carry requests.
    pub active_connections: i64,
    /// Connections that wait in a pool.
    pub idle_connections: i64,
    /// Connections that were made.
    pub opened_connections: u64,
}

/// An endpoint as it is now.
#[derive(Clone, Debug)]
pub struct EndpointFigures {
    /// Where it is.
    pub address: Address,
    /// Its weight.
    pub weight: u32,
    /// Attempts that are at it now.
    pub active: u32,
    /// How somebody has taken it out, if somebody has.
    pub held: Option<Held>,
    /// Its recent latency as the balancer sees it, in seconds; a failed attempt counts as a second or more.
    pub latency_seconds: f64,
}

/// How an endpoint is taken out.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// How.
    pub state: HeldState,
    /// Until when.
    pub until: SystemTime,
    /// Who asked for it.
    pub who: IpAddr,
}

/// All upstreams.
pub(super) fn page(sources: &Sources) -> Reply {
    let upstreams = sources.running.upstreams();
    let upstreams: Vec<Value> = upstreams
        .iter()
        .map(|it| upstream(it, &sources.catalogue))
        .collect();
    reply::value(&json!({ "upstreams": upstreams }))
}

/// One endpoint, as it is among all.
pub(super) fn one_endpoint(sources: &Sources, name: &str, address: &str) -> Reply {
    let upstreams = sources.running.upstreams();
    let upstream = upstreams.iter().find(|it| it.name.as_str() == name);
    let found = upstream.and_then(|it| {
        let endpoint = it
            .endpoints
            .iter()
            .find(|it| it.address.to_string() == address);
        Some((it, endpoint?))
    });
    match found {
        Some((upstream, it)) => reply::value(&endpoint(&upstream.name, it, &sources.catalogue)),
        None => reply::value(&Value::Null), // a reload came between
    }
}

fn upstream(upstream: &UpstreamFigures, catalogue: &Catalogue) -> Value {
    let endpoints = upstream
        .endpoints
        .iter()
        .map(|it| endpoint(&upstream.name, it, catalogue));
    json!({
        "upstream": upstream.name.as_str(),
        "protocol": upstream.protocol.as_str(),
        "balance": upstream.balance.as_str(),
        "connections": {
            "active": upstream.active_connections,
            "idle": upstream.idle_connections,
            "opened": upstream.opened_connections,
        },
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

fn endpoint(upstream: &Name, endpoint: &EndpointFigures, catalogue: &Catalogue) -> Value {
    let address = endpoint.address.to_string();
    let requests: Map<String, Value> = catalogue
        .endpoint_requests(upstream, &address)
        .into_iter()
        .map(|(outcome, count)| (outcome, json!(count)))
        .collect();
    json!({
        "endpoint": address,
        "weight": endpoint.weight,
        "health": "unchecked", // nobody asks endpoints for it yet
        "state": endpoint.held.map_or("ready", |it| it.state.as_str()),
        "until_unix_seconds": endpoint.held.map(|it| {
            let until = it.until.duration_since(UNIX_EPOCH).unwrap_or_default();
            until.as_secs_f64()
        }),
        "who": endpoint.held.map(|it| it.who.to_string()),
        "active_requests": endpoint.active,
        "latency_ewma_seconds": endpoint.latency_seconds,
        "requests": requests,
    })
}
