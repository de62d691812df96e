//! Real software to test against that we did not write.
//!
//! A partner is looked for on PATH. Where it is missing, a test says so and passes, so that `cargo test` works on any
//! machine; with `SIGHTGLASS_REQUIRE_PARTNERS=1`, as in CI, it fails.
//!
//! ```ignore
//! let Some(nginx) = Nginx::start() else { return };
//! let proxy = Proxy::start(Config::new(nginx.address()));
//! ```

mod chromium;
mod jaeger;
mod nginx;
mod prometheus;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use socket2::Socket;

use super::port::{address_of, bound};

pub(crate) use chromium::Chromium;
pub(crate) use jaeger::Jaeger;
pub(crate) use nginx::Nginx;
pub(crate) use prometheus::{Prometheus, check_metrics};

/// How long a partner may take to start: two busy cores are slow.
const START: Duration = Duration::from_secs(30);

/// The path of a partner program; none, with a line on stderr, where it is missing.
///
/// # Panics
/// Where it is missing and `SIGHTGLASS_REQUIRE_PARTNERS=1`.
pub(crate) fn partner(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where servers live, which an ordinary user's PATH may leave out.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        let is_required =
            std::env::var_os("SIGHTGLASS_REQUIRE_PARTNERS").is_some_and(|value| value == "1");
        assert!(
            !is_required,
            "{name} is not on PATH and SIGHTGLASS_REQUIRE_PARTNERS=1"
        );
        eprintln!("skipped: {name} is not on PATH");
    }
    found
}

/// A port of 127.0.0.1 for a program that cannot bind port 0, and a hold on it.
///
/// The hold is a socket that is bound and never listens: no one is given the port meanwhile, while a program that sets
/// SO_REUSEADDR, as servers do, may listen there beside it.
pub(crate) struct Reserved {
    socket: Socket,
}

// === impl Reserved ===

impl Reserved {
    pub(crate) fn new() -> Self {
        Self {
            socket: bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        address_of(&self.socket)
    }
}

/// A text as a query parameter (RFC 3986 §2.1).
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}
