//! A certificate with its key, as clients are shown it: read from its two files, and found to belong together.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::Error;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::files::{self, Wrong};
use crate::config::CertificateFiles;

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Certificate {
    /// Its file, as it was named.
    pub(super) file: PathBuf,
    /// What rustls shows, and signs with.
    pub(super) key: Arc<CertifiedKey>,
    /// The DNS names that it is for, in lower case; those with a wildcard begin with `*.`.
    pub(super) names: Vec<String>,
    /// From when it is valid, in seconds since 1970.
    pub(super) not_before: i64,
    /// Until when it is valid, in seconds since 1970.
    pub(super) not_after: i64,
}

/// What is wrong with a pair of files: the key of the configuration that names the one to blame.
pub(super) type WrongPair = (&'static str, Wrong);

/// A day, in seconds.
pub(super) const DAY: i64 = 86_400;

// === impl Certificate ===

impl Certificate {
    /// Makes one of the bytes of its files.
    pub(super) fn new(
        plan: &CertificateFiles,
        (cert, key): (&[u8], &[u8]),
        provider: &CryptoProvider,
    ) -> Result<Self, WrongPair> {
        let chain = files::certificates(&plan.cert, cert).map_err(|wrong| ("cert", wrong))?;
        let private = files::private_key(&plan.key, key).map_err(|wrong| ("key", wrong))?;
        let (cert, key) = (plan.cert.display(), plan.key.display());
        let Some((names, not_before, not_after)) = chain.first().and_then(facts) else {
            let what = format!("the first certificate in {cert} cannot be read");
            return Err(("cert", Wrong::new(what)));
        };
        let certified = CertifiedKey::from_der(chain, private, provider).map_err(|error| {
            let what = match error {
                Error::InconsistentKeys(_) => {
                    format!("the key in {key} does not belong to the certificate in {cert}")
                }
                error => format!("{cert} and {key} cannot be used: {error}"),
            };
            ("key", Wrong::new(what))
        })?;
        Ok(Self {
            file: plan.cert.clone(),
            key: Arc::new(certified),
            names,
            not_before,
            not_after,
        })
    }

    /// Whole days until it ends; negative when it has.
    pub(super) fn days_left(&self, now: i64) -> i64 {
        (self.not_after - now).div_euclid(DAY)
    }
}

/// Now, in seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX))
}

/// The DNS names of a certificate, and from when to when it is valid.
fn facts(der: &CertificateDer<'_>) -> Option<(Vec<String>, i64, i64)> {
    let (_, parsed) = parse_x509_certificate(der).ok()?;
    let validity = parsed.validity();
    let all = parsed.subject_alternative_name().ok()?;
    let names = all.into_iter().flat_map(|all| &all.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Some((
        names.collect(),
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    ))
}
