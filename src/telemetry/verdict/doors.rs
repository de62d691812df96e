//! What listeners refuse: connections that become no exchange, so that no record tells of them.

use super::rising::Rising;
use crate::config::{Listener, Name};
use crate::telemetry::metrics::{Catalogue, Refused};

/// The listeners. They are bound once: a reload brings no other.
#[derive(Debug)]
pub(super) struct Doors(Vec<(Name, [Rising; 2])>);

/// What a listener is refusing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusing {
    pub(super) listener: Name,
    pub(super) why: Why,
    pub(super) since: u64,
    /// How many connections since then.
    pub(super) count: u64,
    /// How many are open.
    pub(super) open: u64,
}

/// Which limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The listener's.
    Limit,
    /// That of each client.
    ClientLimit,
}

/// Fewer are not told: one client that tries too often.
const LEAST: u64 = 5;

// === impl Doors ===

impl Doors {
    pub(super) fn new(listeners: &[Listener]) -> Self {
        let doors = listeners.iter();
        Self(
            doors
                .map(|it| (it.name.clone(), Default::default()))
                .collect(),
        )
    }

    /// Looks at what was counted; to be called once a second.
    pub(super) fn look(&mut self, now: u64, catalogue: &Catalogue) -> Vec<Refusing> {
        let mut all = Vec::new();
        for (name, [by_limit, by_client]) in &mut self.0 {
            let Refused {
                by_limit: limit,
                by_client_limit: client,
                open,
            } = catalogue.refused(name);
            let both = [
                (Why::Limit, by_limit.look(now, limit)),
                (Why::ClientLimit, by_client.look(now, client)),
            ];
            let rising = both.into_iter().filter_map(|(why, it)| Some((why, it?)));
            let told = rising.filter(|(_, (_, count))| *count >= LEAST);
            all.extend(told.map(|(why, (since, count))| Refusing {
                listener: name.clone(),
                why,
                since,
                count,
                open,
            }));
        }
        all
    }
}

// === impl Why ===

impl Why {
    /// The word of `sightglass_connection_errors_total`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::ClientLimit => "client_limit",
        }
    }
}
