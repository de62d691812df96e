//! The PROXY protocol's header, which tells an upstream who the client is before anything else is said.
//!
//! After HAProxy's `proxy-protocol.txt` (version 2, §2.1 and §2.2). The source is the client as the access log names it:
//! the peer, or whoever a trusted proxy says it is, then with port 0, since nobody says that. The destination is where
//! the client's connection came in.

use std::net::{IpAddr, SocketAddr};

use crate::config::ProxyProtocol;
use crate::exchange::Exchange;

/// How a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and: this connection is made for a client.
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// The header for the client of this exchange.
pub(super) fn header(version: ProxyProtocol, exchange: &Exchange) -> Vec<u8> {
    let connection = exchange.connection();
    let peer = canonical(connection.peer());
    let client = exchange.client();
    let source = if client == peer.ip() {
        peer
    } else {
        SocketAddr::new(client, 0)
    };
    encode(version, source, canonical(connection.local()))
}

fn encode(version: ProxyProtocol, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (source, destination) = alike(source, destination);
    match version {
        ProxyProtocol::V1 => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.ip(), destination.ip());
            let ports = (source.port(), destination.port());
            format!("PROXY {family} {from} {to} {} {}\r\n", ports.0, ports.1).into_bytes()
        }
        ProxyProtocol::V2 => {
            let (family, length) = if source.is_ipv4() {
                (TCP4, 12)
            } else {
                (TCP6, 36)
            };
            let mut bytes = Vec::with_capacity(16 + 36);
            bytes.extend_from_slice(SIGNATURE);
            bytes.extend_from_slice(&[PROXY, family, 0, length]);
            for ip in [source.ip(), destination.ip()] {
                match ip {
                    IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
                    IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
                }
            }
            bytes.extend_from_slice(&source.port().to_be_bytes());
            bytes.extend_from_slice(&destination.port().to_be_bytes());
            bytes
        }
    }
}

/// Both of one family: where they are not, IPv4 is mapped into IPv6.
fn alike(one: SocketAddr, other: SocketAddr) -> (SocketAddr, SocketAddr) {
    if one.is_ipv4() == other.is_ipv4() {
        return (one, other);
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (mapped(one), mapped(other))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("the test gives an address")
    }

    #[test]
    fn version_one_is_a_line() {
        let encode = |from, to| {
            let bytes = encode(ProxyProtocol::V1, at(from), at(to));
            String::from_utf8(bytes).expect("it is ASCII")
        };
        assert_eq!(
            encode("192.0.2.1:50000", "198.51.100.2:443"),
            "PROXY TCP4 192.0.2.1 198.51.100.2 50000 443\r\n"
        );
        assert_eq!(
            encode("[2001:db8::1]:50000", "[2001:db8::2]:443"),
            "PROXY TCP6 2001:db8::1 2001:db8::2 50000 443\r\n"
        );
        assert_eq!(
            encode("192.0.2.1:0", "[2001:db8::2]:443"),
            "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 0 443\r\n"
        );
    }

    #[test]
    fn version_two_is_binary() {
        let four = encode(
            ProxyProtocol::V2,
            at("192.0.2.1:258"),
            at("198.51.100.2:443"),
        );
        let expected: Vec<u8> = [
            b"\r\n\r\n\0\r\nQUIT\n".as_slice(),
            &[0x21, 0x11, 0, 12],
            &[192, 0, 2, 1, 198, 51, 100, 2, 1, 2, 1, 187],
        ]
        .concat();
        assert_eq!(four, expected);
        let six = encode(ProxyProtocol::V2, at("[::1]:1"), at("[::2]:2"));
        assert_eq!(six.len(), 16 + 36);
        assert_eq!(six[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(six[48..], [0, 1, 0, 2]);
    }
}
