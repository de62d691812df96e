//! Our listening side: sockets, workers, and the connections of clients.
//!
//! A worker is one OS thread with a current-thread runtime, its own accept queue and its own upstream connections; an
//! exchange never changes threads. A fresh socket may, once, before a byte of it is read: the kernel spreads connections
//! by hash, which is uneven when they are few and long, so the worker that accepts hands on to the least loaded.

mod accept;
mod bind;
mod connection;
mod frames;
mod io;
mod sniff;
mod sweep;
mod worker;

pub use bind::{BindError, Bound, bind};
pub use worker::{Inbox, Team, Worker};
