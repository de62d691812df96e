//! Which protocol a client speaks on a clear-text port: HTTP/2's preface, or HTTP/1.
//!
//! The bytes are peeked at, not read, so that the connection's IO needs no buffer in front of it for the rest of its
//! life; hyper-util's `auto` server pays that with every read.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::exchange::Connection;

/// HTTP/2's connection preface (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// With HTTP/2's preface.
    Http2,
    /// With anything else.
    Http1,
    /// Not at all: the client closed it.
    Closed,
}

/// Waits for the first bytes and says what they are. Cancel safe: nothing is consumed.
///
/// # Errors
/// The socket's.
pub(super) async fn opening(stream: &TcpStream, connection: &Connection) -> io::Result<Opening> {
    let mut first = [0; PREFACE.len()];
    let mut pause = Duration::from_millis(2);
    loop {
        let count = stream.peek(&mut first).await?;
        let seen = &first[..count];
        if count == 0 {
            return Ok(Opening::Closed);
        }
        connection.note_read(); // from now on the rest may take as long as a head
        if seen == PREFACE {
            return Ok(Opening::Http2);
        }
        if !PREFACE.starts_with(seen) {
            return Ok(Opening::Http1);
        }
        // A part of the preface: the rest must follow, and peeking does not wait for more than there is. Many who leave
        // it at that must not keep the worker busy.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
