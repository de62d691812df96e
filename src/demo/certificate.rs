//! A certificate that is good for a while, for the service whose certificate expires.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;

/// What a service shows, and what its clients believe.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) config: Arc<ServerConfig>,
    /// The authority that signed it, as PEM.
    pub(super) authority: String,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate for 127.0.0.1 that has been good for a day and is so for this long.
///
/// # Errors
/// Where no key can be made.
pub(super) fn good_for(lasts: Duration) -> io::Result<Shown> {
    let now = SystemTime::now();
    let failed = |error: rcgen::Error| io::Error::other(error);
    let mut authority = CertificateParams::new(Vec::new()).map_err(failed)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().map_err(failed)?;
    let authority = CertifiedIssuer::self_signed(authority, key).map_err(failed)?;
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).map_err(failed)?;
    leaf.not_before = (now - DAY).into();
    leaf.not_after = (now + lasts).into();
    let key = KeyPair::generate().map_err(failed)?;
    let leaf = leaf.signed_by(&key, &authority).map_err(failed)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .map_err(io::Error::other)?;
    // A resumed session does not show the certificate again: every connection is to be a whole handshake.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Shown {
        config: Arc::new(config),
        authority: authority.pem(),
    })
}
