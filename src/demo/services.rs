//! The demo's services: real HTTP/1.1 servers on loopback ports that the system picks, in trouble as the script says.
//!
//! Trouble is real down to the socket, because that is what a proxy has to tell apart: who refuses has closed its
//! listener, who resets sends RST, who is slow holds its answer back.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};
use tokio_rustls::TlsAcceptor;

use super::answers;
use super::certificate::{self, Shown};
use super::read_through::read_through;
use super::script::{Part, Role, Script, Trouble};

/// The services while they run; they stop when it is dropped.
#[derive(Debug)]
pub(super) struct Services {
    addresses: Vec<(Role, SocketAddr)>,
    authorities: String,
    _tasks: JoinSet<()>,
}

/// One endpoint.
#[derive(Debug)]
struct Service {
    part: Part,
    seed: u64,
    address: SocketAddr,
    started: Instant,
    shown: Option<Shown>,
}

/// The connection is reset instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the script says so")]
struct ResetNow;

/// How often a service looks whether it has to refuse, or may listen again.
const LOOK: Duration = Duration::from_millis(50);
/// How many connections wait for a service.
const BACKLOG: u32 = 1024;

// === impl Services ===

impl Services {
    /// Starts all services of a script. Wants a runtime around it.
    ///
    /// # Errors
    /// Where the system has no port.
    pub(super) fn start(script: &Script) -> io::Result<Self> {
        let mut addresses = Vec::with_capacity(script.cast.len());
        let mut authorities = String::new();
        let mut tasks = JoinSet::new();
        let started = Instant::now();
        for part in &script.cast {
            let listener = listen((Ipv4Addr::LOCALHOST, 0).into())?;
            let address = listener.local_addr()?;
            addresses.push((part.role, address));
            let shown = part.certificate.map(certificate::good_for).transpose()?;
            authorities.extend(shown.iter().map(|it| it.authority.as_str()));
            let service = Service {
                part: part.clone(),
                seed: script.seed,
                address,
                started,
                shown,
            };
            tasks.spawn(Arc::new(service).run(listener));
        }
        Ok(Self {
            addresses,
            authorities,
            _tasks: tasks,
        })
    }

    /// Where each endpoint is, in the order of the script.
    pub(super) fn addresses(&self) -> Vec<(Role, SocketAddr)> {
        self.addresses.clone()
    }

    /// What clients of the services that speak TLS believe, as PEM; empty where none does.
    pub(super) fn authorities(&self) -> &str {
        &self.authorities
    }
}

// === impl Service ===

impl Service {
    /// Listens, and does not while it refuses, for ever.
    async fn run(self: Arc<Self>, mut listener: TcpListener) {
        let mut looks = interval(LOOK);
        loop {
            self.serve_until_refusal(&listener).await;
            // Its connections have gone with it; the port is free for the moment.
            drop(listener);
            listener = loop {
                looks.tick().await;
                if !self.refuses()
                    && let Ok(listener) = listen(self.address)
                {
                    break listener;
                }
            };
        }
    }

    async fn serve_until_refusal(self: &Arc<Self>, listener: &TcpListener) {
        let mut connections = JoinSet::new();
        let mut looks = interval(LOOK);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => drop(connections.spawn(Arc::clone(self).serve(stream))),
                    // Out of files, most likely: the next look is soon enough.
                    Err(_) => drop(looks.tick().await),
                },
                _ = looks.tick() => {
                    while connections.try_join_next().is_some() {}
                    if self.refuses() {
                        return;
                    }
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Some(shown) = &self.shown else {
            if let Some(stream) = self.serve_on(stream, true).await {
                // With no time to linger, closing sends RST.
                let _ = stream.set_zero_linger();
            }
            return;
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&shown.config));
        // Who does not believe the certificate goes away. One answer a connection: the next one shows it again.
        if let Ok(stream) = Box::pin(acceptor.accept(stream)).await {
            drop(self.serve_on(stream, false).await);
        }
    }

    /// Serves a connection to its end; gives it back where it is to be reset.
    async fn serve_on<C>(&self, stream: C, is_kept: bool) -> Option<C>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let answer = service_fn(|request| Box::pin(self.answer(request)));
        let mut connection = http1::Builder::new()
            .keep_alive(is_kept)
            .serve_connection(TokioIo::new(stream), answer);
        let ended = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
        let mut stream = connection.into_parts().io.into_inner();
        if ended.is_err_and(|error| error.is_user()) {
            return Some(stream);
        }
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await; // it may be closed already
        None
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<String>, ResetNow> {
        let (head, body) = request.into_parts();
        // A client that stops in the middle of its body takes the connection along: the answer reaches nobody.
        let _ = read_through(body).await;
        let mut rng = Rng::new();
        let trouble = self
            .part
            .trouble(self.seed, self.started.elapsed(), &mut rng);
        let takes = match trouble {
            Some(Trouble::Slow(ms)) => rng.u64(ms.clone()),
            _ => rng.u64(self.part.usual_ms.clone()),
        };
        sleep(Duration::from_millis(takes)).await;
        match trouble {
            Some(Trouble::Reset) => Err(ResetNow),
            Some(Trouble::Unavailable) => Ok(answers::unavailable()),
            Some(Trouble::Broken) if head.method == Method::POST => Ok(answers::broken()),
            _ => {
                let is_large = trouble == Some(&Trouble::Large);
                let path = head.uri.path();
                Ok(answers::answer(
                    self.part.role,
                    &head.method,
                    path,
                    is_large,
                ))
            }
        }
    }

    fn refuses(&self) -> bool {
        self.part.refuses(self.seed, self.started.elapsed())
    }
}

/// Listens on a port that was bound before, or on any. The own connections of before may still be closing there.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use hyper::client::conn::http1::handshake;
    use tokio::runtime::Builder;

    use super::super::script::Spell;
    use super::*;

    /// One endpoint with one trouble that is always on.
    fn script(role: Role, trouble: Option<Trouble>) -> Script {
        let mut script = Script::everyday(1);
        let always = Duration::from_secs(1_000);
        let spell = |trouble| Spell {
            trouble,
            percent: 100,
            period: always,
            from: Duration::ZERO,
            jitter: Duration::ZERO,
            lasts: always,
        };
        script.cast = vec![Part {
            role,
            usual_ms: 0..=1,
            spells: trouble.map(spell).into_iter().collect(),
            certificate: None,
        }];
        script
    }

    async fn get(address: SocketAddr, path: &str) -> Result<(u16, usize), hyper::Error> {
        let stream = TcpStream::connect(address).await.expect("it listens");
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = Request::get(path).header("host", "shop.test");
        let request = request.body(String::new()).expect("it is valid");
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, read_through(response.into_body()).await?))
    }

    fn within_a_runtime<T>(work: impl Future<Output = T>) -> T {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("there is a runtime").block_on(work)
    }

    #[test]
    fn a_service_in_good_health_answers() {
        within_a_runtime(async {
            let services = Services::start(&script(Role::Search, None)).expect("it starts");
            let (role, address) = services.addresses()[0];
            assert_eq!(role, Role::Search);
            let (status, length) = get(address, "/search").await.expect("it answers");
            assert_eq!(status, 200);
            assert!(length > 100);
        });
    }

    #[test]
    fn troubles_are_what_they_are_called() {
        within_a_runtime(async {
            let of = |trouble| Services::start(&script(Role::Search, Some(trouble)));

            let services = of(Trouble::Unavailable).expect("it starts");
            let answer = get(services.addresses()[0].1, "/search").await;
            assert_eq!(answer.expect("it answers").0, 503);

            let services = of(Trouble::Large).expect("it starts");
            let answer = get(services.addresses()[0].1, "/search").await;
            assert!(answer.expect("it answers").1 > 200_000);

            let services = of(Trouble::Slow(80..=90)).expect("it starts");
            let before = Instant::now();
            let answer = get(services.addresses()[0].1, "/search").await;
            assert_eq!(answer.expect("it answers").0, 200);
            assert!(before.elapsed() >= Duration::from_millis(80));

            let services = of(Trouble::Reset).expect("it starts");
            let error = get(services.addresses()[0].1, "/search").await;
            let error = error.expect_err("it resets");
            let cause = std::error::Error::source(&error).and_then(|it| it.downcast_ref());
            let kind = cause.map(io::Error::kind);
            assert_eq!(kind, Some(ErrorKind::ConnectionReset), "{error:?}");
        });
    }

    #[test]
    fn who_refuses_does_so_until_it_is_over_and_then_listens_on_the_same_port() {
        within_a_runtime(async {
            let mut script = script(Role::Inventory, Some(Trouble::Refuse));
            script.cast[0].spells[0].lasts = Duration::from_millis(300);
            let services = Services::start(&script).expect("it starts");
            let address = services.addresses()[0].1;
            let mut seen = Vec::new();
            let until = Instant::now() + Duration::from_secs(5);
            while seen != ["refused", "listens"] && Instant::now() < until {
                let word = match TcpStream::connect(address).await {
                    Ok(_) => "listens",
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => "refused",
                    Err(error) => panic!("{error}"),
                };
                // It may be reached before its first look.
                if seen.last() != Some(&word) && (word == "refused" || !seen.is_empty()) {
                    seen.push(word);
                }
                sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(seen, ["refused", "listens"]);
        });
    }
}
