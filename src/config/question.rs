//! A request as a person types it: asked about by `explain`, sent by x-ray. Nothing of it is guessed.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use super::Listener;

/// The peer that is taken where nobody says one: an address of a documentation network (RFC 5737), which no trusted
/// network of a sane configuration has.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A request, and where it would come in.
#[derive(Clone, Debug)]
pub struct Question {
    /// The method.
    pub method: Method,
    /// The URL, `http` or `https`, with a host.
    pub url: Uri,
    /// The header fields, `Host` among them only where it is to differ from the URL's.
    pub headers: HeaderMap,
    /// Who connects, where that is said; else a stranger of [`Question::peer`].
    pub client: Option<IpAddr>,
    /// The listener that is asked about; else the one that the URL's scheme and port lead to.
    pub listener: Option<String>,
}

/// Why something is no request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum QuestionError {
    /// Not a method.
    #[error("{0:?} is no method: a word such as GET")]
    Method(String),
    /// Not a method because of its case.
    #[error("{0:?} is no method that servers know: case matters, write {upper}", upper = .0.to_ascii_uppercase())]
    MethodCase(String),
    /// Not a URL.
    #[error("{0:?} is no URL: {1}")]
    Url(String, &'static str),
    /// Not a header field.
    #[error("{0:?} is no header field: {1}")]
    Header(String, &'static str),
    /// Not an address.
    #[error("{0:?} is no IP address: such as 10.1.2.3, without a port")]
    Client(String),
}

// === impl Question ===

impl Question {
    /// Reads the words of a command line: the method, the URL and `name: value` lines.
    ///
    /// # Errors
    /// The first of them that is none.
    pub fn read(
        method: &str,
        url: &str,
        lines: &[String],
        client: Option<&str>,
    ) -> Result<Self, QuestionError> {
        let client = client.map(|text| {
            let read = text.parse::<IpAddr>();
            read.map_err(|_| QuestionError::Client(text.to_owned()))
        });
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = read_line(line)?;
            headers.append(name, value);
        }
        Ok(Self {
            method: read_method(method)?,
            url: read_url(url)?,
            headers,
            client: client.transpose()?,
            listener: None,
        })
    }

    /// Who connects.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        self.client.unwrap_or(STRANGER)
    }

    /// Whether the URL asks for TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }

    /// The URL's port, or its scheme's.
    #[must_use]
    pub fn port(&self) -> u16 {
        let default = if self.is_tls() { 443 } else { 80 };
        self.url.port_u16().unwrap_or(default)
    }

    /// The listener at which it would come in, by its place: the one that was named, else the first that fits scheme and
    /// port, else the first that fits the scheme where none has the port (a balancer or a container may have mapped it).
    /// `port` is what a listener is bound to, which may differ from what was written.
    #[must_use]
    pub fn door(&self, all: &[Listener], port: impl Fn(usize, &Listener) -> u16) -> Option<usize> {
        let mut doors = all.iter().enumerate();
        let speaks = |it: &Listener| it.tls.is_some() == self.is_tls();
        let has_port = |at: usize, it: &Listener| port(at, it) == self.port();
        match &self.listener {
            Some(name) => doors.position(|(_, it)| it.name.as_str() == name && speaks(it)),
            None if doors.clone().any(|(at, it)| has_port(at, it)) => {
                doors.position(|(at, it)| has_port(at, it) && speaks(it))
            }
            None => doors.position(|(_, it)| speaks(it)),
        }
    }
}

fn read_method(text: &str) -> Result<Method, QuestionError> {
    let method = Method::from_bytes(text.as_bytes());
    match method {
        // They are case-sensitive (RFC 9110 §9.1): `get` is a method, and never the one that was meant.
        Ok(_) if text.bytes().all(|byte| byte.is_ascii_lowercase()) => {
            Err(QuestionError::MethodCase(text.to_owned()))
        }
        Ok(method) => Ok(method),
        Err(_) => Err(QuestionError::Method(text.to_owned())),
    }
}

fn read_url(text: &str) -> Result<Uri, QuestionError> {
    let wrong = |why| QuestionError::Url(text.to_owned(), why);
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(wrong(
            "scheme, host and path, such as http://shop.test/cart",
        ));
    };
    if !["http", "https"].contains(&scheme) {
        return Err(wrong("its scheme is http or https"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if authority.contains('@') {
        return Err(wrong(
            "names and passwords go into a field: -H 'authorization: Basic …'",
        ));
    }
    if rest.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return Err(wrong("a space in it is written %20"));
    }
    if rest.contains('#') {
        return Err(wrong("no server ever sees what follows #: leave it out"));
    }
    let url: Uri = text
        .parse()
        .map_err(|_| wrong("such as http://shop.test/cart"))?;
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let has_bad_port =
        port.is_some_and(|port| !port.ends_with(']') && port.parse::<u16>().is_err());
    if has_bad_port {
        return Err(wrong("its port is a number from 1 to 65535"));
    }
    Ok(url)
}

fn read_line(line: &str) -> Result<(HeaderName, HeaderValue), QuestionError> {
    let wrong = |why| QuestionError::Header(line.to_owned(), why);
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| wrong("name: value, such as 'x-tier: gold'"))?;
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| wrong("its name is letters, digits and -, such as x-tier"))?;
    let value = HeaderValue::from_str(value.trim())
        .map_err(|_| wrong("its value is visible ASCII, with spaces only between"))?;
    if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&name) {
        return Err(wrong(
            "how long a body is no field has to say here: leave it out",
        ));
    }
    Ok((name, value))
}
