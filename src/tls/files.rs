//! PEM files: certificates, private keys, roots. Every mistake is told with the file and in words that say what to do.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is wrong.
    pub(super) what: String,
    /// What would be right.
    pub(super) hint: Option<&'static str>,
}

/// The largest file that is read: a thousand roots take less.
const LARGEST: u64 = 4 << 20;

/// The one provider.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Reads a file whole.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Wrong> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    let why = match read {
        Ok(length) if length as u64 > LARGEST => "it is larger than 4MiB".to_owned(),
        Ok(_) => return Ok(bytes),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            io::ErrorKind::IsADirectory => "it is a directory, not a file".to_owned(),
            _ => error.to_string(),
        },
    };
    Err(Wrong::new(format!("cannot read {}: {why}", path.display())))
}

/// The certificates in a file, in its order; at least one.
pub(super) fn certificates(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let path = path.display();
    match all {
        Ok(all) if all.is_empty() => Err(Wrong::new(format!("{path} has no certificate in it"))
            .hint("PEM: -----BEGIN CERTIFICATE-----")),
        Ok(all) => Ok(all),
        Err(error) => Err(Wrong::new(format!("{path} is no PEM file: {error}"))),
    }
}

/// The private key in a file.
pub(super) fn private_key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, Wrong> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        Wrong::new(format!("{} has no private key in it", path.display()))
            .hint("PEM, not encrypted: -----BEGIN PRIVATE KEY-----")
    })
}

/// The roots in a file.
pub(super) fn roots(path: &Path, bytes: &[u8]) -> Result<RootCertStore, Wrong> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, bytes)? {
        roots.add(certificate).map_err(|_| {
            let path = path.display();
            Wrong::new(format!(
                "{path} has a certificate in it that cannot be read"
            ))
        })?;
    }
    Ok(roots)
}

// === impl Wrong ===

impl Wrong {
    pub(super) fn new(what: String) -> Self {
        Self { what, hint: None }
    }

    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}
