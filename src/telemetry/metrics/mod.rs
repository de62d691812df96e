//! The metrics: what is counted, how, and the page that says it.
//!
//! Two homes, one rule. What lives as long as the process (events, reloads of telemetry, tokio, the process) goes through
//! the `metrics` facade into metrics-exporter-prometheus. What carries a configured name lives in the [`Catalogue`]: it
//! is carried over a reload by name and gone a while after the name, which the exporter cannot do, and its histograms keep
//! exemplars, which the facade does not know. [`Scraper`] makes one page of both.
//!
//! [`family`] is the table of what there is. A worker counts exchanges through its desk; other rooms count what no record
//! says through handles of the catalogue ([`ListenerMeters`], [`RouteMeters`], [`UpstreamMeters`]), or [`Draw`] at scrape
//! time.

mod books;
pub(in crate::telemetry) mod catalogue;
pub mod exemplar;
mod facade;
pub mod family;
pub(in crate::telemetry) mod governor;
pub mod histogram;
mod meter;
pub mod native;
mod otlp;
mod page;
pub mod predict;
mod process;
mod protobuf;
pub mod push;
mod scrape;
pub(in crate::telemetry) mod tally;

#[cfg(test)]
mod tests;

pub use catalogue::{Catalogue, Refused};
pub use meter::{Counter, HandshakeMeters, ListenerMeters, RouteMeters, UpstreamMeters};
pub use page::{Draw, Format, Page};
pub use process::Runtimes;
pub use scrape::{Scraper, SetUpError};
