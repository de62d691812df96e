//! The nouns of one exchange: one request from a client, any number of attempts upstream, one end.
//!
//! [`Exchange`] is the handle that layers note facts on; nobody logs. When it ends it leaves a [`Record`], from which
//! every signal is made, so that they cannot disagree. It is worker-local (an exchange never changes threads) and ends
//! exactly once: at the last body byte, at the error, or when it is dropped.
//!
//! This room observes nothing and decides nothing; it only knows what happened and when.

mod attempt;
mod body;
pub mod clock;
mod connection;
mod fault;
mod flood;
mod gauge;
pub mod grpc;
mod handle;
mod headers;
mod identity;
mod live;
mod look;
mod on_worker;
mod outcome;
mod phase;
mod record;
mod serve;
mod state;
mod tls;
mod trace;
mod trailers;
mod tunnel;
mod waited;
pub mod websocket;

pub use attempt::{Attempt, Carried, Considered};
pub use body::{BodyError, Lease, RequestBody, ResponseBody};
pub use connection::{Activity, Connection, Cut};
pub use fault::{Fault, RetryClass};
pub use flood::Flood;
pub use gauge::{Entered, Gauge};
pub use handle::Exchange;
pub use headers::Headers;
pub use identity::Identity;
pub use live::{SWEEP, sweep};
pub use look::{LiveConnection, LiveExchange, look_at, oldest};
pub use on_worker::{OnThisWorker, StreamsOnThisWorker};
pub use outcome::{Outcome, Side};
pub use phase::{PHASES, Phase, PhaseTimes};
pub use record::{CutWords, KeepReason, KnownMethod, Protocol, Record, Text, Words};
pub use serve::{Arrival, AttemptFault, AttemptRequest, Request, Response, Serve, ServeAttempt};
pub use state::{LimitNote, LimitStates, Timeout};
pub use tls::{ClientCertificate, ClientFields, TlsFacts, TlsVersion};
pub(crate) use trace::SWAPPED;
pub use trace::{Baggage, DEBUG, RANDOM, SAMPLED, SpanId, SpanRef, TraceId, TracePlace, W3C_FLAGS};
pub use tunnel::{Ahead, Broken, Duplex, Tunnel, TunnelKind};
pub use waited::Waits;

use state::Core;
