//! Certificates of a test: an authority that signs them, and the files that a configuration names.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

/// A certificate authority with a directory for what it makes.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
    made: AtomicUsize,
}

/// A certificate with its key, in two PEM files.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The certificate's file.
    pub(crate) cert: PathBuf,
    /// The key's file.
    pub(crate) key: PathBuf,
    pub(crate) cert_der: CertificateDer<'static>,
    pub(crate) key_der: Arc<[u8]>,
}

// === impl Authority ===

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "sightglass test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority signs itself");
        let dir = TempDir::new().expect("a temporary directory can be made");
        std::fs::write(dir.path().join("ca.pem"), issuer.pem())
            .expect("a temporary directory takes files");
        Self {
            issuer,
            dir,
            made: AtomicUsize::new(0),
        }
    }

    /// The authority's own certificate, for whoever is to trust it.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The directory of all files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Trust in this authority alone.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.issuer.der().clone())
            .expect("the authority's certificate is one");
        roots
    }

    /// A server's certificate for these names or IP addresses, valid for thirty days from now.
    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        self.server_until(names, in_days(30))
    }

    /// A server's certificate that ends then; see [`in_days`](Authority::in_days).
    pub(crate) fn server_until(&self, names: &[&str], end: SystemTime) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the test gives valid names");
        params
            .distinguished_name
            .push(DnType::CommonName, "a server of a test");
        params.not_before = (SystemTime::now() - Duration::from_secs(90 * 86_400)).into();
        params.not_after = end.into();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A client's certificate with this common name, and these DNS names and URIs (those with a colon).
    pub(crate) fn client(&self, common_name: &str, names: &[&str]) -> Identity {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.subject_alt_names = names
            .iter()
            .map(|name| {
                let text = Ia5String::try_from(*name).expect("the test gives ASCII names");
                if name.contains(':') {
                    SanType::URI(text)
                } else {
                    SanType::DnsName(text)
                }
            })
            .collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// So many days from now; negative ones are past.
    pub(crate) fn in_days(days: i64) -> SystemTime {
        in_days(days)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("the authority signs what the test asks for");
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let cert_file = self.dir.path().join(format!("{number}.pem"));
        let key_file = self.dir.path().join(format!("{number}.key"));
        std::fs::write(&cert_file, certificate.pem()).expect("a temporary directory takes files");
        std::fs::write(&key_file, key.serialize_pem()).expect("a temporary directory takes files");
        Identity {
            cert: cert_file,
            key: key_file,
            cert_der: certificate.der().clone(),
            key_der: key.serialize_der().into(),
        }
    }
}

// === impl Identity ===

impl Identity {
    /// As a configuration names it: `{cert: …, key: …}`.
    pub(crate) fn yaml(&self) -> String {
        format!(
            "{{cert: \"{}\", key: \"{}\"}}",
            self.cert.display(),
            self.key.display()
        )
    }

    /// Puts another certificate and key into this one's files, each in one step.
    pub(crate) fn replace_files(&self, other: &Self) {
        for (from, to) in [(&other.key, &self.key), (&other.cert, &self.cert)] {
            let beside = to.with_extension("new");
            std::fs::copy(from, &beside).expect("a temporary directory takes files");
            std::fs::rename(&beside, to).expect("a file can take another's place");
        }
    }

    /// The certificate, DER.
    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.cert_der
    }

    pub(super) fn chain_and_key(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivatePkcs8KeyDer::from(self.key_der.to_vec());
        (vec![self.cert_der.clone()], key.into())
    }
}

fn in_days(days: i64) -> SystemTime {
    let length = Duration::from_secs(days.unsigned_abs() * 86_400);
    let now = SystemTime::now();
    let then = if days < 0 { now - length } else { now + length };
    // Certificates know whole seconds.
    let seconds = then.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    UNIX_EPOCH + Duration::from_secs(seconds)
}
