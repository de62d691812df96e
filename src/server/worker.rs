//! A worker: one thread, its connections, and its own copy of the stack.

use std::cell::{RefCell, RefMut};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::Service;

use super::accept::accept;
use super::ask::{Ask, QUESTIONS};
use super::clients::{Clients, Place};
use super::connection::serve;
use super::sweep::{Connections, Patience};
use super::xray::{Looked, Under};
use crate::config;
use crate::exchange::{self, Arrival, Connection, Cut, Gauge, SWEEP};
use crate::graph::{Front, FrontFuture, Graph, Pools};
use crate::telemetry::{Desk, Event, HandshakeMeters, ListenerMeters, emit};
use crate::tls::{Certificates, ServerTls};

/// How often a worker without live exchanges sweeps.
const IDLE_SWEEP: Duration = Duration::from_millis(100);
/// Fresh connections that may wait for a worker; beyond, the one that accepted keeps them.
const INBOX: usize = 1024;

/// What the workers know of each other: how many connections each has, and where to leave a fresh one.
#[derive(Clone)]
pub struct Team {
    members: Arc<[Member]>,
    clients: Clients,
}

struct Member {
    connections: Gauge,
    inbox: mpsc::Sender<Placed>,
    asks: mpsc::Sender<Ask>,
}

/// Where a worker finds connections that others have accepted for it, and questions.
#[derive(Debug)]
pub struct Inbox(mpsc::Receiver<Placed>, mpsc::Receiver<Ask>);

/// A connection that was accepted for another worker, and is counted there.
#[derive(Debug)]
struct Placed {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    listener: u16,
    counted: Counted,
}

/// Where a connection is counted: its listener, its worker, and its client where those are limited and known already.
type Counted = (exchange::Entered, exchange::Entered, Option<Place>);

/// A listener as the workers see it.
#[derive(Debug)]
pub(super) struct ListenerParts {
    pub(super) plan: config::Listener,
    pub(super) meters: ListenerMeters,
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) handshakes: HandshakeMeters,
}

/// A worker's stack, of the graph that was newest when it was last looked at.
struct Stack {
    newest: Cache<Arc<ArcSwap<Graph>>, Arc<Graph>>,
    generation: u32,
    front: Front,
}

/// A worker.
pub struct Worker {
    index: usize,
    team: Team,
    listeners: Vec<Rc<ListenerParts>>,
    stack: RefCell<Stack>,
    desk: Rc<Desk>,
    pools: Pools,
    connections: Rc<Connections>,
}

static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

// === impl Team ===

impl Team {
    /// A team whose members count their connections on these gauges, and the inbox of each.
    #[must_use]
    pub fn new(gauges: Vec<Gauge>) -> (Self, Vec<Inbox>) {
        let (members, inboxes): (Vec<_>, Vec<_>) = gauges
            .into_iter()
            .map(|connections| {
                let (inbox, receiver) = mpsc::channel(INBOX);
                let (asks, asked) = mpsc::channel(QUESTIONS);
                let member = Member {
                    connections,
                    inbox,
                    asks,
                };
                (member, Inbox(receiver, asked))
            })
            .unzip();
        (
            Self {
                members: members.into(),
                clients: Clients::default(),
            },
            inboxes,
        )
    }

    /// The way to ask each worker, in their order.
    pub(super) fn asks(&self) -> impl Iterator<Item = &mpsc::Sender<Ask>> {
        self.members.iter().map(|member| &member.asks)
    }

    /// The way to ask each worker, the one with the fewest connections first.
    pub(super) fn by_load(&self) -> impl Iterator<Item = &mpsc::Sender<Ask>> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by_cached_key(|member| member.connections.get()); // they change meanwhile
        members.into_iter().map(|member| &member.asks)
    }

    /// The worker with the fewest connections; `own` where it is among them, since handing over costs a wake-up.
    fn least_loaded(&self, own: usize) -> usize {
        let mut best = (self.members[own].connections.get(), own);
        for (index, member) in self.members.iter().enumerate() {
            let load = member.connections.get();
            if load < best.0 {
                best = (load, index);
            }
        }
        best.1
    }
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members = self.members.len();
        f.debug_struct("Team")
            .field("members", &members)
            .finish_non_exhaustive()
    }
}

// === impl Worker ===

impl Worker {
    /// A worker of this team, which serves under whatever `graph` holds.
    #[must_use]
    pub fn new(
        index: usize,
        team: Team,
        graph: Arc<ArcSwap<Graph>>,
        certificates: &Certificates,
        desk: Rc<Desk>,
    ) -> Rc<Self> {
        let number = u16::try_from(index).unwrap_or(u16::MAX);
        let now = graph.load_full();
        let pools = Pools::default();
        now.tell(&desk);
        let stack = now.stack(&desk, &pools);
        let listeners = now
            .listeners()
            .enumerate()
            .map(|(place, (plan, meters))| {
                Rc::new(ListenerParts {
                    plan: plan.clone(),
                    meters: meters.clone(),
                    tls: certificates.of(place).cloned(),
                    handshakes: meters.handshakes(number),
                })
            })
            .collect();
        Rc::new(Self {
            index,
            team,
            listeners,
            stack: RefCell::new(Stack {
                newest: Cache::new(graph),
                generation: now.generation,
                front: stack,
            }),
            desk,
            pools,
            connections: Rc::default(),
        })
    }

    /// Serves: accepts on these sockets (one a listener, in the plan's order), takes in what others have accepted for it,
    /// and sweeps. `draining` starts the end: nothing new is taken in, and what is there may finish; `cutting` ends what is
    /// left.
    pub async fn run(
        self: Rc<Self>,
        sockets: Vec<std::net::TcpListener>,
        inbox: Inbox,
        draining: impl Future<Output = ()>,
        cutting: impl Future<Output = ()>,
    ) {
        let mut accepting = JoinSet::new();
        for (listener, socket) in (0..).zip(sockets) {
            accepting.spawn_local(accept(Rc::clone(&self), listener, socket));
        }
        let mut receiving = JoinSet::new();
        let Inbox(placed, asks) = inbox;
        receiving.spawn_local(Rc::clone(&self).receive(placed));
        let mut answering = JoinSet::new(); // to the end: what a drain waits for can be seen
        answering.spawn_local(Rc::clone(&self).answer(asks));
        let mut sweeping = JoinSet::new();
        sweeping.spawn_local(Rc::clone(&self).sweep());

        draining.await;
        drop(accepting); // closes the sockets: from now on the kernel refuses
        drop(receiving);
        self.connections.cut(Cut::Drain);
        tokio::select! {
            () = self.until_empty() => {}
            () = cutting => {
                self.connections.cut(Cut::Now);
                self.until_empty().await;
            }
        }
        self.desk.flush();
        drop((sweeping, answering));
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    async fn until_empty(&self) {
        while self.connections.count() > 0 {
            tokio::time::sleep(SWEEP / 2).await;
        }
    }

    /// A request of one of its connections, to the stack of the newest graph.
    pub(super) fn call(&self, arrival: Arrival) -> FrontFuture {
        self.newest().front.call(arrival)
    }

    /// The stack of the newest graph.
    fn newest(&self) -> RefMut<'_, Stack> {
        let mut stack = self.stack.borrow_mut();
        let Stack {
            newest,
            generation,
            front,
        } = &mut *stack;
        let graph = newest.load();
        if graph.generation != *generation {
            graph.tell(&self.desk);
            self.pools.retain(|id| graph.has_endpoint(id));
            *generation = graph.generation;
            *front = graph.stack(&self.desk, &self.pools);
        }
        stack
    }

    /// Gives a fresh connection to the worker with the fewest.
    pub(super) fn place(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr, listener: u16) {
        let Some(parts) = self.listeners.get(usize::from(listener)) else {
            return;
        };
        let meters = &parts.meters;
        meters.accepted.count();
        let limit = i64::try_from(parts.plan.limits.connections).unwrap_or(i64::MAX);
        let Some(active) = meters.active.enter_below(limit) else {
            meters.error("limit").count();
            return;
        };
        // Where a PROXY header says who the client is, it finds its place when that has been read.
        let place = if parts.plan.proxy_protocol {
            None
        } else {
            match self.enter(parts, listener, peer) {
                Ok(place) => place,
                Err(reason) => return meters.error(reason).count(),
            }
        };
        let best = self.team.least_loaded(self.index);
        let member = &self.team.members[best];
        let counted = (active, member.connections.enter(), place);
        if best == self.index {
            return self.take_in((stream, peer), listener, counted, None);
        }
        // A plain socket can change threads: this worker's poller forgets it.
        let Ok(stream) = stream.into_std() else {
            meters.error("io").count();
            return;
        };
        let placed = Placed {
            stream,
            peer,
            listener,
            counted,
        };
        match member.inbox.try_send(placed) {
            Ok(()) => {}
            Err(TrySendError::Full(placed) | TrySendError::Closed(placed)) => self.unpack(placed),
        }
    }

    /// The place of one more connection of this client, where those are limited; else why there is none.
    pub(super) fn enter(
        &self,
        parts: &ListenerParts,
        listener: u16,
        client: SocketAddr,
    ) -> Result<Option<Place>, &'static str> {
        let Some(most) = parts.plan.limits.connections_per_client else {
            return Ok(None);
        };
        let place = self.team.clients.enter(listener, client.ip(), most);
        place.map(Some).ok_or("client_limit")
    }

    pub(super) fn note_accept_failed(&self, listener: u16, error: &std::io::Error) {
        if let Some(listener) = self.listeners.get(usize::from(listener)) {
            listener.meters.error("accept").count();
            let why = error.to_string();
            emit(Event::AcceptFailed {
                listener: listener.plan.name.clone(),
                why,
            });
        }
    }

    async fn receive(self: Rc<Self>, mut inbox: mpsc::Receiver<Placed>) {
        while let Some(placed) = inbox.recv().await {
            self.unpack(placed);
        }
    }

    fn unpack(self: &Rc<Self>, placed: Placed) {
        let Placed {
            stream,
            peer,
            listener,
            counted,
        } = placed;
        match TcpStream::from_std(stream) {
            Ok(stream) => self.take_in((stream, peer), listener, counted, None),
            Err(error) => self.note_accept_failed(listener, &error),
        }
    }

    /// Takes in a connection whose exchange is looked through: counted as any other, beyond all limits.
    pub(super) fn look_through(self: &Rc<Self>, looked: Looked) {
        let Looked {
            stream,
            peer,
            listener,
            under,
        } = looked;
        let Some(parts) = self.listeners.get(usize::from(listener)) else {
            return;
        };
        parts.meters.accepted.count();
        let active = parts.meters.active.enter();
        let counted = (
            active,
            self.team.members[self.index].connections.enter(),
            None,
        );
        match TcpStream::from_std(stream) {
            Ok(stream) => self.take_in((stream, peer), listener, counted, Some(under)),
            Err(error) => self.note_accept_failed(listener, &error),
        }
    }

    fn take_in(
        self: &Rc<Self>,
        (stream, peer): (TcpStream, SocketAddr),
        listener: u16,
        counted: Counted,
        under: Option<Under>,
    ) {
        let Some(parts) = self.listeners.get(usize::from(listener)).cloned() else {
            return;
        };
        // Answers must not wait for acknowledgements of earlier ones.
        let _ = stream.set_nodelay(true);
        let local = match &under {
            Some(under) => under.local,
            None => match stream.local_addr() {
                Ok(local) => local,
                Err(_) => return parts.meters.error("io").count(),
            },
        };
        let connection = Rc::new(Connection::new(
            NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed),
            listener,
            peer,
            local,
            parts.tls.is_some(),
            parts.plan.timeout.body,
        ));
        let timeout = parts.plan.timeout;
        let patience = Patience {
            head: timeout.head,
            idle: timeout.idle,
        };
        let seat = self.connections.seat(&connection, patience);
        let worker = Rc::clone(self);
        if let Some(under) = &under {
            connection.note_xray(under.parent);
        }
        let serving = async move {
            serve(worker, stream, connection, parts).await;
            drop((seat, counted));
        };
        // The task ends with its connection: by the client, by the sweep, or at the latest with this worker's runtime.
        match under {
            None => tokio::task::spawn_local(serving),
            Some(under) => tokio::task::spawn_local(under.beam.carry(serving)),
        };
    }

    async fn sweep(self: Rc<Self>) {
        let mut connections_swept = Instant::now();
        loop {
            let live = exchange::sweep();
            let now = Instant::now();
            if now.saturating_duration_since(connections_swept) >= IDLE_SWEEP {
                connections_swept = now;
                self.connections.sweep(now);
                // Also where no request comes: what the file no longer names is to be let go of.
                drop(self.newest());
                self.pools.sweep();
            }
            self.desk.flush();
            tokio::time::sleep(if live > 0 { SWEEP } else { IDLE_SWEEP }).await;
        }
    }
}
