//! Secrets: written out, or named by an environment variable or a file. All of them are read here and nowhere else.
//!
//! A [`Secret`] tells nobody what it is: not `Debug`, not the page of the configuration, not an error message. Files and
//! variables are read when the configuration is, so a reload reads them anew, and one that is missing stops the start
//! rather than the first request.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::notes::At;

/// Something that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

/// The most that is read of a file of secrets.
const LARGEST: u64 = 1 << 20;

// === impl Secret ===

impl Secret {
    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

// === As written ===

/// A secret: itself, or where it is.
pub(super) enum SecretWritten {
    /// Itself.
    Here(Secret),
    /// Where it is.
    There(PlaceWritten),
}

/// Where a secret is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceWritten {
    /// The environment variable that holds it.
    #[serde(default)]
    env: Option<String>,
    /// The file whose first line it is.
    #[serde(default)]
    file: Option<String>,
}

impl<'de> Deserialize<'de> for SecretWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = SecretWritten;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret, {env: NAME} or {file: PATH}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretWritten, E> {
        Ok(SecretWritten::Here(Secret::from(text)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretWritten, A::Error> {
        PlaceWritten::deserialize(MapAccessDeserializer::new(map)).map(SecretWritten::There)
    }
}

impl fmt::Debug for SecretWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(secret) => secret.fmt(f),
            Self::There(place) => place.fmt(f),
        }
    }
}

// === Checks ===

impl SecretWritten {
    /// The secret, read from where it is; `None` where it cannot be had, which was noted then.
    pub(super) fn check(&self, at: &At<'_>) -> Option<Secret> {
        match self {
            Self::Here(secret) => Some(secret.clone()),
            Self::There(place) => place.check(at),
        }
    }
}

impl PlaceWritten {
    fn check(&self, at: &At<'_>) -> Option<Secret> {
        let text = match (&self.env, &self.file) {
            (Some(name), None) => match std::env::var(name) {
                Ok(text) => text,
                Err(std::env::VarError::NotPresent) => {
                    at.key("env")
                        .error(format!("the environment has no {name}"));
                    return None;
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    at.key("env")
                        .error(format!("{name} in the environment is not text"));
                    return None;
                }
            },
            (None, Some(path)) => read(path, &at.key("file"))?,
            _ => {
                if at.is_whole() {
                    at.error_hint("a secret is in one place", "{env: NAME} or {file: PATH}");
                }
                return None;
            }
        };
        match text
            .lines()
            .next()
            .map(str::trim)
            .filter(|it| !it.is_empty())
        {
            Some(line) => Some(Secret::from(line)),
            None => {
                at.error("nothing is there");
                None
            }
        }
    }
}

/// The text of a file of secrets; `None` where it cannot be read, which was noted then.
pub(super) fn read(path: &str, at: &At<'_>) -> Option<String> {
    if at.is_quiet() {
        return None;
    }
    let read = || {
        // A pipe or a device might never end.
        if !std::fs::metadata(Path::new(path))?.is_file() {
            return Err(std::io::Error::other("it is no file"));
        }
        let mut text = String::new();
        File::open(path)?.take(LARGEST).read_to_string(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) => Some(text),
        Err(why) => {
            at.error(format!("cannot be read: {why}"));
            None
        }
    }
}
