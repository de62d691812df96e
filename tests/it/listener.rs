//! Where clients come in: protocols on one port, connections kept and closed, and what slow clients get.

mod connections;
mod patience;
mod rest;

use super::rig::Proxy;

/// How many connections of `public` ended badly for this reason.
fn errors(proxy: &Proxy, reason: &str) -> f64 {
    let labels = [("listener", "public"), ("reason", reason)];
    proxy
        .metrics()
        .sum("sightglass_connection_errors_total", &labels)
}

fn wait_error(proxy: &Proxy, reason: &str) {
    proxy.wait_until(&format!("one connection error {reason}"), || {
        errors(proxy, reason) == 1.0
    });
}

fn active_connections(proxy: &Proxy) -> f64 {
    proxy.metrics().sum("sightglass_active_connections", &[])
}
