//! How many connections each client has, counted over all workers.
//!
//! A client is the peer of the socket, or whom a PROXY header names: an IPv4 address, or the /64 of an IPv6 one, since one
//! customer commonly has a whole /64. What a forwarding field says comes too late for this: behind a proxy that says it
//! no other way all clients are that proxy.
//! The map holds who is connected and nobody else, so the listener's cap on connections bounds it.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;

/// The connections of each client at each listener that limits them.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients(Arc<Shards>);

#[derive(Debug, Default)]
struct Shards {
    hasher: foldhash::quality::RandomState,
    counts: [Mutex<HashMap<Client, u32, foldhash::quality::RandomState>>; SHARDS],
}

/// The listener, and who.
type Client = (u16, u128);

/// A connection that counts as its client's until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    clients: Clients,
    client: Client,
}

// === impl Clients ===

impl Clients {
    /// A place for one more connection of `peer`, unless it has `most` already.
    pub(super) fn enter(&self, listener: u16, peer: IpAddr, most: u32) -> Option<Place> {
        let client = (listener, network(peer));
        let mut counts = self.shard(&client);
        let count = counts.entry(client).or_default();
        if *count >= most {
            return None; // it has some, so the entry is not a new one
        }
        *count += 1;
        drop(counts);
        Some(Place {
            clients: self.clone(),
            client,
        })
    }

    fn shard(
        &self,
        client: &Client,
    ) -> MutexGuard<'_, HashMap<Client, u32, foldhash::quality::RandomState>> {
        let hash = self.0.hasher.hash_one(client);
        let shard = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        self.0.counts[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.clients.shard(&self.client);
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

fn network(peer: IpAddr) -> u128 {
    match peer.to_canonical() {
        IpAddr::V4(ip) => u128::from(u32::from(ip)) | 0xffff << 32,
        IpAddr::V6(ip) => u128::from(ip) >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_as_many_as_it_may_and_gets_back_what_it_leaves() {
        let clients = Clients::default();
        let enter =
            |listener, ip: &str| clients.enter(listener, ip.parse().expect("an address"), 2);
        let first = enter(0, "10.0.0.1").expect("a place");
        let _second = enter(0, "::ffff:10.0.0.1").expect("a place");
        assert!(enter(0, "10.0.0.1").is_none());
        let _other = (
            enter(0, "10.0.0.2").expect("another's"),
            enter(1, "10.0.0.1").expect("another listener"),
        );
        drop(first);
        let again = enter(0, "10.0.0.1");
        assert!(again.is_some() && enter(0, "10.0.0.1").is_none());
        let _six = (enter(0, "2001:db8::1"), enter(0, "2001:db8::ffff:1"));
        assert!(enter(0, "2001:db8::2").is_none(), "one /64 is one client");
        assert!(enter(0, "2001:db8:0:1::2").is_some());
    }

    #[test]
    fn nobody_is_kept_who_has_none() {
        let clients = Clients::default();
        for last in 0..100 {
            drop(clients.enter(0, IpAddr::from([10, 0, 0, last]), 1));
        }
        let kept: usize = clients
            .0
            .counts
            .iter()
            .map(|shard| shard.lock().expect("a lock").len())
            .sum();
        assert_eq!(kept, 0);
    }
}
