//! What `OTEL_EXPORTER_OTLP_HEADERS` (and that of a signal, which wins) adds to each request: often a key, so it is read
//! here, kept by the sender alone, and shown nowhere.
//!
//! `name=value,name=value`, the values percent-encoded (OpenTelemetry: *OTLP Exporter Configuration*).

use http::{HeaderName, HeaderValue};

/// The headers of a signal's requests; what cannot be read is left out.
pub(super) fn of(signal: &str) -> Vec<(HeaderName, HeaderValue)> {
    let own = format!("OTEL_EXPORTER_OTLP_{signal}_HEADERS");
    let text = std::env::var(own).or_else(|_| std::env::var("OTEL_EXPORTER_OTLP_HEADERS"));
    read(&text.unwrap_or_default())
}

fn read(text: &str) -> Vec<(HeaderName, HeaderValue)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .filter_map(|(name, value)| {
            let mut value = HeaderValue::from_bytes(&decoded(value.trim())).ok()?;
            value.set_sensitive(true);
            Some((name.trim().to_ascii_lowercase().parse().ok()?, value))
        })
        .collect()
}

/// The bytes that a percent-encoded text stands for; what is no encoding stands for itself.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_encoded_values() {
        let read = read("Api-Key=a%2Cb%3d, x-team = shop ,broken,=no,bad name=x,last=%zz");
        let read: Vec<_> = read
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        assert_eq!(
            read,
            [
                ("api-key", &b"a,b="[..]),
                ("x-team", b"shop"),
                ("last", b"%zz"),
            ]
        );
    }
}
