//! The way of a request, from the socket to the wire, on one page.
//!
//! The first layer named is the outermost. Each is always ready and refuses in `call`: nothing waits in `poll_ready`, so
//! there is no queue between layers. The order is the design; the reason stands above each.
//!
//! A stack is one worker's own: what workers share (limits, budgets, endpoints) stands behind `Arc`s in [`RouteParts`],
//! which the graph keeps; the rest is cheap to build and needs no atomics to clone.

use std::rc::Rc;
use std::sync::Arc;

use http::HeaderName;
use tower::ServiceBuilder;
use tower::layer::layer_fn;

use super::access::{Allow, Authenticate, Credentials};
use super::deadline::{AttemptTimeout, Deadline};
use super::forwarded::Forwarded;
use super::https_redirect::HttpsRedirect;
use super::limit::{Allowances, Concurrency, RateLimit};
use super::respond::{self, Respond, ResponseRules};
use super::retry::{Resend, Retry, RetryPolicy};
use super::rewrite::Rewrite;
use super::route::Route;
use super::sanitize::{ListenerRules, Sanitize};
use super::upgrade::Upgrade;
use crate::config::{self, Plan};
use crate::exchange::Gauge;
use crate::telemetry::trace::Traces;
use crate::telemetry::{Desk, ObserveAttempt, ObserveExchange, RouteMeters};
use crate::upstream::{Balance, Forward, Pools, Upstream};

/// Around one attempt.
pub type AttemptStack = ObserveAttempt<AttemptTimeout<Forward>>;
/// Around the attempts of one route.
pub type RouteStack = Allow<
    Upgrade<
        RateLimit<Authenticate<Concurrency<Deadline<Forwarded<Rewrite<Retry<AttemptStack>>>>>>>,
    >,
>;
/// Around everything.
pub type Front = ObserveExchange<Respond<Sanitize<HttpsRedirect<Route<RouteStack>>, Rc<Traces>>>>;
/// What a request's way through the whole stack is.
pub type FrontFuture = <Front as tower::Service<crate::exchange::Arrival>>::Future;

/// What all workers share of the front.
#[derive(Clone, Debug)]
pub struct FrontParts {
    /// The name by which this process knows itself in `Via`.
    pub pseudonym: Arc<str>,
    /// How exchanges find their place in a trace.
    pub traces: Traces,
}

/// What all workers share of a route.
#[derive(Debug)]
pub struct RouteParts {
    /// The names and passwords that it asks for.
    pub credentials: Option<Arc<Credentials>>,
    /// The rate limit's memory.
    pub allowances: Option<Arc<Allowances>>,
    /// The exchanges that live on it, where they are limited.
    pub live: Gauge,
    /// The retry policy with its budget.
    pub retry: Option<RetryPolicy>,
    /// What is counted of it beside the record.
    pub meters: RouteMeters,
    /// Where its traffic goes, by weight.
    pub splits: Vec<(Arc<Upstream>, u32)>,
}

/// A worker's whole stack.
pub fn front(
    plan: &Plan,
    generation: u32,
    parts: &FrontParts,
    routes: &[RouteParts],
    desk: &Rc<Desk>,
    pools: &Pools,
) -> Front {
    let listeners: Rc<[ListenerRules]> = plan.listeners.iter().map(ListenerRules::new).collect();
    let responses = Rc::new(ResponseRules {
        request_id: plan
            .listeners
            .iter()
            .map(|listener| listener.request_id)
            .collect(),
        server_timing: plan.telemetry.server_timing,
        hsts: respond::hsts(&plan.listeners),
    });
    let kept: Rc<[HeaderName]> = plan.telemetry.headers.as_slice().into();
    let pseudonym: Rc<str> = Rc::from(&*parts.pseudonym);
    let traces = Rc::new(parts.traces.clone());
    let stacks = plan
        .routes
        .iter()
        .zip(routes)
        .map(|(route, own)| route_stack(plan, route, own, &traces, &pseudonym, pools))
        .collect();
    let active: Vec<_> = (0..)
        .zip(routes)
        .map(|(index, _)| desk.route_gauge(generation, Some(index)))
        .collect();

    ServiceBuilder::new()
        // Outermost: it sees refusals, faults, panics and clients that go away, and wraps the response's body.
        .layer(layer_fn(|inner| {
            ObserveExchange::new(inner, Rc::clone(desk), generation, Rc::clone(&kept))
        }))
        // The only place where a fault becomes a response; below the observer, so that the status is the true one.
        .layer(layer_fn(|inner| Respond::new(inner, Rc::clone(&responses))))
        // Before routing: every decision is taken on clean input.
        .layer(layer_fn(|inner| {
            Sanitize::new(
                inner,
                Rc::clone(&listeners),
                Rc::clone(&traces),
                Rc::clone(&pseudonym),
            )
        }))
        // Below Sanitize, since a redirect repeats host and path; above Route, since nothing of a route is needed.
        .layer(layer_fn(|inner| HttpsRedirect::new(inner, &plan.listeners)))
        .service(Route::new(plan, &active, stacks))
}

/// A worker's stack of one route.
fn route_stack(
    plan: &Plan,
    route: &config::Route,
    parts: &RouteParts,
    traces: &Traces,
    pseudonym: &str,
    pools: &Pools,
) -> RouteStack {
    let meters = &parts.meters;
    let upstreams: Vec<_> = parts
        .splits
        .iter()
        .map(|(upstream, _)| Arc::clone(upstream))
        .collect();
    let per_try = route.retry.as_ref().and_then(|retry| retry.per_try_timeout);
    let (head, propagation) = (traces.head_of(route), traces.propagation());

    ServiceBuilder::new()
        // The cheapest refusal first: by address.
        .layer(layer_fn(|inner| Allow::new(inner, &route.access)))
        // What the route does not allow to become a tunnel is refused before it costs an allowance; on the way back it
        // is above Deadline, whose total ends where a tunnel begins.
        .layer(layer_fn(|inner| Upgrade::new(inner, route.tunnels)))
        // The next cheapest; above Retry, since a client pays once an exchange.
        .layer(layer_fn(|inner| {
            let limit = parts.allowances.clone();
            RateLimit::new(
                inner,
                limit.map(|limit| (limit, meters.rate_limited("rate_limit"))),
            )
        }))
        // Below the rate limit, so that guessing is limited too; above all that costs the service something.
        .layer(layer_fn(|inner| {
            let basic = route.access.basic.as_ref();
            let asked = basic.zip(parts.credentials.clone());
            Authenticate::new(
                inner,
                asked.map(|(basic, credentials)| (basic.realm.as_str(), credentials)),
            )
        }))
        // The permit is held until the end of the body.
        .layer(layer_fn(|inner| {
            let refused = || meters.overloaded(None, "concurrency");
            let limit = route
                .concurrency
                .map(|most| (most, parts.live.clone(), refused()));
            Concurrency::new(inner, limit)
        }))
        // Above Retry: over all attempts, the pauses between them and both bodies.
        .layer(layer_fn(|inner| Deadline::new(inner, route.timeout.total)))
        // Only writes; what it says was read by Sanitize.
        .layer(layer_fn(|inner| {
            Forwarded::new(inner, &plan.listeners, pseudonym)
        }))
        // Once an exchange: an attempt must not rewrite what the one before has rewritten. Below Forwarded, so that a
        // route's edits have the last word on every field.
        .layer(layer_fn(|inner| Rewrite::new(inner, route)))
        .layer(layer_fn(|inner| {
            // Each attempt picks anew and avoids those already tried.
            let attempts = Resend::new(Balance::new(inner, &parts.splits));
            let policy = parts.retry.clone().map(|policy| (policy, meters.clone()));
            Retry::new(attempts, policy)
        }))
        // The endpoint is known; this attempt's trace context goes upstream.
        .layer(layer_fn(|inner| {
            ObserveAttempt::new(inner, propagation).sampling(head)
        }))
        // Below the observer: a timed-out attempt is seen as one.
        .layer(layer_fn(|inner| AttemptTimeout::new(inner, per_try)))
        // The pool and the wire.
        .service(Forward::new(&upstreams, pools))
}
