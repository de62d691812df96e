//! The client's side: a port in clear text behind which TLS begins.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use super::super::PATIENCE;
use super::super::http2::small_runtime;
use super::super::port::{Arrival, Port};
use super::{Authority, Handshake, Handshakes, Identity, all, note, provider};

/// How a client calls over TLS. The sessions of all its ways are kept together, to be resumed.
#[derive(Clone)]
pub(crate) struct TlsCaller {
    roots: rustls::RootCertStore,
    versions: &'static [&'static SupportedProtocolVersion],
    alpn: Vec<Vec<u8>>,
    name: String,
    has_name: bool,
    identity: Option<Identity>,
    first: Vec<u8>,
}

/// A port of 127.0.0.1: whatever is sent there goes on over TLS.
pub(crate) struct TlsWay {
    port: Port,
    handshakes: Handshakes,
}

// === impl TlsCaller ===

impl TlsCaller {
    /// Trusts this authority and calls for this name; both versions, no ALPN, no certificate.
    pub(crate) fn new(authority: &Authority, name: &str) -> Self {
        Self {
            roots: authority.roots(),
            versions: rustls::ALL_VERSIONS,
            alpn: Vec::new(),
            name: name.to_owned(),
            has_name: true,
            identity: None,
            first: Vec::new(),
        }
    }

    /// Offers these protocols: `h2`, `http/1.1`.
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

    /// Shows this certificate when asked.
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// Sends these bytes before the handshake: a PROXY header.
    pub(crate) fn first(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.first = bytes.as_ref().to_vec();
        self
    }

    /// Checks the certificate for its name but does not say it.
    pub(crate) fn without_sni(mut self) -> Self {
        self.has_name = false;
        self
    }

    /// Opens a way to this address.
    pub(crate) fn to(&self, target: SocketAddr) -> TlsWay {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions)
            .expect("the provider knows both versions")
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.identity {
            Some(identity) => {
                let (chain, key) = identity.chain_and_key();
                let config = config.with_client_auth_cert(chain, key);
                config.expect("the test's key fits its certificate")
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config.enable_sni = self.has_name;
        let connector = TlsConnector::from(Arc::new(config));
        let name: ServerName<'static> =
            ServerName::try_from(self.name.clone()).expect("the test gives a valid name");
        let first = self.first.clone();
        let handshakes = Handshakes::default();
        let seen = Arc::clone(&handshakes);
        let port = Port::open(move |arrival| {
            small_runtime_block(carry(
                &arrival,
                (target, &first),
                &connector,
                name.clone(),
                &seen,
            ));
        });
        TlsWay { port, handshakes }
    }
}

// === impl TlsWay ===

impl TlsWay {
    /// Where the client connects, in clear text.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Every handshake so far; those that failed with what rustls said.
    pub(crate) fn handshakes(&self) -> Vec<Result<Handshake, String>> {
        all(&self.handshakes)
    }

    /// The newest handshake.
    ///
    /// # Panics
    /// Where there was none, or it failed.
    pub(crate) fn last(&self) -> Handshake {
        match self.handshakes().pop() {
            Some(Ok(handshake)) => handshake,
            Some(Err(error)) => panic!("the last handshake failed: {error}"),
            None => panic!("there was no handshake yet"),
        }
    }
}

async fn carry(
    arrival: &Arrival,
    (target, first): (SocketAddr, &[u8]),
    connector: &TlsConnector,
    name: ServerName<'static>,
    handshakes: &Handshakes,
) {
    let Some(mut near) = near(arrival) else {
        return;
    };
    let mut far = match tokio::net::TcpStream::connect(target).await {
        Ok(far) => far,
        Err(error) => return note(handshakes, Err(error.to_string())),
    };
    far.set_nodelay(true).ok();
    far.write_all(first).await.ok();
    let shaking = tokio::time::timeout(PATIENCE, connector.connect(name, far));
    match shaking.await {
        Ok(Ok(mut far)) => {
            note(handshakes, Ok(Handshake::of(far.get_ref().1, None)));
            if tokio::io::copy_bidirectional(&mut near, &mut far)
                .await
                .is_err()
            {
                far.shutdown().await.ok();
            }
        }
        Ok(Err(error)) => note(handshakes, Err(error.to_string())),
        Err(_) => note(handshakes, Err("not within twenty seconds".to_owned())),
    }
}

/// The socket of an arrival, for the runtime of its thread.
pub(super) fn near(arrival: &Arrival) -> Option<tokio::net::TcpStream> {
    let near = arrival.stream.try_clone().ok()?;
    near.set_nonblocking(true).ok()?;
    tokio::net::TcpStream::from_std(near).ok()
}

/// Runs this on the calling thread, which has no other runtime.
pub(super) fn small_runtime_block(work: impl Future<Output = ()>) {
    small_runtime().block_on(work);
}
