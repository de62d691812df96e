//! Who shares an allowance, and the bounded store of them.
//!
//! Keys are kept as 64-bit hashes under a secret seed, so that a store's memory is bounded whatever clients send as a
//! header. When a shard is full, allowances that are whole again are forgotten (that loses nothing); if none is, new
//! keys share one allowance until there is room: a flood of invented keys then limits itself and nobody else.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use crate::config::LimitKey;
use crate::exchange::Request;

use super::bucket::{Bucket, Verdict};

/// Keys kept for one limit.
pub(super) const KEYS: usize = 65_536;
const SHARDS: usize = 16;

/// The allowances of one limit. Shared by all workers; a reload carries it over.
#[derive(Debug)]
pub struct Allowances {
    bucket: Bucket,
    key: LimitKey,
    hasher: foldhash::quality::RandomState,
    /// Everybody's, and that of keys for which there is no room.
    common: AtomicU64,
    shards: Box<[Mutex<Shard>]>,
}

/// Allowances by the hash of their key.
type Shard = HashMap<u64, AtomicU64, foldhash::fast::RandomState>;

// === impl Allowances ===

impl Allowances {
    /// Nobody has used anything yet.
    #[must_use]
    pub fn new(bucket: Bucket, key: LimitKey) -> Self {
        let shards = if key == LimitKey::All { 0 } else { SHARDS };
        Self {
            bucket,
            key,
            hasher: foldhash::quality::RandomState::default(),
            common: AtomicU64::new(0),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
        }
    }

    /// How many may come at once.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.bucket.burst()
    }

    /// Asks for one on behalf of whoever sent the request, at `now` in nanoseconds of a steady clock.
    pub fn take(&self, request: &Request, now: u64) -> Verdict {
        match &self.key {
            LimitKey::All => self.bucket.take(&self.common, now),
            LimitKey::ClientIp => {
                self.take_hash(self.hasher.hash_one(who(request.exchange.client())), now)
            }
            LimitKey::Header(name) => {
                let value = request
                    .head
                    .headers
                    .get(name)
                    .map(http::HeaderValue::as_bytes);
                self.take_hash(self.hasher.hash_one(value), now)
            }
        }
    }

    fn take_hash(&self, hash: u64, now: u64) -> Verdict {
        // The low bits choose the shard, the map takes its own hash of the whole.
        let shard = &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)];
        let mut shard = shard
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(tat) = shard.get(&hash) {
            return self.bucket.take(tat, now);
        }
        if shard.len() >= KEYS / SHARDS {
            shard.retain(|_, tat| *tat.get_mut() > now);
            if shard.len() >= KEYS / SHARDS {
                drop(shard);
                return self.bucket.take(&self.common, now);
            }
        }
        self.bucket.take(shard.entry(hash).or_default(), now)
    }

    /// How many keys are kept now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| {
                shard
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .len()
            })
            .sum()
    }

    /// Whether no key is kept now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One client: an IPv4 address, or the /64 of an IPv6 one, since a single customer commonly has a whole /64.
fn who(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => u64::try_from(u128::from(ip) >> 64).unwrap_or(0) | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Rate;

    #[test]
    fn each_key_has_its_own_and_a_flood_of_keys_is_bounded() {
        let bucket = Bucket::new(
            Rate {
                count: 1,
                per: Duration::from_secs(1),
            },
            1,
        );
        let allowances = Allowances::new(bucket, LimitKey::ClientIp);
        let conforms = |hash| matches!(allowances.take_hash(hash, 1), Verdict::Conforms { .. });
        assert!(conforms(1) && !conforms(1) && conforms(2));
        for hash in 0..200_000 {
            allowances.take_hash(hash, 1);
        }
        assert!(allowances.len() <= KEYS);
        assert!(!conforms(1), "the flood made nobody forget");
        // A second later all of them are whole again, and there is room.
        assert!(matches!(
            allowances.take_hash(999_999, 2_000_000_000),
            Verdict::Conforms { .. }
        ));
        assert!(allowances.len() < KEYS);
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let ip = |text: &str| who(text.parse().expect("an address"));
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:1"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_eq!(ip("::ffff:10.0.0.1"), ip("10.0.0.1"));
    }
}
