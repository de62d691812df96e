//! The PROXY protocol, versions 1 and 2: a load balancer says before the first byte of the client who the client is
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! The parser is pure and says when it needs more; the reader takes from the socket what surely belongs to the header and
//! not a byte of what follows, which is TLS or HTTP. Extensions (TLVs) are passed over: names, certificates and checksums
//! that a balancer may tell are not believed or checked here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::exchange::Connection;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The client, and where it has connected to.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// Where to.
        destination: SocketAddr,
    },
    /// The balancer speaks for itself (a health check), or of a client without an IP address: the socket's own addresses
    /// stand.
    Local,
}

/// Bytes that are no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no PROXY header: {0}")]
pub struct Malformed(pub &'static str);

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("closed before the PROXY header")]
    Nothing,
    #[error("closed within the PROXY header")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// How a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How a header of version 1 begins.
const WORD: &[u8] = b"PROXY ";
/// The longest header of version 1, its line end included.
const LONGEST_LINE: usize = 107;
/// The part of a header of version 2 before its addresses.
const FIXED: usize = 16;

/// Reads the header at the start of these bytes: what it says and its length. `None`: it goes on.
///
/// # Errors
/// Where it is none, whatever follows.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    if has_start(bytes, SIGNATURE) {
        return parse_binary(bytes);
    }
    if has_start(bytes, WORD) {
        return parse_line(bytes);
    }
    Err(Malformed("it begins with something else"))
}

/// Whether the bytes begin so, as far as they go.
fn has_start(bytes: &[u8], start: &[u8]) -> bool {
    let length = bytes.len().min(start.len());
    bytes[..length] == start[..length]
}

fn parse_line(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let seen = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = seen.iter().position(|byte| *byte == b'\n') else {
        return if seen.len() == LONGEST_LINE {
            Err(Malformed("its line is longer than 107 bytes"))
        } else {
            Ok(None)
        };
    };
    let line = seen[..end].strip_suffix(b"\r");
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    let line = line.ok_or(Malformed("its line does not end in CR LF"))?;
    let mut words = line.split(' ').skip(1);
    let header = match words.next() {
        Some("UNKNOWN") => return Ok(Some((Header::Local, end + 1))), // whatever follows the word
        Some("TCP4") => addresses::<Ipv4Addr>(&mut words),
        Some("TCP6") => addresses::<Ipv6Addr>(&mut words),
        _ => return Err(Malformed("its protocol is not known")),
    };
    match (header, words.next()) {
        (Some(header), None) => Ok(Some((header, end + 1))),
        _ => Err(Malformed("its addresses are not well formed")),
    }
}

fn addresses<'a, A: FromStr + Into<IpAddr>>(
    words: &mut impl Iterator<Item = &'a str>,
) -> Option<Header> {
    let mut address = || Some(words.next()?.parse::<A>().ok()?.into());
    let (source, destination) = (address()?, address()?);
    let mut port = || {
        let word = words.next()?;
        let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
        let has_zero = word.len() > 1 && word.starts_with('0');
        word.parse().ok().filter(|_| is_plain && !has_zero)
    };
    let (from, to) = (port()?, port()?);
    Some(Header::Proxied {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    })
}

fn parse_binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed("its version or command is not known")),
    };
    let needed = match family {
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        0x00 => 0,
        _ if is_local => 0,
        _ => return Err(Malformed("its address family is not known")),
    };
    if length < needed && !is_local {
        return Err(Malformed("it is too short for its addresses"));
    }
    let Some(block) = bytes.get(FIXED..FIXED + length) else {
        return Ok(None);
    };
    let header = match (is_local, family) {
        (false, 0x11) => binary::<4>(block),
        (false, 0x21) => binary::<16>(block),
        _ => Some(Header::Local),
    };
    let header = header.ok_or(Malformed("it is too short for its addresses"))?;
    Ok(Some((header, FIXED + length)))
}

/// Two addresses of `N` bytes and two ports.
fn binary<const N: usize>(block: &[u8]) -> Option<Header>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let [a, b, c, d] = *rest.first_chunk::<4>()?;
    Some(Header::Proxied {
        source: SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(IpAddr::from(*destination), u16::from_be_bytes([c, d])),
    })
}

/// Reads a header off the socket, and nothing after it. Not cancel safe: what was read is lost, and so is the connection.
pub(super) async fn read(
    stream: &mut TcpStream,
    connection: &Connection,
) -> Result<Header, ReadError> {
    let mut seen: Vec<u8> = Vec::with_capacity(LONGEST_LINE);
    loop {
        if let Some((header, _)) = parse(&seen)? {
            return Ok(header);
        }
        let start = seen.len();
        let count = match more(&seen) {
            More::Surely(count) => count,
            More::ToLineEnd(most) => {
                seen.resize(start + most, 0);
                let count = stream.peek(&mut seen[start..]).await?;
                let new = &seen[start..start + count];
                new.iter()
                    .position(|it| *it == b'\n')
                    .map_or(count, |at| at + 1)
            }
        };
        // In pieces: nobody is given 64 KiB for announcing them.
        seen.resize(start + count.min(1024), 0);
        let count = stream.read(&mut seen[start..]).await?;
        if count == 0 {
            return Err(if start == 0 {
                ReadError::Nothing
            } else {
                ReadError::Closed
            });
        }
        seen.truncate(start + count);
        connection.note_bytes();
    }
}

/// How much more a header that goes on has.
enum More {
    /// At least so many bytes.
    Surely(usize),
    /// At most so many, to the end of the line.
    ToLineEnd(usize),
}

fn more(seen: &[u8]) -> More {
    if seen.len() < SIGNATURE.len() {
        return More::Surely(SIGNATURE.len() - seen.len()); // the shortest line has 15 bytes
    }
    if !seen.starts_with(SIGNATURE) {
        return More::ToLineEnd(LONGEST_LINE - seen.len());
    }
    match seen.first_chunk::<FIXED>() {
        None => More::Surely(FIXED - seen.len()),
        Some(fixed) => {
            let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
            More::Surely((FIXED + length).saturating_sub(seen.len()))
        }
    }
}

#[cfg(test)]
mod tests;
