//! A body read to its end and thrown away: what services do with what is posted, and the crowd with answers.

use std::future::poll_fn;
use std::pin::Pin;

use hyper::body::{Body, Incoming};

/// Reads a body to its end; how many bytes it had. Cancelling it loses the rest of the body with the connection.
///
/// # Errors
/// What cut it off.
pub(super) async fn read_through(mut body: Incoming) -> Result<usize, hyper::Error> {
    let mut length = 0;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        length += frame?.data_ref().map_or(0, |piece| piece.len());
    }
    Ok(length)
}
