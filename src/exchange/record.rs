//! What is left of an exchange when it has ended: the one record that every signal reads.
//!
//! It is small and plain on purpose. It holds no `Bytes`, `Uri` or `HeaderValue` of hyper's, since each of them keeps a
//! connection's whole read buffer alive; its strings are copied, with caps, into one slice. Configured things are named
//! by their place in the [`Plan`](crate::config::Plan) whose generation it carries: a clone of a shared name would be
//! two atomic operations on a line that all workers share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{
    Attempt, Headers, Identity, LimitStates, Outcome, Phase, PhaseTimes, TlsFacts, TracePlace,
    TunnelKind, grpc,
};

/// What is left of an exchange when it has ended.
#[derive(Clone, Debug)]
pub struct Record {
    /// When its first byte came.
    pub started: Instant,
    /// Where its time went; the sum is its length.
    pub phases: PhaseTimes,
    /// How much of [`Phase::Pick`] was waiting for a connection that others had, in microseconds.
    pub waited_us: u32,
    /// Its place in a trace.
    pub trace: TracePlace,
    /// Why it is kept as a trace, if it is.
    pub kept: Option<KeepReason>,
    /// The configuration under which it ran.
    pub generation: u32,
    /// The client's connection, numbered within the process.
    pub connection: u64,
    /// The listener, by its place in the plan.
    pub listener: u16,
    /// The route, by its place in the plan; `None` where none matched.
    pub route: Option<u16>,
    /// The method.
    pub method: KnownMethod,
    /// The protocol that the client spoke.
    pub protocol: Protocol,
    /// The status that the client got, or 499 where it got none; what the log says.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// What exactly happened where it was not served; empty otherwise.
    pub detail: &'static str,
    /// The status of gRPC, where it is a gRPC exchange: what came or was answered, else what the client's library makes
    /// of what it saw.
    pub grpc_status: Option<u8>,
    /// What the client's TLS handshake has settled; `None` in clear text.
    pub tls: Option<Arc<TlsFacts>>,
    /// Whether its listener speaks TLS: also of what came in behind it, without a handshake.
    pub is_tls: bool,
    /// Whether the response is an event stream or a tunnel, whose length says nothing about speed.
    pub is_stream: bool,
    /// What kind of tunnel it became, if it did.
    pub tunnel: Option<TunnelKind>,
    /// From the first byte to the response head; `None` where no head was sent.
    pub head_after: Option<Duration>,
    /// The client as the trusted proxies in front of us name it, else the peer.
    pub client: IpAddr,
    /// Who connected to us.
    pub peer: SocketAddr,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the response's body.
    pub bytes_out: u64,
    /// The first attempt, if there was one.
    pub first: Option<Attempt>,
    /// The attempts after the first.
    pub more: Vec<Attempt>,
    /// The header fields that are kept, where the request had any.
    pub headers: Option<Box<Headers>>,
    /// What its limits said, where the route has some.
    pub limits: Option<Box<LimitStates>>,
    /// Who asked, where the route asks and they have proved it.
    pub identity: Option<Box<Identity>>,
    /// The client's words.
    pub text: Text,
}

/// Why an exchange is kept as a trace; the words of `sightglass.sampling.reason`. The most interesting first: where
/// several hold, the first is said, and where there are too many traces, the last are shed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeepReason {
    /// It was asked for.
    Forced,
    /// It failed.
    Error,
    /// It took longer than `slower_than`.
    Slow,
    /// It needed more than one attempt.
    Retried,
    /// A limit refused it.
    Limited,
    /// A bucket of a latency histogram shows it.
    Exemplar,
    /// Its followed parent was sampled.
    Parent,
    /// The head share took it.
    Head,
}

/// The protocol that a client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

/// The methods that are told apart; `http.request.method` of OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KnownMethod {
    /// `CONNECT`
    Connect,
    /// `DELETE`
    Delete,
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `OPTIONS`
    Options,
    /// `PATCH`
    Patch,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `TRACE`
    Trace,
    /// Any other.
    Other,
}

/// The client's words, each cut to its cap, in one slice.
#[derive(Clone, Debug, Default)]
pub struct Text {
    buffer: Box<str>,
    ends: [u16; 6],
}

/// The words that a [`Text`] keeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words<'a> {
    /// The host that was asked for, as it came, with its port.
    pub host: &'a str,
    /// The canonical path.
    pub path: &'a str,
    /// The query, unmasked; every reader that shows it masks it.
    pub query: &'a str,
    /// `User-Agent`.
    pub user_agent: &'a str,
    /// The request id, where it is the client's own.
    pub request_id: &'a str,
    /// The method, where it is [`KnownMethod::Other`].
    pub method: &'a str,
}

/// Which words of a [`Text`] may have been cut, of those that routing looks at. A host that is routed by is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutWords {
    /// The path.
    pub path: bool,
    /// The query.
    pub query: bool,
    /// The method.
    pub method: bool,
}

/// The longest that each of [`Words`] may be, in its order, in bytes.
const CAPS: [usize; 6] = [255, 8192, 4096, 512, 128, 64];

// === impl Record ===

impl Record {
    /// The attempts, in order.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> + '_ {
        self.first.iter().chain(&self.more)
    }

    /// How long it took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.phases.total()
    }

    /// What the proxy itself took: its length less what the client, the upstream and the pauses between attempts took.
    /// That is routing, limits and balancing. Reading, writing and copying count with whoever was waited for meanwhile:
    /// the kernel does not say when bytes came.
    #[must_use]
    pub fn overhead(&self) -> Duration {
        let pick = self
            .phases
            .get(Phase::Pick)
            .saturating_sub(Duration::from_micros(self.waited_us.into()));
        self.phases.get(Phase::Admit) + pick
    }

    /// What it holds on the heap, in bytes, with what allocators add; what it may share with others counts in full.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let boxed = |it: Option<usize>| it.map_or(0, block);
        block(self.text.buffer.len())
            + block(self.more.capacity() * size_of::<Attempt>())
            + self.headers.as_ref().map_or(0, |it| it.heap_bytes())
            + boxed(self.limits.as_ref().map(|_| size_of::<LimitStates>()))
            + boxed(
                self.identity
                    .as_ref()
                    .map(|it| size_of::<Identity>() + it.name.len()),
            )
            + boxed(self.trace.state.as_ref().map(|it| it.len()))
            + boxed(self.trace.baggage.as_ref().map(|it| {
                let members = it.iter().flatten().map(|member| block(member.len()));
                size_of_val(&***it) + members.sum::<usize>()
            }))
            + self.tls.as_ref().map_or(0, |it| it.heap_bytes())
    }

    /// Whether people would call it failed: not served, or served with a status of 500 and above, or with one of gRPC
    /// that says that the service failed.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.outcome != Outcome::Served
            || self.status >= 500
            || self.grpc_status.is_some_and(grpc::is_failure)
    }

    /// Whether no route takes it: it is an error that is seldom news, since strangers ask for much that never was.
    #[must_use]
    pub fn is_unrouted(&self) -> bool {
        self.outcome == Outcome::DestinationNotFound
    }

    /// Whether a limit refused it.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        matches!(self.outcome, Outcome::RateLimited | Outcome::Overloaded)
    }

    /// How long its client waited: a stream's length says nothing about speed, so there it is the time to its head.
    #[must_use]
    pub fn pace(&self) -> Duration {
        match self.head_after {
            Some(head) if self.is_stream => head,
            _ => self.duration(),
        }
    }
}

/// What an allocation of so many bytes takes: rounded up, with a head.
pub(super) fn block(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        _ => bytes.next_multiple_of(16) + 16,
    }
}

// === impl KeepReason ===

impl KeepReason {
    /// All reasons, the most interesting first.
    pub const ALL: [Self; 8] = [
        Self::Forced,
        Self::Error,
        Self::Slow,
        Self::Retried,
        Self::Limited,
        Self::Exemplar,
        Self::Parent,
        Self::Head,
    ];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forced => "forced",
            Self::Error => "error",
            Self::Slow => "slow",
            Self::Retried => "retried",
            Self::Limited => "limited",
            Self::Exemplar => "exemplar",
            Self::Parent => "parent",
            Self::Head => "head",
        }
    }
}

// === impl Protocol ===

impl Protocol {
    /// `network.protocol.version`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

// === impl KnownMethod ===

impl KnownMethod {
    /// The label of a method; methods are case-sensitive (RFC 9110 §9.1).
    #[must_use]
    pub fn of(method: &http::Method) -> Self {
        match method.as_str() {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "HEAD" => Self::Head,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            "CONNECT" => Self::Connect,
            "TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }

    /// The method, or `_OTHER`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Trace => "TRACE",
            Self::Other => "_OTHER",
        }
    }
}

// === impl Text ===

impl Text {
    /// Copies the words.
    #[must_use]
    pub fn new(words: &Words<'_>) -> Self {
        let Words {
            host,
            path,
            query,
            user_agent,
            request_id,
            method,
        } = *words;
        let words = [host, path, query, user_agent, request_id, method];
        let mut ends = [0_u16; 6];
        let mut buffer = String::with_capacity(
            words
                .iter()
                .zip(CAPS)
                .map(|(word, cap)| word.len().min(cap))
                .sum(),
        );
        for ((word, cap), end) in words.into_iter().zip(CAPS).zip(&mut ends) {
            buffer.push_str(&word[..word.floor_char_boundary(cap)]);
            *end = u16::try_from(buffer.len()).unwrap_or(u16::MAX); // the caps add up to less
        }
        Self {
            buffer: buffer.into_boxed_str(),
            ends,
        }
    }

    /// Which of them may have been cut; the others are whole.
    #[must_use]
    pub fn cut(&self) -> CutWords {
        let words = self.words();
        // A character of four bytes that does not fit leaves up to three of the cap.
        let is_cut = |word: &str, cap: usize| word.len() + 3 >= cap;
        let [_, path, query, _, _, method] = CAPS;
        CutWords {
            path: is_cut(words.path, path),
            query: is_cut(words.query, query),
            method: is_cut(words.method, method),
        }
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> Words<'_> {
        let word = |index: usize| {
            let from = if index == 0 { 0 } else { self.ends[index - 1] };
            self.buffer
                .get(usize::from(from)..usize::from(self.ends[index]))
                .unwrap_or_default()
        };
        Words {
            host: word(0),
            path: word(1),
            query: word(2),
            user_agent: word(3),
            request_id: word(4),
            method: word(5),
        }
    }
}
