//! Our listening side: sockets, workers, and the connections of clients.
//!
//! A worker is one OS thread with a current-thread runtime, its own accept queue and its own upstream connections; an
//! exchange never changes threads. A fresh socket may, once, before a byte of it is read: the kernel spreads connections
//! by hash, which is uneven when they are few and long, so the worker that accepts hands on to the least loaded.
//!
//! What comes before the first request comes in this order: a PROXY header where one is required ([`proxy_protocol`]), a
//! TLS handshake, and in clear text a look at which protocol is spoken. All of it together may take as long as a request's
//! head, is cut at the drain like an idle connection, and where it fails that is counted with its reason.

mod accept;
mod ask;
mod bind;
mod clients;
mod connection;
mod frames;
mod handshake;
mod io;
pub mod proxy_protocol;
mod rest;
mod sniff;
mod sweep;
mod tunnel;
mod worker;
mod xray;

pub use bind::{BindError, Bound, bind};
pub use worker::{Inbox, Team, Worker};
pub use xray::{Looked, Under};
