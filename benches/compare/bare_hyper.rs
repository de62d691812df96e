//! The least that a proxy made of hyper can be, for `benches/compare`: what it costs is hyper's, h2's, tokio's and the
//! kernel's; what sightglass costs beyond it is sightglass's own.
//!
//! `bare_hyper PORT UPSTREAM_PORT http1|http2 http1|http2` (front, back) runs two workers as ours: a thread with a runtime
//! and a socket of its own, connections to 127.0.0.1:UPSTREAM_PORT that no other worker shares, the same allocator. A request
//! is given its target in the other protocol's form and passed on, bodies are passed through as they are. There is no
//! route, no timeout, no limit, no record, no metric, no field added or taken away, and a fault ends the connection.

use std::cell::RefCell;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn as client;
use hyper::rt::Executor;
use hyper::server::conn as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type AnyError = Box<dyn Error + Send + Sync>;

const WORKERS: usize = 2;

/// Runs hyper's tasks on the worker that they belong to.
#[derive(Clone)]
struct Here;

/// A worker's connections to the upstream.
struct Upstream {
    address: SocketAddr,
    is_http2: bool,
    idle: RefCell<Vec<client::http1::SendRequest<Incoming>>>,
    shared: RefCell<Option<client::http2::SendRequest<Incoming>>>,
}

/// An answer's body, and the connection that is free again at its end.
struct Answer {
    body: Incoming,
    connection: Option<(client::http1::SendRequest<Incoming>, Rc<Upstream>)>,
}

fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, upstream, front, back] = arguments.as_slice() else {
        return Err("usage: bare_hyper PORT UPSTREAM_PORT http1|http2 http1|http2".into());
    };
    let (port, upstream): (u16, u16) = (port.parse()?, upstream.parse()?);
    let (front, back) = (is_http2(front)?, is_http2(back)?);
    let mut threads = Vec::new();
    for _ in 0..WORKERS {
        let socket = listen(port)?;
        let work = move || -> Result<(), AnyError> {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())?;
            let address = (Ipv4Addr::LOCALHOST, upstream).into();
            let upstream = Rc::new(Upstream::new(address, back));
            runtime.block_on(serve(socket, upstream, front))
        };
        threads.push(std::thread::spawn(work));
    }
    for thread in threads {
        thread.join().map_err(|_| "a worker panicked")??;
    }
    Ok(())
}

fn is_http2(protocol: &str) -> Result<bool, AnyError> {
    match protocol {
        "http1" => Ok(false),
        "http2" => Ok(true),
        other => Err(format!("{other} is not http1 or http2").into()),
    }
}

fn listen(port: u16) -> Result<TcpListener, AnyError> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

async fn serve(
    socket: TcpListener,
    upstream: Rc<Upstream>,
    is_http2: bool,
) -> Result<(), AnyError> {
    let socket = tokio::net::TcpListener::from_std(socket)?;
    loop {
        let (stream, _) = socket.accept().await?;
        stream.set_nodelay(true)?;
        let upstream = Rc::clone(&upstream);
        let service = service_fn(move |request| pass(Rc::clone(&upstream), request));
        let io = TokioIo::new(stream);
        tokio::task::spawn_local(async move {
            let ended = if is_http2 {
                let http = server::http2::Builder::new(Here);
                http.serve_connection(io, service).await
            } else {
                let http = server::http1::Builder::new();
                http.serve_connection(io, service).await
            };
            if let Err(error) = ended {
                eprintln!("{error}: {:?}", error.source());
            }
        });
    }
}

async fn pass(
    upstream: Rc<Upstream>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, AnyError> {
    let request = upstream.readdress(request)?;
    let (mut response, connection) = if upstream.is_http2 {
        let mut connection = upstream.shared().await?;
        (connection.send_request(request).await?, None)
    } else {
        let mut connection = upstream.alone().await?;
        let response = connection.send_request(request).await?;
        (response, Some((connection, upstream)))
    };
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(|body| Answer { body, connection }))
}

// === impl Here ===

impl<F: Future + 'static> Executor<F> for Here {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}

// === impl Upstream ===

impl Upstream {
    fn new(address: SocketAddr, is_http2: bool) -> Self {
        Self {
            address,
            is_http2,
            idle: RefCell::default(),
            shared: RefCell::default(),
        }
    }

    /// The request with its target as the upstream's protocol writes it.
    fn readdress(&self, request: Request<Incoming>) -> Result<Request<Incoming>, AnyError> {
        let (mut head, body) = request.into_parts();
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        let host = head.headers.remove(header::HOST);
        let authority = match (parts.authority.take(), host) {
            (Some(authority), _) => authority,
            (None, Some(host)) => Authority::try_from(host.as_bytes())?,
            (None, None) => return Err("the request names no host".into()),
        };
        let path = parts.path_and_query.take();
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        if self.is_http2 {
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = Some(authority);
            head.version = Version::HTTP_2;
        } else {
            parts.scheme = None;
            let host = HeaderValue::from_str(authority.as_str())?;
            head.headers.insert(header::HOST, host);
            head.version = Version::HTTP_11;
        }
        head.uri = Uri::from_parts(parts)?;
        Ok(Request::from_parts(head, body))
    }

    /// The one connection of HTTP/2.
    async fn shared(&self) -> Result<client::http2::SendRequest<Incoming>, AnyError> {
        if let Some(known) = &*self.shared.borrow()
            && !known.is_closed()
        {
            return Ok(known.clone());
        }
        let http = client::http2::Builder::new(Here);
        let (sender, connection) = http.handshake(self.dial().await?).await?;
        Here.execute(connection);
        self.shared.replace(Some(sender.clone()));
        Ok(sender)
    }

    /// A connection of HTTP/1.1 that carries nothing.
    async fn alone(&self) -> Result<client::http1::SendRequest<Incoming>, AnyError> {
        loop {
            let Some(mut known) = self.idle.borrow_mut().pop() else {
                break;
            };
            if known.ready().await.is_ok() {
                return Ok(known);
            }
        }
        let http = client::http1::Builder::new();
        let (sender, connection) = http.handshake(self.dial().await?).await?;
        Here.execute(connection);
        Ok(sender)
    }

    async fn dial(&self) -> Result<TokioIo<TcpStream>, AnyError> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }
}

// === impl Answer ===

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some((connection, upstream)) = self.connection.take() {
            upstream.idle.borrow_mut().push(connection);
        }
    }
}
