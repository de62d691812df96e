//! The layer that gives an exchange its route.
//!
//! It stands below `Sanitize`, so that it sees one host and one canonical path, and above everything that a route
//! configures. It notes the route's facts on the exchange and enforces the largest body: that is the route's to say and
//! needs nothing but the head, so a body that is announced as too large is refused here, before it is counted against a
//! rate limit or takes a permit; one that turns out to be is cut by the body itself, whose allowance is set here.
//!
//! [`matcher`] is the specification of matching, [`table`] the fast way to the same answer, [`ruling`] why each other
//! route lost.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::HeaderMap;
use http_body::Body;
use tower::Service;
use tracing::trace;

use super::refused::OrRefused;
use super::sanitize::host;
use crate::config::{Name, Plan, RouteTimeouts};
use crate::exchange::{Fault, Gauge, Outcome, Request, Response, Serve};

pub mod matcher;
pub mod ruling;
pub mod table;

pub use table::RouteTable;

/// Picks the route and hands the request to its stack.
///
/// A clone is one count of a reference, however many routes there are: the stacks are shared. They are always ready and
/// none calls itself, so a plain cell lends each out for the length of a `call`.
pub struct Route<S> {
    inner: Rc<Stacks<S>>,
}

struct Stacks<S> {
    table: RouteTable,
    routes: Box<[Routed<S>]>,
}

/// A route: what is noted when it is taken, and its stack.
struct Routed<S> {
    name: Name,
    /// What it asks of a request, in words.
    matches: Box<str>,
    timeouts: RouteTimeouts,
    max_body: u64,
    active: Gauge,
    stack: RefCell<S>,
}

// === impl Route ===

impl<S> Route<S> {
    /// Routes as the plan says; `active` and `stacks` have one for each route, in the plan's order.
    #[must_use]
    pub fn new(plan: &Plan, active: &[Gauge], stacks: Vec<S>) -> Self {
        let routes = plan.routes.iter().zip(active).zip(stacks);
        let routes = routes.map(|((route, active), stack)| Routed {
            name: route.name.clone(),
            matches: route.matches.to_string().into(),
            timeouts: route.timeout,
            max_body: route.max_body.map_or(u64::MAX, |max| max.0),
            active: active.clone(),
            stack: RefCell::new(stack),
        });
        Self {
            inner: Rc::new(Stacks {
                table: RouteTable::new(plan),
                routes: routes.collect(),
            }),
        }
    }
}

impl<S> Stacks<S> {
    fn take(&self, request: &mut Request) -> Result<&Routed<S>, Fault> {
        let Request {
            head,
            body,
            exchange,
        } = request;
        let mut lower = [0; host::LONGEST];
        let route = self.table.find(
            asked_host(&head.headers, &mut lower),
            head.uri.path(),
            head.uri.query(),
            &head.method,
            &head.headers,
        );
        let none = Fault::new(
            Outcome::DestinationNotFound,
            "no route takes this host and path",
        );
        let taken = route.and_then(|place| Some((place, self.routes.get(usize::from(place))?)));
        let Some((route, routed)) = taken else {
            trace!(routes = self.routes.len(), "no route takes it");
            return Err(none);
        };
        trace!(route = %routed.name, because = &*routed.matches, of = self.routes.len(), "the most specific that matches");
        let RouteTimeouts { head, idle, .. } = routed.timeouts;
        exchange.note_route(route, head, idle, routed.active.enter());
        if routed.max_body != u64::MAX {
            if body.size_hint().lower() > routed.max_body {
                return Err(Fault::new(
                    Outcome::HttpRequestError,
                    "the announced body is larger than the route allows",
                )
                .with_status(413));
            }
            body.limit(routed.max_body);
        }
        Ok(routed)
    }
}

/// The host by which a sanitized request is routed: in lower case, without its port.
#[must_use]
pub fn asked_host<'a>(
    headers: &'a HeaderMap,
    lower: &'a mut [u8; host::LONGEST],
) -> Option<&'a str> {
    let host = headers.get(http::header::HOST)?.to_str().ok()?;
    host::lower(host::name(host), lower)
}

impl<S> Clone for Route<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Rc::clone(&self.inner),
        }
    }
}

impl<S: Serve> Service<Request> for Route<S> {
    type Response = Response;
    type Error = Fault;
    type Future = OrRefused<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match self.inner.take(&mut request) {
            Ok(routed) => OrRefused::passed(routed.stack.borrow_mut().call(request)),
            Err(fault) => OrRefused::refused(fault),
        }
    }
}

impl<S> std::fmt::Debug for Route<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("routes", &self.inner.routes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
