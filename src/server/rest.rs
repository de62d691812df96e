//! A connection that idles is put to rest: hyper's buffers, two of 8 KiB, are given back until the client says something,
//! for the next connection to use (the allocator keeps them; what falls is what further connections take).
//!
//! Most connections at the edge wait for their next request most of the time, so what one costs while it waits decides
//! how many fit. HTTP/1.1 only: an HTTP/2 connection has compression tables and settings that cannot be put away.
//!
//! It is safe where nothing is under way: no exchange lives, no byte of a next head has come, and all that hyper had to
//! write has left it ([`Connection::is_settled`]).

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWrite as _;

use super::io::ClientIo;
use crate::exchange::Connection;

/// How long a connection idles before it is put to rest.
pub(super) const AFTER: Duration = Duration::from_secs(1);

/// Waits until the client says something, or closes. `false` where the connection was cut first; then the goodbye of the
/// protocol has been said.
pub(super) async fn rest(connection: &Connection, io: &mut ClientIo) -> bool {
    let is_awake = {
        let mut readable = pin!(io.readable());
        poll_fn(|cx| {
            connection.driven_by(cx.waker());
            if connection.is_cut().is_some() {
                return Poll::Ready(false);
            }
            // An error is hyper's to find when it reads.
            readable.as_mut().poll(cx).map(|_| true)
        })
        .await
    };
    connection.wake_up();
    if !is_awake {
        // The socket's buffer is empty and takes it at once; a client that is gone needs no goodbye.
        poll_fn(|cx| {
            let _ = Pin::new(&mut *io).poll_shutdown(cx);
            Poll::Ready(())
        })
        .await;
    }
    is_awake
}
