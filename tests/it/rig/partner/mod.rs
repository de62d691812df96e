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
mod eyes;
mod jaeger;
mod nginx;
mod prometheus;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use socket2::Socket;

use super::port::{address_of, bound};

pub(crate) use chromium::Chromium;
pub(crate) use eyes::{Click, Eyes, Look, pictures};
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

/// A Python that can import `module`; none, with a line on stderr, where there is none and none is required.
pub(crate) fn python_with(module: &str) -> Option<PathBuf> {
    that_runs("python3", &["-c", &format!("import {module}")])
}

/// A Node that has these modules, which `NODE_PATH` leads to; none, with a line on stderr, where there is none and none is
/// required.
pub(crate) fn node_with(modules: &[&str]) -> Option<PathBuf> {
    let required = modules.iter().map(|module| format!("require('{module}');"));
    that_runs("node", &["-e", &required.collect::<String>()])
}

/// A partner that ends well with these arguments.
fn that_runs(name: &str, args: &[&str]) -> Option<PathBuf> {
    let path = partner(name)?;
    let tried = Command::new(&path)
        .args(args)
        .stderr(Stdio::null())
        .status();
    if tried.is_ok_and(|status| status.success()) {
        return Some(path);
    }
    let is_required = std::env::var_os("SIGHTGLASS_REQUIRE_PARTNERS").is_some_and(|it| it == "1");
    assert!(!is_required, "{name} cannot do {args:?}");
    eprintln!("skipped: {name} cannot do {args:?}");
    None
}

/// What a program prints; it must end well.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
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
