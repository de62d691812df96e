//! Who the client is, when proxies that we trust stand between it and us.
//!
//! Each proxy adds at the right whom it was called by. So the list is read from the right, and what stands there is
//! believed only as long as the one who wrote it is trusted: the first address that is not a trusted proxy's own is the
//! client. Whatever stands further left was written by the client itself and means nothing. Reading from the left, as
//! many do, lets every client choose its address.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::{FORWARDED, X_FORWARDED_FOR};

/// The most elements of one `Forwarded` field line that are read; further left nothing is believed.
const MOST: usize = 32;

/// Whether `address` is in one of the networks.
#[must_use]
pub fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// Whether an address is loopback, link-local or private: RFC 1918, RFC 4193 (ULA), RFC 3927, RFC 4291 §2.5.6. Shared
/// address space (RFC 6598, 100.64.0.0/10) is not: strangers share it behind a carrier.
#[must_use]
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The client of a request that came from the trusted peer `peer`, as `X-Forwarded-For` names it, else `Forwarded`.
#[must_use]
pub fn client(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let mut walk = Walk {
        last: peer,
        trusted,
    };
    let mut lines = headers.get_all(&X_FORWARDED_FOR).iter().rev().peekable();
    if lines.peek().is_some() {
        for line in lines {
            let elements = line.as_bytes().rsplit(|byte| *byte == b',');
            for element in elements.map(<[u8]>::trim_ascii) {
                // An empty element of a list says nothing (RFC 9110 §5.6.1.2).
                if !element.is_empty() && !walk.step(parse(element)) {
                    return walk.last;
                }
            }
        }
        return walk.last;
    }
    for line in headers.get_all(FORWARDED).iter().rev() {
        let mut nodes = [None; MOST];
        let count = forwarded_for(line, &mut nodes);
        for at in (0..count).rev().take(MOST) {
            if !walk.step(nodes[at % MOST]) {
                return walk.last;
            }
        }
        if count > MOST {
            break;
        }
    }
    walk.last
}

/// The way from us to the client.
struct Walk<'a> {
    last: IpAddr,
    trusted: &'a [IpNet],
}

impl Walk<'_> {
    /// One further away; whether to go on.
    fn step(&mut self, next: Option<IpAddr>) -> bool {
        let Some(next) = next else {
            return false; // `unknown`, a pseudonym or junk: the last good one is as far as we can see
        };
        self.last = next;
        is_in(self.trusted, next)
    }
}

/// An address with or without port: `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]`, `[::1]:5`.
fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let address = if let Some(literal) = text.strip_prefix('[') {
        let (literal, rest) = literal.split_once(']')?;
        if !rest.is_empty() && !is_port(rest.strip_prefix(':')?) {
            return None;
        }
        IpAddr::V6(literal.parse::<Ipv6Addr>().ok()?)
    } else {
        match text.split_once(':') {
            Some((v4, port)) if is_port(port) => IpAddr::V4(v4.parse().ok()?),
            _ => text.parse().ok()?,
        }
    };
    Some(address.to_canonical())
}

/// A port or, in `Forwarded`, an obfuscated one (RFC 7239 §6.2).
fn is_port(text: &str) -> bool {
    let is_digits = text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    !text.is_empty() && (is_digits || text.starts_with('_'))
}

/// The `for` of each element of a `Forwarded` line (RFC 7239 §4), in order, the last [`MOST`] of them at their number
/// modulo [`MOST`]; the answer is how many there are. A line that breaks the grammar has, from there on, only unknowns.
fn forwarded_for(line: &HeaderValue, nodes: &mut [Option<IpAddr>; MOST]) -> usize {
    let mut rest = line.as_bytes();
    let mut count = 0;
    loop {
        let node = element(&mut rest);
        if !matches!(node, Element::Empty) {
            nodes[count % MOST] = match node {
                Element::For(address) => Some(address),
                Element::Empty | Element::Unknown | Element::Broken => None,
            };
            count += 1;
        }
        match rest.split_first() {
            Some((b',', tail)) => rest = tail,
            _ => return count,
        }
    }
}

/// Whether a `Forwarded` line keeps to the grammar, so that what is added to it is read as what it is. Behind a quotation
/// that never ends it would be a part of that.
#[must_use]
pub(super) fn is_whole(line: &HeaderValue) -> bool {
    let mut rest = line.as_bytes();
    loop {
        if matches!(element(&mut rest), Element::Broken) {
            return false;
        }
        match rest.split_first() {
            Some((b',', tail)) => rest = tail,
            _ => return true,
        }
    }
}

/// One element of a `Forwarded` line.
enum Element {
    Empty,
    For(IpAddr),
    /// It does not tell.
    Unknown,
    /// It breaks the grammar.
    Broken,
}

/// Reads one element, up to its comma or the end.
fn element(rest: &mut &[u8]) -> Element {
    let (mut found, mut is_empty, mut is_broken) = (None, true, false);
    loop {
        let end = |byte: &u8| matches!(byte, b'=' | b';' | b',');
        let end = rest.iter().position(end).unwrap_or(rest.len());
        let name = rest[..end].trim_ascii();
        *rest = &rest[end..];
        is_empty &= name.is_empty();
        if let Some(tail) = rest.strip_prefix(b"=") {
            *rest = tail;
            let value = value(rest).unwrap_or_else(|| {
                is_broken = true; // the quotation never ends
                *rest = &[];
                &[]
            });
            if name.eq_ignore_ascii_case(b"for") {
                is_broken |= found.is_some(); // two of them contradict each other
                found = Some(parse(value));
            }
        } else {
            is_broken |= !name.is_empty();
        }
        *rest = rest.trim_ascii_start();
        match rest.split_first() {
            Some((b';', tail)) => *rest = tail,
            Some((b',', _)) | None => break,
            Some(_) => {
                is_broken = true;
                *rest = &[];
            }
        }
    }
    match found.flatten() {
        _ if is_broken => Element::Broken,
        _ if is_empty => Element::Empty,
        Some(address) => Element::For(address),
        // An element without `for` is a proxy that does not tell.
        None => Element::Unknown,
    }
}

/// Reads a token or a quoted string; addresses need no escapes, so a value with one is only skipped.
fn value<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        let mut at = 0;
        loop {
            match quoted.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        *rest = &quoted[at + 1..];
        return Some(&quoted[..at]);
    }
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b';' | b',' | b' ' | b'\t'));
    let (value, tail) = rest.split_at(end.unwrap_or(rest.len()));
    *rest = tail;
    Some(value)
}

#[cfg(test)]
mod tests;
