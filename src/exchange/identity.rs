//! Who asks: noted on routes that want to know, by whichever way it was proved.
//!
//! A password and a signed token are ways; the identity is one fact of the record. It is boxed, since most routes do not
//! ask. The certificate that a client has shown in its handshake is a fact of the connection beside it, whatever the route
//! asks: the log has both, as `user` and `client_certificate`.

use super::Exchange;

/// Who asked, as they have proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name: of a user, or the subject of a token.
    pub name: Box<str>,
}

/// What was found out about who asks, on routes that ask for it.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) identity: Option<Box<Identity>>,
    pub(super) challenge: Option<http::HeaderValue>,
}

// === impl Exchange ===

impl Exchange {
    /// Who asks, as they have proved; the way of the proof does not matter.
    pub fn note_identity(&self, name: &str) {
        self.0.note(|facts| {
            facts.asked.get_or_insert_default().identity =
                Some(Box::new(Identity { name: name.into() }));
        });
    }

    /// How a client is to prove who it is (RFC 9110 §11.6.1): told where it is refused for want of that.
    pub fn note_challenge(&self, challenge: http::HeaderValue) {
        self.0.note(|facts| {
            facts.asked.get_or_insert_default().challenge = Some(challenge);
        });
    }

    /// How a client is to prove who it is, where it was refused for want of that.
    #[must_use]
    pub fn challenge(&self) -> Option<http::HeaderValue> {
        self.0
            .ask(|facts| facts.asked.as_ref()?.challenge.clone())
            .flatten()
    }
}
