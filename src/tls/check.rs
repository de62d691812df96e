//! What is wrong with the files that a configuration names, each with the key that names it: for `sightglass check`, and
//! before anything starts or is reloaded.

use super::certificate::now;
use super::client;
use super::files::Wrong;
use super::server::{Certificates, ServerTls};
use crate::config::{Loaded, Problem};

/// Something that is wrong with a file, or with what it is to be used for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct Found {
    /// The path of the key that names it: `listeners[0].tls.certificates[0].cert`.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub hint: Option<&'static str>,
}

/// Looks at every file that listeners and upstreams name for TLS. Errors are those with which nothing can be served; certificates
/// that are not valid now are warnings, since a proxy that did not start for one would make a bad day worse. Blocks on the
/// disk.
#[must_use]
pub fn look_at_files(loaded: &Loaded) -> Vec<Problem> {
    let mut told = look_at_listeners(loaded);
    let upstreams = client::unusable(&loaded.plan);
    told.extend(upstreams.map(|it| loaded.problem(&it.key, it.what, it.hint.map(str::to_owned))));
    told
}

fn look_at_listeners(loaded: &Loaded) -> Vec<Problem> {
    let certificates = match Certificates::read(&loaded.plan) {
        Ok(certificates) => certificates,
        Err(wrong) => {
            let told = |it: Found| loaded.problem(&it.key, it.what, it.hint.map(str::to_owned));
            return wrong.into_iter().map(told).collect();
        }
    };
    let told = |it: Found| loaded.warning(&it.key, it.what, it.hint.map(str::to_owned));
    let invalid = certificates
        .all()
        .flat_map(|tls: &ServerTls| tls.invalid(now()));
    invalid.map(told).collect()
}

// === impl Found ===

impl Found {
    pub(super) fn wrong(key: &str, wrong: Wrong) -> Self {
        Self {
            key: key.to_owned(),
            what: wrong.what,
            hint: wrong.hint,
        }
    }
}
