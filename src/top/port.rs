//! An answer of the admin port, over HTTP/1.1: whole, or events as they come.

use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::events::{Events, Told};
use super::{EndpointOptions, encoded};

/// Why the admin port did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The address cannot be used.
    #[error("{0:?} is no address of an admin port, such as http://127.0.0.1:9901")]
    NoAddress(String),
    /// The token cannot be used.
    #[error("cannot read a token from {}: {why}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Nobody is there.
    #[error(
        "cannot reach {address}: {source}; is the proxy running, and is this its admin address?"
    )]
    Connect {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// It did not answer.
    #[error("{address} did not answer: {why}")]
    Silent {
        /// The address.
        address: String,
        /// Why.
        why: String,
    },
    /// A stream of it is over.
    #[error("{0} has ended the stream: the proxy has stopped, or is stopping")]
    Ended(String),
    /// It refused.
    #[error("{address} answered {status}: {detail}")]
    Refused {
        /// The address.
        address: String,
        /// With what status.
        status: StatusCode,
        /// In its words.
        detail: String,
    },
}

/// How long an answer may take, and how large it may be.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a stream may say nothing.
const SILENCE: Duration = Duration::from_secs(30);
const LARGEST: usize = 64 << 20;

/// The body of a 200; `None` where it answers 404.
pub(super) fn get(
    admin: &str,
    path: &str,
    token: Option<&Path>,
) -> Result<Option<Vec<u8>>, PortError> {
    match call(admin, Request::get(path), String::new(), token, PATIENCE)? {
        (StatusCode::OK, body) => Ok(Some(body)),
        (StatusCode::NOT_FOUND, _) => Ok(None),
        (status, body) => Err(refused(admin, status, &body)),
    }
}

/// The answer to a call that says so much, and may take so long.
pub(super) fn post(
    admin: &str,
    path: &str,
    asked: &serde_json::Value,
    token: Option<&Path>,
    patience: Duration,
) -> Result<Vec<u8>, PortError> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    match call(admin, request, asked.to_string(), token, patience)? {
        (StatusCode::OK, body) => Ok(body),
        (status, body) => Err(refused(admin, status, &body)),
    }
}

/// Takes an endpoint out for a while, or puts it back.
pub(super) fn hold(options: &EndpointOptions) -> Result<(), PortError> {
    let (upstream, endpoint) = (encoded(&options.upstream), encoded(&options.endpoint));
    let path = format!("/api/v1/upstreams/{upstream}/endpoints/{endpoint}");
    let mut asked = serde_json::json!({ "state": options.state });
    if let Some(lasts) = &options.lasts {
        asked["for"] = lasts.as_str().into();
    }
    let request = Request::put(path).header(header::CONTENT_TYPE, "application/json");
    let token = options.token_file.as_deref();
    match call(&options.admin, request, asked.to_string(), token, PATIENCE)? {
        (StatusCode::OK, _) => Ok(()),
        (status, body) => Err(refused(&options.admin, status, &body)),
    }
}

/// What a problem document says.
fn refused(admin: &str, status: StatusCode, body: &[u8]) -> PortError {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let detail = problem.and_then(|it| Some(it.get("detail")?.as_str()?.to_owned()));
    PortError::Refused {
        address: admin.to_owned(),
        status,
        detail: crate::config::harmless(&detail.unwrap_or_default()),
    }
}

/// A question, and whom it goes to.
struct Asked {
    admin: String,
    host: String,
    port: u16,
    request: Request<String>,
}

/// Asks, and waits for the whole answer.
fn call(
    admin: &str,
    request: http::request::Builder,
    body: String,
    token: Option<&Path>,
    patience: Duration,
) -> Result<(StatusCode, Vec<u8>), PortError> {
    let asked = Asked::new(admin, request, body, token)?;
    let late = || {
        silent(
            admin,
            format!("nothing came for {} seconds", patience.as_secs()),
        )
    };
    runtime(admin)?.block_on(async {
        let asking = async {
            let stream = asked.connect().await?;
            let told = |why| silent(admin, why);
            ask(stream, asked.request).await.map_err(told)
        };
        let asking = tokio::time::timeout(patience, asking);
        asking.await.map_err(|_| late())?
    })
}

/// Reads a stream of events for as long as it goes on and somebody takes them: what `take` broke off with.
///
/// # Errors
/// Where it cannot be had, where it ends, and where it is silent for half a minute: even a stream without events says
/// every ten seconds that it lives.
pub(super) fn follow<B>(
    admin: &str,
    path: &str,
    token: Option<&Path>,
    mut take: impl FnMut(Vec<Told>) -> ControlFlow<B>,
) -> Result<B, PortError> {
    let asked = Asked::new(admin, Request::get(path), String::new(), token)?;
    let late = || {
        silent(
            admin,
            format!("nothing came for {} seconds", SILENCE.as_secs()),
        )
    };
    let told = |error: hyper::Error| silent(admin, error.to_string());
    runtime(admin)?.block_on(async {
        let stream = tokio::time::timeout(PATIENCE, asked.connect());
        let stream = stream.await.map_err(|_| late())??;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
        let connection = tokio::spawn(connection); // ends with the runtime
        let response = tokio::time::timeout(PATIENCE, sender.send_request(asked.request));
        let response = response.await.map_err(|_| late())?.map_err(told)?;
        let status = response.status();
        let mut body = response.into_body();
        if status != StatusCode::OK {
            let body = whole(body).await.unwrap_or_default();
            return Err(refused(admin, status, &body));
        }
        let mut events = Events::default();
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
            let frame = tokio::time::timeout(SILENCE, frame)
                .await
                .map_err(|_| late())?;
            let Some(frame) = frame else {
                connection.abort();
                return Err(PortError::Ended(admin.to_owned()));
            };
            // A stream that breaks off is one that ends: the process has been killed, or the way to it has gone.
            let frame = frame.map_err(|_| PortError::Ended(admin.to_owned()))?;
            let told = match frame.into_data() {
                Ok(data) => events.push(&data, admin)?,
                Err(_) => continue,
            };
            if let ControlFlow::Break(with) = take(told) {
                return Ok(with);
            }
        }
    })
}

fn silent(admin: &str, why: String) -> PortError {
    PortError::Silent {
        address: admin.to_owned(),
        why,
    }
}

fn runtime(admin: &str) -> Result<tokio::runtime::Runtime, PortError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| silent(admin, error.to_string()))
}

// === impl Asked ===

impl Asked {
    fn new(
        admin: &str,
        request: http::request::Builder,
        body: String,
        token: Option<&Path>,
    ) -> Result<Self, PortError> {
        let no_address = || PortError::NoAddress(admin.to_owned());
        let uri: Uri = admin.parse().map_err(|_| no_address())?;
        let is_http =
            uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
        let authority = uri.authority().filter(|_| is_http).ok_or_else(no_address)?;
        let port = authority.port_u16().unwrap_or(9901);
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let mut request = request.header(header::HOST, authority.as_str()).header(
            header::USER_AGENT,
            concat!("sightglass/", env!("CARGO_PKG_VERSION")),
        );
        if let Some(file) = token {
            request = request.header(header::AUTHORIZATION, bearer(file)?);
        }
        Ok(Self {
            admin: admin.to_owned(),
            host,
            port,
            request: request.body(body).map_err(|_| no_address())?,
        })
    }

    async fn connect(&self) -> Result<TcpStream, PortError> {
        let connecting = TcpStream::connect((&*self.host, self.port)).await;
        connecting.map_err(|source| PortError::Connect {
            address: self.admin.clone(),
            source,
        })
    }
}

async fn ask(stream: TcpStream, request: Request<String>) -> Result<(StatusCode, Vec<u8>), String> {
    let told = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(told)?;
        let status = response.status();
        Ok((status, whole(response.into_body()).await?))
    };
    tokio::select! {
        biased;
        answer = asking => answer,
        ended = connection => Err(match ended {
            Ok(()) => "the connection was closed".to_owned(),
            Err(error) => error.to_string(),
        }),
    }
}

async fn whole(mut body: Incoming) -> Result<Vec<u8>, String> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() {
            whole.extend_from_slice(&data);
        }
        if whole.len() > LARGEST {
            return Err(format!("the answer is larger than {} MiB", LARGEST >> 20));
        }
    }
    Ok(whole)
}

/// The first line of the file, as the field that shows it.
fn bearer(path: &Path) -> Result<HeaderValue, PortError> {
    let failed = |why: String| PortError::Token {
        path: path.to_owned(),
        why,
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let token = text.lines().next().unwrap_or_default().trim();
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| failed("its first line is no token".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
