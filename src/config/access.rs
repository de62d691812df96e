//! `routes[].access`: who may use a route.
//!
//! Two questions with an answer each: *from where* (`allow`, `deny`) and *who* (`basic`). Further ways to say who
//! somebody is (a client certificate, a signed token) are further keys beside `basic`; each notes an identity on the
//! exchange, whichever it was.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::names;
use super::notes::At;
use super::secret::{Secret, SecretWritten, read};
use super::tree::quoted;

/// Who may use a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Only clients in these networks; empty lets all.
    pub allow: Vec<IpNet>,
    /// No client in these networks, whatever `allow` says.
    pub deny: Vec<IpNet>,
    /// Only who shows a name and its password.
    pub basic: Option<Basic>,
}

/// Names and passwords (RFC 7617).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basic {
    /// What the client is told that it is asked for (default: the route's name).
    pub realm: String,
    /// Who may; at least one, each name once.
    pub users: Vec<User>,
}

/// Somebody with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The bcrypt hash of the password.
    pub hash: Secret,
}

// === As written ===

/// Who may use a route.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessWritten {
    /// Only clients in these networks or at these addresses (default: all).
    #[serde(default)]
    allow: Option<Vec<String>>,
    /// No client in these networks or at these addresses; wins over `allow`.
    #[serde(default)]
    deny: Option<Vec<String>>,
    /// Only who shows a name and its password.
    #[serde(default)]
    basic: Option<BasicWritten>,
}

/// Names and passwords.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BasicWritten {
    /// What the client is told that it is asked for (default: the route's name).
    #[serde(default)]
    realm: Option<String>,
    /// Who may; or `file`.
    #[serde(default)]
    users: Option<Vec<UserWritten>>,
    /// A file of `NAME:HASH` lines, as `htpasswd -B` writes it; or `users`.
    #[serde(default)]
    file: Option<String>,
}

/// Somebody with a password.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UserWritten {
    /// The name.
    name: String,
    /// The bcrypt hash of the password: itself, {env: NAME} or {file: PATH}.
    hash: SecretWritten,
}

// === Checks ===

/// What makes a hash.
const HINT: &str = "htpasswd -nB -C 10 NAME makes one";

/// The dearest hash that is checked: about a second. Each step doubles it.
const DEAREST: u32 = 14;

impl AccessWritten {
    /// Checks the section of the route of this name.
    pub(super) fn check(&self, route: &str, at: &At<'_>) -> Access {
        let networks = |list: &Option<Vec<String>>, key: &str| {
            let at = at.key(key);
            let list = list.as_deref()?;
            if list.is_empty() && at.is_whole() {
                at.error_hint(
                    "no network is named",
                    "leave it out, or such as [10.0.0.0/8]",
                );
            }
            Some(names::check_networks(list, &at))
        };
        Access {
            allow: networks(&self.allow, "allow").unwrap_or_default(),
            deny: networks(&self.deny, "deny").unwrap_or_default(),
            basic: self
                .basic
                .as_ref()
                .map(|basic| basic.check(route, &at.key("basic"))),
        }
    }
}

impl BasicWritten {
    fn check(&self, route: &str, at: &At<'_>) -> Basic {
        let realm = self.realm.as_deref().unwrap_or(route);
        let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte);
        if !realm.bytes().all(is_plain) {
            at.key("realm")
                .error("a realm is visible ASCII without quotes and backslashes");
        }
        let mut users = Vec::new();
        match (&self.users, &self.file) {
            (Some(list), None) => {
                for (position, user) in list.iter().enumerate() {
                    let at = at.key("users").item(position);
                    if let Some(hash) = user.hash.check(&at.key("hash")) {
                        add(
                            &mut users,
                            &user.name,
                            hash,
                            (&at.key("name"), &at.key("hash")),
                        );
                    }
                }
            }
            (None, Some(path)) => {
                let at = at.key("file");
                for (number, line) in read(path, &at).unwrap_or_default().lines().enumerate() {
                    let line = line.trim();
                    if line.is_empty() || line.starts_with('#') {
                        continue;
                    }
                    match line.split_once(':') {
                        Some((name, hash)) => add(&mut users, name, Secret::from(hash), (&at, &at)),
                        None => at.error(format!("line {} is not NAME:HASH", number + 1)),
                    }
                }
            }
            _ if at.is_whole() => {
                at.error_hint("users are named in one way", "users: […] or file: PATH")
            }
            _ => {}
        }
        if users.is_empty() && at.is_whole() && at.is_all_right() {
            at.error_hint("nobody could ever come in", "name a user");
        }
        Basic {
            realm: realm.to_owned(),
            users,
        }
    }
}

/// Adds a user whose name and hash are in order; notes what is not, and never the hash.
fn add(users: &mut Vec<User>, name: &str, hash: Secret, (name_at, hash_at): (&At<'_>, &At<'_>)) {
    let is_allowed = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
    // It is not repeated: it may be a hash, or a whole line of htpasswd's.
    let is_hash = cost(name).is_some();
    if name.is_empty() || name.len() > 128 || !name.bytes().all(is_allowed) || is_hash {
        name_at.error_hint(
            "is not a user's name",
            "1 to 128 visible ASCII characters, none of them a colon; the hash stands apart",
        );
        return;
    }
    if users.iter().any(|other| other.name == name) {
        name_at.error(format!("{} is there already", quoted(name)));
        return;
    }
    match cost(hash.reveal()) {
        None => hash_at.error_hint(
            format!("the hash of {} is not bcrypt's ($2y$…)", quoted(name)),
            HINT,
        ),
        Some(cost) if cost > DEAREST => hash_at.error_hint(
            format!("the hash of {} is too dear: cost {cost}", quoted(name)),
            format!("at most {DEAREST}, where a check takes about a second"),
        ),
        Some(cost) => {
            if cost < 10 {
                hash_at.warn(
                    format!(
                        "the hash of {} is cheap to guess: cost {cost}",
                        quoted(name)
                    ),
                    "htpasswd -nB -C 10 NAME",
                );
            }
            users.push(User {
                name: name.to_owned(),
                hash,
            });
        }
    }
}

/// The cost of a bcrypt hash (`$2a$`, `$2b$` or `$2y$`, two digits, `$`, 53 characters); `None` for anything else.
fn cost(hash: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2y$"]
        .iter()
        .find_map(|prefix| hash.strip_prefix(prefix))?;
    let (digits, rest) = rest.split_once('$')?;
    let is_hash = rest.len() == 53
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
    let cost: u32 = digits.parse().ok().filter(|_| digits.len() == 2)?;
    (is_hash && (4..=31).contains(&cost)).then_some(cost)
}
