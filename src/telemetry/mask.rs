//! Hides the values of secret-looking query parameters, the same way in every signal that shows a query.
//!
//! The list is closed and the match is by whole name: a pattern such as "contains `key`" hides what people look for
//! (`monkey=`) and lulls them about the rest. A query that must not be seen at all belongs in a body.

use std::borrow::Cow;

use super::percent::decoded;

/// The names whose values are hidden, in lower case; they match in any case and percent-encoded.
const SECRET: [&str; 36] = [
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "auth_token",
    "authorization",
    "awsaccesskeyid",
    "bearer",
    "client_secret",
    "code",
    "credential",
    "credentials",
    "id_token",
    "jwt",
    "key",
    "passwd",
    "password",
    "private_key",
    "pwd",
    "refresh_token",
    "secret",
    "session",
    "session_id",
    "sessionid",
    "sid",
    "sig",
    "signature",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-api-key",
    "x-goog-credential",
    "x-goog-signature",
    "x-ms-signature",
];

/// What stands in place of a value.
const REDACTED: &str = "REDACTED";

/// The query with the values of secret-looking names replaced by `REDACTED`; borrowed where there are none.
pub(super) fn masked(query: &str) -> Cow<'_, str> {
    if !query.split('&').any(is_secret) {
        return Cow::Borrowed(query);
    }
    let mut shown = String::with_capacity(query.len() + REDACTED.len());
    for (index, parameter) in query.split('&').enumerate() {
        if index > 0 {
            shown.push('&');
        }
        match parameter.split_once('=') {
            Some((name, _)) if is_secret(parameter) => {
                shown.push_str(name);
                shown.push('=');
                shown.push_str(REDACTED);
            }
            _ => shown.push_str(parameter),
        }
    }
    Cow::Owned(shown)
}

/// Whether a name of a header field or parameter looks like that of a secret. Wider than what hides a query's values: it
/// is for what people have configured, where to hide one too many harms nobody.
#[must_use]
pub fn looks_secret(name: &str) -> bool {
    const PARTS: [&str; 7] = [
        "auth",
        "cookie",
        "credential",
        "key",
        "password",
        "secret",
        "token",
    ];
    let name = name.to_ascii_lowercase();
    SECRET.contains(&name.as_str()) || PARTS.iter().any(|part| name.contains(part))
}

/// Whether a parameter has a value and a secret-looking name.
fn is_secret(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        !value.is_empty() && SECRET.iter().any(|secret| is_same(name, secret))
    })
}

/// Whether a name, percent-decoded and in lower case, is `secret`.
fn is_same(name: &str, secret: &str) -> bool {
    if name.len() == secret.len() {
        return name.eq_ignore_ascii_case(secret);
    }
    // Only an encoded name is longer than what it stands for.
    name.len() > secret.len()
        && name.contains('%')
        && decoded(name.as_bytes())
            .map(|byte| byte.to_ascii_lowercase())
            .eq(secret.bytes())
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn hides_the_values_of_secret_names_alone() {
        for (query, shown) in [
            ("", ""),
            ("a=1&b=2", "a=1&b=2"),
            ("token=abc", "token=REDACTED"),
            ("a=1&TOKEN=abc&b=2", "a=1&TOKEN=REDACTED&b=2"),
            ("%74oken=abc", "%74oken=REDACTED"),
            ("api%5Fkey=abc&", "api%5Fkey=REDACTED&"),
            ("token", "token"),
            ("token=", "token="),
            ("token=a=b", "token=REDACTED"),
            ("monkey=1&tokens=2", "monkey=1&tokens=2"),
            ("code=1&code=2", "code=REDACTED&code=REDACTED"),
            ("%=1&%zz=2&sig=3", "%=1&%zz=2&sig=REDACTED"),
            ("X-Amz-Signature=f00", "X-Amz-Signature=REDACTED"),
        ] {
            assert_eq!(masked(query), shown, "{query}");
        }
    }

    #[test]
    fn copies_nothing_where_nothing_is_hidden() {
        assert!(matches!(masked("a=1"), std::borrow::Cow::Borrowed("a=1")));
    }
}
