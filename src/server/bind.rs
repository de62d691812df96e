//! Binding a listener: one socket a worker on the same port.
//!
//! With `SO_REUSEPORT` a second process of the same user binds the same port without a word and takes half of the
//! traffic. So the port is bound without it first: that fails where anybody is there, and only then do the workers'
//! sockets follow.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Pending connections that the kernel keeps for one socket; capped by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A listener's sockets, one for each worker.
#[derive(Debug)]
pub struct Bound {
    /// The real address: port 0 has become a port.
    pub address: SocketAddr,
    /// One socket for each worker; where the platform cannot spread, all of them are the same one.
    pub sockets: Vec<TcpListener>,
}

/// An address could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else is there.
    #[error("{0} is already in use by another process")]
    InUse(SocketAddr),
    /// The port is a privileged one.
    #[error("binding {0} needs more rights than this user has (ports below 1024 commonly do)")]
    Denied(SocketAddr),
    /// The address is not this machine's.
    #[error("{0} is not an address of this machine")]
    NotOurs(SocketAddr),
    /// Something else.
    #[error("{address} cannot be bound: {source}")]
    Other {
        /// What was to be bound.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Binds `address` for so many workers.
///
/// # Errors
/// Where the address is taken, not ours, or not allowed.
pub fn bind(address: SocketAddr, workers: usize) -> Result<Bound, BindError> {
    let failed = |error: io::Error| BindError::of(address, error);
    let probe = listen(address, false).map_err(failed)?;
    let real = probe.local_addr().map_err(failed)?;
    if cfg!(target_os = "linux") {
        drop(probe);
        let sockets: io::Result<Vec<_>> = (0..workers).map(|_| listen(real, true)).collect();
        Ok(Bound {
            address: real,
            sockets: sockets.map_err(failed)?,
        })
    } else {
        let sockets: io::Result<Vec<_>> = (0..workers).map(|_| probe.try_clone()).collect();
        Ok(Bound {
            address: real,
            sockets: sockets.map_err(failed)?,
        })
    }
}

fn listen(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Without it a restart waits a minute for the last connections to time out.
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(is_shared)?;
    #[cfg(not(target_os = "linux"))]
    let _ = is_shared;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

// === impl BindError ===

impl BindError {
    fn of(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::PermissionDenied => Self::Denied(address),
            io::ErrorKind::AddrNotAvailable => Self::NotOurs(address),
            _ => Self::Other {
                address,
                source: error,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_finds_the_port_taken_and_each_worker_gets_a_socket() {
        let first = bind(([127, 0, 0, 1], 0).into(), 4).expect("a free port");
        assert_eq!(first.sockets.len(), 4);
        assert_ne!(first.address.port(), 0);
        assert!(matches!(bind(first.address, 1), Err(BindError::InUse(_))));
    }

    #[test]
    fn says_that_an_address_is_not_ours() {
        assert!(matches!(
            bind(([192, 0, 2, 1], 0).into(), 1),
            Err(BindError::NotOurs(_))
        ));
    }
}
