//! Traces that are asked for: by a header field with a signed token, or from a client that is trusted anyway.
//!
//! A token is `v1.<expiry>.<mac>`: when it ends, in seconds since 1970, and the HMAC-SHA256 (RFC 2104) of all before the
//! last dot under the configured secret, in lower-case hex. It names nobody and gives nothing but traces, so it can be
//! handed to whoever debugs something and forgets itself. `docs/observability.md` has the command line that makes one.
//! Clients whose trace context is followed may write `1` instead: they could set the sampled flag as well.
//!
//! A wrong or expired token forces nothing, and the request is served as any other: an answer that told would let the
//! secret be tried. The comparison takes the same time wherever the difference is.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName};

use crate::config;

/// Judges who asks for a trace.
#[derive(Debug)]
pub(super) struct Forcing {
    header: HeaderName,
    key: Option<hmac::Key>,
}

/// How long a signature is, in bytes.
const MAC: usize = 32;

// === impl Forcing ===

impl Forcing {
    /// Judges by this configuration.
    #[must_use]
    pub(super) fn new(force: &config::Force) -> Self {
        let secret = force.token.as_ref();
        Self {
            header: force.header.clone(),
            key: secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes())),
        }
    }

    /// Takes the field out, and says whether it forces. `follow` says whether the sender's trace context is followed.
    /// More than one field forces nothing.
    #[must_use]
    pub(super) fn take(&self, headers: &mut HeaderMap, follow: bool) -> bool {
        if !headers.contains_key(&self.header) {
            return false;
        }
        let mut fields = headers.get_all(&self.header).iter();
        let is_forced = match (fields.next(), fields.next()) {
            (Some(only), None) => {
                let value = only.as_bytes();
                value == b"1" && follow || self.is_valid(value, SystemTime::now())
            }
            _ => false,
        };
        headers.remove(&self.header);
        is_forced
    }

    fn is_valid(&self, token: &[u8], now: SystemTime) -> bool {
        self.key.as_ref().is_some_and(|key| {
            let Some((signed, mac)) = signed(token) else {
                return false;
            };
            let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            hmac::verify(key, signed, &mac).is_ok()
                && expiry(signed).is_some_and(|expiry| expiry > now.as_secs())
        })
    }
}

/// What was signed, and the signature.
fn signed(token: &[u8]) -> Option<(&[u8], [u8; MAC])> {
    let dot = token.iter().rposition(|byte| *byte == b'.')?;
    let (signed, digits) = (&token[..dot], &token[dot + 1..]);
    let mut mac = [0; MAC];
    if digits.len() != 2 * MAC {
        return None;
    }
    for (byte, pair) in mac.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some((signed, mac))
}

/// When it ends, in seconds since 1970.
fn expiry(signed: &[u8]) -> Option<u64> {
    let seconds = signed.strip_prefix(b"v1.")?;
    let is_number = !seconds.is_empty() && seconds.iter().all(u8::is_ascii_digit);
    is_number
        .then(|| std::str::from_utf8(seconds).ok()?.parse().ok())
        .flatten()
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .filter(|_| !digit.is_ascii_uppercase())
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Secret;

    const SECRET: &str = "correct horse battery staple";
    /// `printf 'v1.2000000000' | openssl dgst -sha256 -hmac 'correct horse battery staple' -r`
    const TOKEN: &str =
        "v1.2000000000.bbd6465788df2afacdccefc85584de893a999c6ce5b19f7c52b07a2a582431eb";

    fn forcing(secret: Option<&str>) -> Forcing {
        Forcing::new(&config::Force {
            header: HeaderName::from_static("x-sightglass-trace"),
            token: secret.map(Secret::from),
        })
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn is_forced(forcing: &Forcing, values: &[&str], follow: bool) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = value.parse().expect("a field value");
            headers.append("x-sightglass-trace", value);
        }
        let is_forced = forcing.take(&mut headers, follow);
        assert!(headers.is_empty(), "the field goes no further");
        is_forced
    }

    #[test]
    fn what_openssl_signs_is_good_until_it_ends() {
        let forcing = forcing(Some(SECRET));
        assert!(forcing.is_valid(TOKEN.as_bytes(), at(1_999_999_999)));
        assert!(!forcing.is_valid(TOKEN.as_bytes(), at(2_000_000_000)));
    }

    #[test]
    fn anything_else_forces_nothing() {
        let good = forcing(Some(SECRET));
        let now = at(1_000_000_000);
        let (end, mac) = TOKEN.rsplit_once('.').expect("a dot");
        for token in [
            String::new(),
            "v1".to_owned(),
            "..".to_owned(),
            end.to_owned(),
            format!("{end}."),
            format!("v2.2000000000.{mac}"),
            format!("v1.2000000001.{mac}"),
            format!("v1.+2000000000.{mac}"),
            format!("{end}.{}", mac.to_uppercase()),
            format!("{end}.{}", &mac[2..]),
            format!("{end}.{mac}00"),
            format!(" {TOKEN}"),
        ] {
            assert!(!good.is_valid(token.as_bytes(), now), "{token:?}");
        }
        assert!(!forcing(None).is_valid(TOKEN.as_bytes(), now));
        let other = forcing(Some("another secret of some length"));
        assert!(!other.is_valid(TOKEN.as_bytes(), now));
    }

    #[test]
    fn a_bare_one_is_for_those_whose_context_is_followed() {
        let forcing = forcing(None);
        assert!(is_forced(&forcing, &["1"], true));
        assert!(!is_forced(&forcing, &["1"], false));
        assert!(!is_forced(&forcing, &["1", "1"], true));
        assert!(!is_forced(&forcing, &["true"], true));
        assert!(!is_forced(&forcing, &[], true));
    }
}
