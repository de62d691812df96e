//! What other software is told so that it fits a configuration: rules for Prometheus, a dashboard for Grafana.
//!
//! Made from the plan alone and printed: nothing here runs in the proxy. Names of metrics are taken from the catalogue of
//! `telemetry`, objectives from the same list that the process watches, so that a rule cannot ask for what is not there.

pub mod grafana;
pub mod rules;
mod runbook;
mod yaml;
