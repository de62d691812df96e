//! sightglass: an observability-first reverse proxy.
pub mod config;
