//! What a TLS handshake with a client has settled: facts of its connection, shared by the records of its exchanges.

use std::sync::OnceLock;

use http::HeaderValue;

use super::record::block;

/// What a handshake has settled.
#[derive(Debug)]
pub struct TlsFacts {
    /// The version.
    pub version: TlsVersion,
    /// The cipher suite, by IANA's name: `TLS_AES_256_GCM_SHA384`.
    pub suite: &'static str,
    /// The group of the key exchange: `X25519MLKEM768`; empty where an earlier session went on without one.
    pub group: &'static str,
    /// Whether it went on with an earlier session.
    pub is_resumed: bool,
    /// The name that the client asked for, lower case; client text.
    pub server_name: Option<Box<str>>,
    /// The client's certificate, which was verified.
    pub client: Option<Box<ClientCertificate>>,
}

/// A version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Who a client is by its certificate. All texts are visible ASCII.
#[derive(Debug)]
pub struct ClientCertificate {
    /// The distinguished name, RFC 4514: `CN=billing,O=Shop`.
    pub subject: Box<str>,
    /// The DNS names among its alternative names.
    pub dns: Vec<String>,
    /// The URIs among them.
    pub uris: Vec<String>,
    /// The SHA-256 of the certificate, in lower-case hexadecimal digits.
    pub sha256: Box<str>,
    /// The certificate itself.
    pub der: Box<[u8]>,
    /// The same as header fields, written when they are first needed.
    pub fields: OnceLock<ClientFields>,
}

/// A client's certificate as upstreams are told of it.
#[derive(Debug)]
pub struct ClientFields {
    /// `X-Forwarded-Client-Cert`: one element.
    pub forwarded: HeaderValue,
    /// `Client-Cert` (RFC 9440).
    pub certificate: HeaderValue,
}

// === impl TlsFacts ===

impl TlsFacts {
    /// What they take, in bytes, with a certificate written as header fields.
    pub(super) fn heap_bytes(&self) -> usize {
        let name = self.server_name.as_ref().map_or(0, |it| block(it.len()));
        let client = self.client.as_ref().map_or(0, |it| {
            let names = it.dns.iter().chain(&it.uris);
            let names: usize = names.map(|it| size_of::<String>() + block(it.len())).sum();
            let texts = block(it.subject.len()) + block(it.sha256.len()) + names;
            // As fields: in base64 once, and once more percent-encoded.
            block(size_of::<ClientCertificate>()) + texts + block(it.der.len() * 4)
        });
        block(size_of::<Self>()) + name + client
    }
}

// === impl TlsVersion ===

impl TlsVersion {
    /// The number of the version: `1.3`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}
