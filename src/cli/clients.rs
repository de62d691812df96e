//! What a person types after the commands that ask the admin port of a running proxy.

use std::path::PathBuf;

use clap::Args;

use crate::config::DurationWritten;
use crate::top::{
    EndpointOptions, ScreenOptions, TailOptions, TraceOptions, WhyOptions, XrayOptions,
};

/// Which proxy is asked.
#[derive(Debug, Args)]
struct Port {
    /// The admin port
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9901")]
    admin: String,
    /// A file whose first line is the admin port's token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Top {
    #[command(flatten)]
    port: Port,
    /// Print one look as text, and end
    #[arg(long)]
    once: bool,
}

#[derive(Debug, Args)]
pub(super) struct Tail {
    /// Which exchanges, such as 'status>=500 && route=="checkout"' (default: all)
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    #[command(flatten)]
    port: Port,
    /// Print each exchange as the access log's JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Trace {
    /// The trace id: 32 hexadecimal digits, as trace_id in the access log
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    port: Port,
    /// A dump of the flight recorder, to look there instead
    #[arg(long, value_name = "DUMP", conflicts_with_all = ["admin", "token_file"])]
    file: Option<PathBuf>,
    /// Print the JSON as it is
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Xray {
    /// The URL as a client would write it, such as http://shop.test/cart?id=7
    #[arg(value_name = "URL")]
    url: String,
    /// The method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A header field, 'name: value'; as often as there are fields
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// The body; with all else up to 16 KiB of JSON
    #[arg(long, value_name = "TEXT", default_value = "")]
    data: String,
    /// The listener (default: the one with the URL's port, else the first for its scheme)
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// How long the answer may take, up to 5m
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: DurationWritten,
    /// Print the finer steps of h2, rustls and the like as well
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    port: Port,
    /// Print the JSON as it is
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Why {
    /// Which exchanges, such as 'status>=500 && route=="checkout"' (default: the failed and slow ones)
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    /// How many minutes back
    #[arg(long, value_name = "MINUTES", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=30))]
    minutes: u64,
    #[command(flatten)]
    port: Port,
    /// Print the JSON as it is
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Endpoint {
    /// The upstream, by its name
    #[arg(value_name = "UPSTREAM")]
    upstream: String,
    /// The endpoint, as the configuration names it
    #[arg(value_name = "ADDRESS")]
    endpoint: String,
    /// drain: no new attempts; off: idle connections are closed too; ready: put it back
    #[arg(value_name = "STATE", value_parser = ["drain", "off", "ready"])]
    state: String,
    /// For how long, 1s to 24h (default 10m)
    #[arg(long = "for", value_name = "DURATION")]
    lasts: Option<String>,
    #[command(flatten)]
    port: Port,
}

// === impl Top ===

impl Top {
    pub(super) fn options(self) -> ScreenOptions {
        ScreenOptions {
            admin: self.port.admin,
            token_file: self.port.token_file,
            once: self.once,
        }
    }
}

// === impl Tail ===

impl Tail {
    pub(super) fn options(self) -> TailOptions {
        TailOptions {
            filter: self.filter,
            admin: self.port.admin,
            token_file: self.port.token_file,
            json: self.json,
        }
    }
}

// === impl Trace ===

impl Trace {
    pub(super) fn options(self) -> TraceOptions {
        TraceOptions {
            id: self.id,
            admin: self.port.admin,
            token_file: self.port.token_file,
            file: self.file,
            json: self.json,
        }
    }
}

// === impl Xray ===

impl Xray {
    pub(super) fn options(self) -> XrayOptions {
        XrayOptions {
            url: self.url,
            method: self.method,
            headers: self.headers,
            body: self.data,
            listener: self.listener,
            timeout: self.timeout.0,
            all: self.all,
            admin: self.port.admin,
            token_file: self.port.token_file,
            json: self.json,
        }
    }
}

// === impl Why ===

impl Why {
    pub(super) fn options(self) -> WhyOptions {
        WhyOptions {
            filter: self.filter,
            minutes: self.minutes,
            admin: self.port.admin,
            token_file: self.port.token_file,
            json: self.json,
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn options(self) -> EndpointOptions {
        let standard = (self.state != "ready").then(|| "10m".to_owned());
        EndpointOptions {
            upstream: self.upstream,
            endpoint: self.endpoint,
            lasts: self.lasts.or(standard),
            state: self.state,
            admin: self.port.admin,
            token_file: self.port.token_file,
        }
    }
}
