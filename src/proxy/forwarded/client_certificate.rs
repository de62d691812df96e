//! The client's certificate, as upstreams are told of it: `X-Forwarded-Client-Cert` as Envoy writes it, and `Client-Cert`
//! (RFC 9440).
//!
//! They are forwarding fields like the others: what a stranger says in them never passes (`Sanitize` has taken it out), to
//! what a trusted proxy says in `X-Forwarded-Client-Cert` an element is added, and its `Client-Cert`, which is of the first
//! hop, stays as it is.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::exchange::{ClientCertificate, ClientFields};

/// `X-Forwarded-Client-Cert`: an element for each hop that was shown a certificate.
static X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
/// `Client-Cert`: the certificate that the first hop was shown, as bytes of a structured field.
static CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

/// Tells of this certificate.
#[cold]
pub(super) fn write(headers: &mut HeaderMap, client: &ClientCertificate) {
    let fields = client.fields.get_or_init(|| fields(client));
    match headers.entry(&X_FORWARDED_CLIENT_CERT) {
        Entry::Vacant(place) => {
            place.insert(fields.forwarded.clone());
        }
        Entry::Occupied(mut place) => {
            place.append(fields.forwarded.clone());
        }
    }
    headers
        .entry(&CLIENT_CERT)
        .or_insert_with(|| fields.certificate.clone());
}

fn fields(client: &ClientCertificate) -> ClientFields {
    let mut element = format!("Hash={};Subject=\"{}\"", client.sha256, client.subject);
    let names = client.uris.iter().map(|uri| ("URI", uri));
    for (key, name) in names.chain(client.dns.iter().map(|name| ("DNS", name))) {
        // Envoy quotes what has a separator in it; the text has no quote and no backslash.
        let quote = if name.contains([',', ';', '=']) {
            "\""
        } else {
            ""
        };
        let _ = write!(element, ";{key}={quote}{name}{quote}"); // a string takes everything
    }
    let certificate = format!(":{}:", STANDARD.encode(&client.der));
    let value = |text: String| {
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("")) // both are visible ASCII
    };
    ClientFields {
        forwarded: value(element),
        certificate: value(certificate),
    }
}
