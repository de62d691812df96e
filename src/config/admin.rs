//! `admin`: the side port, and who may use it.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;

use super::names;
use super::notes::At;

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

// === As written ===

/// The side port: metrics, health, dashboard, API.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminWritten {
    /// The IP address and port to bind (default 127.0.0.1:9901); port 0 binds a free one.
    #[serde(default)]
    pub(super) address: Option<String>,
    /// A file whose first line is the bearer token for peers that are neither on loopback nor in `allow`.
    #[serde(default)]
    token_file: Option<PathBuf>,
    /// Peers that need no token, besides loopback: networks or addresses.
    #[serde(default)]
    allow: Vec<String>,
    /// Names that the Host header may have besides IP addresses and loopback names.
    #[serde(default)]
    hosts: Vec<String>,
}

// === Checks ===

impl AdminWritten {
    /// Checks the section; `None` when it cannot be used, which was noted then.
    pub(super) fn check(&self, at: &At<'_>) -> Option<Admin> {
        let default = Admin::default();
        let address = match &self.address {
            Some(text) => names::check_bind(text, &at.key("address")),
            None => Some(default.address),
        };
        if self
            .token_file
            .as_ref()
            .is_some_and(|path| path.as_os_str().is_empty())
        {
            at.key("token_file").error("names no file");
        }
        let hosts =
            self.hosts.iter().enumerate().filter_map(
                |(position, host)| match names::check_host_name(host) {
                    Ok(()) => Some(host.to_ascii_lowercase()),
                    Err(error) => {
                        at.key("hosts")
                            .item(position)
                            .error_hint(error.what, error.hint);
                        None
                    }
                },
            );
        Some(Admin {
            hosts: hosts.collect(),
            allow: names::check_networks(&self.allow, &at.key("allow")),
            address: address?,
            token_file: self.token_file.clone(),
        })
    }
}
