//! What the user asked for, as checked data.
//!
//! The file becomes what runs in named steps: text -> `XWritten` (serde, exactly what was typed) -> `check()` -> `X` (no
//! `Option` that is really a default). The `X` of all sections together are the [`Plan`], pure data that every other
//! room may read. This room knows no other room, opens no port and reads no clock.

mod admin;
mod limits;
mod listener;
mod names;
mod plan;
mod retry;
mod route;
mod telemetry;
mod units;
mod upstream;

pub use admin::Admin;
pub use limits::{LimitKey, RateLimit};
pub use listener::{Listener, ListenerLimits, ListenerTimeouts, TraceContext};
pub use names::{Address, Host, Name};
pub use plan::{Drain, Plan, Runtime};
pub use retry::{Retry, RetryBudget, RetryWhen};
pub use route::{
    HeaderEdits, HostPattern, Match, PathPattern, Rewrite, Route, RouteTimeouts, Split,
};
pub use telemetry::{
    AccessLog, Keep, LogFormat, LogOutput, Otlp, OtlpProtocol, Propagation, Telemetry, Traces,
};
pub use units::{ByteSize, Rate, Share};
pub use upstream::{Balance, Endpoint, Protocol, Upstream, UpstreamLimits};
