//! Which certificate for which name (SNI, RFC 6066 §3): exact names first, then wildcards, which stand for one label.
//!
//! The names are those that the certificates themselves are for. Where several have a name, the first whose key fits what
//! the client can verify is shown: an RSA certificate may stand beside an ECDSA one.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use crate::config::UnknownServerName;

/// Certificates by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what follows the first label.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For all other names, and for clients that name none.
    other: Vec<Arc<CertifiedKey>>,
}

// === impl Names ===

impl Names {
    pub(super) fn new(certificates: &[Certificate], unknown: UnknownServerName) -> Self {
        let mut names = Self::default();
        for certificate in certificates {
            for name in &certificate.names {
                let (list, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut names.wildcard, rest),
                    None => (&mut names.exact, name.as_str()),
                };
                let place = list.entry(name.to_owned()).or_default();
                place.push(Arc::clone(&certificate.key));
            }
        }
        if unknown == UnknownServerName::FirstCertificate
            && let Some(first) = certificates.first()
        {
            // One that is for the same names, with another kind of key, stands in for it.
            let alike = certificates.iter().filter(|it| it.names == first.names);
            names.other = alike.map(|it| Arc::clone(&it.key)).collect();
        }
        names
    }

    /// What is shown to a client that asks for this name.
    fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let of_name = name.and_then(|name| {
            let name = name.strip_suffix('.').unwrap_or(name);
            let parent = || Some(name.split_once('.')?.1);
            self.exact
                .get(name)
                .or_else(|| self.wildcard.get(parent()?))
        });
        let all = of_name.unwrap_or(&self.other);
        let fits = |it: &&Arc<CertifiedKey>| it.key.choose_scheme(schemes).is_some();
        all.iter().find(fits).or(all.first()).cloned()
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), hello.signature_schemes()) // rustls gives the name in lower case
    }
}

#[cfg(test)]
mod tests;
