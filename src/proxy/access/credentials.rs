//! The names and passwords of a route, and what is known of those that were shown.
//!
//! bcrypt is slow on purpose, 50 to 100 ms a password, and HTTP shows it with each request. So a password that was right
//! is known again for five minutes by a keyed hash of it (HMAC-SHA-256 under a key that this process drew), one a user:
//! what is kept is bounded by the configuration, and nobody but who knows a password can put anything there. A reload
//! forgets it all.
//!
//! The slow check runs on threads of its own, as many at once as there are cores and with a bounded number waiting
//! behind them; a worker never computes one. A name that is not known costs the same as one that is.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::{constant_time, hmac, rand};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{self, Basic, Secret};

/// How long a password that was right is known again.
const KNOWN_FOR: Duration = Duration::from_secs(300);

/// Checks that may run and wait at once, over all workers and routes; who comes beyond is told that it is too much.
const WAITING: usize = 64;

/// The names and passwords of a route. Shared by all workers.
pub struct Credentials {
    users: Box<[User]>,
    /// Whose hash takes the longest.
    dearest: usize,
}

struct User {
    name: Box<str>,
    hash: Secret,
    /// The keyed hash of the password that was right, and when.
    known: Mutex<Option<(hmac::Tag, Instant)>>,
}

/// What is known of credentials without a slow check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Glance {
    /// They were right a while ago.
    Right,
    /// It takes a check.
    Unknown,
}

/// The key of this process; without one, where the system has no randomness, nothing is known again.
static KEY: LazyLock<Option<hmac::Key>> =
    LazyLock::new(|| hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).ok());

static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(WAITING)));

static RUNNING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(cores))
});

// === impl Credentials ===

impl Credentials {
    /// Those of a route.
    #[must_use]
    pub fn new(basic: &Basic) -> Arc<Self> {
        let users = basic.users.iter().map(|user| User {
            name: user.name.as_str().into(),
            hash: user.hash.clone(),
            known: Mutex::default(),
        });
        // The cost stands as two digits behind `$2y$`.
        let cost =
            |(_, user): &(usize, &config::User)| user.hash.reveal().get(4..6).map(str::to_owned);
        let dearest = basic.users.iter().enumerate().max_by_key(cost);
        Arc::new(Self {
            users: users.collect(),
            dearest: dearest.map_or(0, |(place, _)| place),
        })
    }

    /// What is known of these.
    pub(super) fn glance(&self, name: &str, password: &[u8]) -> Glance {
        let Some(user) = self.users.iter().find(|user| &*user.name == name) else {
            return Glance::Unknown;
        };
        let known = user.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_right = known.as_ref().is_some_and(|(tag, when)| {
            when.elapsed() < KNOWN_FOR && sign(password).is_some_and(|shown| is_same(tag, &shown))
        });
        if is_right {
            Glance::Right
        } else {
            Glance::Unknown
        }
    }

    /// A place among the checks that run and wait; `None` where there is none.
    pub(super) fn place() -> Option<OwnedSemaphorePermit> {
        Arc::clone(&PLACES).try_acquire_owned().ok()
    }

    /// Whether these are right, however long it takes. Cancel safe: a check that has begun ends by itself, with its
    /// place.
    pub(super) async fn check(
        self: Arc<Self>,
        name: String,
        password: Vec<u8>,
        place: OwnedSemaphorePermit,
    ) -> bool {
        let Ok(turn) = Arc::clone(&RUNNING).acquire_owned().await else {
            return false;
        };
        // Who waited with the same password behind another has had it checked meanwhile.
        if self.glance(&name, &password) == Glance::Right {
            return true;
        }
        let work = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            self.verify(&name, &password)
        });
        work.await.unwrap_or(false)
    }

    fn verify(&self, name: &str, password: &[u8]) -> bool {
        let user = self.users.iter().find(|user| &*user.name == name);
        // Who is not known is checked against somebody's hash all the same: a name must not be told by the time it takes.
        let Some(hash) = user.or(self.users.get(self.dearest)).map(|user| &user.hash) else {
            return false;
        };
        let is_right = bcrypt::verify(password, hash.reveal()).unwrap_or(false);
        let Some(user) = user.filter(|_| is_right) else {
            return false;
        };
        let known = sign(password).map(|tag| (tag, Instant::now()));
        *user.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        true
    }
}

fn sign(password: &[u8]) -> Option<hmac::Tag> {
    Some(hmac::sign(KEY.as_ref()?, password))
}

fn is_same(one: &hmac::Tag, other: &hmac::Tag) -> bool {
    constant_time::verify_slices_are_equal(one.as_ref(), other.as_ref()).is_ok()
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}
