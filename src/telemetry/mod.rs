//! The only room that observes.
//!
//! Two ways lead in. An exchange that has ended leaves a record at the worker's [`Desk`], from which metrics, access log,
//! flight recorder and spans are made. Everything else is an [`Event`] said through [`emit`]. Nothing here decides
//! anything about traffic: with all readers removed, the same bytes would pass.

pub mod desk;
pub mod event;
pub mod failure;
pub mod filter;
#[cfg(test)]
mod fixture;
pub mod happened;
pub mod in_flight;
pub mod label;
pub mod ledger;
pub mod live_figures;
pub mod log;
pub mod log_levels;
mod look_at;
mod mask;
pub mod metrics;
mod observe_attempt;
mod observe_body;
mod observe_exchange;
mod observe_tunnel;
mod otlp;
mod otlp_logs;
pub mod own_work;
mod percent;
pub mod reader;
pub mod recorder;
mod set_up;
pub mod slo;
pub mod tail;
pub mod trace;
pub mod verdict;
pub mod wall;
pub mod why;
pub mod xray;

pub use desk::Desk;
pub use event::{Event, emit};
pub use look_at::look_at;
pub use mask::looks_secret;
pub use metrics::predict as metrics_prediction;
pub use metrics::{
    Catalogue, Counter, HandshakeMeters, ListenerMeters, RouteMeters, UpstreamMeters,
};
pub use observe_attempt::ObserveAttempt;
pub use observe_body::{CutOff, ObservedBody};
pub use observe_exchange::ObserveExchange;
pub use observe_tunnel::ObservedTunnel;
pub use set_up::{SetUp, SetUpError, Telemetry};
