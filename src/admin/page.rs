//! Which page a path is, who may ask for it, and how.
//!
//! One table: a path that is not in it does not exist. What takes longer than microseconds (a scrape, a question to the
//! recorder) runs beside the reactor, one scrape and two questions at a time: two scrapers must not hold up `/livez`,
//! and a peer that may read only `/metrics` gets at most one core.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body::Body;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::control::Call;
use super::process::Since;
use super::reply::{self, Reply};
use super::stream::Streams;
use super::{
    Access, Readiness, Sources, books, configuration, control, dashboard, dump, endpoint, events,
    exchanges, history, in_flight, live, log_level, map, process, routes, scrape, slo, tail,
    upstreams, verdict, why, xray,
};
use crate::telemetry::own_work::{OwnWork, around, own_span};
use crate::telemetry::{Event, emit};

/// All pages.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) access: Access,
    pub(super) readiness: Readiness,
    pub(super) sources: Sources,
    pub(super) since: Since,
    scrapes: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    pub(super) streams: Streams,
    pub(super) rounds: live::Rounds,
}

/// One of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page<'a> {
    Metrics,
    Livez,
    Readyz,
    /// The page for people, and the files that it loads.
    Dashboard(&'static dashboard::File),
    Exchanges,
    Exchange(&'a str),
    Explain(&'a str),
    Recorder,
    Dump,
    InFlight,
    Upstreams,
    Endpoint,
    Routes,
    History,
    Live,
    Tail,
    Map,
    Slo,
    Verdict,
    Why,
    Events,
    Config,
    Telemetry,
    Process,
    LogLevel,
    Reload,
    Drain,
    Xray,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// It is done beside the reactor.
    AtOnce(Change),
    /// It takes as long as a service takes to answer.
    Xray,
}

/// What is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    LogLevel,
    Reload,
    Drain,
    Dump,
    Endpoint,
}

/// The paths, as people are told them.
const PATHS: [&str; 28] = [
    "/",
    "/metrics",
    "/livez",
    "/readyz",
    "/api/v1/exchanges",
    "/api/v1/exchanges/{trace_id}",
    "/api/v1/exchanges/{trace_id}/explain",
    "/api/v1/inflight",
    "/api/v1/recorder",
    "/api/v1/recorder/dump",
    "/api/v1/upstreams",
    "/api/v1/upstreams/{name}/endpoints/{address}",
    "/api/v1/routes",
    "/api/v1/history",
    "/api/v1/live",
    "/api/v1/tail",
    "/api/v1/map",
    "/api/v1/slo",
    "/api/v1/verdict",
    "/api/v1/why",
    "/api/v1/events",
    "/api/v1/config",
    "/api/v1/telemetry",
    "/api/v1/process",
    "/api/v1/log-level",
    "/api/v1/reload",
    "/api/v1/drain",
    "/api/v1/xray",
];

/// What is said of a call when it is over, also where whoever made it has gone: it may have been done all the same.
struct Told {
    who: IpAddr,
    method: &'static str,
    path: &'static str,
    status: u16,
}

/// Whoever made a call has gone before its answer, as logs have it since nginx.
const CLIENT_CLOSED: u16 = 499;

// === impl Told ===

impl Drop for Told {
    fn drop(&mut self) {
        emit(Event::AdminCalled {
            who: self.who,
            method: self.method,
            path: self.path,
            status: self.status,
        });
    }
}

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
            streams: Streams::new(),
            rounds: live::Rounds::new(),
        })
    }

    /// The answer to a request of this peer. May be dropped at any await: what has begun beside the reactor ends there.
    pub(super) async fn answer<B>(self: Arc<Self>, peer: IpAddr, request: Request<B>) -> Reply
    where
        B: Body<Data = Bytes>,
    {
        let (request, body) = request.into_parts();
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
        if let Some(act) = page.act(&request.method) {
            let path = page.pattern();
            return self.act(act, path, peer, &request, body).await;
        }
        if !page.is_read(&request.method) {
            return reply::wrong_method(page.allowed());
        }
        match page {
            Page::Livez => self.readiness.livez(),
            Page::Readyz => self.readiness.readyz(),
            Page::Dashboard(file) => dashboard::page(file),
            Page::Live => live::stream(&self),
            Page::Tail => tail::stream(&self, request.uri.query().unwrap_or_default()),
            Page::Metrics => {
                let scrapes = Arc::clone(&self.scrapes);
                beside(scrapes, move || {
                    scrape::page(&self.sources, &request.headers)
                })
                .await
            }
            _ => {
                let questions = Arc::clone(&self.questions);
                beside(questions, move || self.api(&request)).await
            }
        }
    }

    /// Does what a call asks for, and says who asked.
    async fn act<B>(
        self: Arc<Self>,
        act: Act,
        path: &'static str,
        peer: IpAddr,
        head: &Parts,
        body: B,
    ) -> Reply
    where
        B: Body<Data = Bytes>,
    {
        let method = act.method();
        let asked = head.uri.path().to_owned();
        let work = OwnWork::AdminCall { method, path };
        let mut told = Told {
            who: peer.to_canonical(),
            method,
            path,
            status: CLIENT_CLOSED,
        };
        let reply = match (Call::read(peer, head, body).await, act) {
            (Err(problem), _) => *problem,
            // It waits for the answer of a service: not in one of the few places beside the reactor.
            (Ok(call), Act::Xray) => around(work, xray::run(&self, &call)).await,
            (Ok(call), Act::AtOnce(change)) => {
                let questions = Arc::clone(&self.questions);
                beside(questions, move || {
                    let sources = &self.sources;
                    own_span(work).in_scope(|| match change {
                        Change::LogLevel => log_level::change(&sources.log_levels, &call),
                        Change::Reload => control::reload(&*sources.control),
                        Change::Drain => control::drain(&*sources.control),
                        Change::Dump => dump::dump(sources, peer),
                        Change::Endpoint => endpoint::change(sources, &asked, &call),
                    })
                })
                .await
            }
        };
        told.status = reply.status().as_u16();
        reply
    }

    fn api(&self, request: &Parts) -> Reply {
        let Some(page) = Page::find(request.uri.path()) else {
            return reply::problem(StatusCode::NOT_FOUND, "there is no such page", Value::Null);
        };
        let query = request.uri.query().unwrap_or_default();
        let answer = || match page {
            Page::Exchanges => exchanges::list(&self.sources, query),
            Page::Exchange(trace_id) => exchanges::one(&self.sources, trace_id),
            Page::Explain(trace_id) => exchanges::explain(&self.sources, trace_id),
            Page::InFlight => in_flight::page(&self.sources, query),
            Page::Recorder => exchanges::figures(&self.sources),
            Page::Upstreams => upstreams::page(&self.sources),
            Page::Routes => routes::page(&self.sources),
            Page::History => history::page(&self.sources, query),
            Page::Map => map::page(&self.sources),
            Page::Slo => slo::page(&self.sources),
            Page::Verdict => verdict::page(&self.sources),
            Page::Why => why::page(&self.sources, query),
            Page::Events => events::page(&self.sources),
            Page::Config => configuration::page(&self.sources),
            Page::Telemetry => books::page(&self.sources),
            Page::LogLevel => log_level::page(&self.sources.log_levels),
            _ => process::page(&self.sources, self.since, &self.readiness),
        };
        if is_poll(request) {
            answer()
        } else {
            let method = match request.method {
                Method::HEAD => "HEAD",
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
            "/api/v1/exchanges" => Self::Exchanges,
            "/api/v1/inflight" => Self::InFlight,
            "/api/v1/recorder" => Self::Recorder,
            "/api/v1/recorder/dump" => Self::Dump,
            "/api/v1/upstreams" => Self::Upstreams,
            "/api/v1/routes" => Self::Routes,
            "/api/v1/history" => Self::History,
            "/api/v1/live" => Self::Live,
            "/api/v1/tail" => Self::Tail,
            "/api/v1/map" => Self::Map,
            "/api/v1/slo" => Self::Slo,
            "/api/v1/verdict" => Self::Verdict,
            "/api/v1/why" => Self::Why,
            "/api/v1/events" => Self::Events,
            "/api/v1/config" => Self::Config,
            "/api/v1/telemetry" => Self::Telemetry,
            "/api/v1/process" => Self::Process,
            "/api/v1/log-level" => Self::LogLevel,
            "/api/v1/reload" => Self::Reload,
            "/api/v1/drain" => Self::Drain,
            "/api/v1/xray" => Self::Xray,
            _ => match path.strip_prefix("/api/v1/exchanges/") {
                Some(id) if !id.is_empty() && !id.contains('/') => Self::Exchange(id),
                Some(rest) => match rest.strip_suffix("/explain") {
                    Some(id) if !id.is_empty() && !id.contains('/') => Self::Explain(id),
                    _ => return None,
                },
                None if endpoint::named(path).is_some() => Self::Endpoint,
                _ => Self::Dashboard(dashboard::file(path)?),
            },
        })
    }

    /// Whether it answers everybody.
    fn is_open(self) -> bool {
        matches!(self, Self::Metrics | Self::Livez | Self::Readyz)
    }

    /// Its path, as a span names it.
    fn pattern(self) -> &'static str {
        match self {
            Self::Metrics => "/metrics",
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
            Self::Dashboard(file) => file.path,
            Self::Exchanges => "/api/v1/exchanges",
            Self::Exchange(_) => "/api/v1/exchanges/{trace_id}",
            Self::Explain(_) => "/api/v1/exchanges/{trace_id}/explain",
            Self::InFlight => "/api/v1/inflight",
            Self::Recorder => "/api/v1/recorder",
            Self::Dump => "/api/v1/recorder/dump",
            Self::Upstreams => "/api/v1/upstreams",
            Self::Endpoint => "/api/v1/upstreams/{name}/endpoints/{address}",
            Self::Routes => "/api/v1/routes",
            Self::History => "/api/v1/history",
            Self::Live => "/api/v1/live",
            Self::Tail => "/api/v1/tail",
            Self::Map => "/api/v1/map",
            Self::Slo => "/api/v1/slo",
            Self::Verdict => "/api/v1/verdict",
            Self::Why => "/api/v1/why",
            Self::Events => "/api/v1/events",
            Self::Config => "/api/v1/config",
            Self::Telemetry => "/api/v1/telemetry",
            Self::Process => "/api/v1/process",
            Self::LogLevel => "/api/v1/log-level",
            Self::Reload => "/api/v1/reload",
            Self::Drain => "/api/v1/drain",
            Self::Xray => "/api/v1/xray",
        }
    }

    /// Its methods.
    fn allowed(self) -> &'static str {
        match self {
            Self::LogLevel => "GET, HEAD, PUT",
            Self::Reload | Self::Drain | Self::Dump | Self::Xray => "POST",
            Self::Endpoint => "PUT",
            _ => "GET, HEAD",
        }
    }

    /// Whether this method reads it.
    fn is_read(self, method: &Method) -> bool {
        !matches!(
            self,
            Self::Reload | Self::Drain | Self::Dump | Self::Endpoint | Self::Xray
        ) && matches!(*method, Method::GET | Method::HEAD)
    }

    /// What this method does to it, where it changes something.
    fn act(self, method: &Method) -> Option<Act> {
        let change = match (self, method) {
            (Self::Xray, &Method::POST) => return Some(Act::Xray),
            (Self::LogLevel, &Method::PUT) => Change::LogLevel,
            (Self::Reload, &Method::POST) => Change::Reload,
            (Self::Drain, &Method::POST) => Change::Drain,
            (Self::Dump, &Method::POST) => Change::Dump,
            (Self::Endpoint, &Method::PUT) => Change::Endpoint,
            _ => return None,
        };
        Some(Act::AtOnce(change))
    }
}

// === impl Act ===

impl Act {
    fn method(self) -> &'static str {
        match self {
            Self::AtOnce(Change::LogLevel | Change::Endpoint) => "PUT",
            Self::AtOnce(Change::Reload | Change::Drain | Change::Dump) | Self::Xray => "POST",
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
