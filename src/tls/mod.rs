//! What TLS needs besides sockets: certificates and keys from files, and what rustls makes of them.
//!
//! [`ServerTls`] is a listener's: which certificate for which name, who of the clients is believed. The files behind it are
//! looked at again whenever they change ([`watch`]), and what is in them then is taken up whole or not at all. No file is
//! read by `config`, and no socket is touched here: the handshake is `server`'s.
//!
//! [`ClientTls`] is an upstream's: whom we believe to be it, and what we show of ourselves. Its files are read with the
//! configuration.
//!
//! rustls with aws-lc-rs and nothing else: one provider, named wherever one is needed instead of installed for the whole
//! process, and the one that has post-quantum key exchange (X25519MLKEM768), which is preferred.

mod certificate;
mod check;
pub mod client;
mod files;
mod names;
mod server;
mod subject;
mod watch;

pub use check::{Found, look_at_files};
pub use client::ClientTls;
pub use server::{Certificates, NO_CERTIFICATE, ServerTls};
pub use subject::{Subject, subject};
pub use watch::Watch;
