//! `telemetry.traces.force`: who may ask for a trace by a header field.

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Secret;
use super::notes::At;
use super::secret::SecretWritten;
use super::tree::quoted;

/// Who may ask for a trace by a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Force {
    /// The field (default `x-sightglass-trace`). It never goes upstream.
    pub header: HeaderName,
    /// The secret that tokens are signed with. Without one only clients whose trace context is followed may ask.
    pub token: Option<Secret>,
}

// === As written ===

/// Who may ask for a trace by a header field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForceWritten {
    /// The field (default x-sightglass-trace). It never goes upstream.
    #[serde(default)]
    header: Option<String>,
    /// The secret that tokens are signed with, at least 16 characters: {env: NAME} or {file: PATH} (default: only
    /// clients whose trace context is followed may ask).
    #[serde(default)]
    token: Option<SecretWritten>,
}

// === Checks ===

/// The field unless another is written.
const HEADER: HeaderName = HeaderName::from_static("x-sightglass-trace");

/// The shortest secret, in bytes: shorter ones are guessed.
const SHORTEST: usize = 16;

/// Fields that have another meaning, which taking them out would change.
const TAKEN: [&str; 12] = [
    "authorization",
    "baggage",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "x-request-id",
];

impl ForceWritten {
    /// Checks the section; `None` when it cannot be used, which was noted then.
    pub(super) fn check(&self, at: &At<'_>) -> Option<Force> {
        let header = match &self.header {
            Some(name) => check_header(name, &at.key("header")),
            None => Some(HEADER),
        };
        let token = match &self.token {
            Some(token) => Some(check_secret(token, &at.key("token"))?),
            None => None,
        };
        Some(Force {
            header: header?,
            token,
        })
    }
}

fn check_header(text: &str, at: &At<'_>) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        let what = format!("{} is no header name", quoted(text));
        at.error_hint(what, "such as x-sightglass-trace");
        return None;
    };
    if TAKEN.contains(&name.as_str()) {
        let what = format!("{name} has another meaning");
        at.error_hint(what, "a field of its own, such as x-sightglass-trace");
        return None;
    }
    Some(name)
}

fn check_secret(written: &SecretWritten, at: &At<'_>) -> Option<Secret> {
    let secret = written.check(at)?;
    if secret.reveal().len() < SHORTEST {
        let what = format!("must have at least {SHORTEST} characters");
        at.error_hint(what, "as openssl rand -hex 32 makes them");
        return None;
    }
    Some(secret)
}
