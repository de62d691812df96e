//! A tunnel while it lasts: where its exchange ends.
//!
//! A response body says how its exchange ended; a tunnel has none, so what is left open goes with it.

use super::observe_exchange::Open;
use crate::exchange::{Broken, Duplex, Outcome, Phase, Tunnel};

/// A tunnel, and the exchange that it carries on.
#[derive(Debug)]
pub struct ObservedTunnel {
    tunnel: Box<Tunnel>,
    open: Open,
}

// === impl ObservedTunnel ===

impl ObservedTunnel {
    pub(super) fn new(tunnel: Box<Tunnel>, open: Open) -> Self {
        Self { tunnel, open }
    }

    /// The client's stream, where its side is one: on HTTP/2, once the response head is out.
    pub fn take_client(&mut self) -> Option<hyper::upgrade::OnUpgrade> {
        self.tunnel.take_client()
    }

    /// Carries it to its end, and the exchange with it. Cancel safe: dropping it is the client going away.
    pub async fn run(mut self, client: impl Duplex) {
        let exchange = &self.open.exchange;
        let ended = self.tunnel.relay(client, exchange).await;
        let (outcome, detail) = match ended {
            Ok(()) => return self.open.end(Outcome::Served),
            Err(Broken::Client) => {
                exchange.note_detail("the client went away in the middle of the tunnel");
                return; // the drop of `open` knows whether it was the end of the process
            }
            Err(Broken::Upstream) => (
                Outcome::ConnectionTerminated,
                "the upstream broke the tunnel off",
            ),
            Err(Broken::Idle(Phase::BodyClient)) => (
                Outcome::ConnectionWriteTimeout,
                "the client took nothing for the route's idle time",
            ),
            Err(Broken::Idle(Phase::SendUpstream)) => (
                Outcome::ConnectionReadTimeout,
                "the upstream took nothing for the route's idle time",
            ),
            Err(Broken::Idle(_)) => (
                Outcome::ConnectionReadTimeout,
                "nothing moved in the tunnel for the route's idle time",
            ),
        };
        exchange.note_detail(detail);
        exchange.reset_stream();
        self.open.end(outcome);
    }
}
