//! The connection that the process opens to itself, so that one exchange can be looked through.
//!
//! It is a connection of the listener like any other, save for what would come before its first request: there is no PROXY
//! header and no handshake, since nobody would show the certificate or the address that a client shows. The request comes
//! over it in HTTP/1.1, whatever the listener speaks. It counts like any other and is let in whatever the limits say: a look
//! is wanted most when they are reached.

use std::net::SocketAddr;

use tokio::sync::mpsc::error::TrySendError;

use super::ask::Ask;
use super::worker::Team;
use crate::exchange::SpanRef;
use crate::telemetry::xray::Beam;

/// A connection whose exchange is looked through.
#[derive(Debug)]
pub struct Looked {
    /// Our end of it.
    pub stream: std::net::TcpStream,
    /// Who is taken to be the client.
    pub peer: SocketAddr,
    /// The listener, by its place in the plan.
    pub listener: u16,
    /// What it is looked through with.
    pub under: Under,
}

/// What an exchange is looked through with.
#[derive(Clone, Debug)]
pub struct Under {
    /// The span whose child it is.
    pub parent: SpanRef,
    /// The address that the listener is bound to, as the client's destination.
    pub local: SocketAddr,
    /// What carries the span into its tasks.
    pub beam: Beam,
}

// === impl Team ===

impl Team {
    /// Hands it to the worker with the fewest connections. Whether one takes it: where it is full of questions, the next
    /// is asked.
    #[must_use]
    pub fn look_through(&self, looked: Looked) -> bool {
        let mut ask = Ask::LookThrough(looked);
        for asks in self.by_load() {
            ask = match asks.try_send(ask) {
                Ok(()) => return true,
                Err(TrySendError::Full(ask) | TrySendError::Closed(ask)) => ask,
            };
        }
        false
    }
}
