//! TLS for both ends of the rig, as a way in front of them: neither [`Client`](super::Client) nor
//! [`Upstream`](super::Upstream) knows of it.
//!
//! ```text
//!   Client ──clear──▶ TlsWay ──TLS──▶ Proxy ──TLS──▶ TlsDoor ──clear──▶ Upstream
//! ```
//!
//! A [`TlsWay`] is a port in clear text behind which TLS begins, a [`TlsDoor`] one where it ends. Both tell what was agreed
//! on in each handshake. Certificates come from an [`Authority`] of the test's own. The rustls of the crate stands at both
//! ends; that others understand it too is for partners (curl, OpenSSL) to show.

mod authority;
mod door;
mod way;

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{CommonState, HandshakeKind, ProtocolVersion, SupportedProtocolVersion};

pub(crate) use authority::{Authority, Identity};
pub(crate) use door::{TlsDoor, TlsServer};
pub(crate) use way::{TlsCaller, TlsWay};

/// TLS 1.2 alone.
pub(crate) static ONLY_TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
/// TLS 1.3 alone.
pub(crate) static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// What was agreed on in a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// `1.2` or `1.3`.
    pub(crate) version: &'static str,
    /// The protocol of ALPN, if one was agreed on.
    pub(crate) alpn: Option<String>,
    /// Whether it went on with an earlier session.
    pub(crate) is_resumed: bool,
    /// The group of the key exchange as rustls names it: `X25519MLKEM768`. None in a TLS 1.2 resumption.
    pub(crate) group: Option<String>,
    /// The cipher suite as rustls names it: `TLS13_AES_256_GCM_SHA384`.
    pub(crate) suite: String,
    /// The other side's certificate chain, DER, its own first.
    pub(crate) peer: Vec<Vec<u8>>,
    /// The name that the client asked for; only a [`TlsDoor`] knows it.
    pub(crate) server_name: Option<String>,
}

/// Handshakes as they came, those that failed with what rustls said.
pub(crate) type Handshakes = Arc<Mutex<Vec<Result<Handshake, String>>>>;

// === impl Handshake ===

impl Handshake {
    fn of(state: &CommonState, server_name: Option<&str>) -> Self {
        Self {
            version: match state.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "1.3",
                Some(ProtocolVersion::TLSv1_2) => "1.2",
                _ => "another",
            },
            alpn: state
                .alpn_protocol()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
            is_resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            group: state
                .negotiated_key_exchange_group()
                .map(|group| format!("{:?}", group.name())),
            suite: state
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite()))
                .unwrap_or_default(),
            peer: state
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|certificate| certificate.to_vec())
                .collect(),
            server_name: server_name.map(str::to_owned),
        }
    }
}

fn all(handshakes: &Handshakes) -> Vec<Result<Handshake, String>> {
    let list = handshakes.lock().unwrap_or_else(PoisonError::into_inner);
    list.clone()
}

fn note(handshakes: &Handshakes, handshake: Result<Handshake, String>) {
    let mut list = handshakes.lock().unwrap_or_else(PoisonError::into_inner);
    list.push(handshake);
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
