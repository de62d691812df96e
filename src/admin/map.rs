//! `/api/v1/map`: what went which way through the proxy in the last minute, from listeners to endpoints.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Sources;
use super::reply::{self, Reply};
use crate::telemetry::live_figures::{Part, Place};

/// The places and the ways between them.
pub(super) fn page(sources: &Sources) -> Reply {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let (seconds, parts) = sources.figures.map(now);
    let mut lists: Map<String, Value> = Map::new();
    for kind in [
        "listeners",
        "routes",
        "upstreams",
        "endpoints",
        "listener_routes",
        "route_endpoints",
    ] {
        lists.insert(kind.to_owned(), json!([]));
    }
    for part in &parts {
        let (kind, names) = named(&part.place);
        if let Some(Value::Array(list)) = lists.get_mut(kind) {
            list.push(figures(part, names, seconds));
        }
    }
    lists.insert("now".to_owned(), json!(now.as_secs()));
    lists.insert("seconds".to_owned(), json!(seconds));
    reply::value(&Value::Object(lists))
}

fn named(place: &Place) -> (&'static str, Value) {
    match place {
        Place::Listener(listener) => ("listeners", json!({ "listener": listener })),
        Place::Route(route) => ("routes", json!({ "route": route })),
        Place::Upstream(upstream) => ("upstreams", json!({ "upstream": upstream })),
        Place::Endpoint(upstream, endpoint) => (
            "endpoints",
            json!({ "upstream": upstream, "endpoint": endpoint }),
        ),
        Place::ListenerRoute(listener, route) => (
            "listener_routes",
            json!({ "listener": listener, "route": route }),
        ),
        Place::RouteEndpoint(route, upstream, endpoint) => (
            "route_endpoints",
            json!({ "route": route, "upstream": upstream, "endpoint": endpoint }),
        ),
    }
}

fn figures(part: &Part, mut names: Value, seconds: u64) -> Value {
    let rate = |count: u32| {
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX).max(1);
        f64::from(count) / f64::from(seconds)
    };
    let figures = json!({
        "count": part.count,
        "errors": part.errors,
        "unrouted": part.unrouted,
        "rate": rate(part.count),
        "error_rate": rate(part.errors),
        "p50_ms": part.p50_ms,
        "p99_ms": part.p99_ms,
    });
    if let (Value::Object(names), Value::Object(figures)) = (&mut names, figures) {
        names.extend(figures);
    }
    names
}
