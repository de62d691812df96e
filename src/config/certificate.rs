//! What both sides of TLS say alike: a certificate with its key, the oldest version, a file that is named.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::notes::At;
use super::tree::quoted;

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// A PEM file with the certificate, and those between it and its root.
    pub cert: PathBuf,
    /// A PEM file with its private key.
    pub key: PathBuf,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMinimum {
    /// TLS 1.2, and 1.3 where both can.
    #[default]
    Tls12,
    /// Only TLS 1.3.
    Tls13,
}

// === As written ===

/// A certificate with its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateFilesWritten {
    /// A PEM file with the certificate, and those between it and its root.
    pub(super) cert: PathBuf,
    /// A PEM file with its private key.
    key: PathBuf,
}

// === Checks ===

impl CertificateFilesWritten {
    pub(super) fn check(&self, at: &At<'_>) -> CertificateFiles {
        check_file(&self.cert, &at.key("cert"));
        check_file(&self.key, &at.key("key"));
        CertificateFiles {
            cert: self.cert.clone(),
            key: self.key.clone(),
        }
    }
}

/// `"1.2"`, which is also what is taken where nothing is written, or `"1.3"`.
pub(super) fn check_min_version(written: Option<&str>, at: &At<'_>) -> TlsMinimum {
    match written {
        None | Some("1.2") => TlsMinimum::Tls12,
        Some("1.3") => TlsMinimum::Tls13,
        Some(other) => {
            at.error_hint(
                format!("{} is no version", quoted(other)),
                "\"1.2\" or \"1.3\"; older ones are not spoken",
            );
            TlsMinimum::Tls12
        }
    }
}

pub(super) fn check_file(path: &Path, at: &At<'_>) {
    if path.as_os_str().is_empty() {
        at.error("names no file");
    }
}
