//! The decisions: what of a request is refused, and what of it has to be changed.
//!
//! Reads only, so that a refusal leaves the request as it came.

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Version, header};

use super::fields::{HopField, HopSet, Kind, elements, kind};
use super::wish::wish;
use super::{ListenerRules, host};
use crate::exchange::{Fault, Outcome, TunnelKind};

/// What one pass over the fields has seen.
#[derive(Debug, Default)]
pub(super) struct Seen<'a> {
    pub(super) counts: Counts,
    /// The first of each.
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) user_agent: Option<&'a HeaderValue>,
    /// The client's request id, where it is one.
    pub(super) request_id: Option<&'a str>,
}

/// How many field lines there were of what is counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) hosts: u32,
    pub(super) connections: u32,
    pub(super) lengths: u32,
    pub(super) tes: u32,
    pub(super) codings: u32,
    pub(super) expects: u32,
    pub(super) vias: u32,
    pub(super) cookies: u32,
    pub(super) request_ids: u32,
    pub(super) has_broken_id: bool,
    /// A length has zeros before it.
    pub(super) has_padded_length: bool,
    /// A length is no number. hyper and h2 refuse it before us: this is the second fence.
    pub(super) has_broken_length: bool,
    /// A value of HTTP/2 has white space around it.
    pub(super) has_space: bool,
    pub(super) has_max_forwards: bool,
    pub(super) has_forwarding: bool,
    pub(super) has_never: bool,
    pub(super) hop: HopSet,
}

/// What has to be changed in a request that may go on.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The `Host` to be set, where the one that decides stood elsewhere.
    pub(super) host: Option<HeaderValue>,
    /// The canonical path, where it came in another form.
    pub(super) path: Option<PathAndQuery>,
    /// Whether the client takes trailers.
    pub(super) takes_trailers: bool,
    /// How often it may still be forwarded, where that is counted.
    pub(super) max_forwards: Option<u64>,
    /// What it asks to become.
    pub(super) wish: Option<TunnelKind>,
}

/// The longest request id.
const LONGEST_ID: usize = 128;

// === impl Seen ===

impl<'a> Seen<'a> {
    pub(super) fn of(headers: &'a HeaderMap, version: Version) -> Self {
        let mut seen = Self::default();
        let counts = &mut seen.counts;
        let is_http2 = version == Version::HTTP_2;
        for (name, value) in headers {
            // httparse has taken it away, h2 has not.
            if is_http2 {
                let value = value.as_bytes();
                counts.has_space |= matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']);
            }
            match kind(name.as_str()) {
                Kind::Other | Kind::Kept => {}
                Kind::Host => {
                    counts.hosts += 1;
                    seen.host.get_or_insert(value);
                }
                Kind::Connection => counts.connections += 1,
                Kind::Te => counts.tes += 1,
                Kind::TransferEncoding => counts.codings += 1,
                Kind::Hop(field) => counts.hop.add(field),
                Kind::ContentLength => {
                    counts.lengths += 1;
                    let digits = value.as_bytes();
                    counts.has_padded_length = matches!(digits, [b'0', _, ..]);
                    counts.has_broken_length |=
                        digits.is_empty() || !digits.iter().all(u8::is_ascii_digit);
                }
                Kind::Expect => counts.expects += 1,
                Kind::Via => counts.vias += 1,
                Kind::Cookie => counts.cookies += 1,
                Kind::UserAgent => seen.user_agent = Some(value),
                Kind::MaxForwards => counts.has_max_forwards = true,
                Kind::RequestId => {
                    counts.request_ids += 1;
                    seen.request_id = request_id(value);
                }
                Kind::Forwarding => counts.has_forwarding = true,
                Kind::Never => counts.has_never = true,
            }
        }
        if seen.counts.request_ids > 1 {
            seen.request_id = None; // two ids are none
        }
        seen
    }
}

/// Decides about a request.
pub(super) fn judge(
    head: &Parts,
    seen: &Seen<'_>,
    rules: &ListenerRules,
    pseudonym: &str,
    path: Result<Option<PathAndQuery>, Fault>,
) -> Result<Verdict, Fault> {
    let (headers, counts) = (&head.headers, &seen.counts);
    check_size(head, rules)?;
    check_method(&head.method)?;
    let host = settle_host(head, seen)?;
    let wish = wish(head, seen)?;
    let mut path = path?;
    let is_star = head.uri.path() == "*";
    if wish == Some(TunnelKind::Connect) {
        path = Some(PathAndQuery::from_static("/")); // it has none, and routes have
    } else if head.uri.path_and_query().is_none() || is_star && head.method != Method::OPTIONS {
        return Err(refuse("the request target is not of a form for its method"));
    }
    check_framing(head, counts)?;
    if counts.expects > 0 && head.version != Version::HTTP_10 {
        let mut expected = elements(headers.get_all(header::EXPECT).iter());
        if expected.any(|it| !it.eq_ignore_ascii_case(b"100-continue")) {
            return Err(refuse("the request expects what nobody can do").with_status(417));
        }
    }
    if counts.vias > 0 && has_come_by(headers, pseudonym) {
        return Err(Fault::new(
            Outcome::ProxyLoopDetected,
            "the request has come through this proxy before",
        ));
    }
    let takes_trailers = counts.tes > 0
        && elements(headers.get_all(header::TE).iter())
            .any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    Ok(Verdict {
        host,
        path,
        takes_trailers,
        max_forwards: forwards_left(head, counts)?,
        wish,
    })
}

fn check_size(head: &Parts, rules: &ListenerRules) -> Result<(), Fault> {
    let target = head.uri.path_and_query();
    let mut length = target.map_or(0, |target| target.as_str().len());
    if head.version != Version::HTTP_2
        && let Some(authority) = head.uri.authority()
    {
        let scheme = head.uri.scheme_str().map_or(0, |scheme| scheme.len() + 3);
        length += authority.as_str().len() + scheme;
    }
    if length > rules.uri {
        return Err(
            refuse("the request target is longer than the listener allows").with_status(414),
        );
    }
    if head.headers.len() > rules.headers {
        return Err(
            refuse("the request has more header fields than the listener allows").with_status(431),
        );
    }
    Ok(())
}

/// TRACE would show its caller the fields that proxies on the way add, credentials among them.
fn check_method(method: &Method) -> Result<(), Fault> {
    if *method == Method::TRACE {
        let detail = "TRACE is not carried";
        return Err(Fault::new(Outcome::HttpRequestDenied, detail).with_status(405));
    }
    Ok(())
}

/// The one host of a request (RFC 9112 §3.2, RFC 9113 §8.3.1); the answer is the `Host` to be set, if it is not there.
fn settle_host(head: &Parts, seen: &Seen<'_>) -> Result<Option<HeaderValue>, Fault> {
    let counts = &seen.counts;
    if counts.hosts > 1 {
        return Err(refuse("the request has more than one Host"));
    }
    if let Some(field) = seen.host
        && !host::is_valid(field.as_bytes())
    {
        return Err(refuse("the request's Host is not a host"));
    }
    if !matches!(head.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(refuse("the request is for another scheme than http"));
    }
    let Some(authority) = head.uri.authority() else {
        let may_lack = head.version == Version::HTTP_10;
        return match seen.host {
            None if !may_lack => Err(refuse("the request has no Host")),
            _ => Ok(None),
        };
    };
    let authority = authority.as_str().as_bytes();
    if !host::is_valid(authority) {
        return Err(refuse("the request's authority is not a host"));
    }
    match seen.host {
        Some(field) if field.as_bytes() == authority => return Ok(None),
        Some(field)
            if head.version == Version::HTTP_2
                && !field.as_bytes().eq_ignore_ascii_case(authority) =>
        {
            return Err(refuse("the request's :authority and Host differ"));
        }
        None if head.version == Version::HTTP_11 => {
            return Err(refuse("the request has no Host"));
        }
        _ => {}
    }
    HeaderValue::from_bytes(authority)
        .map(Some)
        .map_err(|_| refuse("the request's authority is not a host"))
}

/// One way to say where the body ends. That a `Content-Length` stood beside a `Transfer-Encoding` cannot be seen here:
/// hyper has dropped it, lets the coding decide, and closes the connection afterwards.
fn check_framing(head: &Parts, counts: &Counts) -> Result<(), Fault> {
    if counts.lengths > 1 {
        return Err(refuse("the request has more than one Content-Length"));
    }
    if counts.has_broken_length {
        return Err(refuse("the request's Content-Length is no number"));
    }
    if head.version == Version::HTTP_2 {
        let hop = counts.hop;
        let is_specific = counts.connections > 0
            || counts.codings > 0
            || hop.has(HopField::KeepAlive)
            || hop.has(HopField::ProxyConnection)
            || hop.has(HopField::Upgrade);
        // h2 resets such a stream itself (RFC 9113 §8.2.2); this is the second fence.
        return if is_specific {
            Err(refuse("an HTTP/2 request has fields of a connection"))
        } else {
            Ok(())
        };
    }
    if counts.codings > 0 {
        let lines = head.headers.get_all(header::TRANSFER_ENCODING).iter();
        let (mut chunked, mut unknown) = (0, 0);
        for coding in elements(lines) {
            if coding.eq_ignore_ascii_case(b"chunked") {
                chunked += 1;
            } else {
                unknown += 1;
            }
        }
        if unknown > 0 {
            let fault = refuse("the request has a transfer coding that is not known here");
            return Err(fault.with_status(501));
        }
        if chunked != 1 || counts.codings != 1 {
            return Err(refuse("the request is chunked more than once"));
        }
    }
    Ok(())
}

/// Whether `Via` (RFC 9110 §7.6.3) has our name: `1.1 name (comment)`.
fn has_come_by(headers: &HeaderMap, pseudonym: &str) -> bool {
    elements(headers.get_all(header::VIA).iter()).any(|hop| {
        let mut words = hop
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        words.nth(1) == Some(pseudonym.as_bytes())
    })
}

/// RFC 9110 §7.6.2, which concerns only OPTIONS, as TRACE is not carried. At zero we are the one who answers, and our
/// answer is that we do not.
fn forwards_left(head: &Parts, counts: &Counts) -> Result<Option<u64>, Fault> {
    if !counts.has_max_forwards || head.method != Method::OPTIONS {
        return Ok(None);
    }
    let value = head.headers.get(header::MAX_FORWARDS);
    let value = value.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match value {
        Some(0) => Err(Fault::new(
            Outcome::HttpRequestDenied,
            "the request may not be forwarded further, and the proxy has no options of its own",
        )),
        Some(left) => Ok(Some(left - 1)),
        None => Ok(None),
    }
}

/// The id, where it is 1 to 128 visible ASCII characters.
fn request_id(value: &HeaderValue) -> Option<&str> {
    let bytes = value.as_bytes();
    let is_one = (1..=LONGEST_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(bytes).ok().filter(|_| is_one)
}

fn refuse(detail: &'static str) -> Fault {
    Fault::new(Outcome::HttpRequestError, detail)
}
