//! HTTP/2 in clear text, by prior knowledge: a client and an upstream.
//!
//! Both stand on the h2 crate, not on hyper: h2 shows streams, resets and trailers as they are on the wire. What even h2
//! refuses to send (bad frames) is not for this rig but for byte scripts. A small runtime on a thread of its own drives
//! each connection, so that PING and SETTINGS are answered while the test does something else.

mod client;
mod peer;
mod upstream;

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

pub(crate) use client::{Http2Client, Http2Response, Http2Stream};
pub(crate) use peer::{Http2Peer, Http2PeerStream};
pub(crate) use upstream::{Http2Answer, Http2Ending, Http2Request, Http2Upstream};

/// A current-thread runtime that runs until it is dropped.
struct Reactor {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

// === impl Reactor ===

impl Reactor {
    fn start() -> Self {
        let runtime = small_runtime();
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            runtime.block_on(stopped).ok();
        });
        Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// A runtime for the thread that calls.
pub(super) fn small_runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

/// Reads a body to its end, giving the window back as it goes. What came before an error is in `bytes`.
pub(super) async fn read_body(
    body: &mut RecvStream,
    bytes: &mut BytesMut,
) -> Result<Option<HeaderMap>, h2::Error> {
    while let Some(piece) = body.data().await {
        let piece: Bytes = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    body.trailers().await
}

/// Sends within the client's window: what is sent is what it can take, so a reset after it overtakes nothing.
pub(super) async fn send_all(
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    is_end: bool,
) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let Some(capacity) = std::future::poll_fn(|context| stream.poll_capacity(context)).await
        else {
            return Ok(());
        };
        let piece = bytes.split_to(capacity?.min(bytes.len()));
        stream.send_data(piece, is_end && bytes.is_empty())?;
    }
    Ok(())
}

/// Field names and values as a header map.
pub(super) fn header_map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name: http::HeaderName = name.parse().expect("the test gives a valid field name");
        map.append(
            name,
            value.parse().expect("the test gives a valid field value"),
        );
    }
    map
}
