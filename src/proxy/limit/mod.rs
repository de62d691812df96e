//! What a route lets through: how often ([`RateLimit`]), and how many at once ([`Concurrency`]).
//!
//! Both refuse in `call` and never make anybody wait: a queue in front of an overloaded service only adds its own
//! latency to it. The rate limit stands first, since it is the cheaper refusal; both stand above `Retry`, since a client
//! pays once an exchange.

mod bucket;
mod concurrency;
mod key;
mod rate;

pub use bucket::{Bucket, Verdict};
pub use concurrency::Concurrency;
pub use key::Allowances;
pub use rate::RateLimit;
