//! Signals: SIGHUP reloads, SIGTERM and SIGINT drain and stop, a second one of these stops at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// What a signal asks for while the process serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGHUP.
    Reload,
}

/// The signals that we listen to.
#[derive(Debug)]
pub(super) struct Signals {
    hup: tokio::signal::unix::Signal,
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

// === impl Signals ===

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn listen() -> io::Result<Self> {
        Ok(Self {
            hup: signal(SignalKind::hangup())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the signal to stop, or for `asked`, and says which it was; calls `act` on every other.
    pub(super) async fn until_stop(
        &mut self,
        asked: &Notify,
        act: impl Fn(Signal),
    ) -> &'static str {
        loop {
            tokio::select! {
                _ = self.hup.recv() => act(Signal::Reload),
                by = Self::stop(&mut self.term, &mut self.int) => return by,
                () = asked.notified() => return "an admin call",
            }
        }
    }

    /// Does `work`, or ends the process when a second signal to stop comes first.
    pub(super) async fn unless_stopped_again<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            by = Self::stop(&mut self.term, &mut self.int) => {
                let code = if by == "SIGINT" { 130 } else { 143 };
                #[expect(clippy::disallowed_methods, reason = "the second signal means: at once")]
                std::process::exit(code)
            }
        }
    }

    async fn stop(
        term: &mut tokio::signal::unix::Signal,
        int: &mut tokio::signal::unix::Signal,
    ) -> &'static str {
        tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
        }
    }
}
