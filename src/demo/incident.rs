//! Incidents to practise on: `sightglass demo --incident NAME`.
//!
//! Each is a [`Script`] of its own: the shop is well for a while, then one thing goes wrong and stays so. Which one runs
//! is told at the start, what it comes from only at the end: in between somebody looks for it. What the proxy's file needs
//! besides, such as a limit that is shared, is in `configuration`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::script::{Part, Role, Script, Spell, Trouble};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// One endpoint of ten answers twenty times more slowly.
    SlowEndpoint,
    /// Half of the answers fail, and retries double the load.
    RetryStorm,
    /// A new version on half of the endpoints fails for one method.
    BadDeploy,
    /// Answers take longer than clients wait.
    ClientAbortWave,
    /// The collector of traces has gone.
    DeadCollector,
    /// A client opens connections and never closes them.
    ConnectionLeak,
    /// The certificate of a service expires.
    ExpiredCertificate,
    /// One client eats the limit that all share.
    NoisyNeighbour,
}

/// Their names, as the command line takes them.
pub const INCIDENTS: [&str; 8] = [
    "slow-endpoint",
    "retry-storm",
    "bad-deploy",
    "client-abort-wave",
    "dead-collector",
    "connection-leak",
    "expired-certificate",
    "noisy-neighbour",
];

const ALL: [Incident; 8] = [
    Incident::SlowEndpoint,
    Incident::RetryStorm,
    Incident::BadDeploy,
    Incident::ClientAbortWave,
    Incident::DeadCollector,
    Incident::ConnectionLeak,
    Incident::ExpiredCertificate,
    Incident::NoisyNeighbour,
];

/// How long a usual answer takes, in milliseconds.
const USUAL: RangeInclusive<u64> = 3..=12;

// === impl Incident ===

impl Incident {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let at = INCIDENTS.iter().position(|known| *known == name)?;
        Some(ALL[at])
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        INCIDENTS[self as usize]
    }

    /// What goes wrong so long after the start.
    pub(super) fn script(self, seed: u64, after: Duration) -> Script {
        let from = |trouble, percent| vec![Spell::from(after, trouble, percent)];
        let mut endpoints = [2, 1, 2];
        if self == Self::SlowEndpoint {
            endpoints[0] = 10;
        }
        let mut cast = Vec::new();
        for (role, count) in Role::ALL.into_iter().zip(endpoints) {
            for at in 0..count {
                let spells = match (self, role) {
                    (Self::SlowEndpoint, Role::Checkout) if at == 6 => {
                        from(Trouble::Slow(USUAL.start() * 20..=USUAL.end() * 20), 100)
                    }
                    (Self::RetryStorm, Role::Inventory) => from(Trouble::Unavailable, 50),
                    (Self::BadDeploy, Role::Checkout) if at == 1 => from(Trouble::Broken, 100),
                    (Self::ClientAbortWave, Role::Checkout) => from(Trouble::Slow(300..=700), 100),
                    _ => Vec::new(),
                };
                let expires = self == Self::ExpiredCertificate && role == Role::Inventory;
                cast.push(Part {
                    role,
                    usual_ms: USUAL,
                    spells,
                    certificate: expires.then_some(after),
                });
            }
        }
        if self == Self::DeadCollector {
            cast.push(Part {
                role: Role::Collector,
                usual_ms: 0..=1,
                spells: from(Trouble::Refuse, 100),
                certificate: None,
            });
        }
        let crowd = match self {
            Self::ClientAbortWave => from(Trouble::Impatient(150..=400), 90),
            Self::ConnectionLeak => from(Trouble::Linger, 15),
            Self::NoisyNeighbour => from(Trouble::Rush, 100),
            _ => Vec::new(),
        };
        Script { seed, cast, crowd }
    }

    /// What it was, and how it is to be seen.
    pub(super) fn cause(self) -> &'static str {
        match self {
            Self::SlowEndpoint => {
                "the seventh endpoint of checkout answered twenty times more slowly. The verdict names it, and the slowest exchanges of checkout are all on it"
            }
            Self::RetryStorm => {
                "inventory answered 503 to every second attempt, on both endpoints, and each was sent up to three times. \
                 The verdict says status_503 and that retries hid some; the map shows more attempts at inventory than requests"
            }
            Self::BadDeploy => {
                "the second endpoint of checkout had a new version, which answers 500 to every POST. The verdict names the \
                 endpoint, and `why` the method"
            }
            Self::ClientAbortWave => {
                "checkout answered after 300 to 700 ms and its clients waited 150 to 400 ms. The verdict says that clients \
                 leave, and that they wait for the service meanwhile"
            }
            Self::DeadCollector => {
                "the collector of traces refused connections. The verdict says that spans are lost, the ledger how many; no \
                 request was slower for it"
            }
            Self::ConnectionLeak => {
                "one client, 127.0.0.66, opened connections and left them idle until the listener took no more. The verdict \
                 says that it refuses some, and what is in flight who holds the others"
            }
            Self::ExpiredCertificate => {
                "the certificate of inventory expired. The verdict says tls_certificate_error; `sightglass trace` of one \
                 such exchange says that it has expired"
            }
            Self::NoisyNeighbour => {
                "one client, 203.0.113.250, asked for as much as all others together and ate the limit of search that all \
                 share. The verdict says rate_limited, and `why` names the client's network and its program"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_name_and_is_well_until_it_begins() {
        for (at, name) in INCIDENTS.into_iter().enumerate() {
            let incident = Incident::named(name).expect("it is one");
            assert_eq!(incident as usize, at);
            assert_eq!(incident.name(), name);
            let after = Duration::from_secs(7);
            let script = incident.script(1, after);
            let spells = script.cast.iter().flat_map(|it| &it.spells);
            let all: Vec<&Spell> = spells.chain(&script.crowd).collect();
            let expires = script.cast.iter().any(|it| it.certificate == Some(after));
            assert!(expires != all.iter().any(|it| it.percent > 0), "{name}");
            for spell in all {
                assert!(!spell.is_on(1, Duration::from_millis(6_900)), "{name}");
                for seconds in [7, 8, 3_600, 86_400] {
                    assert!(spell.is_on(1, Duration::from_secs(seconds)), "{name}");
                }
            }
        }
        assert_eq!(Incident::named("fire"), None);
    }
}
