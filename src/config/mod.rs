//! What the user asked for, as checked data.
//!
//! The file becomes what runs in named steps:
//!
//! ```text
//! text --tree--> Node --typed, read--> XWritten --check()--> X --> Plan
//!      places       every mistake       what was typed       no Option that is really a default
//! ```
//!
//! Every step goes on after a mistake, so that all of them are told in one go, each with its place ([`Problem`]). The
//! `X` of all sections together are the [`Plan`], pure data that every other room may read. This room knows no other
//! room, opens no port and reads no clock. Start reading at `load.rs`.

mod access;
mod access_log;
mod admin;
mod ambiguity;
mod arguments;
mod certificate;
mod edits;
mod force;
mod grpc_match;
mod held;
mod keep;
mod later;
mod limits;
mod listener;
mod listener_tls;
mod load;
mod logs;
mod names;
mod notes;
mod plan;
mod problem;
mod propagation;
mod question;
mod ranges;
mod read;
mod recorder;
mod retry;
mod route;
mod route_match;
mod schema;
mod secret;
mod series;
mod slo;
mod telemetry;
mod terminal;
mod traces;
mod tree;
mod typed;
mod units;
mod upstream;
mod upstream_tls;

#[cfg(test)]
mod tests;

pub use access::{Access, Basic, User};
pub use access_log::{AccessLog, LogFormat, LogOutput};
pub use admin::Admin;
pub use arguments::{ArgumentError, from_arguments};
pub use certificate::{CertificateFiles, TlsMinimum};
pub use force::Force;
pub use held::HeldState;
pub use keep::{Keep, RouteTraces, SlowerThan};
pub use limits::{LimitKey, RateLimit};
pub use listener::{Listener, ListenerLimits, ListenerTimeouts, TraceContext};
pub use listener_tls::{ClientAuth, ListenerTls, UnknownServerName};
pub use load::{Loaded, load, parse};
pub use logs::Logs;
pub use names::{Address, AddressError, Host, Name};
pub use plan::{Drain, Plan, Runtime};
pub use problem::{LoadError, Problem, Problems, Severity};
pub use propagation::{Propagation, TraceFormat};
pub use question::{Question, QuestionError};
pub use recorder::Recorder;
pub use retry::{GrpcStatuses, Retry, RetryBudget, RetryWhen};
pub use route::{
    HeaderEdits, HostPattern, Match, PathPattern, Rewrite, Route, RouteTimeouts, Split, Tunnels,
};
pub use schema::schema;
pub use secret::Secret;
pub use series::{FREE_LABELS, HOST_LABEL, Metrics, Push};
pub use slo::{FAST_BURN, LatencyObjective, Slo};
pub use telemetry::Telemetry;
pub use terminal::{harmless, wants_colours};
pub use traces::{Otlp, OtlpProtocol, Traces};
pub use units::{ByteSize, DurationRange, DurationWritten, Rate, Share, UnitError};
pub use upstream::{Balance, Endpoint, Protocol, Upstream, UpstreamLimits};
pub use upstream_tls::{ProxyProtocol, UpstreamTls};
