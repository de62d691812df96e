//! Real software to test against that we did not write.
//!
//! A partner is looked for on PATH. Where it is missing, a test says so and passes, so that `cargo test` works on any
//! machine; with `SIGHTGLASS_REQUIRE_PARTNERS=1`, as in CI, it fails.
//!
//! ```ignore
//! let Some(nginx) = Nginx::start() else { return };
//! let proxy = Proxy::start(Config::new(nginx.address()));
//! ```
//!
//! Partners take ports by number only: they get them from below the range that port 0 draws from, so that no parallel
//! test is given the same one.

mod jaeger;
mod nginx;
mod prometheus;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

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

/// An address of 127.0.0.1 that was free a moment ago, for programs that cannot bind port 0.
pub(crate) fn free_address() -> SocketAddr {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two test processes at once start at different places.
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or_default();
    loop {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
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
