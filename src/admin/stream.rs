//! Answers that go on: a body that is fed while somebody looks.
//!
//! Bounded in all directions: so many streams at once, so many pieces that wait in each, and so long that a viewer may
//! take nothing. A viewer that stops reading is dropped, not buffered. All of them end when the port ends.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Streams at once, of all viewers together.
const STREAMS: usize = 32;
/// Pieces that wait in one stream until the connection takes them.
const WAITING: usize = 8;
/// The longest a viewer may take nothing.
const UNTAKEN: Duration = Duration::from_secs(10);

/// The streams of the port.
#[derive(Debug)]
pub(super) struct Streams {
    places: Arc<Semaphore>,
    ending: watch::Sender<bool>,
}

/// The end of a stream that is written to. Dropped, it ends the stream after what waits in it.
#[derive(Debug)]
pub(super) struct Feed(mpsc::Sender<Bytes>);

/// The viewer has gone, has stopped reading, or the port ends.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the stream any more")]
pub(super) struct Gone;

/// The end of a stream that the connection reads.
pub(super) struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    _place: OwnedSemaphorePermit,
}

// === impl Streams ===

impl Streams {
    pub(super) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(STREAMS)),
            ending: watch::channel(false).0,
        }
    }

    /// A new stream; none where there are 32 already.
    pub(super) fn open(&self) -> Option<(Feed, Pieces)> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut ending = self.ending.subscribe();
        let (feed, pieces) = mpsc::channel(WAITING);
        let ended = Box::pin(async move {
            let _ = ending.wait_for(|is_ending| *is_ending).await; // gone with the port: ended too
        });
        let pieces = Pieces {
            pieces,
            ended,
            _place: place,
        };
        Some((Feed(feed), pieces))
    }

    /// Ends all streams, and those that are opened later at once.
    pub(super) fn end(&self) {
        self.ending.send_replace(true);
    }
}

// === impl Feed ===

impl Feed {
    /// Gives the viewer this piece, and waits up to 10 s for a place. Not cancel safe: a piece may be lost.
    ///
    /// # Errors
    /// Where nobody reads any more: then the feed is to be dropped.
    pub(super) async fn send(&self, piece: Bytes) -> Result<(), Gone> {
        self.give(piece, UNTAKEN).await
    }

    async fn give(&self, piece: Bytes, wait: Duration) -> Result<(), Gone> {
        self.0.send_timeout(piece, wait).await.map_err(|_| Gone)
    }
}

// === impl Pieces ===

impl Pieces {
    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.pieces.is_closed() && self.pieces.is_empty() {
            return Poll::Ready(None);
        }
        if self.ended.as_mut().poll(context).is_ready() {
            self.pieces.close();
            self.ended = Box::pin(std::future::pending()); // it must not be polled again
            return Poll::Ready(None);
        }
        let piece = self.pieces.poll_recv(context);
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn next(pieces: &mut Pieces) -> Option<Bytes> {
        let frame = poll_fn(|context| pieces.poll_piece(context)).await?;
        frame.ok().and_then(|frame| frame.into_data().ok())
    }

    #[tokio::test]
    async fn a_stream_gives_what_is_fed_and_ends_with_its_feed() {
        let streams = Streams::new();
        let (feed, mut pieces) = streams.open().expect("there is a place");
        feed.send("one".into()).await.expect("it is read");
        assert_eq!(next(&mut pieces).await, Some("one".into()));
        drop(feed);
        assert_eq!(next(&mut pieces).await, None);
    }

    #[tokio::test]
    async fn streams_are_bounded_and_a_place_comes_back() {
        let streams = Streams::new();
        let mut open: Vec<_> = (0..STREAMS).filter_map(|_| streams.open()).collect();
        assert_eq!(open.len(), STREAMS);
        assert!(streams.open().is_none());
        open.pop();
        assert!(streams.open().is_some());
    }

    #[tokio::test]
    async fn the_end_of_the_port_ends_a_stream_that_waits() {
        let streams = Streams::new();
        let (feed, mut pieces) = streams.open().expect("there is a place");
        let (last, ()) = tokio::join!(next(&mut pieces), async { streams.end() });
        assert_eq!(last, None);
        assert!(feed.send("late".into()).await.is_err());
    }

    #[tokio::test]
    async fn a_viewer_that_takes_nothing_is_given_up() {
        let streams = Streams::new();
        let (feed, _pieces) = streams.open().expect("there is a place");
        for _ in 0..WAITING {
            feed.send("piece".into()).await.expect("there is room");
        }
        assert!(feed.give("more".into(), Duration::ZERO).await.is_err());
    }
}
