//! Which page a path is, who may ask for it, and how.
//!
//! One table: a path that is not in it does not exist. What takes longer than microseconds (a scrape, a question to the
//! recorder) runs beside the reactor, one scrape and two questions at a time: two scrapers must not hold up `/livez`,
//! and a peer that may read only `/metrics` gets at most one core.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::process::Since;
use super::reply::{self, Reply};
use super::{
    Access, Readiness, Sources, books, configuration, dashboard, dump, exchanges, in_flight,
    process, routes, scrape, slo, upstreams,
};
use crate::telemetry::own_work::{OwnWork, own_span};

/// All pages.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) access: Access,
    pub(super) readiness: Readiness,
    pub(super) sources: Sources,
    since: Since,
    scrapes: Arc<Semaphore>,
    questions: Arc<Semaphore>,
}

/// One of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page<'a> {
    Metrics,
    Livez,
    Readyz,
    Dashboard,
    Style,
    Script,
    Icon,
    Exchanges,
    Exchange(&'a str),
    Recorder,
    Dump,
    InFlight,
    Upstreams,
    Routes,
    Slo,
    Config,
    Telemetry,
    Process,
}

/// The paths, as people are told them.
const PATHS: [&str; 15] = [
    "/",
    "/metrics",
    "/livez",
    "/readyz",
    "/api/v1/exchanges",
    "/api/v1/exchanges/{trace_id}",
    "/api/v1/inflight",
    "/api/v1/recorder",
    "/api/v1/recorder/dump",
    "/api/v1/upstreams",
    "/api/v1/routes",
    "/api/v1/slo",
    "/api/v1/config",
    "/api/v1/telemetry",
    "/api/v1/process",
];

/// What pages that are read take, and what those take that do something.
const READ: &str = "GET, HEAD";
const DONE: &str = "POST";

// === impl Pages ===

impl Pages {
    pub(super) fn new(access: Access, sources: Sources) -> Arc<Self> {
        Arc::new(Self {
            access,
            readiness: Readiness::default(),
            sources,
            since: Since::now(),
            scrapes: Arc::new(Semaphore::new(1)),
            questions: Arc::new(Semaphore::new(2)),
        })
    }

    /// The answer to a request of this peer. May be dropped at any await: what has begun beside the reactor ends there.
    pub(super) async fn answer(self: Arc<Self>, peer: IpAddr, request: Parts) -> Reply {
        let page = Page::find(request.uri.path());
        if !page.is_some_and(Page::is_open)
            && let Err(refusal) = self.access.check(peer, &request)
        {
            return reply::problem(StatusCode::FORBIDDEN, refusal.to_string(), Value::Null);
        }
        let Some(page) = page else {
            let detail = "there is no such page";
            return reply::problem(StatusCode::NOT_FOUND, detail, json!({ "paths": PATHS }));
        };
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        match page.does_something() {
            false if !is_read => return reply::wrong_method(READ),
            true if request.method != Method::POST => return reply::wrong_method(DONE),
            _ => {}
        }
        match page {
            Page::Livez => self.readiness.livez(),
            Page::Readyz => self.readiness.readyz(),
            Page::Dashboard => dashboard::page(),
            Page::Style => dashboard::style(),
            Page::Script => dashboard::script(),
            Page::Icon => dashboard::icon(),
            Page::Metrics => {
                let scrapes = Arc::clone(&self.scrapes);
                beside(scrapes, move || {
                    scrape::page(&self.sources, &request.headers)
                })
                .await
            }
            _ => {
                let questions = Arc::clone(&self.questions);
                beside(questions, move || self.api(peer, &request)).await
            }
        }
    }

    fn api(&self, peer: IpAddr, request: &Parts) -> Reply {
        let Some(page) = Page::find(request.uri.path()) else {
            return reply::problem(StatusCode::NOT_FOUND, "there is no such page", Value::Null);
        };
        let query = request.uri.query().unwrap_or_default();
        let answer = || match page {
            Page::Exchanges => exchanges::list(&self.sources, query),
            Page::Exchange(trace_id) => exchanges::one(&self.sources, trace_id),
            Page::InFlight => in_flight::page(&self.sources, query),
            Page::Recorder => exchanges::figures(&self.sources),
            Page::Dump => dump::page(&self.sources, peer),
            Page::Upstreams => upstreams::page(&self.sources),
            Page::Routes => routes::page(&self.sources),
            Page::Slo => slo::page(&self.sources),
            Page::Config => configuration::page(&self.sources),
            Page::Telemetry => books::page(&self.sources),
            _ => process::page(&self.sources, self.since, &self.readiness),
        };
        if is_poll(request) {
            answer()
        } else {
            let method = match request.method {
                Method::HEAD => "HEAD",
                Method::POST => "POST",
                _ => "GET",
            };
            own_span(OwnWork::AdminCall {
                method,
                path: page.pattern(),
            })
            .in_scope(answer)
        }
    }
}

// === impl Page ===

impl<'a> Page<'a> {
    fn find(path: &'a str) -> Option<Self> {
        Some(match path {
            "/metrics" => Self::Metrics,
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/" => Self::Dashboard,
            "/style.css" => Self::Style,
            "/app.js" => Self::Script,
            "/favicon.ico" => Self::Icon,
            "/api/v1/exchanges" => Self::Exchanges,
            "/api/v1/inflight" => Self::InFlight,
            "/api/v1/recorder" => Self::Recorder,
            "/api/v1/recorder/dump" => Self::Dump,
            "/api/v1/upstreams" => Self::Upstreams,
            "/api/v1/routes" => Self::Routes,
            "/api/v1/slo" => Self::Slo,
            "/api/v1/config" => Self::Config,
            "/api/v1/telemetry" => Self::Telemetry,
            "/api/v1/process" => Self::Process,
            _ => match path.strip_prefix("/api/v1/exchanges/") {
                Some(id) if !id.is_empty() && !id.contains('/') => Self::Exchange(id),
                _ => return None,
            },
        })
    }

    /// Whether it answers everybody.
    fn is_open(self) -> bool {
        matches!(self, Self::Metrics | Self::Livez | Self::Readyz)
    }

    /// Whether it does something, and is not only read.
    fn does_something(self) -> bool {
        matches!(self, Self::Dump)
    }

    /// Its path, as a span names it.
    fn pattern(self) -> &'static str {
        match self {
            Self::Metrics => "/metrics",
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
            Self::Dashboard => "/",
            Self::Style => "/style.css",
            Self::Script => "/app.js",
            Self::Icon => "/favicon.ico",
            Self::Exchanges => "/api/v1/exchanges",
            Self::Exchange(_) => "/api/v1/exchanges/{trace_id}",
            Self::InFlight => "/api/v1/inflight",
            Self::Recorder => "/api/v1/recorder",
            Self::Dump => "/api/v1/recorder/dump",
            Self::Upstreams => "/api/v1/upstreams",
            Self::Routes => "/api/v1/routes",
            Self::Slo => "/api/v1/slo",
            Self::Config => "/api/v1/config",
            Self::Telemetry => "/api/v1/telemetry",
            Self::Process => "/api/v1/process",
        }
    }
}

/// Whether a script of our own page asks, as it does each second: as spans these would bury all else.
fn is_poll(request: &Parts) -> bool {
    request
        .headers
        .get("sec-fetch-dest")
        .is_some_and(|dest| dest == "empty")
}

/// Runs this beside the reactor, when there is a place.
async fn beside(places: Arc<Semaphore>, work: impl FnOnce() -> Reply + Send + 'static) -> Reply {
    let place = places.acquire_owned().await;
    let work = tokio::task::spawn_blocking(move || {
        let _place = place; // held until it has ended, whoever waits for it
        work()
    });
    work.await.unwrap_or_else(|_| {
        let detail = "this page could not be made";
        reply::problem(StatusCode::INTERNAL_SERVER_ERROR, detail, Value::Null)
    })
}
