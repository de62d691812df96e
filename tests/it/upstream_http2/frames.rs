//! A server of HTTP/2 frames: it reads and writes them one by one, so that a test can say what no library would.
//!
//! It keeps no state of streams and decodes no header block: which stream a request is on is all that it knows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::rig::Port;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// The stream was refused before it was looked at.
pub(super) const REFUSED_STREAM: u32 = 7;

/// A port where each connection is handed to the test's own hand.
pub(super) struct FrameServer {
    port: Port,
    requests: Arc<AtomicUsize>,
}

/// One connection.
pub(super) struct Frames {
    stream: Arc<TcpStream>,
    number: usize,
    requests: Arc<AtomicUsize>,
}

/// What came, as far as a test asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// The head of a request, on this stream.
    Request(u32),
    /// Anything else, by its type.
    Other(u8),
}

// === impl FrameServer ===

impl FrameServer {
    /// Serves each connection with `serve`, once its preface was read.
    pub(super) fn start(serve: impl Fn(Frames) + Send + Sync + 'static) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let port = Port::open(move |arrival| {
            let mut preface = [0; PREFACE.len()];
            let mut stream = &*arrival.stream;
            if stream.read_exact(&mut preface).is_ok() && preface == *PREFACE {
                serve(Frames {
                    stream: Arc::clone(&arrival.stream),
                    number: arrival.number,
                    requests: Arc::clone(&counted),
                });
            }
        });
        Self { port, requests }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(super) fn connection_count(&self) -> usize {
        self.port.accepted()
    }

    pub(super) fn request_count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

// === impl Frames ===

impl Frames {
    /// Which connection this is, from 0.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The next frame; none at the end. SETTINGS and PING are acknowledged.
    pub(super) fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        (&*self.stream).read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        (&*self.stream).read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match (head[3], head[4]) {
            (HEADERS, _) => {
                self.requests.fetch_add(1, Ordering::SeqCst);
                Some(Frame::Request(stream))
            }
            (SETTINGS, flags) if flags & ACK == 0 => {
                self.write(SETTINGS, ACK, 0, &[]);
                Some(Frame::Other(SETTINGS))
            }
            (PING, flags) if flags & ACK == 0 => {
                self.write(PING, ACK, 0, &payload);
                Some(Frame::Other(PING))
            }
            (kind, _) => Some(Frame::Other(kind)),
        }
    }

    /// Reads until the other side has closed.
    pub(super) fn read_to_end(&mut self) {
        while self.read().is_some() {}
    }

    /// These settings, by identifier and value.
    pub(super) fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (identifier, value) in settings {
            payload.extend_from_slice(&identifier.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.write(SETTINGS, 0, 0, &payload);
    }

    /// A whole answer with one of the statuses that HPACK has a number for (RFC 7541, appendix A).
    pub(super) fn answer(&mut self, stream: u32, status: u16, body: &[u8]) {
        let index = match status {
            200 => 8,
            204 => 9,
            404 => 13,
            500 => 14,
            _ => panic!("{status} has no number of its own"),
        };
        self.write(HEADERS, END_HEADERS, stream, &[0x80 | index]);
        self.write(DATA, END_STREAM, stream, body);
    }

    /// The end of one stream.
    pub(super) fn reset(&mut self, stream: u32, code: u32) {
        self.write(RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    /// The end of the connection: nothing after stream `last` was looked at.
    pub(super) fn goaway(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload);
    }

    fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len())
            .expect("a test sends little")
            .to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        // The other side may be gone: that is for the test to see elsewhere.
        (&*self.stream).write_all(&frame).ok();
    }
}
