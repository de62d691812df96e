//! The upstream's side: a port where TLS ends, in front of a scripted upstream.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use super::super::PATIENCE;
use super::super::port::{Arrival, Port};
use super::way::{near, small_runtime_block};
use super::{Authority, Handshake, Handshakes, Identity, all, note, provider};

/// How a server answers over TLS.
pub(crate) struct TlsServer {
    identity: Identity,
    versions: &'static [&'static SupportedProtocolVersion],
    alpn: Vec<Vec<u8>>,
    clients: Option<rustls::RootCertStore>,
}

/// A port of 127.0.0.1: what comes over TLS goes on in clear text.
pub(crate) struct TlsDoor {
    port: Port,
    handshakes: Handshakes,
}

// === impl TlsServer ===

impl TlsServer {
    /// Shows this certificate; both versions, no ALPN, asks for no certificate.
    pub(crate) fn new(identity: &Identity) -> Self {
        Self {
            identity: identity.clone(),
            versions: rustls::ALL_VERSIONS,
            alpn: Vec::new(),
            clients: None,
        }
    }

    /// Knows these protocols, the preferred one first: `h2`, `http/1.1`.
    pub(crate) fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|it| it.as_bytes().into()).collect();
        self
    }

    /// Speaks these versions alone.
    pub(crate) fn versions(
        mut self,
        versions: &'static [&'static SupportedProtocolVersion],
    ) -> Self {
        self.versions = versions;
        self
    }

    /// Refuses clients without a certificate of this authority.
    pub(crate) fn require_client(mut self, authority: &Authority) -> Self {
        self.clients = Some(authority.roots());
        self
    }

    /// Opens a door before this address.
    pub(crate) fn before(self, target: SocketAddr) -> TlsDoor {
        self.before_each(target, target)
    }

    /// Opens a door before two addresses: one for `h2`, one for whatever else was agreed on.
    pub(crate) fn before_each(self, http1: SocketAddr, http2: SocketAddr) -> TlsDoor {
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions)
            .expect("the provider knows both versions");
        let config = match self.clients {
            Some(roots) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.into(), provider())
                        .build()
                        .expect("the authority can be trusted");
                config.with_client_cert_verifier(verifier)
            }
            None => config.with_no_client_auth(),
        };
        let (chain, key) = self.identity.chain_and_key();
        let mut config = config
            .with_single_cert(chain, key)
            .expect("the test's key fits its certificate");
        config.alpn_protocols = self.alpn;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let handshakes = Handshakes::default();
        let seen = Arc::clone(&handshakes);
        let port = Port::open(move |arrival| {
            small_runtime_block(carry(&arrival, (http1, http2), &acceptor, &seen));
        });
        TlsDoor { port, handshakes }
    }
}

// === impl TlsDoor ===

impl TlsDoor {
    /// Where TLS is spoken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Every handshake so far; those that failed with what rustls said.
    pub(crate) fn handshakes(&self) -> Vec<Result<Handshake, String>> {
        all(&self.handshakes)
    }

    /// Closes all connections and refuses new ones.
    pub(crate) fn shut(&self) {
        self.port.shut();
    }
}

async fn carry(
    arrival: &Arrival,
    (http1, http2): (SocketAddr, SocketAddr),
    acceptor: &TlsAcceptor,
    handshakes: &Handshakes,
) {
    let Some(near) = near(arrival) else { return };
    let accepting = acceptor.accept(near).into_fallible();
    let mut near = match tokio::time::timeout(PATIENCE, accepting).await {
        Ok(Ok(near)) => near,
        Ok(Err((error, mut near))) => {
            note(handshakes, Err(error.to_string()));
            // Whoever closes with bytes unread resets, and the alert may be lost with that.
            near.shutdown().await.ok();
            let mut nowhere = tokio::io::sink();
            let draining = tokio::io::copy(&mut near, &mut nowhere);
            tokio::time::timeout(PATIENCE, draining).await.ok();
            return;
        }
        Err(_) => return note(handshakes, Err("not within twenty seconds".to_owned())),
    };
    let state = near.get_ref().1;
    let is_http2 = state.alpn_protocol() == Some(b"h2");
    note(handshakes, Ok(Handshake::of(state, state.server_name())));
    let target = if is_http2 { http2 } else { http1 };
    let Ok(mut far) = tokio::net::TcpStream::connect(target).await else {
        return;
    };
    far.set_nodelay(true).ok();
    if tokio::io::copy_bidirectional(&mut near, &mut far)
        .await
        .is_err()
    {
        near.shutdown().await.ok();
    }
}
