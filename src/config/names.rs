//! Names and addresses: the words by which parts of a configuration call each other.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::notes::At;
use super::tree::quoted;

/// A configured name (listener, route, upstream). Cheap to clone; the only text that may become a metric label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The name of this text, which the caller has checked.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an endpoint is: an IP address or a host name, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The address or the name.
    pub host: Host,
    /// The port, 1 to 65535.
    pub port: u16,
}

/// The host part of an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A literal IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A name, lower case, resolved when a connection is opened.
    Name(Arc<str>),
}

impl Address {
    /// The socket address, where no name has to be resolved.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

// === Checks ===

/// A configured name: 1 to 64 letters, digits, `.`, `_` and `-`. Those that begin with `_` are ours (`_unmatched`).
pub(super) fn check_name(text: &str, at: &At<'_>) -> Option<Name> {
    const LONGEST: usize = 64;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if at.is_quiet() && text.is_empty() {
        return None;
    }
    if text.is_empty() {
        at.error_hint("a name cannot be empty", "such as web");
    } else if let Some(other) = text.chars().find(|c| !is_allowed(*c)) {
        at.error_hint(
            format!("{} has {other:?} in it", quoted(text)),
            "a name is made of letters, digits, _ . and -",
        );
    } else if text.len() > LONGEST {
        at.error(format!(
            "a name has at most {LONGEST} characters, this one {}",
            text.len()
        ));
    } else if text.starts_with('_') {
        at.error("names that begin with _ are kept for the proxy itself");
    } else {
        return Some(Name::new(text));
    }
    None
}

/// Notes every name that was given to an earlier one of its kind.
pub(super) fn check_unique<'n>(kind: &str, names: impl Iterator<Item = (&'n str, At<'n>)>) {
    let mut seen: HashMap<&str, u32> = HashMap::new();
    for (name, at) in names.filter(|(name, _)| !name.is_empty()) {
        match seen.get(name) {
            Some(line) => at.error(format!(
                "there is another {kind} {}, at line {line}",
                quoted(name)
            )),
            None => {
                seen.insert(name, at.line());
            }
        }
    }
}

/// Why a text is no address of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({hint})")]
pub struct AddressError {
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub hint: String,
}

impl AddressError {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
        }
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        const FORMS: &str = "such as 127.0.0.1:9001, [::1]:9001 or web.internal:9001";
        if let Some((scheme, rest)) = text.split_once("://") {
            let bare = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            return Err(match scheme {
                "http" => AddressError::new("an address is no URL", format!("write {bare}")),
                _ => AddressError::new("an address is no URL", FORMS),
            });
        }
        if text.contains(['/', '?', '#', '@']) {
            return Err(AddressError::new(
                format!("{} is no address", quoted(text)),
                FORMS,
            ));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(AddressError::new(
                "an IPv6 address stands in brackets",
                format!("such as [{text}]:9001"),
            ));
        }
        let Some((host, port)) = text
            .rsplit_once(':')
            .filter(|(host, _)| !host.ends_with(':'))
        else {
            return Err(AddressError::new(
                "an address needs a port",
                format!("such as {text}:80"),
            ));
        };
        let port = match port.parse::<u16>() {
            Ok(0) => return Err(AddressError::new("port 0 cannot be called", FORMS)),
            Ok(port) => port,
            Err(_) => {
                return Err(AddressError::new(
                    format!("{} is no port", quoted(port)),
                    "1 to 65535",
                ));
            }
        };
        if host.is_empty() {
            return Err(AddressError::new(
                "an address needs a host before the port",
                format!("such as 127.0.0.1:{port}"),
            ));
        }
        Ok(Self {
            host: host.parse()?,
            port,
        })
    }
}

impl std::str::FromStr for Host {
    type Err = AddressError;

    fn from_str(host: &str) -> Result<Self, AddressError> {
        if let Some(inner) = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            return match inner.parse::<Ipv6Addr>() {
                Ok(ip) => Ok(Self::Ip(IpAddr::V6(ip))),
                Err(_) => Err(AddressError::new(
                    format!("{} is no IPv6 address", quoted(inner)),
                    "such as [::1]",
                )),
            };
        }
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        check_host_name(host)?;
        Ok(Self::Name(Arc::from(host.to_ascii_lowercase())))
    }
}

/// A host name in ASCII (RFC 1123 §2.1), underscores let through as the DNS does; no trailing dot.
pub(super) fn check_host_name(host: &str) -> Result<(), AddressError> {
    const LONGEST_NAME: usize = 253;
    const LONGEST_LABEL: usize = 63;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let wrong =
        |why: &str, hint: &str| Err(AddressError::new(format!("{} {why}", quoted(host)), hint));
    if !host.is_ascii() {
        return wrong(
            "is not ASCII",
            "write an international name in its xn-- form",
        );
    }
    if host.is_empty() || host.len() > LONGEST_NAME {
        return wrong("is no host name", "1 to 253 characters");
    }
    if host.ends_with('.') {
        return wrong("ends in a dot", "leave the last dot out");
    }
    for label in host.split('.') {
        let is_label = !label.is_empty()
            && label.len() <= LONGEST_LABEL
            && label.chars().all(is_allowed)
            && !label.starts_with('-')
            && !label.ends_with('-');
        if !is_label {
            return wrong(
                "is no host name",
                "labels of letters, digits and - with dots between them",
            );
        }
    }
    let last = host.rsplit('.').next().unwrap_or(host);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong(
            "is neither an IP address nor a name",
            "four numbers from 0 to 255, such as 127.0.0.1",
        );
    }
    Ok(())
}

/// What a listener can bind: an IP address and a port; 0 takes a free one.
pub(super) fn bind_address(text: &str) -> Result<SocketAddr, AddressError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
    let hint = match (text.rsplit_once(':'), port.parse::<u16>()) {
        (_, Ok(port)) if text.starts_with("localhost:") => format!("write 127.0.0.1:{port}"),
        (None | Some(("" | "*", _)), Ok(port)) => {
            format!("write 127.0.0.1:{port}, or 0.0.0.0:{port} for every interface")
        }
        _ if text.parse::<Ipv6Addr>().is_ok() => format!("add a port: [{text}]:8080"),
        _ if text.parse::<IpAddr>().is_ok() => format!("add a port: {text}:8080"),
        _ => "an IP address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned(),
    };
    let what = format!("{} cannot be bound", quoted(text));
    Err(AddressError { what, hint })
}

/// What a listener can bind, noting why it cannot.
pub(super) fn check_bind(text: &str, at: &At<'_>) -> Option<SocketAddr> {
    match bind_address(text) {
        Ok(address) => Some(address),
        Err(AddressError { what, hint }) => {
            at.error_hint(what, hint);
            None
        }
    }
}

/// Whether two listeners cannot both bind: the same port, and the same address or one that takes them all.
pub(super) fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// Networks, each as CIDR or as a bare address.
pub(super) fn check_networks(texts: &[String], at: &At<'_>) -> Vec<IpNet> {
    let check = |(position, text): (usize, &String)| {
        if let Ok(net) = text.parse::<IpNet>() {
            return Some(net.trunc());
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Some(IpNet::from(ip));
        }
        let hint = match text.as_str() {
            "*" | "all" | "any" => "for everybody write 0.0.0.0/0 and ::/0",
            _ => "such as 10.0.0.0/8, 192.0.2.7 or fd00::/8",
        };
        at.item(position).error_hint(
            format!("{} is neither an IP address nor a network", quoted(text)),
            hint,
        );
        None
    };
    texts.iter().enumerate().filter_map(check).collect()
}
