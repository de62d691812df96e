//! The crowd: a gentle load on the proxy, open loop.
//!
//! Open loop means that visitors come when they come, however slow the answers are. A closed loop, each visitor waiting
//! for the last answer, would slow down with the proxy and hide every bad spell from its figures (coordinated omission).
//! It stays bounded all the same: with too many requests under way the next visitor is turned away.
//!
//! Failures are what the demo is there to show, on the other side of the proxy; here they are expected and not told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper::http::header::HOST;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::read_through::read_through;
use super::script::{Script, Trouble};
use super::visits::{Visit, Visits};

/// The crowd while it comes; gone when dropped.
#[derive(Debug)]
pub(super) struct Load {
    crowd: JoinSet<()>,
    requests: Arc<Mutex<JoinSet<()>>>,
}

/// Where the crowd goes, and its connections there.
#[derive(Debug)]
struct Way {
    address: SocketAddr,
    idle: Mutex<Vec<Lane>>,
    shared: Mutex<Option<SharedLane>>,
}

/// One HTTP/1.1 connection. It closes when it is dropped, in the middle of an answer, too.
#[derive(Debug)]
struct Lane {
    sender: http1::SendRequest<String>,
    served: u32,
    _driver: JoinSet<()>,
}

/// One HTTP/2 connection, for all who speak it.
#[derive(Debug)]
struct SharedLane {
    sender: http2::SendRequest<String>,
    _driver: JoinSet<()>,
}

/// Why a visitor has no answer; nobody asks.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer;

/// The most requests a second that are sent.
const MOST_A_SECOND: u32 = 5_000;
/// How many requests may be under way.
const MOST_UNDER_WAY: usize = 256;
/// How many HTTP/1.1 connections are kept for the next visitor.
const KEPT_LANES: usize = 8;
/// After so many requests a connection is closed, as browsers come and go.
const LANE_LASTS: u32 = 200;
/// How many connections the client leaves open that closes none.
const MOST_LINGERING: usize = 128;
/// Where it comes from.
const LINGERER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66)), 0);
/// How long the most patient visitor waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// A crowd that was held up for longer does not come all at once.
const LATEST: Duration = Duration::from_secs(1);

// === impl Load ===

impl Load {
    /// The crowd comes, so many a second on average; none with 0. Wants a runtime around it.
    pub(super) fn start(public: SocketAddr, requests_per_second: u32, script: &Script) -> Self {
        let way = Arc::new(Way {
            address: public,
            idle: Mutex::default(),
            shared: Mutex::default(),
        });
        let requests = Arc::default();
        let mut crowd = JoinSet::new();
        if requests_per_second > 0 {
            let rate = requests_per_second.min(MOST_A_SECOND);
            let visits = Visits::new(script.seed);
            crowd.spawn(come(
                rate,
                visits,
                script.clone(),
                way,
                Arc::clone(&requests),
            ));
        }
        Self { crowd, requests }
    }

    /// Nobody comes any more, and who is there may finish within this time.
    pub(super) async fn stop(mut self, within: Duration) {
        self.crowd.shutdown().await;
        let mut requests = std::mem::take(&mut *held(&self.requests));
        let finished = async { while requests.join_next().await.is_some() {} };
        // Who has not finished is cut off by the drop.
        let _ = timeout(within, finished).await;
    }
}

/// Opens a connection, asks for one thing on it, and leaves it open.
async fn linger(address: SocketAddr) {
    let Ok(socket) = TcpSocket::new_v4() else {
        return;
    };
    // So that it can be told from the others; where the system does not give the address, it comes as they do.
    let _ = socket.bind(LINGERER);
    let Ok(mut stream) = socket.connect(address).await else {
        return;
    };
    let asked = stream.write_all(b"GET /api/search?q=lamp HTTP/1.1\r\nhost: shop.test\r\n\r\n");
    if asked.await.is_err() {
        return;
    }
    // Until the proxy has had enough of it; then the client leaks another.
    let mut answer = [0; 4096];
    while stream.read(&mut answer).await.is_ok_and(|count| count > 0) {}
}

/// Sends one visitor after the other, for ever.
async fn come(
    rate: u32,
    mut visits: Visits,
    script: Script,
    way: Arc<Way>,
    requests: Arc<Mutex<JoinSet<()>>>,
) {
    let started = Instant::now();
    let mut next = started;
    let mut lingering = JoinSet::new();
    loop {
        next = (next + visits.pause(rate)).max(Instant::now() - LATEST);
        sleep_until(next).await;
        let mut visit = visits.next();
        let mut neighbour = None;
        while lingering.try_join_next().is_some() {}
        let elapsed = started.elapsed();
        let on = script.crowd.iter();
        let on =
            on.filter(|spell| spell.is_on(script.seed, elapsed) && visits.chance(spell.percent));
        for spell in on.collect::<Vec<_>>() {
            match &spell.trouble {
                Trouble::Rush => neighbour = Some(visits.next_of_neighbour()),
                Trouble::Impatient(wait) => {
                    visit.gives_up_after = Some(visits.millis(wait.clone()))
                }
                Trouble::Linger if lingering.len() < MOST_LINGERING => {
                    lingering.spawn(linger(way.address));
                }
                _ => {} // a service's trouble, not a client's
            }
        }
        let mut requests = held(&requests);
        while requests.try_join_next().is_some() {}
        for visit in [Some(visit), neighbour].into_iter().flatten() {
            if requests.len() < MOST_UNDER_WAY {
                requests.spawn(Arc::clone(&way).pay(visit));
            }
        }
    }
}

// === impl Way ===

impl Way {
    /// Pays one visit, as patiently as the visitor is.
    async fn pay(self: Arc<Self>, visit: Visit) {
        let patience = visit.gives_up_after.unwrap_or(PATIENCE);
        let request = visit.request;
        // Boxed: the state of a client connection is large.
        let answer = async {
            // Who may give up needs a connection of its own to hang up.
            match (visit.is_http2, visit.gives_up_after) {
                (true, None) => Box::pin(self.ask_shared(request)).await,
                _ => Box::pin(self.ask(as_http1(request))).await,
            }
        };
        // Without an answer the connection is dropped: that is how the proxy learns of it.
        let _ = timeout(patience, answer).await;
    }

    async fn ask(&self, request: Request<String>) -> Result<(), NoAnswer> {
        let mut lane = match self.idle_lane() {
            Some(lane) => lane,
            None => Lane::open(self.address).await?,
        };
        lane.sender.ready().await.map_err(|_| NoAnswer)?;
        let response = lane.sender.send_request(request).await;
        read(response).await?;
        lane.served += 1;
        let mut idle = held(&self.idle);
        if idle.len() < KEPT_LANES && lane.served < LANE_LASTS && !lane.sender.is_closed() {
            idle.push(lane);
        }
        Ok(())
    }

    async fn ask_shared(&self, request: Request<String>) -> Result<(), NoAnswer> {
        let sender = held(&self.shared).as_ref().map(|lane| lane.sender.clone());
        let mut sender = match sender.filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => {
                let lane = SharedLane::open(self.address).await?;
                let sender = lane.sender.clone();
                *held(&self.shared) = Some(lane);
                sender
            }
        };
        read(sender.send_request(request).await).await
    }

    fn idle_lane(&self) -> Option<Lane> {
        let mut idle = held(&self.idle);
        std::iter::from_fn(|| idle.pop()).find(|lane| !lane.sender.is_closed())
    }
}

// === impl Lane ===

impl Lane {
    async fn open(address: SocketAddr) -> Result<Self, NoAnswer> {
        let io = connect(address).await?;
        let (sender, connection) = http1::handshake(io).await.map_err(|_| NoAnswer)?;
        let mut driver = JoinSet::new();
        driver.spawn(async { drop(connection.await) });
        Ok(Self {
            sender,
            served: 0,
            _driver: driver,
        })
    }
}

// === impl SharedLane ===

impl SharedLane {
    async fn open(address: SocketAddr) -> Result<Self, NoAnswer> {
        let io = connect(address).await?;
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .handshake(io);
        let (sender, connection) = handshake.await.map_err(|_| NoAnswer)?;
        let mut driver = JoinSet::new();
        driver.spawn(async { drop(connection.await) });
        Ok(Self {
            sender,
            _driver: driver,
        })
    }
}

async fn connect(address: SocketAddr) -> Result<TokioIo<TcpStream>, NoAnswer> {
    let stream = TcpStream::connect(address).await.map_err(|_| NoAnswer)?;
    let _ = stream.set_nodelay(true);
    Ok(TokioIo::new(stream))
}

async fn read(response: hyper::Result<Response<Incoming>>) -> Result<(), NoAnswer> {
    let body = response.map_err(|_| NoAnswer)?.into_body();
    read_through(body).await.map(drop).map_err(|_| NoAnswer)
}

/// The same request with its target in the form of HTTP/1.1 (RFC 9112 §3.2.1).
fn as_http1(mut request: Request<String>) -> Request<String> {
    let uri = std::mem::take(request.uri_mut());
    if let Some(host) = uri.authority().and_then(|host| host.as_str().parse().ok()) {
        request.headers_mut().insert(HOST, host);
    }
    if let Some(path) = uri.into_parts().path_and_query {
        *request.uri_mut() = path.into();
    }
    request
}

/// The lock, also after a panic: what it guards is whole between any two lines.
fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use hyper::server::conn as server;
    use hyper::service::service_fn;
    use tokio::net::TcpListener;
    use tokio::runtime::Builder;
    use tokio::time::sleep;

    use super::*;

    /// Runs the crowd for this long against a server that answers after this long: requests and connections that came.
    fn run(rate: u32, lasts: Duration, answers_after: Duration) -> (u32, u32) {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("there is a runtime").block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("it is bound");
            let counts = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
            let counted = Arc::clone(&counts);
            let mut server = JoinSet::new();
            server.spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    counted.1.fetch_add(1, Ordering::Relaxed);
                    let counted = Arc::clone(&counted);
                    let answer = service_fn(move |_| {
                        counted.0.fetch_add(1, Ordering::Relaxed);
                        async move {
                            sleep(answers_after).await;
                            Ok::<_, hyper::Error>(Response::new("{}".to_owned()))
                        }
                    });
                    connections.spawn(async move {
                        // It takes both protocols, as the proxy does.
                        let mut first = [0; 3];
                        let _ = stream.peek(&mut first).await;
                        let io = TokioIo::new(stream);
                        if &first == b"PRI" {
                            let builder = server::http2::Builder::new(TokioExecutor::new());
                            let _ = builder.serve_connection(io, answer).await;
                        } else {
                            let builder = server::http1::Builder::new();
                            let _ = builder.serve_connection(io, answer).await;
                        }
                    });
                }
            });
            let load = Load::start(address, rate, &Script::everyday(1));
            sleep(lasts).await;
            load.stop(Duration::from_millis(100)).await;
            let came = counts.0.load(Ordering::Relaxed);
            (came, counts.1.load(Ordering::Relaxed))
        })
    }

    #[test]
    fn about_as_many_come_as_were_asked_for_over_a_handful_of_connections() {
        let (requests, connections) = run(200, Duration::from_secs(1), Duration::ZERO);
        assert!((130..270).contains(&requests), "{requests} requests");
        assert!(connections < 40, "{connections} connections");
    }

    #[test]
    fn slow_answers_keep_nobody_away_but_the_number_under_way_is_bounded() {
        let (requests, _) = run(100, Duration::from_secs(1), Duration::from_secs(5));
        assert!((60..140).contains(&requests), "{requests} requests");
        let (requests, _) = run(1_000, Duration::from_secs(1), Duration::from_secs(5));
        let most = u32::try_from(MOST_UNDER_WAY).expect("it is small");
        // Those who gave up were counted, too.
        assert!((200..=most + 50).contains(&requests), "{requests} requests");
    }

    #[test]
    fn nobody_comes_when_nobody_was_asked_for() {
        let (requests, _) = run(0, Duration::from_millis(100), Duration::ZERO);
        assert_eq!(requests, 0);
    }
}
