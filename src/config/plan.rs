//! The plan: a whole configuration, checked.

use std::collections::HashSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::admin::AdminWritten;
use super::listener::ListenerWritten;
use super::notes::At;
use super::ranges::{check_pause, check_whole};
use super::route::{RouteWritten, UpstreamNames};
use super::telemetry::TelemetryWritten;
use super::upstream::UpstreamWritten;
use super::{Admin, DurationWritten, Listener, Route, Telemetry, Upstream, ambiguity, names};

/// A whole configuration, checked: names are unique, references resolve, every value is in its range.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where clients come in; at least one.
    pub listeners: Vec<Listener>,
    /// Which requests go where.
    pub routes: Vec<Route>,
    /// Whom we call.
    pub upstreams: Vec<Upstream>,
    /// What is told.
    pub telemetry: Telemetry,
    /// The side port.
    pub admin: Admin,
    /// Threads and the end of the process.
    pub runtime: Runtime,
    /// A short hash of the text it came from: the label of `sightglass_config_info`.
    pub hash: String,
}

/// Threads and the end of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Worker threads, 1 to 256 (default: one per core).
    pub workers: usize,
    /// How the process ends.
    pub drain: Drain,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long readiness is down while connections are still served (default none).
    pub delay: Duration,
    /// When what is left is cut (default 30 s).
    pub deadline: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            deadline: Duration::from_secs(30),
        }
    }
}

// === As written ===

/// A whole configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileWritten {
    /// Where clients come in.
    listeners: Vec<ListenerWritten>,
    /// Which requests go where: the most specific match wins, not the first.
    routes: Vec<RouteWritten>,
    /// Whom we call.
    upstreams: Vec<UpstreamWritten>,
    /// What is told, to whom, and how much of it.
    #[serde(default)]
    telemetry: TelemetryWritten,
    /// The side port: metrics, health, dashboard, API.
    #[serde(default)]
    admin: AdminWritten,
    /// Threads and the end of the process.
    #[serde(default)]
    runtime: RuntimeWritten,
}

/// Threads and the end of the process.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuntimeWritten {
    /// Worker threads, 1 to 256 (default: one per core).
    #[serde(default)]
    workers: Option<u64>,
    /// How the process ends.
    #[serde(default)]
    drain: DrainWritten,
}

/// How the process ends.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DrainWritten {
    /// How long readiness is down while connections are still served (default 0s).
    #[serde(default)]
    delay: Option<DurationWritten>,
    /// When what is left is cut (default 30s).
    #[serde(default)]
    deadline: Option<DurationWritten>,
}

// === Checks ===

/// The most worker threads.
const MOST_WORKERS: usize = 256;

impl FileWritten {
    /// Checks the whole. `None` when a section cannot be used, which was noted then.
    pub(super) fn check<'n>(&'n self, hash: String, at: &At<'n>) -> Option<Plan> {
        let listeners_at = at.key("listeners");
        let routes_at = at.key("routes");
        let upstreams_at = at.key("upstreams");
        need_one(
            self.listeners.len(),
            "a listener",
            "such as [{name: public, address: 127.0.0.1:8080}]",
            &listeners_at,
        );
        need_one(
            self.routes.len(),
            "a route",
            "such as [{name: all, match: {path: {prefix: /}}, upstream: web}]",
            &routes_at,
        );
        need_one(
            self.upstreams.len(),
            "an upstream",
            "such as [{name: web, endpoints: [{address: 127.0.0.1:9001}]}]",
            &upstreams_at,
        );

        let listeners = each(&self.listeners, &listeners_at, ListenerWritten::check);
        let upstreams = each(&self.upstreams, &upstreams_at, UpstreamWritten::check);
        let known = self.upstream_names(&upstreams_at);
        let routes = each(&self.routes, &routes_at, |route, at| {
            route.check(&known, at)
        });
        let admin = self.admin.check(&at.key("admin"));
        let telemetry = self.telemetry.check(&at.key("telemetry"));
        let runtime = self.runtime.check(&at.key("runtime"));

        self.check_names(at);
        check_addresses(&listeners, admin.as_ref(), at);
        let routes_read = routes.iter().enumerate().filter_map(|(position, route)| {
            route
                .as_ref()
                .map(|route| (route, routes_at.item(position)))
        });
        ambiguity::check(routes_read);

        let plan = Plan {
            listeners: listeners.into_iter().collect::<Option<_>>()?,
            routes: routes.into_iter().collect::<Option<_>>()?,
            upstreams: upstreams.into_iter().collect::<Option<_>>()?,
            telemetry,
            admin: admin?,
            runtime,
            hash,
        };
        if at.is_all_right() {
            warn_unused(&plan, &upstreams_at);
            warn_circles(&plan, &upstreams_at);
        }
        Some(plan)
    }

    /// The upstreams that a route may name.
    fn upstream_names(&self, at: &At<'_>) -> UpstreamNames<'_> {
        let names: Vec<&str> = self.upstreams.iter().map(|one| one.name.as_str()).collect();
        let is_complete = at.is_complete() && !names.contains(&"");
        UpstreamNames { names, is_complete }
    }

    fn check_names<'n>(&'n self, at: &At<'n>) {
        fn named<'n, T>(
            list: &'n [T],
            name: impl Fn(&'n T) -> &'n str,
            at: &At<'n>,
        ) -> impl Iterator<Item = (&'n str, At<'n>)> {
            let at = at.clone();
            list.iter()
                .enumerate()
                .map(move |(position, one)| (name(one), at.item(position).key("name")))
        }
        names::check_unique(
            "listener",
            named(&self.listeners, |one| &one.name, &at.key("listeners")),
        );
        names::check_unique(
            "route",
            named(&self.routes, |one| &one.name, &at.key("routes")),
        );
        names::check_unique(
            "upstream",
            named(&self.upstreams, |one| &one.name, &at.key("upstreams")),
        );
    }
}

/// Checks each section of a list; those that cannot be used keep their place.
fn each<'a, W, X>(
    list: &[W],
    at: &At<'a>,
    check: impl Fn(&W, &At<'a>) -> Option<X>,
) -> Vec<Option<X>> {
    list.iter()
        .enumerate()
        .map(|(position, one)| check(one, &at.item(position)))
        .collect()
}

fn need_one(count: usize, what: &str, hint: &str, at: &At<'_>) {
    if count == 0 && at.is_whole() {
        at.error_hint(format!("{what} is needed"), hint);
    }
}

/// No two can bind the same port, the side port among them.
fn check_addresses(listeners: &[Option<Listener>], admin: Option<&Admin>, at: &At<'_>) {
    let mut bound: Vec<(&Listener, u32)> = Vec::new();
    let admin_at = at.key("admin");
    let is_default = admin_at.is_whole() && !admin_at.is_written("address");
    for (position, listener) in listeners.iter().enumerate() {
        let Some(listener) = listener else { continue };
        let at = at.key("listeners").item(position).key("address");
        let address = listener.address;
        match bound
            .iter()
            .find(|(other, _)| names::clash(address, other.address))
        {
            Some((other, line)) => {
                at.error(format!(
                    "{address} is taken by listener {} at line {line}",
                    other.name
                ));
            }
            None => bound.push((listener, at.line())),
        }
        if is_default && admin.is_some_and(|admin| names::clash(admin.address, address)) {
            at.error_hint(
                format!("{address} is where the side port is when the file does not say"),
                "add admin: {address: …} with another port",
            );
        }
    }
    let Some(admin) = admin.filter(|_| !is_default) else {
        return;
    };
    let taken = |(other, _): &&(&Listener, u32)| names::clash(admin.address, other.address);
    if let Some((listener, line)) = bound.iter().find(taken) {
        let what = format!(
            "{} is taken by listener {} at line {line}",
            admin.address, listener.name
        );
        at.key("admin")
            .key("address")
            .error_hint(what, "the side port has an address of its own");
    }
}

fn warn_unused(plan: &Plan, at: &At<'_>) {
    let splits = plan.routes.iter().flat_map(|route| &route.to);
    let used: HashSet<usize> = splits.map(|split| split.upstream).collect();
    let unused = plan
        .upstreams
        .iter()
        .enumerate()
        .filter(|(position, _)| !used.contains(position));
    for (position, upstream) in unused {
        at.item(position).key("name").warn(
            format!("no route goes to {}", upstream.name),
            "name it in a route, or take it out",
        );
    }
}

/// Endpoints that are our own listeners: requests would go in circles until the proxy refuses them as a loop.
fn warn_circles(plan: &Plan, at: &At<'_>) {
    for (position, upstream) in plan.upstreams.iter().enumerate() {
        for (nth, endpoint) in upstream.endpoints.iter().enumerate() {
            let Some(address) = endpoint.address.socket_addr() else {
                continue;
            };
            let is_ours = |listener: &&Listener| {
                listener.address == address
                    || (address.ip().is_loopback() && names::clash(listener.address, address))
            };
            if let Some(listener) = plan.listeners.iter().find(is_ours) {
                let at = at.item(position).key("endpoints").item(nth).key("address");
                at.warn(
                    format!(
                        "{address} is listener {}: requests would go in circles",
                        listener.name
                    ),
                    "name the service's own address",
                );
            }
        }
    }
}

impl RuntimeWritten {
    fn check(&self, at: &At<'_>) -> Runtime {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let default = Drain::default();
        let drain_at = at.key("drain");
        let workers = check_whole(self.workers, 1..=MOST_WORKERS as u64, &at.key("workers"));
        Runtime {
            workers: workers.unwrap_or_else(|| cores().min(MOST_WORKERS)),
            drain: Drain {
                delay: check_pause(self.drain.delay, &drain_at.key("delay"))
                    .unwrap_or(default.delay),
                deadline: check_pause(self.drain.deadline, &drain_at.key("deadline"))
                    .unwrap_or(default.deadline),
            },
        }
    }
}
