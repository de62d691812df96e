//! sightglass: an observability-first reverse proxy.
//!
//! It stands in front of services, forwards their traffic through tower layers, and lets the people who run them see
//! every request: metrics for Prometheus, traces for Jaeger, an access log, and a flight recorder with a live view for
//! the minutes before anyone has opened either.
//!
//! # The rooms
//!
//! A room knows only rooms below it; `tests/it/architecture.rs` holds the source to it.
//!
//! ```text
//! main cli app    arguments, wiring, start and stop order, signals
//! server  admin   listeners and connections | the side port
//! graph           plan -> running graph
//! explain         what would become of a request, and why
//! proxy           the layers in front of an attempt
//! upstream        endpoints, balance, pool, forward
//! tls             certificates, rustls configs
//! telemetry       the only room that observes
//! exchange        the nouns of one exchange
//! config          the nouns of what the user asked
//! generate        rules and dashboards that fit a plan
//! top demo        clients of the admin port, and of the whole binary
//! ```
//!
//! # Where to start reading
//!
//! [`proxy::stack`] is the way of a request on one page. [`exchange::Exchange`] is what layers note facts on,
//! [`exchange::Record`] what is left of it, and `telemetry` its readers. `app` wires it all together.
//! `docs/architecture.md` says why it is built so.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod generate;

pub mod exchange;
pub mod explain;
pub mod graph;
pub mod proxy;
pub mod server;
pub mod telemetry;
pub mod tls;
pub mod top;
pub mod upstream;
