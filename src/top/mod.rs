//! Clients of the admin port, for the terminal: `sightglass top`, `tail`, `trace ID`, `xray URL`, `why`, `endpoint`.
//!
//! ```text
//! port       an answer of the admin port, over HTTP
//! events     a stream of its events, taken apart
//! read       what is in an answer's JSON
//! screen     the whole proxy on a terminal, a round a second
//! tail       finished exchanges as they come
//! dump       an exchange of a file that the flight recorder has written
//! waterfall  an exchange as people read it
//! decisions  why it went that way, as people read it
//! why        what sets exchanges apart, as people read it
//! xray       what every layer did with a request that was sent for it, as people read it
//! ```
//!
//! What is shown is made of the JSON that everybody can ask for: this room knows nothing of the proxy's inside, so that it
//! can look at another version of it. Every text in it may be a stranger's, and is made harmless for the terminal here.

mod decisions;
mod dump;
mod events;
mod port;
mod read;
mod screen;
mod tail;
mod waterfall;
mod why;
mod xray;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::wants_colours;

pub use dump::DumpError;
pub use port::PortError;

/// What to look for, and where.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// The trace id: 32 hexadecimal digits.
    pub id: String,
    /// The admin port's address, such as `http://127.0.0.1:9901`.
    pub admin: String,
    /// The file whose first line is the admin port's bearer token.
    pub token_file: Option<PathBuf>,
    /// A dump, to look there and not at the admin port.
    pub file: Option<PathBuf>,
    /// Whether to print the JSON as it is.
    pub json: bool,
}

/// What to send and look through, and where.
#[derive(Clone, Debug)]
pub struct XrayOptions {
    /// The URL: scheme, host and path.
    pub url: String,
    /// The method.
    pub method: String,
    /// Header fields, `name: value`.
    pub headers: Vec<String>,
    /// The body.
    pub body: String,
    /// The listener; else the one that the URL's scheme and port lead to.
    pub listener: Option<String>,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Whether to print the finer steps of other crates as well.
    pub all: bool,
    /// The admin port's address, such as `http://127.0.0.1:9901`.
    pub admin: String,
    /// The file whose first line is the admin port's bearer token.
    pub token_file: Option<PathBuf>,
    /// Whether to print the JSON as it is.
    pub json: bool,
}

/// Which exchanges are asked about, and where.
#[derive(Clone, Debug)]
pub struct WhyOptions {
    /// Which exchanges; without it those that failed or were slow.
    pub filter: Option<String>,
    /// How many minutes back.
    pub minutes: u64,
    /// The admin port's address, such as `http://127.0.0.1:9901`.
    pub admin: String,
    /// The file whose first line is the admin port's bearer token.
    pub token_file: Option<PathBuf>,
    /// Whether to print the JSON as it is.
    pub json: bool,
}

/// Which proxy is looked at, and how.
#[derive(Clone, Debug)]
pub struct ScreenOptions {
    /// The admin port's address, such as `http://127.0.0.1:9901`.
    pub admin: String,
    /// The file whose first line is the admin port's bearer token.
    pub token_file: Option<PathBuf>,
    /// Whether to print one look and end.
    pub once: bool,
}

/// Which exchanges are looked at as they come, and where.
#[derive(Clone, Debug)]
pub struct TailOptions {
    /// Which exchanges; without it all.
    pub filter: Option<String>,
    /// The admin port's address, such as `http://127.0.0.1:9901`.
    pub admin: String,
    /// The file whose first line is the admin port's bearer token.
    pub token_file: Option<PathBuf>,
    /// Whether to print the JSON as it is.
    pub json: bool,
}

/// Which endpoint is to be how, and where.
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// The upstream's name.
    pub upstream: String,
    /// The endpoint's address, as the configuration names it.
    pub endpoint: String,
    /// `ready`, `drain` or `off`.
    pub state: String,
    /// For how long; not where it is put back.
    pub lasts: Option<String>,
    /// The admin port's address, such as `http://127.0.0.1:9901`.
    pub admin: String,
    /// The file whose first line is the admin port's bearer token.
    pub token_file: Option<PathBuf>,
}

/// Why an exchange cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// That is no trace id.
    #[error("{0:?} is no trace id: 32 hexadecimal digits, as trace_id in the access log")]
    NoId(String),
    /// Nobody knows it.
    #[error("{place} has no exchange of trace {id}")]
    Unknown {
        /// The trace.
        id: String,
        /// Who was asked.
        place: String,
    },
    /// The admin port was asked.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A dump was read.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// There was an answer that is none.
    #[error("{place} did not answer with an exchange")]
    NoExchange {
        /// Who was asked.
        place: String,
    },
    /// There was an answer that is none.
    #[error("{place} did not say why; it may be of an older version")]
    NoAnswer {
        /// Who was asked.
        place: String,
    },
    /// There is nowhere to show it.
    #[error("this is no terminal; sightglass top --once prints one look as text")]
    NoTerminal,
    /// Nobody takes the output.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Prints the waterfall and the decisions of one recorded exchange.
///
/// # Errors
/// Where the exchange is not known, or who should know it cannot be asked.
pub fn trace(options: &TraceOptions) -> Result<(), TopError> {
    let id = options.id.to_ascii_lowercase();
    if id.len() != 32 || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(TopError::NoId(options.id.clone()));
    }
    let (found, place) = match &options.file {
        Some(file) => (dump::exchange(file, &id)?, file.display().to_string()),
        None => {
            let path = format!("/api/v1/exchanges/{id}");
            let token = options.token_file.as_deref();
            (
                port::get(&options.admin, &path, token)?,
                options.admin.clone(),
            )
        }
    };
    let Some(text) = found else {
        return Err(TopError::Unknown { id, place });
    };
    let mut out = io::stdout().lock();
    if options.json {
        out.write_all(&text)?;
        return Ok(out.write_all(b"\n")?);
    }
    let is_coloured = wants_colours(&out);
    let Ok(exchange) = serde_json::from_slice(&text) else {
        return Err(TopError::NoExchange { place });
    };
    out.write_all(waterfall::draw(&exchange, is_coloured).as_bytes())?;
    // A file has no configuration to judge by.
    if options.file.is_none() {
        let whom = (&*options.admin, options.token_file.as_deref());
        write_decisions(&mut out, &id, whom, is_coloured)?;
    }
    Ok(())
}

/// Sends a request through a running proxy, and prints what every layer did, the waterfall, and why it went its way.
///
/// # Errors
/// Where the admin port cannot be asked, or does not do it.
pub fn xray(options: &XrayOptions) -> Result<(), TopError> {
    let mut asked = serde_json::json!({
        "url": options.url,
        "method": options.method,
        "headers": options.headers,
        "body": options.body,
        "timeout": format!("{}ms", options.timeout.as_millis()),
    });
    if let Some(listener) = &options.listener {
        asked["listener"] = listener.as_str().into();
    }
    let (admin, token) = (&*options.admin, options.token_file.as_deref());
    let patience = options.timeout + Duration::from_secs(10);
    let text = port::post(admin, "/api/v1/xray", &asked, token, patience)?;
    let mut out = io::stdout().lock();
    if options.json {
        out.write_all(&text)?;
        return Ok(out.write_all(b"\n")?);
    }
    let is_coloured = wants_colours(&out);
    let answer: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    out.write_all(xray::draw(&answer, options.all, is_coloured).as_bytes())?;
    // Where the recorder was too busy to keep it, the steps are all there is.
    if answer["exchange"].is_object() {
        out.write_all(waterfall::draw(&answer["exchange"], is_coloured).as_bytes())?;
        let id = answer["trace_id"].as_str().unwrap_or_default();
        write_decisions(&mut out, id, (admin, token), is_coloured)?;
    }
    Ok(())
}

/// Why the exchange of this trace went its way, where the proxy can say.
fn write_decisions(
    out: &mut impl io::Write,
    id: &str,
    (admin, token): (&str, Option<&Path>),
    is_coloured: bool,
) -> Result<(), TopError> {
    let path = format!("/api/v1/exchanges/{}/explain", encoded(id));
    let told = port::get(admin, &path, token)?; // an older proxy does not know the question
    let told = told.and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(told) = told {
        out.write_all(decisions::draw(&told, is_coloured).as_bytes())?;
    }
    Ok(())
}

/// Prints what sets the exchanges that match apart.
///
/// # Errors
/// Where the admin port cannot be asked, or does not take the filter.
pub fn why(options: &WhyOptions) -> Result<(), TopError> {
    let mut path = format!("/api/v1/why?minutes={}", options.minutes);
    if let Some(filter) = &options.filter {
        path.push_str("&filter=");
        path.push_str(&encoded(filter));
    }
    let found = port::get(&options.admin, &path, options.token_file.as_deref())?;
    let no_answer = || TopError::NoAnswer {
        place: options.admin.clone(),
    };
    let text = found.ok_or_else(no_answer)?;
    let mut out = io::stdout().lock();
    if options.json {
        out.write_all(&text)?;
        return Ok(out.write_all(b"\n")?);
    }
    let answer = serde_json::from_slice(&text).map_err(|_| no_answer())?;
    let page = why::draw(&answer, options.filter.as_deref());
    Ok(out.write_all(page.as_bytes())?)
}

/// Shows the whole proxy until somebody quits, or prints one look.
///
/// # Errors
/// Where there is no terminal; for one look, where the admin port cannot be asked. A screen says that and asks again.
pub fn screen(options: ScreenOptions) -> Result<(), TopError> {
    let mut out = io::stdout();
    let ScreenOptions {
        admin,
        token_file,
        once,
    } = options;
    if once {
        return Ok(out.write_all(screen::once(&admin, token_file)?.as_bytes())?);
    }
    if !out.is_terminal() || !io::stdin().is_terminal() {
        return Err(TopError::NoTerminal);
    }
    Ok(screen::run(&admin, token_file, wants_colours(&out))?)
}

/// Prints exchanges as they finish, until the proxy ends or nobody reads them any more.
///
/// # Errors
/// Where the admin port cannot be asked, does not take the filter, or ends the stream.
pub fn tail(options: &TailOptions) -> Result<(), TopError> {
    let mut path = "/api/v1/tail".to_owned();
    if let Some(filter) = &options.filter {
        path.push_str("?filter=");
        path.push_str(&encoded(filter));
    }
    let mut out = io::stdout().lock();
    let is_coloured = wants_colours(&out);
    let mut lines = tail::Lines {
        out: &mut io::BufWriter::new(&mut out),
        aside: &mut io::stderr(),
        is_json: options.json,
        is_coloured,
    };
    let token = options.token_file.as_deref();
    let broke_off = port::follow(&options.admin, &path, token, |told| lines.write(&told))?;
    Err(broke_off.into())
}

/// Takes an endpoint out for a while, or puts it back, and says so.
///
/// # Errors
/// Where the admin port cannot be asked, or does not do it.
pub fn endpoint(options: &EndpointOptions) -> Result<(), TopError> {
    port::hold(options)?;
    let (endpoint, upstream) = (&options.endpoint, &options.upstream);
    let mut out = io::stdout().lock();
    Ok(match &options.lasts {
        Some(lasts) => writeln!(
            out,
            "{endpoint} of {upstream} takes no new attempts ({}) for {lasts}; then it comes back by itself",
            options.state
        ),
        None => writeln!(out, "{endpoint} of {upstream} takes attempts"),
    }?)
}

/// A text as the value of a parameter.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
