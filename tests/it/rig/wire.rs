//! HTTP/1.1 read from a socket, byte for byte.
//!
//! Both ends of the rig stand on it: [`Upstream`](super::Upstream) reads requests with it, [`Client`](super::Client)
//! responses. It owns framing (length, chunks, trailers, end of stream) and a tape of everything that came in. It refuses
//! to judge: no header is normalised, reordered, joined or checked, because what a proxy did to them is what tests ask.
//! hyper would have been shorter, but it hides exactly the bytes that matter here.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Header fields in the order and spelling they came in, duplicates kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

/// The first line and the fields of a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// The bytes as they came, up to and with the empty line.
    pub(crate) raw: Vec<u8>,
    /// The request or status line without its line end.
    pub(crate) first: String,
    pub(crate) headers: Headers,
}

/// Where a body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Nothing,
    Length(u64),
    Chunked,
    UntilClose,
}

/// Whether the bytes of a body are kept or only counted: a body of gigabytes must not fill the test's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Bytes,
    LengthOnly,
}

/// A body with its trailer fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    /// Empty where only the length was kept.
    pub(crate) bytes: Vec<u8>,
    pub(crate) length: u64,
    pub(crate) trailers: Headers,
}

/// A socket with what was read from it and not yet used.
pub(crate) struct Wire {
    stream: Arc<TcpStream>,
    buffer: Vec<u8>,
    tape: Arc<Mutex<Vec<u8>>>,
    is_taping: bool,
}

// === impl Headers ===

impl Headers {
    /// The first value of a field, by its name in any case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Every value of a field, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a list field (`Connection`, `Transfer-Encoding`) names a token.
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .iter()
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    fn push_line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let (name, value) = line.split_once(':').unwrap_or((line.as_ref(), ""));
        self.0.push((name.to_owned(), value.trim().to_owned()));
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(
                self.0
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}")),
            )
            .finish()
    }
}

impl From<&[(&str, &str)]> for Headers {
    fn from(fields: &[(&str, &str)]) -> Self {
        Self(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }
}

// === impl Head ===

impl Head {
    /// Splits the bytes of a head. Anything is accepted; a line without a colon becomes a name without a value.
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let mut lines = raw
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let mut headers = Headers::default();
        lines
            .filter(|line| !line.is_empty())
            .for_each(|line| headers.push_line(line));
        Self {
            raw: raw.to_vec(),
            first,
            headers,
        }
    }

    /// A word of the first line, counted from 0; empty where there is none.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.first.split(' ').nth(index).unwrap_or_default()
    }

    /// Where the body of this request ends.
    pub(crate) fn request_framing(&self) -> Framing {
        self.declared_framing().unwrap_or(Framing::Nothing)
    }

    /// Where the body of this response to `method` ends.
    pub(crate) fn response_framing(&self, method: &str) -> Framing {
        let status = self.word(1);
        let is_bodiless = method == "HEAD"
            || (method == "CONNECT" && status.starts_with('2'))
            || status.starts_with('1')
            || status == "204"
            || status == "304";
        if is_bodiless {
            Framing::Nothing
        } else {
            self.declared_framing().unwrap_or(Framing::UntilClose)
        }
    }

    fn declared_framing(&self) -> Option<Framing> {
        if self.headers.lists("transfer-encoding", "chunked") {
            return Some(Framing::Chunked);
        }
        self.headers
            .get("content-length")
            .and_then(|value| value.parse().ok())
            .map(Framing::Length)
    }
}

// === impl Wire ===

impl Wire {
    pub(crate) fn new(stream: Arc<TcpStream>) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            tape: Arc::default(),
            is_taping: true,
        }
    }

    /// Everything received so far; grows while another thread reads.
    pub(crate) fn tape(&self) -> Arc<Mutex<Vec<u8>>> {
        Arc::clone(&self.tape)
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self.stream).write_all(bytes)
    }

    pub(crate) fn half_close(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Closes with a TCP reset instead of an orderly end.
    pub(crate) fn reset(self) -> io::Result<()> {
        socket2::SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO))
    }

    /// Waits for the first byte of whatever comes next; false at the end of the stream.
    pub(crate) fn wait_for_byte(&mut self) -> io::Result<bool> {
        Ok(!self.buffer.is_empty() || self.fill()? > 0)
    }

    /// Reads a head; none where the stream ended before its first byte.
    pub(crate) fn read_head(&mut self) -> io::Result<Option<Head>> {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.buffer[searched..], b"\r\n\r\n") {
                let raw: Vec<u8> = self.buffer.drain(..searched + at + 4).collect();
                return Ok(Some(Head::parse(&raw)));
            }
            searched = self.buffer.len().saturating_sub(3);
            if self.fill()? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(cut_short("a head", &self.buffer))
                };
            }
        }
    }

    pub(crate) fn read_body(&mut self, framing: Framing, keep: Keep) -> io::Result<Body> {
        self.is_taping = keep == Keep::Bytes;
        let body = self.read_framed(framing, keep);
        self.is_taping = true;
        body
    }

    pub(crate) fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if self.fill()? == 0 {
                return Err(cut_short(&format!("{count} bytes"), &self.buffer));
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Reads until the other side ends the stream.
    pub(crate) fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// What has come in and was not read yet, for messages.
    pub(crate) fn unread(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    fn read_framed(&mut self, framing: Framing, keep: Keep) -> io::Result<Body> {
        let mut body = Body::default();
        match framing {
            Framing::Nothing => {}
            Framing::Length(length) => self.take(length, keep, &mut body)?,
            Framing::UntilClose => {
                while self.wait_for_byte()? {
                    let length = self.buffer.len() as u64;
                    self.take(length, keep, &mut body)?;
                }
            }
            Framing::Chunked => {
                loop {
                    let size = self.read_line()?;
                    let digits = size.split(';').next().unwrap_or_default().trim();
                    let size = u64::from_str_radix(digits, 16).map_err(|_| {
                        io::Error::new(
                            io::ErrorKind::InvalidData,
                            format!("no chunk size: {size:?}"),
                        )
                    })?;
                    if size == 0 {
                        break;
                    }
                    self.take(size, keep, &mut body)?;
                    self.read_line()?;
                }
                loop {
                    let line = self.read_line()?;
                    if line.is_empty() {
                        break;
                    }
                    body.trailers.push_line(line.as_bytes());
                }
            }
        }
        Ok(body)
    }

    fn take(&mut self, mut length: u64, keep: Keep, body: &mut Body) -> io::Result<()> {
        body.length += length;
        while length > 0 {
            if !self.wait_for_byte()? {
                return Err(cut_short(&format!("a body with {length} bytes to go"), &[]));
            }
            let count = usize::try_from(length)
                .map_or(self.buffer.len(), |length| length.min(self.buffer.len()));
            let taken = self.buffer.drain(..count);
            if keep == Keep::Bytes {
                body.bytes.extend(taken);
            }
            length -= count as u64;
        }
        Ok(())
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.fill()? == 0 {
                return Err(cut_short("a line of chunked framing", &self.buffer));
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 64 * 1024];
        let count = loop {
            match (&*self.stream).read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.buffer.extend_from_slice(&piece[..count]);
        if self.is_taping {
            self.tape
                .lock()
                .expect("no reader of the tape panics")
                .extend_from_slice(&piece[..count]);
        }
        Ok(count)
    }
}

fn cut_short(what: &str, got: &[u8]) -> io::Error {
    let got = String::from_utf8_lossy(got);
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the stream ended inside {what}; got {got:?}"),
    )
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
