//! `upstreams[].tls`: how an upstream's connections are encrypted, and whom we believe to be it.
//!
//! Names of files are kept as they are written; what is in them is read by the room `tls`, since this one looks at
//! nothing but the text. Verification is the default and has one switch, which says what it is.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::certificate::{CertificateFilesWritten, check_file, check_min_version};
use super::notes::At;
use super::{CertificateFiles, Host, TlsMinimum};

/// How an upstream's connections are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The name that the upstream's certificate must be for, sent as SNI where it is no IP address (default: the
    /// endpoint's name or address).
    pub server_name: Option<Host>,
    /// A PEM file with the roots that are believed, in place of the system's (default: the system's).
    pub ca: Option<PathBuf>,
    /// What we show where the upstream asks who we are (default nothing).
    pub certificate: Option<CertificateFiles>,
    /// Whether any certificate at all is taken: whoever stands in the way can read and change everything (default no).
    pub insecure_skip_verify: bool,
    /// The oldest version that is spoken (default 1.2).
    pub min_version: TlsMinimum,
}

/// The version of the PROXY protocol in which an upstream is told who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

// === As written ===

/// How an upstream's connections are encrypted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamTlsWritten {
    /// The name that the upstream's certificate must be for (default: the endpoint's name or address).
    #[serde(default)]
    server_name: Option<String>,
    /// A PEM file with the roots that are believed, in place of the system's.
    #[serde(default)]
    ca: Option<PathBuf>,
    /// What we show where the upstream asks who we are.
    #[serde(default)]
    certificate: Option<CertificateFilesWritten>,
    /// Whether any certificate at all is taken (default false).
    #[serde(default)]
    insecure_skip_verify: bool,
    /// The oldest version that is spoken, "1.2" or "1.3" (default "1.2").
    #[serde(default)]
    min_version: Option<String>,
}

// === Checks ===

impl UpstreamTlsWritten {
    /// Checks the section. What is wrong in it is noted; the rest can be checked all the same.
    pub(super) fn check(&self, at: &At<'_>) -> UpstreamTls {
        if self.insecure_skip_verify {
            at.key("insecure_skip_verify").warn(
                "any certificate is taken: whoever stands in the way can read and change everything",
                "name the roots that are believed with ca, or the certificate's name with server_name",
            );
            if self.ca.is_some() {
                at.key("ca").warn(
                    "nothing is verified against these roots",
                    "take insecure_skip_verify out",
                );
            }
        }
        let certificate = self.certificate.as_ref();
        let certificate = certificate.map(|written| written.check(&at.key("certificate")));
        if let Some(ca) = &self.ca {
            check_file(ca, &at.key("ca"));
        }
        UpstreamTls {
            server_name: self.check_server_name(&at.key("server_name")),
            ca: self.ca.clone(),
            certificate,
            insecure_skip_verify: self.insecure_skip_verify,
            min_version: check_min_version(self.min_version.as_deref(), &at.key("min_version")),
        }
    }

    fn check_server_name(&self, at: &At<'_>) -> Option<Host> {
        let written = self.server_name.as_deref()?;
        match written.parse() {
            Ok(host) => Some(host),
            Err(error) => {
                at.error_hint(error.what, error.hint);
                None
            }
        }
    }
}
