//! `routes[].match` as written, and its checks: hosts, paths, methods, header and query conditions.
//!
//! Patterns are held to the one canonical form in which requests are matched: a pattern that no canonical path can
//! equal would be a route that never matches, and nobody would be told.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Method};
use schemars::JsonSchema;
use serde::Deserialize;

use super::grpc_match::GrpcWritten;
use super::names::{self, AddressError};
use super::notes::At;
use super::tree::quoted;
use super::{HostPattern, Match, PathPattern};

/// The largest program that a regular expression may become.
const REGEX_SIZE: usize = 1 << 20;

/// Which requests a route takes: all conditions together.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MatchWritten {
    /// Any of these hosts, without a port; `*.example.org` takes every host below it (default: every host).
    #[serde(default)]
    hosts: Option<Vec<String>>,
    /// The path (default: every path).
    #[serde(default)]
    path: Option<PathWritten>,
    /// A gRPC call, in place of path and methods.
    #[serde(default)]
    grpc: Option<GrpcWritten>,
    /// Any of these methods (default: every method).
    #[serde(default)]
    methods: Option<Vec<String>>,
    /// All of these header fields with exactly these values.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// All of these query parameters with exactly these values.
    #[serde(default)]
    query: BTreeMap<String, String>,
}

/// The path of a match.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PathWritten {
    /// Exactly this path.
    Exact(String),
    /// This path and everything below it; ends at a segment boundary.
    Prefix(String),
    /// A regular expression on the path, matched in linear time.
    Regex(String),
}

impl MatchWritten {
    /// Checks the section; `None` when it cannot be used, which was noted then.
    pub(super) fn check(&self, at: &At<'_>) -> Option<Match> {
        let hosts = self.check_hosts(&at.key("hosts"));
        let path = match &self.path {
            Some(path) => path.check(&at.key("path")),
            None => Some(PathPattern::Prefix("/".to_owned())),
        };
        let methods = match &self.methods {
            Some(list) => check_methods(list, &at.key("methods")),
            None => Vec::new(),
        };
        let headers = check_headers(&self.headers, &at.key("headers"));
        if self.query.contains_key("") {
            at.key("query")
                .name_of("")
                .error("a query parameter has a name");
        }
        let query = self
            .query
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !at.is_whole() {
            return None;
        }
        let rule = Match {
            hosts: hosts?,
            path: path?,
            methods,
            headers,
            query,
            is_grpc: false,
        };
        let Some(grpc) = &self.grpc else {
            return Some(rule);
        };
        for key in ["path", "methods"]
            .into_iter()
            .filter(|key| at.is_written(key))
        {
            at.name_of(key).error_hint(
                format!("{key} and grpc contradict each other"),
                "grpc is a path and POST already: {service: shop.Checkout, method: Pay}",
            );
        }
        grpc.check(rule, &at.key("grpc"))
    }

    fn check_hosts(&self, at: &At<'_>) -> Option<Vec<HostPattern>> {
        let Some(list) = &self.hosts else {
            return Some(Vec::new());
        };
        if list.is_empty() && at.is_whole() {
            at.error_hint(
                "no host would ever match",
                "leave hosts out to take every host",
            );
        }
        let mut hosts = Vec::with_capacity(list.len());
        for (position, text) in list.iter().enumerate() {
            let at = at.item(position);
            match check_host(text) {
                Ok(host) if hosts.contains(&host) => at.error("named twice"),
                Ok(host) => hosts.push(host),
                Err(AddressError { what, hint }) => at.error_hint(what, hint),
            }
        }
        (hosts.len() == list.len()).then_some(hosts)
    }
}

fn check_host(text: &str) -> Result<HostPattern, AddressError> {
    let wrong = |what: String, hint: String| Err(AddressError { what, hint });
    if text == "*" {
        return wrong(
            "* alone is no host".to_owned(),
            "leave hosts out to take every host".to_owned(),
        );
    }
    if let Some((_, rest)) = text.split_once("://") {
        let bare = rest.split(['/', ':']).next().unwrap_or(rest);
        return wrong("a host is no URL".to_owned(), format!("write {bare}"));
    }
    // In a URL, and so in Host, an IPv6 address stands in brackets.
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        && let Ok(ip) = inner.parse::<std::net::Ipv6Addr>()
    {
        return Ok(HostPattern::Exact(format!("[{ip}]")));
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && port.parse::<u16>().is_ok()
        && !host.is_empty()
        && (!host.contains(':') || host.ends_with(']'))
    {
        return wrong(
            "hosts are matched without their port".to_owned(),
            format!("write {host}"),
        );
    }
    if let Ok(ip) = text.parse::<std::net::Ipv6Addr>() {
        return wrong(
            "an IPv6 address stands in brackets".to_owned(),
            format!("write \"[{ip}]\""),
        );
    }
    if text.parse::<std::net::Ipv4Addr>().is_ok() {
        return Ok(HostPattern::Exact(text.to_owned()));
    }
    let (name, is_wildcard) = match text.strip_prefix("*.") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    if name.contains('*') {
        return wrong(
            format!("{} has a * where none can stand", quoted(text)),
            "a wildcard is the whole first label: *.example.org".to_owned(),
        );
    }
    names::check_host_name(name)?;
    let name = name.to_ascii_lowercase();
    Ok(if is_wildcard {
        HostPattern::Wildcard(name)
    } else {
        HostPattern::Exact(name)
    })
}

impl PathWritten {
    fn check(&self, at: &At<'_>) -> Option<PathPattern> {
        match self {
            Self::Exact(path) => check_path(path, &at.key("exact")).map(PathPattern::Exact),
            Self::Prefix(path) => check_prefix(path, &at.key("prefix")).map(PathPattern::Prefix),
            Self::Regex(regex) => check_regex(regex, &at.key("regex")).map(PathPattern::Regex),
        }
    }
}

/// A path as a prefix: its trailing slash means nothing and is taken off.
pub(super) fn check_prefix(path: &str, at: &At<'_>) -> Option<String> {
    let path = check_path(path, at)?;
    Some(match path.trim_end_matches('/') {
        "" => path,
        trimmed => trimmed.to_owned(),
    })
}

/// A path in its canonical form (RFC 3986 §6.2.2): no dot or empty segments, nothing encoded that need not be.
pub(super) fn check_path(path: &str, at: &At<'_>) -> Option<String> {
    if at.is_quiet() {
        return None;
    }
    match path_fault(path) {
        None => Some(path.to_owned()),
        Some(AddressError { what, hint }) => {
            at.error_hint(what, hint);
            None
        }
    }
}

fn path_fault(path: &str) -> Option<AddressError> {
    let wrong = |what: &str, hint: &str| {
        Some(AddressError {
            what: what.to_owned(),
            hint: hint.to_owned(),
        })
    };
    if path.contains("://") {
        return wrong(
            "a path is no URL",
            "only the part from the first / after the host",
        );
    }
    if !path.starts_with('/') {
        return wrong("a path begins with /", &format!("write /{path}"));
    }
    if path.contains('?') {
        return wrong(
            "a path has no query",
            "match parameters with query: {name: value}",
        );
    }
    if path.contains('#') {
        return wrong("a path has no fragment", "servers never see what follows #");
    }
    if path.contains('*') {
        return wrong("a path has no wildcards", "use prefix, or regex");
    }
    if let Some(c) = path
        .chars()
        .find(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(*c))
    {
        let mut bytes = [0; 4];
        let encoded: String = c
            .encode_utf8(&mut bytes)
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        return wrong(
            &format!("{c:?} cannot stand in a path"),
            &format!("write {encoded}"),
        );
    }
    if path.contains("//") {
        return wrong(
            "a path has no empty segments (//)",
            "requests are matched without them",
        );
    }
    let is_dots = |segment: &str| matches!(segment, "." | "..");
    if path.split('/').any(is_dots) {
        return wrong(
            "a path has no . or .. segments",
            "requests are matched without them",
        );
    }
    encoding_fault(path)
}

/// What is wrong with the percent signs of a path.
fn encoding_fault(path: &str) -> Option<AddressError> {
    for (at, _) in path.match_indices('%') {
        let wrong = |what: String, hint: String| Some(AddressError { what, hint });
        let digits = path
            .get(at + 1..at + 3)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(digits) = digits else {
            return wrong(
                "% is not followed by two hexadecimal digits".to_owned(),
                "a percent sign itself is %25".to_owned(),
            );
        };
        let byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        if byte == 0 {
            return wrong(
                "%00 cannot stand in a path".to_owned(),
                "requests with it are refused".to_owned(),
            );
        }
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            let plain = char::from(byte);
            return wrong(
                format!("%{digits} need not be encoded"),
                format!("requests are matched decoded: write {plain}"),
            );
        }
        if digits.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let upper = digits.to_ascii_uppercase();
            return wrong(
                format!("%{digits} is not in its canonical form"),
                format!("write %{upper}"),
            );
        }
    }
    None
}

fn check_regex(text: &str, at: &At<'_>) -> Option<regex::Regex> {
    if at.is_quiet() {
        return None;
    }
    if text.is_empty() {
        at.error_hint("an empty expression matches everything", "use prefix: /");
        return None;
    }
    let built = regex::RegexBuilder::new(text)
        .size_limit(REGEX_SIZE)
        .build();
    match built {
        Ok(regex) => Some(regex),
        Err(regex::Error::CompiledTooBig(_)) => {
            at.error_hint(
                "the expression is too large when compiled",
                "smaller counts in {…}, or several routes",
            );
            None
        }
        Err(error) => {
            // Its message draws the expression over several lines; the last one says what is wrong.
            let said = error.to_string();
            let last = said.lines().last().unwrap_or("cannot be read");
            let why = last.trim_start_matches("error:").trim();
            let hint = if why.contains("look-around") || why.contains("backreference") {
                "expressions are matched in linear time, which these cannot be"
            } else {
                "the syntax is that of the Rust crate regex"
            };
            at.error_hint(format!("not a regular expression: {why}"), hint);
            None
        }
    }
}

/// A list of methods: tokens, in upper case as they are registered (they are case-sensitive, RFC 9110 §9.1).
pub(super) fn check_methods(list: &[String], at: &At<'_>) -> Vec<Method> {
    if list.is_empty() && at.is_whole() {
        at.error_hint("no method is named", "such as [GET, POST], or leave it out");
    }
    let mut methods = Vec::with_capacity(list.len());
    for (position, text) in list.iter().enumerate() {
        let at = at.item(position);
        match Method::from_bytes(text.as_bytes()) {
            Ok(_) if text.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                at.error_hint(
                    format!("{} is not a method: case matters", quoted(text)),
                    format!("write {}", text.to_ascii_uppercase()),
                );
            }
            Ok(method) if methods.contains(&method) => at.error("named twice"),
            Ok(method) => methods.push(method),
            Err(_) => at.error_hint(format!("{} is not a method", quoted(text)), "such as GET"),
        }
    }
    methods
}

fn check_headers(map: &BTreeMap<String, String>, at: &At<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(map.len());
    for (key, value) in map {
        let name = check_header_name(key, &at.name_of(key));
        let value = check_header_value(value, &at.key(key));
        let (Some(name), Some(value)) = (name, value) else {
            continue;
        };
        if name == http::header::HOST {
            at.name_of(key)
                .error_hint("the host is matched by hosts", "match: {hosts: […]}");
        } else if headers.iter().any(|(other, _)| *other == name) {
            at.name_of(key)
                .error_hint("named twice", "case does not matter in header names");
        } else {
            headers.push((name, value));
        }
    }
    headers
}

/// The name of a header field (RFC 9110 §5.1).
pub(super) fn check_header_name(text: &str, at: &At<'_>) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    if name.is_none() {
        at.error_hint(
            format!("{} is not a header name", quoted(text)),
            "letters, digits and -, such as x-team",
        );
    }
    name
}

/// The value of a header field: visible ASCII, spaces and tabs between.
pub(super) fn check_header_value(text: &str, at: &At<'_>) -> Option<HeaderValue> {
    let is_allowed = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
    let is_clean = text.bytes().all(is_allowed) && text.trim() == text;
    let value = HeaderValue::from_str(text).ok().filter(|_| is_clean);
    if value.is_none() {
        at.error_hint(
            format!("{} is not a header value", quoted(text)),
            "visible ASCII, without spaces around it",
        );
    }
    value
}
