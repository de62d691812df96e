//! The two values of a WebSocket's handshake (RFC 6455 §4): they prove that the answer was made by who read the question.
//!
//! HTTP/2 has no use for them (RFC 8441 §5), so a proxy between the two versions makes and checks them itself.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;

/// What is appended to the key (RFC 6455 §1.3).
const PROOF: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A fresh `Sec-WebSocket-Key`: 16 bytes that nobody can guess.
#[must_use]
pub fn key() -> HeaderValue {
    let mut bytes = [0; 16];
    // The system's generator does not fail once the process has started; a guessable key would weaken nothing that a
    // proxy relies on, since it is no secret.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    value(BASE64_STANDARD.encode(bytes))
}

/// The `Sec-WebSocket-Accept` that answers this key.
#[must_use]
pub fn accept(key: &HeaderValue) -> HeaderValue {
    let answer = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), PROOF].concat());
    value(BASE64_STANDARD.encode(answer))
}

fn value(text: String) -> HeaderValue {
    // base64 is visible ASCII, so nothing is ever replaced; an empty value would prove nothing to anybody
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_is_that_of_the_standards_example() {
        // RFC 6455 §1.3
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_sixteen_bytes_and_differ() {
        let (one, other) = (key(), key());
        assert_eq!(
            BASE64_STANDARD.decode(one.as_bytes()).map(|it| it.len()),
            Ok(16)
        );
        assert_ne!(one, other);
    }
}
