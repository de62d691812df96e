//! `listeners[].tls`: by which certificates clients know us, and whether we want to know them by theirs.
//!
//! Names of files are kept as they are written, relative to the working directory like all others; what is in them is
//! read by the room `tls`, since this one looks at nothing but the text.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::certificate::{CertificateFilesWritten, check_file, check_min_version};
use super::notes::At;
use super::{CertificateFiles, DurationWritten, TlsMinimum};

/// How the connections of a listener's clients are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// What clients are shown, by the name that they ask for; at least one.
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients are asked for a certificate (default not).
    pub client_auth: Option<ClientAuth>,
    /// The oldest version that is spoken (default 1.2).
    pub min_version: TlsMinimum,
    /// What becomes of a client that asks for a name which no certificate has, or for none (default the first certificate).
    pub unknown_server_name: UnknownServerName,
    /// How long browsers are told to come over TLS alone (`Strict-Transport-Security`, RFC 6797); default not at all.
    pub hsts: Option<Duration>,
}

/// How clients show who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// A PEM file with the roots whose clients are believed.
    pub ca: PathBuf,
    /// Whether a client without a certificate is refused (default); else only one with a bad certificate is.
    pub is_required: bool,
}

/// What becomes of a client that asks for a name which no certificate has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownServerName {
    /// It is shown the first certificate.
    #[default]
    FirstCertificate,
    /// Its handshake fails.
    Refuse,
}

// === As written ===

/// How the connections of a listener's clients are encrypted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerTlsWritten {
    /// What clients are shown, by the name that they ask for.
    certificates: Vec<CertificateFilesWritten>,
    /// Whether clients are asked for a certificate (default not).
    #[serde(default)]
    client_auth: Option<ClientAuthWritten>,
    /// The oldest version that is spoken, "1.2" or "1.3" (default "1.2").
    #[serde(default)]
    min_version: Option<String>,
    /// What becomes of a client that asks for a name which no certificate has, or for none (default first_certificate).
    #[serde(default)]
    unknown_server_name: UnknownServerName,
    /// How long browsers are told to come over TLS alone, such as 365d (default not at all).
    #[serde(default)]
    hsts: Option<DurationWritten>,
}

/// How clients show who they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClientAuthWritten {
    /// A PEM file with the roots whose clients are believed.
    ca: PathBuf,
    /// `required` (default) or `optional`.
    #[serde(default)]
    mode: ClientAuthMode,
}

/// Whether a client without a certificate is refused.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum ClientAuthMode {
    /// It is.
    #[default]
    Required,
    /// It is not.
    Optional,
}

// === Checks ===

/// A browser remembers no longer than this makes sense: ten years.
const LONGEST_HSTS: Duration = Duration::from_secs(3650 * 86_400);

impl ListenerTlsWritten {
    /// Checks the section. What is wrong in it is noted; the rest can be checked all the same.
    pub(super) fn check(&self, at: &At<'_>) -> ListenerTls {
        let list_at = at.key("certificates");
        if self.certificates.is_empty() && list_at.is_whole() {
            list_at.error_hint(
                "TLS needs a certificate",
                "such as [{cert: site.pem, key: site.key}]",
            );
        }
        let certificates = self.certificates.iter().enumerate();
        let certificates = certificates.map(|(position, written)| {
            let at = list_at.item(position);
            let is_same = |other: &CertificateFilesWritten| other.cert == written.cert;
            if !at.is_quiet() && self.certificates.iter().take(position).any(is_same) {
                at.key("cert").error("named twice");
            }
            written.check(&at)
        });
        let client_auth = self.client_auth.as_ref().map(|written| {
            check_file(&written.ca, &at.key("client_auth").key("ca"));
            ClientAuth {
                ca: written.ca.clone(),
                is_required: written.mode == ClientAuthMode::Required,
            }
        });
        ListenerTls {
            certificates: certificates.collect(),
            client_auth,
            min_version: check_min_version(self.min_version.as_deref(), &at.key("min_version")),
            unknown_server_name: self.unknown_server_name,
            hsts: self.check_hsts(&at.key("hsts")),
        }
    }

    fn check_hsts(&self, at: &At<'_>) -> Option<Duration> {
        let DurationWritten(time) = self.hsts?;
        if time > LONGEST_HSTS {
            at.error("must be at most 3650d");
        } else if !time.is_zero() && time < Duration::from_secs(1) {
            at.error(
                "is told in whole seconds: must be 0s, which makes browsers forget, or 1s and more",
            );
        }
        Some(time)
    }
}
