//! The side port: metrics for Prometheus, health for whoever restarts us, and what the process knows as JSON and as a
//! page.
//!
//! ```text
//! port      connections: how many, how long, how they end
//! access    may this peer, was it this port that was meant, did a page of another origin ask
//! page      which page a path is, and who may ask for it how
//! control   calls that change something: reload, drain, log_level, dump, endpoint, xray
//! scrape health exchanges in_flight upstreams routes history slo verdict why configuration books process dashboard      one file a page
//! reply     what every answer carries
//! ```
//!
//! It runs on the control runtime, never on a worker, and what takes longer than a few microseconds runs beside that:
//! a scrape is nobody's tail latency. It reads what the rooms below know; the few calls that change something (`control`)
//! are each an event that says who asked.

mod access;
mod books;
mod configuration;
mod control;
mod dashboard;
mod dump;
mod endpoint;
mod events;
mod exchanges;
mod health;
mod history;
mod in_flight;
mod live;
mod log_level;
mod map;
mod moment;
mod page;
mod port;
mod process;
mod query;
mod reply;
mod routes;
mod scrape;
mod slo;
mod stream;
mod tail;
mod upstreams;
mod verdict;
mod why;
mod xray;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::{Name, Plan};
use crate::exchange::Record;
use crate::telemetry::Catalogue;
use crate::telemetry::happened::Happened;
use crate::telemetry::in_flight::InFlight;
use crate::telemetry::ledger::Ledger;
use crate::telemetry::live_figures::LiveFigures;
use crate::telemetry::log_levels::LogLevels;
use crate::telemetry::metrics::Scraper;
use crate::telemetry::recorder::Recorder;
use crate::telemetry::slo::Slos;
use crate::telemetry::tail::Tail;
use crate::telemetry::verdict::Verdict;

pub use access::{Access, Refusal, TokenError};
pub use control::{Control, HoldAsked, HoldRefused, LookedThrough};
pub use health::Readiness;
pub use port::{Admin, StartError, serve};
pub use upstreams::{EndpointFigures, Held, UpstreamFigures};

/// What the pages are made of.
#[derive(Clone)]
pub struct Sources {
    /// What makes `/metrics`.
    pub scraper: Arc<Scraper>,
    /// What has counted the attempts at each endpoint.
    pub catalogue: Arc<Catalogue>,
    /// The last exchanges.
    pub recorder: Arc<Recorder>,
    /// What each route did of late.
    pub figures: LiveFigures,
    /// What is wrong.
    pub verdict: Verdict,
    /// Who looks at exchanges as they finish.
    pub tail: Tail,
    /// What happened of late.
    pub happened: Happened,
    /// The objectives.
    pub slos: Slos,
    /// The books of telemetry.
    pub ledger: Arc<Ledger>,
    /// Where clients come in: the real addresses.
    pub listeners: Vec<(Name, SocketAddr)>,
    /// What stderr tells.
    pub log_levels: Arc<LogLevels>,
    /// What calls can make the process do.
    pub control: Arc<dyn Control>,
    /// Why a recorded exchange went its way, under the plan that it ran under. Takes a look at every route of it.
    pub explain: fn(&Plan, &Record) -> serde_json::Value,
    /// What runs now.
    pub running: Arc<dyn Running>,
}

/// What runs now, as the graph in force tells it. Asked off the workers; may take microseconds, not more.
pub trait Running: Send + Sync {
    /// The configuration in force, and its number.
    fn plan(&self) -> (Arc<Plan>, u32);

    /// Since when it has been in force.
    fn loaded_at(&self) -> SystemTime;

    /// What the workers carry. May take a second.
    fn in_flight(&self) -> InFlight;

    /// The upstreams, in the plan's order.
    fn upstreams(&self) -> Vec<UpstreamFigures>;
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}
