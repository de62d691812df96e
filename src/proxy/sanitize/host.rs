//! The host that a request names: what is a valid one, and how two are compared.
//!
//! Stricter than RFC 3986 §3.2.2 on purpose: letters, digits, `-`, `.`, `_`, `~` and IPv6 literals. Its grammar also has
//! percent escapes and `!$&'()*+,;=`, which no name in DNS has and on which servers disagree; they are refused.

use std::net::Ipv6Addr;

/// The longest host with its port, in bytes; names in DNS have at most 253.
pub const LONGEST: usize = 255;

/// Whether this is `host` or `host:port` (RFC 9110 §7.2), without userinfo.
#[must_use]
pub fn is_valid(text: &[u8]) -> bool {
    if text.is_empty() || text.len() > LONGEST {
        return false;
    }
    let rest = if let Some(literal) = text.strip_prefix(b"[") {
        let Some(end) = literal.iter().position(|byte| *byte == b']') else {
            return false;
        };
        let address = std::str::from_utf8(&literal[..end]).unwrap_or_default();
        if address.parse::<Ipv6Addr>().is_err() {
            return false;
        }
        &literal[end + 1..]
    } else {
        let end = text
            .iter()
            .position(|byte| !matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'));
        let end = end.unwrap_or(text.len());
        if end == 0 {
            return false;
        }
        &text[end..]
    };
    match rest.split_first() {
        None => true,
        Some((b':', port)) => is_port(port),
        Some(_) => false,
    }
}

/// The name in a valid host: without its port, and without the dot of the root.
#[must_use]
pub fn name(host: &str) -> &str {
    let name = match host.rfind([':', ']']) {
        Some(colon) if host.as_bytes()[colon] == b':' => &host[..colon],
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// The name in lower case: itself where it is, else in `buffer`. `None` where it is longer than that.
#[must_use]
pub fn lower<'a>(name: &'a str, buffer: &'a mut [u8; LONGEST]) -> Option<&'a str> {
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(name);
    }
    let buffer = buffer.get_mut(..name.len())?;
    buffer.copy_from_slice(name.as_bytes());
    buffer.make_ascii_lowercase();
    std::str::from_utf8(buffer).ok()
}

/// Up to five digits that say a port, or none at all (RFC 3986 §3.2.3).
fn is_port(port: &[u8]) -> bool {
    port.len() <= 5
        && port.iter().all(u8::is_ascii_digit)
        && port
            .iter()
            .fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))
            <= u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_junk() {
        for good in [
            "a",
            "a.test",
            "A.Test:80",
            "a.test.",
            "1.2.3.4",
            "1.2.3.4:65535",
            "[::1]",
            "[::1]:8080",
            "[::ffff:1.2.3.4]",
            "a_b-c~d",
            "a:",
            "xn--bcher-kva.example",
        ] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for junk in [
            "",
            ":80",
            "a b",
            "a/..",
            "a@b",
            "user:pw@a",
            "a:80:80",
            "a:65536",
            "a:+1",
            "a:8o",
            "a:000080",
            "[::1",
            "::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "[]",
            "[1.2.3.4]",
            "a%2eb",
            "a,b",
            "a;b",
            "a\\b",
            "é",
            "a?b",
            "a#b",
            "a\tb",
            "a..b/",
            "*",
        ] {
            assert!(!is_valid(junk.as_bytes()), "{junk}");
        }
        assert!(is_valid("a".repeat(255).as_bytes()));
        assert!(!is_valid("a".repeat(256).as_bytes()));
    }

    #[test]
    fn the_name_stands_without_port_and_root() {
        for (host, expected) in [
            ("a.test", "a.test"),
            ("a.test:80", "a.test"),
            ("a.test.", "a.test"),
            ("a.test.:80", "a.test"),
            ("a:", "a"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(name(host), expected);
        }
    }

    #[test]
    fn names_are_compared_in_lower_case() {
        assert_eq!(lower("Shop.TEST", &mut [0; LONGEST]), Some("shop.test"));
        assert_eq!(lower("shop.test", &mut [0; LONGEST]), Some("shop.test"));
    }
}
