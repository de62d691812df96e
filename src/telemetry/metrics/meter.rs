//! What other rooms hold to count what no record says: handles that are resolved when the graph is built.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::catalogue::{Catalogue, Owner, Wanted, Writer};
use super::family::{self, Family};
use super::histogram::Histogram;
use crate::config::{Name, Route};
use crate::exchange::{Gauge, TlsVersion};

/// A number that only rises. A handle: clones share the number.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

/// What a listener counts.
#[derive(Clone, Debug)]
pub struct ListenerMeters {
    /// Connections that were accepted.
    pub accepted: Counter,
    /// Connections that are open now.
    pub active: Gauge,
    name: Name,
    catalogue: Arc<Catalogue>,
}

/// What one worker counts of a listener's TLS handshakes.
#[derive(Debug)]
pub struct HandshakeMeters {
    listener: ListenerMeters,
    worker: u16,
    duration: OnceCell<Arc<Histogram>>,
    /// By version, then by whether it was resumed.
    counts: [[OnceCell<Counter>; 2]; 2],
}

/// What the layers of a route count.
#[derive(Clone, Debug)]
pub struct RouteMeters {
    name: Name,
    catalogue: Arc<Catalogue>,
}

/// What an upstream counts.
#[derive(Clone, Debug)]
pub struct UpstreamMeters {
    /// Connections that were made.
    pub opened: Counter,
    /// Connections that wait in a pool.
    pub idle: Gauge,
    /// Connections that carry requests.
    pub active: Gauge,
}

// === impl Counter ===

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// One more, counted by the only thread that ever counts here: no read-modify-write.
    pub(in crate::telemetry) fn count_alone(&self) {
        let count = self.0.load(Ordering::Relaxed);
        self.0.store(count + 1, Ordering::Relaxed);
    }

    /// How many.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl ListenerMeters ===

impl ListenerMeters {
    /// Counts connections that ended badly, by reason: a word of a closed set.
    #[must_use]
    pub fn error(&self, reason: &'static str) -> Counter {
        self.catalogue.counter(shared(
            &family::CONNECTION_ERRORS,
            &[self.name.as_str(), reason],
            Owner::Listener(self.name.clone()),
        ))
    }
}

impl ListenerMeters {
    /// What this worker counts of TLS handshakes. It alone may.
    #[must_use]
    pub fn handshakes(&self, worker: u16) -> HandshakeMeters {
        HandshakeMeters {
            listener: self.clone(),
            worker,
            duration: OnceCell::new(),
            counts: Default::default(),
        }
    }
}

// === impl HandshakeMeters ===

impl HandshakeMeters {
    /// A handshake has succeeded.
    pub fn note(&self, version: TlsVersion, is_resumed: bool, took: Duration) {
        let ListenerMeters {
            name, catalogue, ..
        } = &self.listener;
        let resumed = if is_resumed { "true" } else { "false" };
        self.counts[usize::from(version == TlsVersion::Tls13)][usize::from(is_resumed)]
            .get_or_init(|| {
                let labels = [name.as_str(), version.as_str(), resumed];
                catalogue.counter(self.wanted(&family::TLS_HANDSHAKES, &labels))
            })
            .count_alone();
        self.duration
            .get_or_init(|| {
                let labels = [name.as_str()];
                catalogue.histogram(self.wanted(&family::TLS_HANDSHAKE_DURATION, &labels))
            })
            .observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    fn wanted<'a>(&self, family: &'static Family, labels: &'a [&'a str]) -> Wanted<'a> {
        Wanted {
            family,
            labels,
            owner: Owner::Listener(self.listener.name.clone()),
            writer: Writer::Worker {
                index: self.worker,
                generation: u32::MAX, // listeners stay as long as the process
            },
        }
    }
}

// === impl RouteMeters ===

impl RouteMeters {
    /// Counts what a rate limit of this route refuses; `limiter` is a word of a closed set.
    #[must_use]
    pub fn rate_limited(&self, limiter: &'static str) -> Counter {
        self.counter(&family::RATE_LIMITED, &[self.name.as_str(), limiter])
    }

    /// Counts what a limit refuses: a concurrency limit of the route, or a circuit limit of `upstream`.
    #[must_use]
    pub fn overloaded(&self, upstream: Option<&Name>, limiter: &'static str) -> Counter {
        let upstream = upstream.map_or("", Name::as_str);
        self.counter(
            &family::OVERLOADED,
            &[self.name.as_str(), upstream, limiter],
        )
    }

    /// Counts retries that the budget does not allow; `reason` is the retry condition, as `sightglass_retries_total`
    /// says it.
    #[must_use]
    pub fn retry_budget_exhausted(&self, reason: &str) -> Counter {
        self.counter(
            &family::RETRY_BUDGET_EXHAUSTED,
            &[self.name.as_str(), reason],
        )
    }

    fn counter(&self, family: &'static Family, labels: &[&str]) -> Counter {
        let owner = Owner::Route(self.name.clone());
        self.catalogue.counter(shared(family, labels, owner))
    }
}

// === impl Catalogue ===

impl Catalogue {
    /// What a listener counts.
    #[must_use]
    pub fn listener(self: &Arc<Self>, name: &Name) -> ListenerMeters {
        let owner = || Owner::Listener(name.clone());
        let labels = [name.as_str()];
        ListenerMeters {
            accepted: self.counter(shared(&family::CONNECTIONS, &labels, owner())),
            active: self.gauge(shared(&family::ACTIVE_CONNECTIONS, &labels, owner())),
            name: name.clone(),
            catalogue: Arc::clone(self),
        }
    }

    /// What the layers of a route count.
    #[must_use]
    pub fn route(self: &Arc<Self>, route: &Route) -> RouteMeters {
        RouteMeters {
            name: route.name.clone(),
            catalogue: Arc::clone(self),
        }
    }

    /// What an upstream counts.
    #[must_use]
    pub fn upstream(&self, name: &Name) -> UpstreamMeters {
        let owner = || Owner::Upstream(name.clone());
        let connections = |state| {
            self.gauge(shared(
                &family::UPSTREAM_CONNECTIONS,
                &[name.as_str(), state],
                owner(),
            ))
        };
        UpstreamMeters {
            opened: self.counter(shared(
                &family::UPSTREAM_CONNECTIONS_OPENED,
                &[name.as_str()],
                owner(),
            )),
            idle: connections("idle"),
            active: connections("active"),
        }
    }

    /// The connections that a worker holds.
    #[must_use]
    pub fn worker(&self, index: usize) -> Gauge {
        self.gauge(shared(
            &family::WORKER_CONNECTIONS,
            &[&index.to_string()],
            Owner::Process,
        ))
    }
}

/// A series that any thread may write.
fn shared<'a>(family: &'static Family, labels: &'a [&'a str], owner: Owner) -> Wanted<'a> {
    Wanted {
        family,
        labels,
        owner,
        writer: Writer::Any,
    }
}
