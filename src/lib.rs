//! sightglass: an observability-first reverse proxy.
pub mod config;
pub mod exchange;
pub mod upstream;
