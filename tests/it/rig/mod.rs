//! The rig: everything a capability test needs around the real binary.
//!
//! ```text
//!   Client, Http2Client  ──▶  Proxy (the binary, port 0)  ──▶  Upstream, Http2Upstream, partner::Nginx
//!   bytes in, bytes out         │ admin: metrics(), get_admin()      scripted, recorded byte for byte
//!                               │ log_lines(), stderr()
//!                               ▼
//!                             Collector (OTLP), partner::Jaeger, partner::Prometheus
//! ```
//!
//! A test is a plain `#[test]` function and reads from top to bottom; nothing in it is async:
//!
//! ```ignore
//! #[test]
//! fn retries_a_refused_connection_once() {
//!     let (dead, alive) = (Upstream::refuse(), Upstream::ok("hello"));
//!     let config = Config::new(dead.address()).endpoint(alive.address());
//!     let proxy = Proxy::start(config.route("retry: {attempts: 2, when: [connect_failure]}"));
//!
//!     assert_eq!(get(proxy.public(), "/").text(), "hello");
//!
//!     assert_eq!(alive.request_count(), 1);
//!     proxy.finish();
//! }
//! ```
//!
//! What it refuses: global state (tests run in parallel in one binary), sleeping until something has probably happened
//! (poll with [`wait_until`], stall with a [`Gate`]), and any look into the crate: only sockets, files and output.
//! Threads and blocking sockets instead of one async runtime, because each party then reads as its own story and a
//! deadlock shows as a panic with a name after twenty seconds.

#![allow(
    dead_code,
    unused_imports,
    reason = "an offer to all tests: no single state of them takes all of it"
)]

mod client;
mod collector;
mod config;
mod http2;
mod metrics;
pub(crate) mod partner;
mod port;
mod program;
mod proxy;
mod relay;
mod script;
mod tests;
mod tls;
mod upstream;
mod wire;

use std::time::{Duration, Instant};

pub(crate) use client::{Client, Response, get, get_with, post, request_bytes};
pub(crate) use collector::{Collector, Kind, Link, Log, Mode, Span, SpanEvent, SpanStatus};
pub(crate) use config::Config;
pub(crate) use http2::{
    Http2Answer, Http2Client, Http2Ending, Http2Peer, Http2PeerStream, Http2Request, Http2Response,
    Http2Stream, Http2Upstream,
};
pub(crate) use metrics::{Metrics, Sample};
pub(crate) use port::Port;
pub(crate) use program::Program;
pub(crate) use proxy::Proxy;
pub(crate) use relay::Relay;
pub(crate) use script::{Gate, Script};
pub(crate) use tls::{
    Authority, Handshake, Identity, ONLY_TLS12, ONLY_TLS13, TlsCaller, TlsDoor, TlsServer, TlsWay,
};
pub(crate) use upstream::{Ended, Request, Upstream, reply};
pub(crate) use wire::{Body, Head, Headers};

/// How long the rig waits for anything before it says what it waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until the condition holds.
///
/// # Panics
/// After twenty seconds, with `what` was waited for.
pub(crate) fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    assert!(
        try_wait_until(PATIENCE, condition),
        "not within {PATIENCE:?}: {what}"
    );
}

/// Polls until the condition holds; false when it did not within `patience`.
pub(crate) fn try_wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
