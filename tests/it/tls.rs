//! TLS towards clients: names and certificates, versions and protocols, sessions, files that change, who the client is,
//! and every way in which a handshake can fail.

mod clients;
mod failures;
mod files;
mod handshakes;
mod https;
mod partners;

use super::rig::{Authority, Config, Identity, Proxy, Upstream};

/// A listener `public` over TLS, in front of this upstream, that shows these certificates.
fn config(upstream: &Upstream, identities: &[&Identity], more: &str) -> Config {
    let certificates: Vec<_> = identities.iter().map(|it| it.yaml()).collect();
    let certificates = certificates.join(", ");
    Config::new(upstream.address()).listener(&format!(
        "tls: {{certificates: [{certificates}]{}{more}}}",
        if more.is_empty() { "" } else { ", " }
    ))
}

/// The simplest of them.
fn start(authority: &Authority, upstream: &Upstream) -> Proxy {
    Proxy::start(config(upstream, &[&authority.server(&["shop.test"])], ""))
}

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
    let all = proxy
        .metrics()
        .sum("sightglass_connection_errors_total", &[]);
    assert_eq!(all, 1.0, "and no other");
}
