//! TLS towards upstreams: what is believed, what is shown, and what went wrong in our words.
//!
//! One [`ClientTls`] an upstream, shared by all workers, so that the sessions that can be resumed are one store. Files
//! are read when it is built: at the start, at a reload, and by `sightglass check`. A reload that finds the same bytes in
//! them keeps the old one, and with it the sessions; a file that changes in between is taken up at the next reload.
//!
//! Verification is rustls's own, by the roots of `ca` or the system's. There is one way around it, which is asked for by
//! name; no error falls back to it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::check::Found;
use super::files::{self, Wrong};
use crate::config::{Plan, Protocol, TlsMinimum, Upstream, UpstreamTls};

/// What an upstream's connections are encrypted with.
#[derive(Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    plan: UpstreamTls,
    protocol: Protocol,
    /// A digest of each file that was read.
    files: Vec<[u8; 32]>,
}

/// The files of a section, as they are now.
#[derive(Default)]
struct Files {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

/// What is wrong, at the rest of its key's path.
type WrongAt = (&'static str, Wrong);

const CA: &str = ".ca";
const CERT: &str = ".certificate.cert";
const KEY: &str = ".certificate.key";

/// What cannot be used of the files that the upstreams of a plan name. Blocks on the disk.
pub(super) fn unusable(plan: &Plan) -> impl Iterator<Item = Found> {
    plan.upstreams
        .iter()
        .enumerate()
        .filter_map(|(position, upstream)| ClientTls::build(position, upstream, None).err())
}

// === impl ClientTls ===

impl ClientTls {
    /// What this upstream, at its position in the plan, is to be called with; `None` where it is called in clear text.
    /// `before` is given back where nothing has changed, neither in the section nor in its files. Blocks on the disk.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub fn build(
        position: usize,
        upstream: &Upstream,
        before: Option<&Arc<Self>>,
    ) -> Result<Option<Arc<Self>>, Found> {
        let Some(plan) = &upstream.tls else {
            return Ok(None);
        };
        let wrong =
            |(key, wrong): WrongAt| Found::wrong(&format!("upstreams[{position}].tls{key}"), wrong);
        let files = Files::read(plan).map_err(wrong)?;
        let digests = files.digests();
        let is_same = |before: &&Arc<Self>| {
            before.plan == *plan && before.protocol == upstream.protocol && before.files == digests
        };
        if let Some(before) = before.filter(is_same) {
            return Ok(Some(Arc::clone(before)));
        }
        let config = configure(plan, upstream.protocol, &files).map_err(wrong)?;
        Ok(Some(Arc::new(Self {
            config: Arc::new(config),
            plan: plan.clone(),
            protocol: upstream.protocol,
            files: digests,
        })))
    }

    /// What rustls calls with.
    #[must_use]
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }
}

// === impl Files ===

impl Files {
    fn read(plan: &UpstreamTls) -> Result<Self, WrongAt> {
        let read = |key: &'static str, path: Option<&PathBuf>| {
            path.map(|path| files::read(path).map_err(|wrong| (key, wrong)))
                .transpose()
        };
        let shown = plan.certificate.as_ref();
        Ok(Self {
            ca: read(CA, plan.ca.as_ref())?,
            cert: read(CERT, shown.map(|shown| &shown.cert))?,
            key: read(KEY, shown.map(|shown| &shown.key))?,
        })
    }

    fn digests(&self) -> Vec<[u8; 32]> {
        [&self.ca, &self.cert, &self.key]
            .into_iter()
            .flatten()
            .map(|bytes| {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
                let mut copy = [0; 32];
                copy.copy_from_slice(digest.as_ref());
                copy
            })
            .collect()
    }
}

fn configure(
    plan: &UpstreamTls,
    protocol: Protocol,
    files: &Files,
) -> Result<ClientConfig, WrongAt> {
    let provider = files::provider();
    let versions: &[&rustls::SupportedProtocolVersion] = match plan.min_version {
        TlsMinimum::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsMinimum::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| ("", Wrong::new(error.to_string())))?;
    let builder = if plan.insecure_skip_verify {
        let anything = Arc::new(Anything(provider));
        builder
            .dangerous()
            .with_custom_certificate_verifier(anything)
    } else {
        let roots = match (&plan.ca, &files.ca) {
            (Some(path), Some(bytes)) => {
                Arc::new(files::roots(path, bytes).map_err(|wrong| (CA, wrong))?)
            }
            _ => system_roots()?,
        };
        builder.with_root_certificates(roots)
    };
    let mut config = match (&plan.certificate, &files.cert, &files.key) {
        (Some(shown), Some(cert), Some(key)) => {
            let chain = files::certificates(&shown.cert, cert).map_err(|wrong| (CERT, wrong))?;
            let key = files::private_key(&shown.key, key).map_err(|wrong| (KEY, wrong))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                let (cert, key) = (shown.cert.display(), shown.key.display());
                let what = match error {
                    rustls::Error::InconsistentKeys(_) => {
                        format!("the key in {key} does not belong to the certificate in {cert}")
                    }
                    error => format!("{cert} and {key} cannot be used: {error}"),
                };
                (KEY, Wrong::new(what))
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match protocol {
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}

/// The roots that this machine believes, read once a process.
fn system_roots() -> Result<Arc<RootCertStore>, WrongAt> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        // What cannot be read or is no root is left out, as every other program on the machine does.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    if roots.is_empty() {
        let what = "this machine has no root certificates".to_owned();
        let hint = "install its ca-certificates, or name a file with ca";
        return Err(("", Wrong::new(what).hint(hint)));
    }
    Ok(Arc::clone(roots))
}

// === What went wrong ===

/// What is wrong with an upstream's certificate.
#[must_use]
pub fn certificate_fault(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the upstream's certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the upstream's certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the upstream's certificate is not for this name"
        }
        // The latter where somebody has taken the name of one whom we trust.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the upstream's certificate is signed by nobody we trust"
        }
        CertificateError::Revoked => "the upstream's certificate was revoked",
        CertificateError::BadEncoding => "the upstream's certificate cannot be read",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the upstream's certificate is not for servers"
        }
        _ => "the upstream's certificate cannot be verified",
    }
}

/// Takes any certificate, and still has its holder prove that the key is theirs.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
