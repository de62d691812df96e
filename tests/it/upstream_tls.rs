//! TLS towards upstreams: whose certificate is believed, what is agreed on, and what is told where it fails.

mod agreed;
mod files;
mod refused;

use super::rig::{Authority, Config, Identity, Proxy, TlsDoor, TlsServer, Upstream};

/// An authority, a certificate for these names, and a plain upstream behind TLS.
struct Scene {
    authority: Authority,
    identity: Identity,
    upstream: Upstream,
}

// === impl Scene ===

impl Scene {
    fn new(names: &[&str]) -> Self {
        let authority = Authority::new();
        let identity = authority.server(names);
        Self {
            authority,
            identity,
            upstream: Upstream::ok("hello"),
        }
    }

    fn server(&self) -> TlsServer {
        TlsServer::new(&self.identity)
    }

    fn door(&self) -> TlsDoor {
        self.server().before(self.upstream.address())
    }

    /// The `tls` of an upstream that believes this authority, with more keys.
    fn tls(&self, more: &str) -> String {
        format!("tls: {{ca: \"{}\"{more}}}", self.authority.ca().display())
    }

    /// A configuration for this door, by this authority.
    fn config(&self, door: &TlsDoor, more: &str) -> Config {
        Config::new(door.address()).upstream(&self.tls(more))
    }
}

/// One worker, so that every request finds the connection of the one before.
fn single(config: Config) -> Proxy {
    Proxy::start(config.workers(1))
}
