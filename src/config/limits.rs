//! `rate_limit`: how often who may ask.

use http::HeaderName;

use super::Rate;

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
