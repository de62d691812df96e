//! What a span says of its client's TLS handshake. OpenTelemetry's names of these are still experimental: they are not part
//! of what dashboards may rely on.

use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::exchange::TlsFacts;

/// What the client's TLS handshake has settled.
pub(super) fn tls_attributes(tls: &TlsFacts, all: &mut Vec<KeyValue>) {
    all.push(KeyValue::new(
        semconv::TLS_PROTOCOL_VERSION,
        tls.version.as_str(),
    ));
    all.push(KeyValue::new(semconv::TLS_CIPHER, tls.suite));
    if !tls.group.is_empty() {
        all.push(KeyValue::new(semconv::TLS_CURVE, tls.group));
    }
    all.push(KeyValue::new(semconv::TLS_RESUMED, tls.is_resumed));
    if let Some(client) = &tls.client {
        let (subject, hash) = (client.subject.to_string(), client.sha256.to_string());
        all.push(KeyValue::new(semconv::TLS_CLIENT_SUBJECT, subject));
        all.push(KeyValue::new(semconv::TLS_CLIENT_HASH_SHA256, hash));
    }
}
