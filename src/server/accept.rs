//! Taking in connections, and giving each to the worker with the fewest.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::worker::{Fresh, Worker};

/// How long accepting rests when the process has no descriptors left; the backlog keeps who comes meanwhile.
const REST: Duration = Duration::from_millis(50);

/// Accepts on one of a listener's sockets until the worker drains.
pub(super) async fn accept(worker: Rc<Worker>, listener: u16, socket: std::net::TcpListener) {
    let socket = match AsyncFd::register_with_interest(socket, Interest::READABLE) {
        Ok(socket) => socket,
        Err(error) => {
            worker.note_accept_failed(listener, &error);
            return;
        }
    };
    loop {
        // Accepted as a plain socket: only the worker that keeps it registers it with its poller.
        let accepted = socket
            .async_io(Interest::READABLE, std::net::TcpListener::accept)
            .await;
        match accepted {
            Ok((stream, peer)) => worker.place(Fresh {
                stream,
                peer,
                listener,
            }),
            Err(error) if is_about_one(&error) => {}
            Err(error) => {
                worker.note_accept_failed(listener, &error);
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Whether an error is of the one connection that was to be accepted, and the next may be fine (accept(2)).
fn is_about_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
    )
}

/// Makes an accepted socket ready for its worker.
///
/// # Errors
/// The socket's.
pub(super) fn prepare(stream: &std::net::TcpStream) -> io::Result<SocketAddr> {
    stream.set_nonblocking(true)?;
    // Answers must not wait for acknowledgements of earlier ones.
    stream.set_nodelay(true)?;
    stream.local_addr()
}
