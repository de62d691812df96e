//! TLS towards upstreams: what is believed, what is shown, and what went wrong in our words.
//!
//! One [`ClientTls`] an upstream, shared by all workers, so that the sessions that can be resumed are one store. Files
//! are read when it is built: at the start, at a reload, and by `sightglass check`. A reload that finds the same bytes in
//! them keeps the old one, and with it the sessions; a file that changes in between is taken up at the next reload.
//!
//! Verification is rustls's own, by the roots of `ca` or the system's. There is one way around it, which is asked for by
//! name; no error falls back to it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::config::{Loaded, Plan, Problem, Protocol, TlsMinimum, Upstream, UpstreamTls};

/// What an upstream's connections are encrypted with.
#[derive(Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    plan: UpstreamTls,
    protocol: Protocol,
    /// A digest of each file that was read.
    files: Vec<[u8; 32]>,
}

/// Why an upstream's TLS cannot be set up: a file, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct Unusable {
    /// The path of the key that names it: `upstreams[0].tls.ca`.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub hint: Option<&'static str>,
}

/// What is wrong with what a key of the section names.
struct Wrong {
    key: &'static str,
    what: String,
    hint: Option<&'static str>,
}

/// The files of a section, as they are now.
#[derive(Default)]
struct Files {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

/// Looks at every file that the configuration names for TLS towards upstreams.
///
/// # Errors
/// All that is wrong with them, each with the place of its key.
pub(super) fn check(loaded: &Loaded) -> Vec<Problem> {
    unusable(&loaded.plan)
        .map(|Unusable { key, what, hint }| loaded.problem(&key, what, hint.map(str::to_owned)))
        .collect()
}

fn unusable(plan: &Plan) -> impl Iterator<Item = Unusable> {
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
    ) -> Result<Option<Arc<Self>>, Unusable> {
        let Some(plan) = &upstream.tls else {
            return Ok(None);
        };
        let wrong = |wrong: Wrong| Unusable {
            key: format!("upstreams[{position}].tls{}", wrong.key),
            what: wrong.what,
            hint: wrong.hint,
        };
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
    fn read(plan: &UpstreamTls) -> Result<Self, Wrong> {
        let shown = plan.certificate.as_ref();
        Ok(Self {
            ca: read(".ca", plan.ca.as_ref())?,
            cert: read(".certificate.cert", shown.map(|shown| &shown.cert))?,
            key: read(".certificate.key", shown.map(|shown| &shown.key))?,
        })
    }

    fn digests(&self) -> Vec<[u8; 32]> {
        [&self.ca, &self.cert, &self.key]
            .into_iter()
            .flatten()
            .map(|bytes| {
                let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, bytes);
                let mut copy = [0; 32];
                copy.copy_from_slice(digest.as_ref());
                copy
            })
            .collect()
    }
}

fn read(key: &'static str, path: Option<&PathBuf>) -> Result<Option<Vec<u8>>, Wrong> {
    let Some(path) = path else { return Ok(None) };
    fs::read(path).map(Some).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            io::ErrorKind::IsADirectory => "it is a directory, not a file".to_owned(),
            _ => error.to_string(),
        };
        Wrong::new(key, format!("cannot read {}: {why}", path.display()))
    })
}

// === impl Wrong ===

impl Wrong {
    fn new(key: &'static str, what: String) -> Self {
        Self {
            key,
            what,
            hint: None,
        }
    }

    fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

fn configure(plan: &UpstreamTls, protocol: Protocol, files: &Files) -> Result<ClientConfig, Wrong> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = match plan.min_version {
        TlsMinimum::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsMinimum::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| Wrong::new("", error.to_string()))?;
    let builder = if plan.insecure_skip_verify {
        let anything = Arc::new(Anything(provider));
        builder
            .dangerous()
            .with_custom_certificate_verifier(anything)
    } else {
        let roots = match (&plan.ca, &files.ca) {
            (Some(path), Some(bytes)) => Arc::new(roots_of(path, bytes)?),
            _ => system_roots()?,
        };
        builder.with_root_certificates(roots)
    };
    let mut config = match (&plan.certificate, &files.cert, &files.key) {
        (Some(shown), Some(cert), Some(key)) => {
            let chain = certificates(".certificate.cert", &shown.cert, cert)?;
            let key = private_key(&shown.key, key)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                let (cert, key) = (shown.cert.display(), shown.key.display());
                match error {
                    rustls::Error::InconsistentKeys(_) => Wrong::new(
                        ".certificate.key",
                        format!("the key in {key} does not belong to the certificate in {cert}"),
                    ),
                    error => Wrong::new(
                        ".certificate.key",
                        format!("{cert} and {key} cannot be used: {error}"),
                    ),
                }
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

fn certificates(
    key: &'static str,
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let path = path.display();
    match all {
        Ok(all) if all.is_empty() => {
            Err(Wrong::new(key, format!("{path} has no certificate in it"))
                .hint("PEM: -----BEGIN CERTIFICATE-----"))
        }
        Ok(all) => Ok(all),
        Err(error) => Err(Wrong::new(key, format!("{path} is no PEM file: {error}"))),
    }
}

fn private_key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, Wrong> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        let path = path.display();
        Wrong::new(
            ".certificate.key",
            format!("{path} has no private key in it"),
        )
        .hint("PEM, not encrypted: -----BEGIN PRIVATE KEY-----")
    })
}

fn roots_of(path: &Path, bytes: &[u8]) -> Result<RootCertStore, Wrong> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(".ca", path, bytes)? {
        roots.add(certificate).map_err(|_| {
            let what = format!("{} has a certificate in it that is none", path.display());
            Wrong::new(".ca", what)
        })?;
    }
    Ok(roots)
}

/// The roots that this machine believes, read once a process.
fn system_roots() -> Result<Arc<RootCertStore>, Wrong> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        // What cannot be read or is no root is left out, as every other program on the machine does.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    if roots.is_empty() {
        let what = "this machine has no root certificates".to_owned();
        return Err(
            Wrong::new("", what).hint("install its ca-certificates, or name a file with ca")
        );
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
        CertificateError::UnknownIssuer => {
            "the upstream's certificate is signed by nobody we trust"
        }
        CertificateError::Revoked => "the upstream's certificate was revoked",
        CertificateError::BadSignature => "the upstream's certificate has a bad signature",
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
