//! The client that carries OTLP/HTTP: hyper over one kept connection, in clear text.
//!
//! opentelemetry-otlp brings clients of its own, but each draws in a second HTTP stack. One batch goes at a time, so one
//! connection is all there is to keep; a batch that finds it dead gets a new one.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri, uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::{Read, ReadBufCursor, Write};
use opentelemetry_http::{HttpClient, HttpError, ResponseBodyTooLarge};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// The client that carries OTLP/HTTP.
pub(in crate::telemetry) struct Client {
    timeout: Duration,
    kept: Mutex<Option<Link>>,
}

/// One connection to the collector; its task ends with it.
struct Link {
    sender: SendRequest<Whole>,
    driver: AbortHandle,
}

/// A body that is all there.
struct Whole(Option<Bytes>);

/// tokio's socket as hyper's.
pub(in crate::telemetry) struct Socket(pub(in crate::telemetry) TcpStream);

/// Why a batch did not reach the collector.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the collector's URL has no host")]
    NoHost,
    #[error("the collector took longer than {0:?}")]
    Timeout(Duration),
}

/// The largest answer that is read, in bytes.
const MAX_RESPONSE: usize = 1 << 20;

/// What [`HttpClient`] makes of an async function.
type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

// === impl Client ===

impl Client {
    /// One that gives up after `timeout`, connecting included.
    pub(in crate::telemetry) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            kept: Mutex::new(None),
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (mut parts, body) = request.into_parts();
        let url = std::mem::take(&mut parts.uri);
        parts.uri = origin_form(&url)?;
        let authority = url.authority().ok_or(SendError::NoHost)?;
        parts
            .headers
            .insert(HOST, HeaderValue::from_str(authority.as_str())?);
        let mut link = self.link(authority).await?;
        let request = Request::from_parts(parts, Whole(Some(body)));
        let response = link.sender.send_request(request).await?;
        let response = read_whole(response).await?;
        if let Ok(mut kept) = self.kept.lock() {
            *kept = Some(link);
        }
        Ok(response)
    }

    /// The kept connection where it still lives, else a new one.
    async fn link(&self, authority: &uri::Authority) -> Result<Link, HttpError> {
        let kept = self.kept.lock().ok().and_then(|mut kept| kept.take());
        if let Some(mut link) = kept
            && link.sender.ready().await.is_ok()
        {
            return Ok(link);
        }
        let host = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(80);
        let socket = TcpStream::connect((host, port)).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(Socket(socket)).await?;
        let driver = tokio::spawn(async move {
            let _ = connection.await; // its failure is the request's
        });
        Ok(Link {
            sender,
            driver: driver.abort_handle(),
        })
    }
}

impl HttpClient for Client {
    fn send_bytes<'client, 'sending>(&'client self, request: Request<Bytes>) -> Sending<'sending>
    where
        'client: 'sending,
        Self: 'sending,
    {
        Box::pin(async move {
            match tokio::time::timeout(self.timeout, self.send(request)).await {
                Ok(sent) => sent,
                Err(_) => Err(SendError::Timeout(self.timeout).into()),
            }
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

// === impl Link ===

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

// === impl Whole ===

impl Body for Whole {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.get_mut().0.take().map(|all| Ok(Frame::data(all))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let bytes = self.0.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

// === impl Socket ===

impl Read for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; 2048];
        let most = chunk.len().min(into.remaining());
        let mut read = ReadBuf::new(&mut chunk[..most]);
        ready!(Pin::new(&mut self.get_mut().0).poll_read(cx, &mut read))?;
        into.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, from)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

fn origin_form(url: &Uri) -> Result<Uri, HttpError> {
    let path = url.path_and_query().map_or("/", uri::PathAndQuery::as_str);
    Ok(path.parse()?)
}

async fn read_whole(response: Response<Incoming>) -> Result<Response<Bytes>, HttpError> {
    let (parts, mut body) = response.into_parts();
    let mut all = BytesMut::new();
    let mut next = async || std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
    while let Some(frame) = next().await {
        if let Ok(data) = frame?.into_data() {
            if all.len() + data.len() > MAX_RESPONSE {
                return Err(ResponseBodyTooLarge::new().into());
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(Response::from_parts(parts, all.freeze()))
}
