//! Taking in connections, and giving each to the worker with the fewest.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::worker::Worker;

/// How long accepting rests when the process has no descriptors left; the backlog keeps who comes meanwhile.
const REST: Duration = Duration::from_millis(50);

/// Accepts on one of a listener's sockets until the worker drains.
pub(super) async fn accept(worker: Rc<Worker>, listener: u16, socket: std::net::TcpListener) {
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return worker.note_accept_failed(listener, &error),
    };
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => worker.place(stream, peer, listener),
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
