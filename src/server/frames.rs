//! What an HTTP/2 client sends besides requests, and when that is too much.
//!
//! Some frames cost their sender nothing and make us work: PING, SETTINGS, WINDOW_UPDATE, PRIORITY, empty DATA, resets
//! of streams that were just opened. h2 bounds the memory of each; nobody bounds how many there are. So the connection's
//! IO reads the frames' heads as they pass, nine bytes each, and keeps two allowances:
//!
//! - control frames: a burst, a steady rate, and a few more for each DATA or HEADERS frame that went to the client, since
//!   an honest client answers what it gets (window updates, pings that measure the way). Envoy counts likewise, ten window
//!   updates for a DATA frame sent;
//! - resets: a burst, a steady rate, and one for each two streams opened: "rapid reset" (CVE-2023-44487) opens and resets
//!   in equal numbers, while a person who leaves a page resets a hundred once.
//!
//! What is over them is a [`Flood`], by which the connection is closed. Continuations and the size of heads are h2's to
//! bound, and it does; what is noted here is a head that was begun and not ended, so that a slow one is a slow head as it
//! is on HTTP/1.1. The rejected way was a fork of h2 with counters at every frame: ours to carry for years.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::exchange::{Connection, Cut, Flood};

/// The IO of an HTTP/2 connection: passes bytes, and ends the connection at a [`Flood`].
pub(super) struct WatchedIo<T> {
    io: T,
    frames: Frames,
    connection: Rc<Connection>,
}

/// Reads the heads of the frames that a client sends.
#[derive(Debug)]
struct Frames {
    input: Heads,
    output: Heads,
    control: Allowance,
    resets: Allowance,
    /// Streams that the client opened, and the last of them.
    opened: u64,
    last: u32,
    /// When the head began that has not ended.
    head_since: Option<Instant>,
}

/// Finds frames in a stream of bytes.
#[derive(Debug)]
struct Heads {
    /// The head and, where a frame is padded, the byte behind it, which says how much of the frame is nothing.
    head: [u8; 10],
    have: usize,
    /// Bytes that belong to no head: of a frame's payload, or of the preface.
    skip: usize,
}

/// A frame's head (RFC 9113 §4.1).
#[derive(Clone, Copy, Debug)]
struct Head {
    /// Of what is in the frame, without its padding where it is DATA.
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// So many at once, so many a second, and what is earned besides.
#[derive(Debug)]
struct Allowance {
    left: u32,
    most: u32,
    per_second: u32,
    filled: Instant,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// The bytes of a head.
const HEAD: usize = 9;

/// The client's preface (RFC 9113 §3.4) stands before its first frame.
const PREFACE: usize = 24;

/// Control frames at once.
const CONTROL: u32 = 1000;
/// Control frames a second.
const CONTROL_RATE: u32 = 100;
/// Control frames for each DATA or HEADERS frame that goes to the client.
const CONTROL_EARNED: u32 = 10;
/// Resets at once.
const RESETS: u32 = 200;
/// Resets a second.
const RESETS_RATE: u32 = 20;

// === impl WatchedIo ===

impl<T> WatchedIo<T> {
    pub(super) fn new(io: T, connection: Rc<Connection>) -> Self {
        Self {
            io,
            frames: Frames::new(Instant::now()),
            connection,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WatchedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buf);
        let bytes = &buf.filled()[before..];
        if !bytes.is_empty() {
            if let Err(flood) = this.frames.received(bytes, Instant::now()) {
                this.connection.cut(Cut::Flood(flood));
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            this.connection.note_head(this.frames.head_since);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WatchedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = &polled {
            self.frames.sent(&buf[..*count]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(count)) = &polled {
            let mut left = *count;
            for buf in bufs {
                let taken = left.min(buf.len());
                self.frames.sent(&buf[..taken]);
                left -= taken;
            }
        }
        polled
    }
}

impl<T> Drop for WatchedIo<T> {
    fn drop(&mut self) {
        self.connection.note_opened(self.frames.opened);
    }
}

// === impl Frames ===

impl Frames {
    fn new(now: Instant) -> Self {
        Self {
            input: Heads::after(PREFACE),
            output: Heads::after(0),
            control: Allowance::new(CONTROL, CONTROL_RATE, now),
            resets: Allowance::new(RESETS, RESETS_RATE, now),
            opened: 0,
            last: 0,
            head_since: None,
        }
    }

    /// These bytes came from the client.
    ///
    /// # Errors
    /// The kind of which there were too many. The connection is to be closed.
    fn received(&mut self, bytes: &[u8], now: Instant) -> Result<(), Flood> {
        let mut rest = bytes;
        while let Some(head) = self.input.next(&mut rest) {
            self.judge(head, now)?;
        }
        Ok(())
    }

    /// These bytes went to the client.
    fn sent(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(head) = self.output.next(&mut rest) {
            if matches!(head.kind, DATA | HEADERS) {
                self.control.earn(CONTROL_EARNED);
            }
        }
    }

    fn judge(&mut self, head: Head, now: Instant) -> Result<(), Flood> {
        let is_end = head.flags & END_HEADERS != 0;
        let flood = match head.kind {
            HEADERS => {
                // A second head on a stream is its trailers.
                if head.stream > self.last {
                    self.last = head.stream;
                    self.opened += 1;
                    if self.opened.is_multiple_of(2) {
                        self.resets.earn(1);
                    }
                }
                self.head_since = (!is_end).then_some(now);
                return Ok(());
            }
            // Their number is bounded by h2, which knows how large a head may be.
            CONTINUATION => {
                if is_end {
                    self.head_since = None;
                }
                return Ok(());
            }
            DATA if head.length > 0 || head.flags & END_STREAM != 0 => return Ok(()),
            RST_STREAM if self.resets.take(now) => return Ok(()),
            RST_STREAM => return Err(Flood::RapidReset),
            DATA => Flood::EmptyData,
            SETTINGS => Flood::Settings,
            PING => Flood::Ping,
            WINDOW_UPDATE => Flood::WindowUpdate,
            PRIORITY | 10.. => Flood::Ignored,
            _ => Flood::Other,
        };
        if self.control.take(now) {
            Ok(())
        } else {
            Err(flood)
        }
    }
}

// === impl Heads ===

impl Heads {
    fn after(skip: usize) -> Self {
        Self {
            head: [0; 10],
            have: 0,
            skip,
        }
    }

    /// The next head that is complete in `rest`, which is left behind it.
    fn next(&mut self, rest: &mut &[u8]) -> Option<Head> {
        let skipped = self.skip.min(rest.len());
        self.skip -= skipped;
        *rest = &rest[skipped..];
        self.fill(HEAD, rest)?;
        let [a, b, c, kind, flags, stream @ .., _] = self.head;
        let stream = u32::from_be_bytes(stream) & !(1 << 31);
        let mut length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.skip = length;
        if kind == DATA && flags & PADDED != 0 && length > 0 {
            self.skip = 0;
            self.fill(HEAD + 1, rest)?;
            self.skip = length - 1;
            length = self.skip.saturating_sub(usize::from(self.head[HEAD]));
        }
        self.have = 0;
        Some(Head {
            length,
            kind,
            flags,
            stream,
        })
    }

    /// Takes from `rest` until it has so many bytes of a head.
    fn fill(&mut self, needed: usize, rest: &mut &[u8]) -> Option<()> {
        let missing = needed.saturating_sub(self.have);
        let (part, after) = rest.split_at(missing.min(rest.len()));
        self.head[self.have..self.have + part.len()].copy_from_slice(part);
        self.have += part.len();
        *rest = after;
        (self.have >= needed).then_some(())
    }
}

// === impl Allowance ===

impl Allowance {
    fn new(most: u32, per_second: u32, now: Instant) -> Self {
        Self {
            left: most,
            most,
            per_second,
            filled: now,
        }
    }

    fn earn(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(self.most);
    }

    fn take(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            self.fill(now);
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }

    /// What has come free since it was last looked at; an honest connection never needs to look.
    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.filled);
        let free = since.as_millis() * u128::from(self.per_second) / 1000;
        if free > 0 {
            self.earn(u32::try_from(free).unwrap_or(u32::MAX));
            self.filled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(length).expect("short").to_be_bytes();
        let mut bytes = vec![a, b, c, kind, flags, 0, 0, 0, 1];
        bytes.resize(9 + length, 0xff);
        bytes
    }

    fn open(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        frames.received(&[0; PREFACE], now).expect("the preface");
        frames
    }

    #[test]
    fn each_kind_of_frame_that_costs_nothing_is_bounded_and_named() {
        let now = Instant::now();
        for (bytes, flood) in [
            (frame(PING, 0, 8), Flood::Ping),
            (frame(SETTINGS, 0, 6), Flood::Settings),
            (frame(WINDOW_UPDATE, 0, 4), Flood::WindowUpdate),
            (frame(PRIORITY, 0, 5), Flood::Ignored),
            (frame(0x20, 0, 100), Flood::Ignored),
            (frame(DATA, 0, 0), Flood::EmptyData),
            (frame(DATA, PADDED, 256), Flood::EmptyData), // the length of the padding is 0xff
            (frame(7, 0, 8), Flood::Other),
        ] {
            let mut frames = open(now);
            for _ in 0..CONTROL {
                frames.received(&bytes, now).expect("within the burst");
            }
            assert_eq!(frames.received(&bytes, now), Err(flood));
        }
    }

    #[test]
    fn a_steady_rate_goes_on_for_ever() {
        let mut now = Instant::now();
        let mut frames = open(now);
        for _ in 0..20 * CONTROL {
            now += Duration::from_secs(1) / CONTROL_RATE;
            frames.received(&frame(PING, 0, 8), now).expect("in time");
        }
    }

    #[test]
    fn answers_to_what_we_send_are_free() {
        let now = Instant::now();
        let mut frames = open(now);
        for _ in 0..10 * CONTROL {
            frames.sent(&frame(DATA, 0, 50));
            for _ in 0..CONTROL_EARNED {
                let update = frame(WINDOW_UPDATE, 0, 4);
                frames.received(&update, now).expect("earned");
            }
        }
    }

    #[test]
    fn streams_that_are_opened_and_reset_are_bounded_and_a_page_that_is_left_is_not() {
        let now = Instant::now();
        let reset = frame(RST_STREAM, 0, 4);
        let mut stream = 1_u32;
        let mut headers = || {
            let mut headers = frame(HEADERS, 5, 20);
            headers[5..9].copy_from_slice(&stream.to_be_bytes());
            stream += 2;
            headers
        };
        let mut frames = open(now);
        let mut pairs = 0;
        let flood = loop {
            frames.received(&headers(), now).expect("a request");
            if let Err(flood) = frames.received(&reset, now) {
                break flood;
            }
            pairs += 1;
        };
        assert_eq!(flood, Flood::RapidReset);
        assert!((RESETS..=2 * RESETS).contains(&pairs), "{pairs}");

        let mut frames = open(now);
        for _ in 0..100 {
            for _ in 0..100 {
                frames.received(&headers(), now).expect("a request");
            }
            for _ in 0..50 {
                frames.received(&reset, now).expect("a change of mind");
            }
        }
        assert_eq!(frames.opened, 10_000);
    }

    #[test]
    fn frames_are_found_wherever_the_reads_cut_them() {
        let now = Instant::now();
        let mut bytes = vec![0; PREFACE];
        for _ in 0..=CONTROL {
            bytes.extend(frame(DATA, 0, 3));
            bytes.extend(frame(DATA, PADDED, 257));
            bytes.extend(frame(PING, 0, 8));
        }
        for size in [1, 2, 7, 9, 10, 1000] {
            let mut frames = Frames::new(now);
            let flood = bytes
                .chunks(size)
                .find_map(|chunk| frames.received(chunk, now).err());
            assert_eq!(flood, Some(Flood::Ping), "in pieces of {size}");
        }
    }

    #[test]
    fn a_head_that_has_begun_is_seen_until_it_ends() {
        let now = Instant::now();
        let mut frames = open(now);
        let mut take = |bytes: &[u8]| {
            frames.received(bytes, now).expect("no flood");
            frames.head_since
        };
        assert_eq!(take(&frame(HEADERS, END_STREAM, 20)), Some(now));
        assert_eq!(take(&frame(CONTINUATION, 0, 20)), Some(now));
        assert_eq!(take(&frame(CONTINUATION, END_HEADERS, 20)), None);
        assert_eq!(take(&frame(HEADERS, END_HEADERS, 20)), None);
    }
}
