//! What TLS needs besides sockets: certificates and keys from files, and what rustls makes of them.
//!
//! `client` is the side that calls upstreams. rustls with aws-lc-rs and nothing else: one provider, and the one that has
//! post-quantum key exchange (X25519MLKEM768), which is offered first.

pub mod client;

pub use client::{ClientTls, Unusable};
