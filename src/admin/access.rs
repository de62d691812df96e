//! Who may use the side port, and from which page.
//!
//! Three questions, in this order. *May this peer?* On loopback, in `admin.allow`, or with the token. *Was it this port
//! that the client meant?* The name it asked for is an address, a loopback name or configured: a name of somebody else
//! that was made to point here (DNS rebinding) is none of them. *Did a page of another origin ask?* Then it may neither
//! read nor change anything. Only `/metrics`, `/livez` and `/readyz` answer everybody.
//!
//! The peer is the one of the socket. What a forwarding field says is not asked: whoever can reach this port can write
//! one. Cookies were rejected as a way in, since a browser adds them to requests of any page.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};
use ipnet::IpNet;

use crate::config::Admin;

/// Who may use the side port.
#[derive(Debug)]
pub struct Access {
    allow: Vec<IpNet>,
    hosts: Vec<String>,
    token: Option<Token>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The peer may not, and shows no token.
    #[error(
        "this peer may read /metrics, /livez and /readyz only; the rest needs a connection from loopback, an address \
         in admin.allow, or the bearer token"
    )]
    Peer,
    /// The peer may not, and what it shows is not the token.
    #[error("this is not the token")]
    Token,
    /// The name that was asked for is not one of this port's.
    #[error(
        "the Host field must be an IP address, a loopback name or a name in admin.hosts, so that no foreign name can \
         be made to point here"
    )]
    Host,
    /// A page of another origin asks.
    #[error("a page of another origin can read and change nothing here")]
    Origin,
    /// A form asks.
    #[error("a form can change nothing here")]
    Form,
}

/// The token cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token from {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in its first line, or something that no header field can carry.
    #[error(
        "the first line of {path} is no token: visible ASCII characters are needed, without spaces",
        path = .path.display()
    )]
    NoToken {
        /// The file.
        path: PathBuf,
    },
}

/// A bearer token (RFC 6750 §2.1).
struct Token(Box<[u8]>);

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What a form may send without asking the server first (Fetch §2.2.2, CORS-safelisted).
const FORM_TYPES: [&str; 3] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain",
];

// === impl Access ===

impl Access {
    /// The rules of this section. Reads the token.
    ///
    /// # Errors
    /// Where the token's file cannot be read or holds none.
    pub fn new(admin: &Admin) -> Result<Self, TokenError> {
        Ok(Self {
            allow: admin.allow.clone(),
            hosts: admin.hosts.clone(),
            token: admin.token_file.as_deref().map(Token::read).transpose()?,
        })
    }

    /// Whether this peer needs no token.
    #[must_use]
    pub fn knows(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        peer.is_loopback() || self.allow.iter().any(|net| net.contains(&peer))
    }

    /// Whether this peer may make this request.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, peer: IpAddr, request: &Parts) -> Result<(), Refusal> {
        if !self.knows(peer) {
            self.check_token(&request.headers)?;
        }
        self.check_host(request)?;
        check_origin(request)
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(shown) = one(headers, &AUTHORIZATION) else {
            return Err(Refusal::Peer);
        };
        let shown = shown
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match (&self.token, shown) {
            (Some(token), Some((_, shown))) if token.is(shown.trim_start().as_bytes()) => Ok(()),
            (Some(_), Some(_)) => Err(Refusal::Token),
            _ => Err(Refusal::Peer),
        }
    }

    /// Both places where a name can stand must hold one of ours (RFC 9112 §3.2).
    fn check_host(&self, request: &Parts) -> Result<(), Refusal> {
        let field = one(&request.headers, &HOST).ok_or(Refusal::Host)?;
        let target = request.uri.authority().map(http::uri::Authority::as_str);
        let is_ours = |authority: &str| {
            split(authority).is_some_and(|(host, _)| is_address(host) || self.is_our_name(host))
        };
        let all = std::iter::once(field).chain(target);
        if all.into_iter().all(is_ours) {
            Ok(())
        } else {
            Err(Refusal::Host)
        }
    }

    fn is_our_name(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        host == "localhost" || host.ends_with(".localhost") || self.hosts.contains(&host)
    }
}

// === impl Token ===

impl Token {
    fn read(path: &Path) -> Result<Self, TokenError> {
        let text = fs::read_to_string(path).map_err(|source| TokenError::Read {
            path: path.to_owned(),
            source,
        })?;
        let token = text.lines().next().unwrap_or_default().trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::NoToken {
                path: path.to_owned(),
            });
        }
        Ok(Self(token.as_bytes().into()))
    }

    /// Whether this is it; takes as long for any text of the same length.
    fn is(&self, shown: &[u8]) -> bool {
        let differences = std::iter::zip(&self.0, shown).fold(0, |found, (ours, theirs)| {
            std::hint::black_box(found | (ours ^ theirs))
        });
        self.0.len() == shown.len() && differences == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Whether a page of another origin asks. Browsers say so: `Origin` on whatever is not a plain GET, `Sec-Fetch-*` (Fetch
/// Metadata) on all of them. A link that somebody follows from elsewhere is fine, since the page it leads to is ours; so
/// is whoever is no browser and says neither.
fn check_origin(request: &Parts) -> Result<(), Refusal> {
    let Parts {
        method, headers, ..
    } = request;
    let is_safe = matches!(*method, Method::GET | Method::HEAD);
    if headers.contains_key(ORIGIN) {
        let (origin, host) = (one(headers, &ORIGIN), one(headers, &HOST));
        let is_same = origin
            .zip(host)
            .is_some_and(|(origin, host)| is_same_origin(origin, host));
        if !is_same {
            return Err(Refusal::Origin);
        }
    }
    if headers.contains_key(SEC_FETCH_SITE) {
        let is_followed = is_safe
            && one(headers, &SEC_FETCH_MODE) == Some("navigate")
            && one(headers, &SEC_FETCH_DEST) == Some("document");
        let is_ours = matches!(one(headers, &SEC_FETCH_SITE), Some("same-origin" | "none"));
        if !is_ours && !is_followed {
            return Err(Refusal::Origin);
        }
    }
    if !is_safe
        && headers
            .get_all(CONTENT_TYPE)
            .iter()
            .any(|kind| is_form(kind.as_bytes()))
    {
        return Err(Refusal::Form);
    }
    Ok(())
}

fn is_form(content_type: &[u8]) -> bool {
    let media = content_type
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    FORM_TYPES
        .iter()
        .any(|form| media.eq_ignore_ascii_case(form.as_bytes()))
}

/// Whether an origin (RFC 6454 §7) is that of the page that this `Host` serves. The scheme is not compared: whatever
/// stands in front of this port may speak TLS.
fn is_same_origin(origin: &str, host: &str) -> bool {
    let authority = match origin.split_once("://") {
        Some(("http" | "https", authority)) => authority,
        _ => return false, // `null` among them
    };
    let default = if origin.starts_with("https") {
        "443"
    } else {
        "80"
    };
    match (split(authority), split(host)) {
        (Some((ours, our_port)), Some((theirs, their_port))) => {
            ours.eq_ignore_ascii_case(theirs)
                && our_port.unwrap_or(default) == their_port.unwrap_or(default)
        }
        _ => false,
    }
}

/// Host and port of an authority (RFC 3986 §3.2), the brackets kept; `None` where it is none, or names a user.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(end);
    let port = match rest {
        "" => None,
        _ => Some(rest.strip_prefix(':')?),
    };
    let is_number = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit());
    (!host.is_empty() && port.is_none_or(is_number))
        .then_some((host, port.filter(|it| !it.is_empty())))
}

fn is_address(host: &str) -> bool {
    match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(inside) => inside.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

/// The value of a field that is there exactly once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)?.to_str().ok()
}

#[cfg(test)]
mod tests;
