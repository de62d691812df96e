//! One pass over the fields of a message: which of those that concern a proxy are there.
//!
//! A look-up costs a hash for each name that might be there; the names that might are some thirty, and usually none is.
//! So the fields that are there are gone through once, told apart by their length first, and only what was seen is
//! touched afterwards.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What a field is to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Passes as it is.
    Other,
    Host,
    Connection,
    Te,
    TransferEncoding,
    /// Concerns one connection, and its name alone says so (RFC 9110 §7.6.1).
    Hop(HopField),
    ContentLength,
    Expect,
    Via,
    Cookie,
    UserAgent,
    MaxForwards,
    RequestId,
    /// Says who the client is; believed from trusted peers only.
    Forwarding,
    /// Never passes: `Proxy`, which CGI takes for a variable of its own (CVE-2016-5385).
    Never,
    /// A field for everybody that no `Connection` can take away.
    Kept,
}

/// A field of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum HopField {
    KeepAlive,
    ProxyConnection,
    ProxyAuthenticate,
    ProxyAuthenticationInfo,
    ProxyAuthorization,
    Upgrade,
    Http2Settings,
}

/// The names of [`HopField`], in its order.
pub(super) static HOP_FIELDS: [HeaderName; 7] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// The hop fields that are there, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HopSet(u8);

// === impl HopSet ===

impl HopSet {
    pub(super) fn add(&mut self, field: HopField) {
        self.0 |= 1 << field as u8;
    }

    pub(super) fn has(self, field: HopField) -> bool {
        self.0 & 1 << field as u8 != 0
    }

    /// Takes them out.
    pub(super) fn remove(self, headers: &mut HeaderMap) {
        if self.0 != 0 {
            for (bit, name) in HOP_FIELDS.iter().enumerate() {
                if self.0 & 1 << bit != 0 {
                    headers.remove(name);
                }
            }
        }
    }
}

/// What the field of this name is; names are lower case.
pub(super) fn kind(name: &str) -> Kind {
    let kind = by_length(name);
    if kind == Kind::Other && name.len() > 5 && name.as_bytes().contains(&b'_') {
        return alias(name);
    }
    kind
}

fn by_length(name: &str) -> Kind {
    match (name.len(), name) {
        (2, "te") => Kind::Te,
        (3, "via") => Kind::Via,
        (4, "host") => Kind::Host,
        (5, "proxy") => Kind::Never,
        (6, "expect") => Kind::Expect,
        (6, "cookie") => Kind::Cookie,
        (7, "upgrade") => Kind::Hop(HopField::Upgrade),
        (7, "trailer") => Kind::Kept,
        (9, "forwarded" | "x-real-ip") => Kind::Forwarding,
        (10, "user-agent") => Kind::UserAgent,
        (10, "connection") => Kind::Connection,
        (10, "keep-alive") => Kind::Hop(HopField::KeepAlive),
        (11, "client-cert") | (17, "client-cert-chain") => Kind::Forwarding, // RFC 9440
        (12, "x-request-id") => Kind::RequestId,
        (12, "max-forwards") => Kind::MaxForwards,
        (13, "authorization") => Kind::Kept,
        (14, "content-length") => Kind::ContentLength,
        (14, "http2-settings") => Kind::Hop(HopField::Http2Settings),
        (16, "proxy-connection") => Kind::Hop(HopField::ProxyConnection),
        (17, "transfer-encoding") => Kind::TransferEncoding,
        (18, "proxy-authenticate") => Kind::Hop(HopField::ProxyAuthenticate),
        (19, "proxy-authorization") => Kind::Hop(HopField::ProxyAuthorization),
        (25, "proxy-authentication-info") => Kind::Hop(HopField::ProxyAuthenticationInfo),
        (12.., name) if name.starts_with("x-forwarded-") => {
            // The rest of the name is anybody's: `x-forwarded-client_cert` would pass for one with hyphens only.
            if name.as_bytes().contains(&b'_') {
                Kind::Never
            } else {
                Kind::Forwarding
            }
        }
        _ => Kind::Other,
    }
}

/// A name with underscores is, to CGI and its heirs, the same as one with hyphens. Where it would pass for a field that
/// concerns us it never passes.
#[cold]
fn alias(name: &str) -> Kind {
    let mut buffer = [0; 32];
    let length = name.len().min(buffer.len()); // no name of ours is longer
    let buffer = &mut buffer[..length];
    buffer.copy_from_slice(&name.as_bytes()[..length]);
    for byte in buffer.iter_mut().filter(|byte| **byte == b'_') {
        *byte = b'-';
    }
    match std::str::from_utf8(buffer).map(by_length) {
        Ok(Kind::Other) | Err(_) => Kind::Other,
        Ok(_) => Kind::Never,
    }
}

/// The elements of a comma-separated list, over all lines of a field.
pub(super) fn elements<'a>(
    lines: impl Iterator<Item = &'a HeaderValue>,
) -> impl Iterator<Item = &'a [u8]> {
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Takes out `Connection` and what it lists, save what is for everybody: no client may have the proxy take away a host,
/// a length, credentials or the path that the request has come (CVE-2021-32813). What the proxy adds itself is added
/// later and cannot be listed away in any case.
pub(super) fn remove_connection(headers: &mut HeaderMap) {
    if headers.get_all(header::CONNECTION).iter().nth(1).is_some() {
        join(headers, header::CONNECTION, b", ");
    }
    let Some(list) = headers.remove(header::CONNECTION) else {
        return;
    };
    for element in elements(std::iter::once(&list)) {
        let is_only_an_option =
            element.eq_ignore_ascii_case(b"close") || element.eq_ignore_ascii_case(b"keep-alive");
        if !is_only_an_option
            && let Ok(name) = HeaderName::from_bytes(element)
            && matches!(kind(name.as_str()), Kind::Other)
        {
            headers.remove(name);
        }
    }
}

/// Joins the lines of a field into one.
pub(super) fn join(headers: &mut HeaderMap, name: HeaderName, between: &[u8]) {
    let mut joined = bytes::BytesMut::new();
    // An empty one would leave white space at an end, which the next reader takes away.
    for line in headers
        .get_all(&name)
        .iter()
        .filter(|line| !line.is_empty())
    {
        if !joined.is_empty() {
            joined.extend_from_slice(between);
        }
        joined.extend_from_slice(line.as_bytes());
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(joined.freeze()) {
        headers.insert(name, value);
    }
}

/// Takes the white space around values away: RFC 9113 §8.2.1 forbids it, and in a line of HTTP/1.1 it would be none of the
/// value (RFC 9112 §5.1).
#[cold]
pub(super) fn trim(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let bytes = value.as_bytes();
        let start = bytes.iter().position(|it| !matches!(it, b' ' | b'\t'));
        let end = bytes.iter().rposition(|it| !matches!(it, b' ' | b'\t'));
        let plain = start
            .zip(end)
            .map_or(&[][..], |(start, end)| &bytes[start..=end]);
        if plain.len() < bytes.len()
            && let Ok(plain) = HeaderValue::from_bytes(plain)
        {
            *value = plain;
        }
    }
}

/// Takes the zeros before a length away: digits are all that the grammar asks for (RFC 9110 §8.6), and there are readers who
/// take `010` for eight. That they are digits has been judged.
#[cold]
pub(super) fn unpad_length(headers: &mut HeaderMap) {
    if let Some(length) = headers.get_mut(header::CONTENT_LENGTH) {
        let digits = length.as_bytes();
        let last = digits.len().saturating_sub(1);
        let zeros = digits.iter().take(last).take_while(|it| **it == b'0');
        let zeros = zeros.count();
        if let Ok(plain) = HeaderValue::from_bytes(&digits[zeros..]) {
            *length = plain;
        }
    }
}

/// Takes out every field of these kinds. Their names are not known beforehand, so they are gathered first.
#[cold]
pub(super) fn remove_kinds(headers: &mut HeaderMap, is_out: impl Fn(Kind) -> bool) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_out(kind(name.as_str())))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}
