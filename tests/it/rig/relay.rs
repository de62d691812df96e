//! A wire that can be cut: a TCP relay in front of a partner that is not to be restarted.
//!
//! To whoever connects, a cut relay is a partner that is down: its connections break and new ones are refused. It copies
//! bytes and knows no protocol.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::port::{Arrival, Port};

/// A relay on a free port of 127.0.0.1.
pub(crate) struct Relay {
    port: Port,
}

// === impl Relay ===

impl Relay {
    /// Relays to this address.
    pub(crate) fn to(target: SocketAddr) -> Self {
        Self {
            port: Port::open(move |arrival| relay(&arrival, target)),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Breaks all connections and refuses new ones.
    pub(crate) fn cut(&self) {
        self.port.shut();
    }

    /// Relays again.
    pub(crate) fn mend(&self) {
        self.port.reopen();
    }
}

fn relay(arrival: &Arrival, target: SocketAddr) {
    let near = &*arrival.stream;
    let Ok(far) = TcpStream::connect(target) else {
        near.shutdown(Shutdown::Both).ok();
        return;
    };
    far.set_nodelay(true).ok();
    std::thread::scope(|scope| {
        scope.spawn(|| pipe(near, &far));
        pipe(&far, near);
    });
}

/// Copies until one side ends, and ends both then.
fn pipe(mut from: &TcpStream, mut to: &TcpStream) {
    // A side that breaks is what the other is to see.
    io::copy(&mut from, &mut to).ok();
    for stream in [from, to] {
        stream.shutdown(Shutdown::Both).ok();
    }
}
