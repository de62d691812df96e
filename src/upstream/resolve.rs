//! The addresses of an endpoint's name, looked up once for all who ask at the same time.
//!
//! `getaddrinfo` honours what the machine is configured to do, but it says no time to live, blocks a thread, and would be
//! asked once a connection: a burst of connections would be a burst of look-ups. So an answer is used for five seconds,
//! and while a look-up is under way all workers wait for that one. Where it fails, the addresses of before serve for up to
//! a minute: a resolver that restarts must not take down a service that has not moved. Failures are not kept. To follow a
//! service that moves, and its weights, is discovery's business, not this file's.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::exchange::clock;

/// How long an answer is used without another look-up.
const FRESH: Duration = Duration::from_secs(5);
/// How long it is used where a look-up fails.
const STALE: Duration = Duration::from_secs(60);

/// What is known of one name. A handle: clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolved(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// Told when a look-up has ended.
    done: Notify,
}

#[derive(Debug, Default)]
struct State {
    known: Option<(Arc<[IpAddr]>, Instant)>,
    is_asking: bool,
    /// How many look-ups have ended.
    ended: u64,
}

/// Ends a look-up, also where it panics or its thread never gets to it.
struct Asking {
    inner: Arc<Inner>,
    found: Option<Arc<[IpAddr]>>,
}

// === impl Resolved ===

impl Resolved {
    /// The addresses that are known and fresh: no waiting, no look-up.
    pub(super) fn fresh(&self) -> Option<Arc<[IpAddr]>> {
        self.0.lock().known_for(FRESH)
    }

    /// The addresses of this name, always the same for one handle; `None` where a look-up failed and nothing is known.
    /// Cancel safe: a look-up that was begun goes on for those who wait after.
    pub(super) async fn look_up(&self, name: &Arc<str>) -> Option<Arc<[IpAddr]>> {
        self.look_up_with(name, ask_the_system).await
    }

    async fn look_up_with(
        &self,
        name: &Arc<str>,
        ask: impl FnOnce(&str) -> Option<Vec<IpAddr>> + Send + 'static,
    ) -> Option<Arc<[IpAddr]>> {
        let done = self.0.done.notified();
        tokio::pin!(done);
        let begun = {
            let mut state = self.0.lock();
            if let Some(fresh) = state.known_for(FRESH) {
                return Some(fresh);
            }
            // From here on the end of the look-up is not missed.
            done.as_mut().enable();
            if !std::mem::replace(&mut state.is_asking, true) {
                let asking = Asking {
                    inner: Arc::clone(&self.0),
                    found: None,
                };
                let name = Arc::clone(name);
                tokio::task::spawn_blocking(move || asking.end_with(ask(&name)));
            }
            state.ended
        };
        while self.0.lock().ended == begun {
            done.as_mut().await;
            done.set(self.0.done.notified());
            done.as_mut().enable();
        }
        self.0.lock().known_for(STALE)
    }
}

// === impl Inner ===

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn known_for(&self, limit: Duration) -> Option<Arc<[IpAddr]>> {
        let (addresses, since) = self.known.as_ref()?;
        let age = clock::coarse().saturating_duration_since(*since);
        (age < limit).then(|| Arc::clone(addresses))
    }
}

// === impl Asking ===

impl Asking {
    fn end_with(mut self, found: Option<Vec<IpAddr>>) {
        self.found = found.map(Arc::from);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        if let Some(found) = self.found.take() {
            // The coarse clock is a worker's; this is a thread of its own.
            state.known = Some((found, Instant::now()));
        }
        state.is_asking = false;
        state.ended += 1;
        drop(state);
        self.inner.done.notify_waiters();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "on a thread that is there for what blocks, whoever waits for it"
)]
fn ask_the_system(name: &str) -> Option<Vec<IpAddr>> {
    let found = (name, 0).to_socket_addrs().ok()?;
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.dedup();
    Some(addresses)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[tokio::test]
    async fn all_who_ask_at_once_ask_once() {
        let (resolved, asked) = (Resolved::default(), Arc::new(AtomicUsize::new(0)));
        let name: Arc<str> = Arc::from("web");
        let (go, gate) = mpsc::sync_channel::<()>(0);
        let gate = Arc::new(Mutex::new(gate));
        let all: Vec<_> = (0..20)
            .map(|_| {
                let (resolved, asked, name) =
                    (resolved.clone(), Arc::clone(&asked), Arc::clone(&name));
                let gate = Arc::clone(&gate);
                tokio::spawn(async move {
                    resolved
                        .look_up_with(&name, move |_| {
                            asked.fetch_add(1, Ordering::Relaxed);
                            let gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
                            gate.recv().ok();
                            Some(vec![address(7)])
                        })
                        .await
                })
            })
            .collect();
        while asked.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        drop(go);
        for one in all {
            let found = one.await.expect("nobody cancels it").expect("it was found");
            assert_eq!(*found, [address(7)]);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(resolved.fresh().is_some());
    }

    #[tokio::test]
    async fn a_failure_leaves_the_addresses_of_before_for_a_minute_and_is_not_kept() {
        let (resolved, name) = (Resolved::default(), Arc::from("web"));
        assert_eq!(resolved.look_up_with(&name, |_| None).await, None);
        let found = resolved
            .look_up_with(&name, |_| Some(vec![address(1)]))
            .await;
        assert_eq!(found.as_deref(), Some([address(1)].as_slice()));
        let age = |by: Duration| {
            let mut state = resolved.0.lock();
            let (addresses, _) = state.known.take().expect("it was found");
            state.known = Some((addresses, Instant::now() - by));
        };
        age(FRESH + Duration::from_secs(1));
        assert_eq!(resolved.fresh(), None);
        let found = resolved.look_up_with(&name, |_| None).await;
        assert_eq!(found.as_deref(), Some([address(1)].as_slice()));
        age(STALE + Duration::from_secs(1));
        assert_eq!(resolved.look_up_with(&name, |_| None).await, None);
    }
}
