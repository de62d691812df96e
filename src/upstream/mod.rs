//! Whom we call: upstreams, their endpoints, the choice among them, and the wire.
//!
//! What all workers share (an endpoint's load, its latency, the places for connections) stands in atomics behind `Arc`s
//! of the graph; connections are worker-local and never change threads. [`Forward`] is the end of every stack: below it
//! is only hyper's client, which nothing else in the program knows.

mod answer;
mod balance;
mod capacity;
mod connect;
mod endpoint;
mod find;
mod forward;
mod hints;
mod hold;
mod http1;
mod http2;
mod places;
mod pool;
mod pooled;
mod proxy_header;
mod resolve;
mod set;
mod stream;
mod tasks;
mod tls_fault;
mod tunnel;

pub use balance::{Balance, Candidates, Pick};
pub use endpoint::Endpoint;
pub use forward::{Forward, ForwardFuture};
pub use hold::{Hold, Holding};
pub use pool::{EndpointPool, Pools};
pub use set::Upstream;
