//! TLS towards clients: one [`ServerTls`] a listener, shared by all workers.
//!
//! What rustls serves by is put together anew when a file has changed, and swapped as a whole: certificates, keys and the
//! roots of clients always belong together, handshakes under way end by what they began with, and connections notice
//! nothing. The keys of session tickets live on, so that clients resume across a swap; only other roots of clients make
//! them new, since a resumed client is not verified again. They rotate every six hours (rustls' own rotation), and a ticket
//! is good for twelve at most. There is no cache of sessions: tickets need no memory and work for every worker.
//!
//! No early data (0-RTT): it can be sent a second time by whoever has seen it.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::certificate::{Certificate, DAY, now};
use super::check::Found;
use super::files::{self, Wrong};
use super::names::Names;
use crate::config::{ClientAuth, Listener, ListenerTls, Name, Plan, TlsMinimum};
use crate::telemetry::metrics::family::CERTIFICATE_EXPIRY;
use crate::telemetry::metrics::{Draw, Page};
use crate::telemetry::{Event, emit};

/// What rustls says where no certificate is for the name that a client asks for: it has no other word for it.
pub const NO_CERTIFICATE: &str = "no server certificate chain resolved";

/// From so many days before its end a certificate is warned of.
const WARN_DAYS: i64 = 21;

/// The certificates of all listeners, in the plan's order.
#[derive(Debug)]
pub struct Certificates {
    listeners: Vec<Option<Arc<ServerTls>>>,
}

/// What a listener's connections are encrypted with.
#[derive(Debug)]
pub struct ServerTls {
    listener: Name,
    plan: ListenerTls,
    /// The protocols of ALPN, the preferred one first.
    alpn: Vec<Vec<u8>>,
    /// The path of the section: `listeners[0].tls`.
    key: String,
    served: ArcSwap<Served>,
    /// Held while files are read, and what was told last.
    reading: Mutex<Told>,
}

/// What is served by, whole.
#[derive(Debug)]
struct Served {
    config: Arc<ServerConfig>,
    certificates: Vec<Certificate>,
    bytes: Bytes,
}

/// The files of a section, as they were read.
#[derive(PartialEq, Eq)]
struct Bytes {
    /// The certificate and the key of each.
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The roots of clients.
    ca: Option<Vec<u8>>,
}

/// What was told last, so that nothing is told twice.
#[derive(Debug, Default)]
struct Told {
    /// Why the files could not be taken up.
    refused: Option<String>,
    /// When each certificate was last warned of, in seconds since 1970.
    warned: Vec<i64>,
}

// === impl Certificates ===

impl Certificates {
    /// Reads the files of every listener. Blocks on the disk.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn read(plan: &Plan) -> Result<Arc<Self>, Vec<Found>> {
        let (mut listeners, mut wrong) = (Vec::new(), Vec::new());
        for (position, listener) in plan.listeners.iter().enumerate() {
            match ServerTls::read(position, listener) {
                Ok(tls) => listeners.push(tls.map(Arc::new)),
                Err(found) => wrong.extend(found),
            }
        }
        if wrong.is_empty() {
            Ok(Arc::new(Self { listeners }))
        } else {
            Err(wrong)
        }
    }

    /// Those of the listener at this place in the plan; `None` where it is in clear text.
    #[must_use]
    pub fn of(&self, listener: usize) -> Option<&Arc<ServerTls>> {
        self.listeners.get(listener)?.as_ref()
    }

    /// Looks at every file again and takes up what has changed; what cannot be used is told, and the old stays. Blocks on
    /// the disk.
    pub fn read_again(&self) {
        self.all().for_each(|tls| tls.read_again());
    }

    /// Warns of every certificate that ends soon or has ended, at most once a day.
    pub fn warn(&self) {
        self.all().for_each(|tls| tls.warn(now()));
    }

    /// Those of all listeners that have some.
    pub(super) fn all(&self) -> impl Iterator<Item = &ServerTls> {
        self.listeners.iter().flatten().map(Arc::as_ref)
    }
}

impl Draw for Certificates {
    fn draw(&self, page: &mut Page) {
        for tls in self.all() {
            for certificate in &tls.served.load().certificates {
                let file = certificate.file.display().to_string();
                let labels = [tls.listener.as_str(), &file];
                let seconds = u64::try_from(certificate.not_after).unwrap_or(0);
                page.count(&CERTIFICATE_EXPIRY, &labels, seconds);
            }
        }
    }
}

// === impl ServerTls ===

impl ServerTls {
    /// Reads the files of a listener, which is at this place in the plan; `None` where it is in clear text.
    pub(super) fn read(position: usize, listener: &Listener) -> Result<Option<Self>, Vec<Found>> {
        let Some(plan) = &listener.tls else {
            return Ok(None);
        };
        let key = format!("listeners[{position}].tls");
        let mut alpn = Vec::new();
        if listener.http2 {
            alpn.push(b"h2".to_vec());
        }
        if listener.http1 {
            alpn.push(b"http/1.1".to_vec());
        }
        let bytes = Bytes::read(plan, &key)?;
        let ticketer = ticketer().map_err(|wrong| vec![Found::wrong(&key, wrong)])?;
        let served = Served::new(plan, &alpn, &key, (bytes, ticketer))?;
        let reading = Mutex::new(Told {
            refused: None,
            warned: vec![0; served.certificates.len()],
        });
        Ok(Some(Self {
            listener: listener.name.clone(),
            plan: plan.clone(),
            alpn,
            key,
            served: ArcSwap::from_pointee(served),
            reading,
        }))
    }

    /// What rustls serves by now.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.served.load().config)
    }

    /// What it was made of.
    pub(super) fn plan(&self) -> &ListenerTls {
        &self.plan
    }

    /// Certificates that are not valid now.
    pub(super) fn invalid(&self, now: i64) -> Vec<Found> {
        let served = self.served.load();
        let all = served.certificates.iter().enumerate();
        all.filter_map(|(at, it)| Some(self.found(at, invalid(it, now)?)))
            .collect()
    }

    fn found(&self, certificate: usize, wrong: Wrong) -> Found {
        Found::wrong(
            &format!("{}.certificates[{certificate}].cert", self.key),
            wrong,
        )
    }

    fn read_again(&self) {
        let mut told = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        match self.take_up() {
            Ok(false) => told.refused = None,
            Ok(true) => {
                told.refused = None;
                let served = self.served.load();
                told.warned = vec![0; served.certificates.len()];
                let ends = served.certificates.iter().map(|it| it.days_left(now()));
                emit(Event::CertificatesChanged {
                    listener: self.listener.clone(),
                    days_left: ends.min().unwrap_or(0),
                });
            }
            Err(found) => {
                let why = found.into_iter().map(|it| it.what).collect::<Vec<_>>();
                let why = why.join("; ");
                if told.refused.as_ref() != Some(&why) {
                    told.refused = Some(why.clone());
                    emit(Event::CertificatesRefused {
                        listener: self.listener.clone(),
                        why,
                    });
                }
            }
        }
    }

    /// Takes the files up as they are now. Says whether anything has changed.
    fn take_up(&self) -> Result<bool, Vec<Found>> {
        let before = self.served.load_full();
        let bytes = Bytes::read(&self.plan, &self.key)?;
        if bytes == before.bytes {
            return Ok(false);
        }
        let ticketer = if bytes.ca == before.bytes.ca {
            Arc::clone(&before.config.ticketer)
        } else {
            ticketer().map_err(|wrong| vec![Found::wrong(&self.key, wrong)])?
        };
        let served = Served::new(&self.plan, &self.alpn, &self.key, (bytes, ticketer))?;
        // At the start there is nothing better than what there is; now there may be.
        let now = now();
        let is_new = |it: &&(usize, &Certificate)| {
            let known = before.certificates.get(it.0);
            known.is_none_or(|known| known.key.cert != it.1.key.cert)
        };
        let all = served.certificates.iter().enumerate();
        let wrong: Vec<_> = all
            .filter(|it| is_new(&it))
            .filter_map(|(at, it)| Some(self.found(at, invalid(it, now)?)))
            .collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        self.served.store(Arc::new(served));
        Ok(true)
    }

    fn warn(&self, now: i64) {
        let mut told = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let served = self.served.load();
        for (certificate, warned) in served.certificates.iter().zip(&mut told.warned) {
            let days_left = certificate.days_left(now);
            if days_left < WARN_DAYS && now - *warned >= DAY {
                *warned = now;
                emit(Event::CertificateEnds {
                    listener: self.listener.clone(),
                    certificate: certificate.file.display().to_string(),
                    days_left,
                });
            }
        }
    }
}

/// Why a certificate is not valid now, if it is not.
fn invalid(certificate: &Certificate, now: i64) -> Option<Wrong> {
    let file = certificate.file.display();
    if certificate.not_after < now {
        let what = match (now - certificate.not_after) / DAY {
            0 => format!("the certificate in {file} has expired within the last day"),
            1 => format!("the certificate in {file} has expired a day ago"),
            days => format!("the certificate in {file} has expired {days} days ago"),
        };
        return Some(Wrong::new(what).hint("clients refuse it: renew it"));
    }
    if certificate.not_before > now {
        let hours = (certificate.not_before - now) / 3600;
        let what = format!("the certificate in {file} is not valid yet, for {hours} hours");
        return Some(Wrong::new(what).hint("clients refuse it: is the clock right?"));
    }
    None
}

// === impl Bytes ===

impl Bytes {
    fn read(plan: &ListenerTls, key: &str) -> Result<Self, Vec<Found>> {
        let mut wrong = Vec::new();
        let mut read = |path: &std::path::Path, key: String| match files::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                wrong.push(Found::wrong(&key, error));
                Vec::new()
            }
        };
        let pairs = plan.certificates.iter().enumerate().map(|(at, pair)| {
            let key = format!("{key}.certificates[{at}]");
            let cert = read(&pair.cert, format!("{key}.cert"));
            (cert, read(&pair.key, format!("{key}.key")))
        });
        let pairs = pairs.collect();
        let ca = plan.client_auth.as_ref();
        let ca = ca.map(|auth| read(&auth.ca, format!("{key}.client_auth.ca")));
        if wrong.is_empty() {
            Ok(Self { pairs, ca })
        } else {
            Err(wrong)
        }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Private keys are among them.
        f.debug_struct("Bytes").finish_non_exhaustive()
    }
}

// === impl Served ===

impl Served {
    fn new(
        plan: &ListenerTls,
        alpn: &[Vec<u8>],
        key: &str,
        (bytes, ticketer): (Bytes, Arc<dyn ProducesTickets>),
    ) -> Result<Self, Vec<Found>> {
        let provider = files::provider();
        let (mut certificates, mut wrong) = (Vec::new(), Vec::new());
        for (at, (files, (cert, private))) in plan.certificates.iter().zip(&bytes.pairs).enumerate()
        {
            match Certificate::new(files, (cert, private), &provider) {
                Ok(certificate) => certificates.push(certificate),
                Err((part, error)) => {
                    let key = format!("{key}.certificates[{at}].{part}");
                    wrong.push(Found::wrong(&key, error));
                }
            }
        }
        let clients = plan.client_auth.as_ref().zip(bytes.ca.as_deref());
        let config = configure(plan.min_version, clients, &provider, || {
            Names::new(&certificates, plan.unknown_server_name)
        });
        match config {
            Ok(mut config) if wrong.is_empty() => {
                config.alpn_protocols = alpn.to_vec();
                config.ticketer = ticketer;
                config.session_storage = Arc::new(NoServerSessionStorage {});
                Ok(Self {
                    config: Arc::new(config),
                    certificates,
                    bytes,
                })
            }
            Ok(_) => Err(wrong),
            Err(error) => {
                wrong.push(Found::wrong(&format!("{key}.client_auth.ca"), error));
                Err(wrong)
            }
        }
    }
}

fn configure(
    minimum: TlsMinimum,
    clients: Option<(&ClientAuth, &[u8])>,
    provider: &Arc<CryptoProvider>,
    names: impl FnOnce() -> Names,
) -> Result<ServerConfig, Wrong> {
    let versions: &[&SupportedProtocolVersion] = match minimum {
        TlsMinimum::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsMinimum::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)
        .map_err(|error| Wrong::new(error.to_string()))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some((auth, bytes)) => {
            let roots = Arc::new(files::roots(&auth.ca, bytes)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
            let verifier = if auth.is_required {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            let verifier = verifier.build().map_err(|error| {
                let ca = auth.ca.display();
                Wrong::new(format!(
                    "{ca} cannot be used for client certificates: {error}"
                ))
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    Ok(builder.with_cert_resolver(Arc::new(names())))
}

fn ticketer() -> Result<Arc<dyn ProducesTickets>, Wrong> {
    aws_lc_rs::Ticketer::new()
        .map_err(|error| Wrong::new(format!("no keys for session tickets: {error}")))
}
