//! `rate_limit`: how often who may ask.

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Rate;
use super::notes::At;
use super::ranges::check_whole;
use super::read::resembling;
use super::tree::quoted;

/// A rate limit of a route (the generic cell rate algorithm).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The sustained rate.
    pub rate: Rate,
    /// How many may come at once, at least 1 (default: what the rate lets through in one second, at least 1).
    pub burst: u32,
    /// Who shares one allowance (default all).
    pub key: LimitKey,
}

/// Who shares one allowance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// Everybody.
    All,
    /// Each client address.
    ClientIp,
    /// Each value of this header field; requests without it share one.
    Header(HeaderName),
}

// === As written ===

/// A rate limit of a route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimitWritten {
    /// The sustained rate.
    rate: Rate,
    /// How many may come at once (default: what the rate lets through in one second, at least 1).
    #[serde(default)]
    burst: Option<u64>,
    /// Who shares one allowance: `all` (default), `client_ip` or `header:NAME`.
    #[serde(default)]
    key: Option<String>,
}

// === Checks ===

impl RateLimitWritten {
    /// Checks the section; `None` when it cannot be used, which was noted then.
    pub(super) fn check(&self, at: &At<'_>) -> Option<RateLimit> {
        let burst = check_whole(self.burst, 1..=u64::from(u32::MAX), &at.key("burst"));
        let key = match &self.key {
            Some(text) => check_key(text, &at.key("key")),
            None => Some(LimitKey::All),
        };
        let a_second = u64::from(self.rate.count) / self.rate.per.as_secs().max(1);
        Some(RateLimit {
            rate: self.rate,
            burst: burst.unwrap_or(u32::try_from(a_second).unwrap_or(u32::MAX).max(1)),
            key: key?,
        })
    }
}

fn check_key(text: &str, at: &At<'_>) -> Option<LimitKey> {
    const KNOWN: &str = "all, client_ip or header:NAME";
    match text {
        "all" => return Some(LimitKey::All),
        "client_ip" => return Some(LimitKey::ClientIp),
        _ => {}
    }
    if let Some(name) = text.strip_prefix("header:") {
        if let Ok(name) = HeaderName::from_bytes(name.trim().as_bytes()) {
            return Some(LimitKey::Header(name));
        }
        at.error_hint(
            format!("{} is no header name", quoted(name)),
            "such as header:x-tenant",
        );
        return None;
    }
    let hint = match resembling(text, &["all", "client_ip", "header"]) {
        Some("header") => "write header:NAME, such as header:x-tenant".to_owned(),
        Some(other) => format!("did you mean {other}?"),
        None => KNOWN.to_owned(),
    };
    at.error_hint(format!("{} is not known here", quoted(text)), hint);
    None
}
