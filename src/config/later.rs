//! Keys that the contract names and that come with a later version.
//!
//! They are refused by name: a proxy that silently left out TLS or a health check would be worse than one that does
//! not start. A row goes when its key becomes real.

/// Sections (paths without indices) and the keys in them that are not supported yet.
const KEYS: &[(&str, &str)] = &[
    ("upstreams[]", "discover"),
    ("upstreams[]", "health"),
    ("upstreams[]", "limits"),
];

/// Words that may be written and are refused where they are checked; no hint names them.
const WORDS: &[&str] = &["ring_hash"];

/// Whether this word comes with a later version.
pub(super) fn is_later_word(word: &str) -> bool {
    WORDS.contains(&word)
}

/// Whether this key of this section comes with a later version.
pub(super) fn is_later(section: &str, key: &str) -> bool {
    KEYS.contains(&(section, key))
}

/// The key that this one stands in for, which is then not missing.
pub(super) fn stands_for(key: &str) -> Option<&'static str> {
    (key == "discover").then_some("endpoints")
}
