//! The fields of a filter: the names of the access log, and what each may be compared with.

use std::fmt;

use crate::exchange::{Outcome, Phase};

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// One of the table.
    Plain(Plain),
    /// How long a phase took; nothing where it did not happen.
    Phase(Phase),
    /// A header field of the request, among those that `telemetry.headers` names; lower case.
    Header(Box<str>),
}

/// What a field is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number.
    Number,
    /// A number of bytes: a whole number, or one with a unit.
    Size,
    /// A time with its unit.
    Duration,
    /// Any text.
    Text,
    /// One of a closed set of words.
    Word(&'static [&'static str]),
    /// An IP address: compared with addresses and networks.
    Address,
    /// True or false.
    Flag,
}

macro_rules! fields {
    ($($variant:ident, $name:literal, $kind:expr, $is_always:literal;)*) => {
        /// A field of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Plain {
            $(#[doc = $name] $variant,)*
        }

        /// Each field, its name, its kind, and whether every exchange has it.
        pub(super) const TABLE: &[(Plain, &str, Kind, bool)] = &[
            $((Plain::$variant, $name, $kind, $is_always),)*
        ];
    };
}

const OUTCOMES: [&str; Outcome::ALL.len()] = {
    let mut words = [""; Outcome::ALL.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = Outcome::ALL[at].as_str();
        at += 1;
    }
    words
};

fields! {
    Status, "status", Kind::Number, true;
    Route, "route", Kind::Text, true;
    Upstream, "upstream", Kind::Text, false;
    Endpoint, "endpoint", Kind::Text, false;
    Listener, "listener", Kind::Text, true;
    Outcome, "outcome", Kind::Word(&OUTCOMES), true;
    Side, "side", Kind::Word(&["client", "proxy", "upstream"]), false;
    Method, "method", Kind::Text, true;
    Scheme, "scheme", Kind::Word(&["http", "https"]), true;
    Host, "host", Kind::Text, false;
    Path, "path", Kind::Text, false;
    Query, "query", Kind::Text, false;
    Protocol, "protocol", Kind::Word(&["HTTP/1.0", "HTTP/1.1", "HTTP/2"]), true;
    Client, "client", Kind::Address, true;
    Peer, "peer", Kind::Address, true;
    User, "user", Kind::Text, false;
    UserAgent, "user_agent", Kind::Text, false;
    Duration, "duration", Kind::Duration, true;
    Attempts, "attempts", Kind::Number, true;
    AttemptStatus, "attempt.status", Kind::Number, false;
    AttemptEndpoint, "attempt.endpoint", Kind::Text, false;
    AttemptOutcome, "attempt.outcome", Kind::Word(&OUTCOMES), false;
    Reused, "reused", Kind::Flag, true;
    Retried, "retried", Kind::Flag, true;
    BytesIn, "bytes_in", Kind::Size, true;
    BytesOut, "bytes_out", Kind::Size, true;
    GrpcStatus, "grpc_status", Kind::Number, false;
    Tls, "tls", Kind::Word(&["1.2", "1.3"]), false;
    Tunnel, "tunnel", Kind::Text, false;
    TraceId, "trace_id", Kind::Text, true;
    RequestId, "request_id", Kind::Text, false;
    Generation, "config_generation", Kind::Number, true;
    Connection, "connection", Kind::Number, true;
    Sampled, "sampled", Kind::Flag, true;
    Error, "error", Kind::Flag, true;
}

// === impl Field ===

impl Field {
    /// The field of this name; `header` needs more than a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        if let Some(phase) = name.strip_prefix("phase.") {
            let phase = Phase::ALL.into_iter().find(|it| it.as_str() == phase)?;
            return Some(Self::Phase(phase));
        }
        let (plain, ..) = TABLE.iter().find(|(_, known, ..)| *known == name)?;
        Some(Self::Plain(*plain))
    }

    /// What it is compared with.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Plain(plain) => TABLE[*plain as usize].2,
            Self::Phase(_) => Kind::Duration,
            Self::Header(_) => Kind::Text,
        }
    }

    /// Whether every exchange has it: asking whether it is there means nothing then.
    pub(super) fn is_always(&self) -> bool {
        match self {
            Self::Plain(plain) => TABLE[*plain as usize].3,
            Self::Phase(_) | Self::Header(_) => false,
        }
    }

    /// Whether it tells which exchange it was, and nothing of how it went: who asked for what, and who was to answer.
    pub(super) fn is_place(&self) -> bool {
        match self {
            Self::Plain(plain) => matches!(
                plain,
                Plain::Route
                    | Plain::Upstream
                    | Plain::Endpoint
                    | Plain::Listener
                    | Plain::Method
                    | Plain::Scheme
                    | Plain::Host
                    | Plain::Path
                    | Plain::Query
                    | Plain::Protocol
                    | Plain::Client
                    | Plain::Peer
                    | Plain::User
                    | Plain::UserAgent
                    | Plain::Tls
                    | Plain::Generation
            ),
            Self::Header(_) => true,
            Self::Phase(_) => false,
        }
    }

    /// All names, for a hint.
    pub(super) fn names() -> impl Iterator<Item = String> {
        let phases = Phase::ALL
            .into_iter()
            .map(|it| format!("phase.{}", it.as_str()));
        let plain = TABLE.iter().map(|(_, name, ..)| (*name).to_owned());
        plain.chain(phases).chain(["header".to_owned()])
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(plain) => f.write_str(TABLE[*plain as usize].1),
            Self::Phase(phase) => write!(f, "phase.{}", phase.as_str()),
            Self::Header(name) => write!(f, "header[\"{name}\"]"),
        }
    }
}

// === impl Kind ===

impl Kind {
    /// What it is, for people.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Number => "a whole number",
            Self::Size => "a size",
            Self::Duration => "a duration",
            Self::Text => "a text",
            Self::Word(_) => "a word",
            Self::Address => "an address",
            Self::Flag => "true or false",
        }
    }

    /// A value that would fit.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Number => "such as 500",
            Self::Size => "such as 64KiB or 1000",
            Self::Duration => "such as 200ms or 1.5s",
            Self::Text => "such as \"checkout\"",
            Self::Word([first, ..]) if *first == "1.2" => "such as \"1.3\"",
            Self::Word(_) => "a word in quotes, such as \"served\"",
            Self::Address => "such as \"192.0.2.7\" or \"10.0.0.0/8\"",
            Self::Flag => "true or false",
        }
    }
}
