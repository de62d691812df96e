//! A plan from a few words of the command line: `run --to ADDRESS… [--listen ADDRESS] [--otlp URL]`.
//!
//! The words become the text of a file, and that is read like any other. So what runs is what `--print-config` prints,
//! and there is no second way for a plan to come about.

use std::net::{IpAddr, SocketAddr};

use super::traces::check_otlp_url;
use super::{Address, AddressError, Admin, Host, Plan, Problems, names, parse};

/// What the one listener binds when the command line does not say.
const LISTEN: &str = "127.0.0.1:8080";

/// Why the words make no plan.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentError {
    /// There is nobody to call.
    #[error("--to names no address (such as --to 127.0.0.1:9001)")]
    NoAddress,
    /// One service cannot be called in clear text and over TLS, nor over TLS by two names.
    #[error(
        "--to {0} and {1} are no endpoints of one service (all as http, or all as https with one name)"
    )]
    Mixed(String, String),
    /// An address that cannot be called.
    #[error("--to {written}: {cause}")]
    To {
        /// What was written.
        written: String,
        /// What is wrong with it.
        cause: AddressError,
    },
    /// A URL that is no collector's.
    #[error("--otlp {written}: {cause}")]
    Otlp {
        /// What was written.
        written: String,
        /// What is wrong with it.
        cause: AddressError,
    },
    /// An address that cannot be bound.
    #[error("--listen {written}: {cause}")]
    Listen {
        /// What was written.
        written: String,
        /// What is wrong with it.
        cause: AddressError,
    },
    /// An address that the side port cannot be bound to.
    #[error("--admin {written}: {cause}")]
    Admin {
        /// What was written.
        written: String,
        /// What is wrong with it.
        cause: AddressError,
    },
    /// The listener would take the side port's place.
    #[error("--listen {listen}: the admin port is there ({admin})")]
    AdminPort {
        /// Where clients were to come in.
        listen: SocketAddr,
        /// Where the side port is.
        admin: SocketAddr,
    },
    /// An address is named twice.
    #[error("--to {0} is named twice")]
    Twice(Address),
    /// The words are right one by one, but not together.
    #[error("these arguments do not go together: {0}")]
    Together(Problems),
}

/// A plan with one listener, one route and one upstream with these endpoints, and the text of a file that says the same.
///
/// An address to call is `host:port`, `http://host:port`, `https://host` with a port or without, or `:port` or `port` on
/// this machine; an address to listen on
/// is an IP address and a port, or `:port` or `port` on loopback.
///
/// # Errors
/// Which of the words is wrong, and why.
pub fn from_arguments(
    to: &[String],
    listen: Option<&str>,
    admin: Option<&str>,
    otlp: Option<&str>,
) -> Result<(Plan, String), ArgumentError> {
    let mut endpoints: Vec<Address> = Vec::with_capacity(to.len());
    let mut secure: Option<Host> = None;
    for written in to {
        let called = called(written)?;
        if endpoints.contains(&called.address) {
            return Err(ArgumentError::Twice(called.address));
        }
        let host = called.is_tls.then(|| called.address.host.clone());
        if !endpoints.is_empty() && host != secure {
            return Err(ArgumentError::Mixed(to[0].clone(), written.clone()));
        }
        secure = host;
        endpoints.push(called.address);
    }
    if endpoints.is_empty() {
        return Err(ArgumentError::NoAddress);
    }
    let written = listen.unwrap_or(LISTEN);
    let listen = bound(written).map_err(|cause| ArgumentError::Listen {
        written: written.to_owned(),
        cause,
    })?;
    let admin = match admin {
        Some(written) => bound(written).map_err(|cause| ArgumentError::Admin {
            written: written.to_owned(),
            cause,
        })?,
        None => Admin::default().address,
    };
    if names::clash(listen, admin) {
        return Err(ArgumentError::AdminPort { listen, admin });
    }
    let traces = match otlp {
        Some(written) => collected(written)?,
        None => "# otlp: {endpoint: \"http://127.0.0.1:4317\"}".to_owned(),
    };
    let text = file(&endpoints, secure.is_some(), listen, admin, &traces);
    let loaded = parse(&text, "arguments").map_err(ArgumentError::Together)?;
    Ok((loaded.plan, text))
}

/// What a word after `--to` means.
struct Called {
    address: Address,
    is_tls: bool,
}

/// The endpoint that a word after `--to` means.
fn called(written: &str) -> Result<Called, ArgumentError> {
    let wrong = |cause| ArgumentError::To {
        written: written.to_owned(),
        cause,
    };
    let (scheme, authority) = match written.split_once("://") {
        Some(("http", authority)) => ("http", authority),
        Some(("https", authority)) => ("https", authority),
        _ => {
            let address = on_this_machine(written).parse().map_err(wrong)?;
            return Ok(Called {
                address,
                is_tls: false,
            });
        }
    };
    let is_tls = scheme == "https";
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if let Some((bare, _)) = authority.split_once(['/', '?', '#']) {
        return Err(wrong(AddressError {
            what: "an upstream has no path".to_owned(),
            hint: format!("write {scheme}://{bare}"),
        }));
    }
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    let address = if has_port {
        authority.to_owned()
    } else {
        let port = if is_tls { 443 } else { 80 };
        format!("{authority}:{port}")
    };
    let address = address.parse().map_err(wrong)?;
    Ok(Called { address, is_tls })
}

/// What a word after `--listen` or `--admin` means.
fn bound(written: &str) -> Result<SocketAddr, AddressError> {
    names::bind_address(&on_this_machine(written))
}

/// The line of the file for a word after `--otlp`.
fn collected(written: &str) -> Result<String, ArgumentError> {
    let wrong = |cause| ArgumentError::Otlp {
        written: written.to_owned(),
        cause,
    };
    let address = check_otlp_url(written).map_err(wrong)?;
    let protocol = if address.port == 4318 { "http" } else { "grpc" };
    Ok(format!(
        "otlp: {{endpoint: \"http://{address}\", protocol: {protocol}}}"
    ))
}

/// `9001` and `:9001` are ports of this machine.
fn on_this_machine(written: &str) -> String {
    let port = written.strip_prefix(':').unwrap_or(written);
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("127.0.0.1:{port}");
    }
    written.to_owned()
}

/// The text of the file. What comes from outside was read before and is written in quotes: `1e5:80` is an address to
/// us, but need not be one to YAML.
fn file(
    to: &[Address],
    is_tls: bool,
    listen: SocketAddr,
    admin: SocketAddr,
    traces: &str,
) -> String {
    // Whoever is called by name over TLS rarely knows the name by which we are called.
    let host = to
        .first()
        .filter(|_| is_tls)
        .map_or_else(String::new, |to| {
            let host = match to {
                Address {
                    host: Host::Name(name),
                    port: 443,
                } => name.to_string(),
                Address {
                    host: Host::Ip(IpAddr::V6(ip)),
                    port: 443,
                } => format!("[{ip}]"),
                Address {
                    host: Host::Ip(ip),
                    port: 443,
                } => ip.to_string(),
                address => address.to_string(),
            };
            format!("    rewrite: {{host: \"{host}\"}}      # instead of the client's Host\n")
        });
    let tls = if is_tls {
        "    protocol: auto               # HTTP/2 or HTTP/1.1, as the TLS handshake settles it\n    tls: {}                      # the certificate is verified by the system's roots\n"
    } else {
        ""
    };
    let endpoints: String = to
        .iter()
        .map(|address| format!("      - address: \"{address}\"\n"))
        .collect();
    format!(
        "\
# A configuration of sightglass. `sightglass check FILE` tells every mistake in it at once,
# `sightglass run --config FILE` runs it, and SIGHUP reads it anew.

listeners:                       # where clients come in
  - name: public
    address: \"{listen}\"
    # trusted_proxies: [10.0.0.0/8]        # peers whose X-Forwarded-* are believed

routes:                          # the most specific match wins, not the first
  - name: everything
    match:
      path: {{prefix: /}}
      # hosts: [shop.example.org]
    upstream: service
{host}    # timeout: {{total: 10s}}                # retries included
    # retry: {{attempts: 3}}                 # what failed before an answer, and 502, 503, 504
    # rate_limit: {{rate: 100/s, key: client_ip}}

upstreams:                       # whom we call
  - name: service
    endpoints:
{endpoints}{tls}    balance: peak_ewma           # or least_requests, round_robin, random

telemetry:
  traces:
    {traces}
    sample: 100%                 # every request; keep decides at the end what is kept besides
    keep: {{errors: true, retried: true}}
  access_log: {{output: stdout}}   # or stderr, off, {{file: PATH}}

admin:                           # metrics, health, dashboard, API
  address: \"{admin}\"
"
    )
}
