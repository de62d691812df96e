//! An answer of the admin port, over HTTP/1.1.

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

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
const LARGEST: usize = 64 << 20;

/// The body of a 200; `None` where it answers 404.
pub(super) fn get(
    admin: &str,
    path: &str,
    token: Option<&Path>,
) -> Result<Option<Vec<u8>>, PortError> {
    match call(admin, Request::get(path), String::new(), token)? {
        (StatusCode::OK, body) => Ok(Some(body)),
        (StatusCode::NOT_FOUND, _) => Ok(None),
        (status, body) => Err(refused(admin, status, &body)),
    }
}

/// Puts this JSON there: the body of the 200.
pub(super) fn put(
    admin: &str,
    path: &str,
    body: String,
    token: Option<&Path>,
) -> Result<Vec<u8>, PortError> {
    let request = Request::put(path).header(header::CONTENT_TYPE, "application/json");
    match call(admin, request, body, token)? {
        (StatusCode::OK, body) => Ok(body),
        (status, body) => Err(refused(admin, status, &body)),
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

/// Asks, and waits for the whole answer.
fn call(
    admin: &str,
    request: http::request::Builder,
    body: String,
    token: Option<&Path>,
) -> Result<(StatusCode, Vec<u8>), PortError> {
    let no_address = || PortError::NoAddress(admin.to_owned());
    let uri: Uri = admin.parse().map_err(|_| no_address())?;
    let is_http = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
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
    let request = request.body(body).map_err(|_| no_address())?;
    let silent = |why: String| PortError::Silent {
        address: admin.to_owned(),
        why,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| silent(error.to_string()))?;
    runtime.block_on(async {
        let asking = async {
            let stream = TcpStream::connect((host, port)).await.map_err(|source| {
                let address = admin.to_owned();
                PortError::Connect { address, source }
            })?;
            ask(stream, request).await.map_err(&silent)
        };
        let late = |_| silent(format!("nothing came for {} seconds", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, asking).await.map_err(late)?
    })
}

async fn ask(stream: TcpStream, request: Request<String>) -> Result<(StatusCode, Vec<u8>), String> {
    let told = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(told)?;
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
