//! `admin`: the side port, and who may use it.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

/// The side port, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// What to bind (default 127.0.0.1:9901); port 0 binds a free one.
    pub address: SocketAddr,
    /// A file whose first line is the bearer token for peers that are neither on loopback nor in `allow`.
    pub token_file: Option<PathBuf>,
    /// Peers that need no token, besides loopback.
    pub allow: Vec<IpNet>,
    /// Names that the `Host` field may have besides IP addresses and loopback names.
    pub hosts: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9901)),
            token_file: None,
            allow: Vec::new(),
            hosts: Vec::new(),
        }
    }
}
