//! `rewrite`, `request_headers` and `response_headers` as written, and their checks.
//!
//! Fields that belong to a connection or frame a message are the proxy's own: an edit of them would break the framing
//! that both sides rely on (RFC 9112 §11.2), so it is refused here rather than undone later.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use super::notes::At;
use super::route_match::{check_header_name, check_header_value, check_prefix};
use super::{Address, HeaderEdits, Host, Match, PathPattern, Rewrite, names};

/// What is rewritten before the request goes upstream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RewriteWritten {
    /// Takes this off the front of the path; what `match.path` begins with.
    #[serde(default)]
    strip_prefix: Option<String>,
    /// Puts this in place of `match.path.prefix`.
    #[serde(default)]
    prefix: Option<String>,
    /// Sends this as Host (default: the client's).
    #[serde(default)]
    host: Option<String>,
}

/// Edits of header fields: what is removed, then what is set.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderEditsWritten {
    /// Fields that get exactly this value, in place of any they have.
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// Fields that are removed.
    #[serde(default)]
    remove: Vec<String>,
}

/// Fields of a connection (RFC 9110 §7.6.1) and of the framing of a message.
const OURS: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

impl RewriteWritten {
    /// Checks the section against the match of its route, where that is known.
    pub(super) fn check(&self, matches: Option<&Match>, at: &At<'_>) -> Rewrite {
        let strip_at = at.key("strip_prefix");
        let prefix_at = at.key("prefix");
        let strip_prefix = self
            .strip_prefix
            .as_ref()
            .and_then(|path| check_prefix(path, &strip_at));
        let prefix = self
            .prefix
            .as_ref()
            .and_then(|path| check_prefix(path, &prefix_at));
        if strip_prefix.is_some() && prefix.is_some() {
            prefix_at.error_hint(
                "prefix and strip_prefix contradict each other",
                "prefix replaces what path.prefix matched: one of them is enough",
            );
        }
        if let (Some(strip), Some(matches)) = (&strip_prefix, matches) {
            check_strip(strip, &matches.path, &strip_at);
        }
        if let (
            Some(_),
            Some(Match {
                path: PathPattern::Exact(_) | PathPattern::Regex(_),
                ..
            }),
        ) = (&prefix, matches)
        {
            prefix_at.error_hint(
                "prefix needs a match by path.prefix",
                "it replaces the prefix that matched",
            );
        }
        let host = self
            .host
            .as_ref()
            .and_then(|host| check_host(host, &at.key("host")));
        Rewrite {
            strip_prefix,
            prefix,
            host,
        }
    }
}

fn check_strip(strip: &str, path: &PathPattern, at: &At<'_>) {
    let begins = |path: &str| {
        path.strip_prefix(strip)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match path {
        _ if strip == "/" => at.error_hint("nothing is stripped", "take strip_prefix out"),
        PathPattern::Exact(path) | PathPattern::Prefix(path) if begins(path) => {}
        PathPattern::Exact(path) | PathPattern::Prefix(path) => at.error_hint(
            format!("not every path of this route begins with {strip}"),
            format!("the route matches {path}: strip that, or its first segments"),
        ),
        PathPattern::Regex(_) => at.error_hint(
            "strip_prefix needs a match by path.prefix or path.exact",
            "a regex tells nothing of what a path begins with",
        ),
    }
}

/// What may stand in Host: a name or an address, and a port where it is not the usual one.
fn check_host(text: &str, at: &At<'_>) -> Option<HeaderValue> {
    // Without a port it is a name, or an address that for IPv6 stands in brackets.
    let read = text
        .parse::<Address>()
        .map(drop)
        .or_else(|error| match text.parse::<Host>() {
            Ok(Host::Ip(ip)) if ip.is_ipv6() && !text.starts_with('[') => Err(error),
            Ok(_) => Ok(()),
            Err(_) if text.contains(':') => Err(error),
            Err(error) => Err(error),
        });
    match read {
        Ok(()) => HeaderValue::from_str(text).ok(),
        Err(names::AddressError { what, hint }) => {
            at.error_hint(what, hint);
            None
        }
    }
}

impl HeaderEditsWritten {
    /// Checks the section.
    pub(super) fn check(&self, at: &At<'_>) -> HeaderEdits {
        let mut edits = HeaderEdits::default();
        let set_at = at.key("set");
        for (key, value) in &self.set {
            let value = check_header_value(value, &set_at.key(key));
            let Some(name) = check_editable(key, &set_at.name_of(key)) else {
                continue;
            };
            if edits.set.iter().any(|(other, _)| *other == name) {
                set_at
                    .name_of(key)
                    .error_hint("set twice", "case does not matter in header names");
            } else if let Some(value) = value {
                edits.set.push((name, value));
            }
        }
        let remove_at = at.key("remove");
        for (position, key) in self.remove.iter().enumerate() {
            let at = remove_at.item(position);
            let Some(name) = check_editable(key, &at) else {
                continue;
            };
            if edits.remove.contains(&name) {
                at.error("named twice");
            } else {
                if edits.set.iter().any(|(other, _)| *other == name) {
                    at.warn(
                        format!("{name} is also in set, which replaces it anyway"),
                        "take it out here",
                    );
                }
                edits.remove.push(name);
            }
        }
        edits
    }
}

fn check_editable(key: &str, at: &At<'_>) -> Option<HeaderName> {
    let name = check_header_name(key, at)?;
    if name == http::header::HOST {
        at.error_hint("host is not edited here", "rewrite: {host: NAME}");
        return None;
    }
    if OURS.contains(&name.as_str()) {
        at.error_hint(
            format!("{name} is not edited: it belongs to the connection"),
            "the proxy writes it itself, for each side",
        );
        return None;
    }
    Some(name)
}
