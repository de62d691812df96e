//! A listening port of the rig that can be shut and opened again.
//!
//! Every server of the rig stands behind one: a thread accepts, one thread serves each connection, and dropping the port
//! ends them all by shutting their sockets. Threads and blocking sockets, because a scripted peer reads like its script
//! that way; where HTTP/2 needs a runtime, the connection's own thread drives one.
//! While shut, the number stays bound without listening: connections are refused and no parallel test can take it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A port on loopback with a handler for each connection.
pub(crate) struct Port {
    address: SocketAddr,
    shared: Arc<Shared>,
    door: Mutex<Door>,
}

/// A connection that came in. The socket closes when the last clone of its `Arc` goes.
pub(crate) struct Arrival {
    /// Counted from 0 over the life of the port.
    pub(crate) number: usize,
    pub(crate) stream: Arc<TcpStream>,
    term: usize,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<dyn Fn(Arrival) + Send + Sync>,
    accepted: AtomicUsize,
    /// Grows at each shutting; an arrival of an older term is over.
    term: AtomicUsize,
    live: Mutex<Vec<Weak<TcpStream>>>,
}

enum Door {
    Open(JoinHandle<()>),
    Shut(Socket),
    Gone,
}

// === impl Port ===

impl Port {
    /// Listens on a free port of 127.0.0.1 and runs `handler` on a thread of its own for each connection.
    pub(crate) fn open(handler: impl Fn(Arrival) + Send + Sync + 'static) -> Self {
        let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = address_of(&socket);
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            accepted: AtomicUsize::new(0),
            term: AtomicUsize::new(0),
            live: Mutex::default(),
        });
        let door = Mutex::new(Door::Open(listen(socket, &shared)));
        Self {
            address,
            shared,
            door,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted since the start.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections whose handler still holds them.
    pub(crate) fn live(&self) -> usize {
        self.shared
            .live()
            .iter()
            .filter(|stream| stream.strong_count() > 0)
            .count()
    }

    /// Stops listening and cuts every connection; new ones are refused until [`Port::reopen`].
    pub(crate) fn shut(&self) {
        let mut door = self.door();
        if matches!(*door, Door::Open(_)) {
            self.end(std::mem::replace(&mut *door, Door::Gone));
            *door = Door::Shut(bound(self.address));
        }
    }

    /// Listens again on the same port.
    pub(crate) fn reopen(&self) {
        let mut door = self.door();
        *door = match std::mem::replace(&mut *door, Door::Gone) {
            Door::Shut(socket) => Door::Open(listen(socket, &self.shared)),
            other => other,
        };
    }

    /// Cuts every connection and keeps listening.
    pub(crate) fn cut(&self) {
        let live = std::mem::take(&mut *self.shared.live());
        live.iter().filter_map(Weak::upgrade).for_each(|stream| {
            // A socket that the other side has reset cannot be shut again: it is as gone as it should be.
            stream.shutdown(Shutdown::Both).ok();
        });
    }

    fn end(&self, door: Door) {
        if let Door::Open(thread) = door {
            self.shared.term.fetch_add(1, Ordering::SeqCst);
            // Wakes the accepting thread, which then sees the new term.
            TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).ok();
            thread.join().expect("the accepting thread does not panic");
            self.cut();
        }
    }

    fn door(&self) -> std::sync::MutexGuard<'_, Door> {
        // Where a test has failed with the door in its hand, its end must not fail again.
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let door = std::mem::replace(&mut *self.door(), Door::Gone);
        self.end(door);
    }
}

// === impl Arrival ===

impl Arrival {
    /// Whether the port was shut since: whoever waits for something on its behalf may stop.
    pub(crate) fn is_over(&self) -> bool {
        self.shared.term.load(Ordering::SeqCst) != self.term
    }
}

// === impl Shared ===

impl Shared {
    fn live(&self) -> std::sync::MutexGuard<'_, Vec<Weak<TcpStream>>> {
        self.live
            .lock()
            .expect("nothing panics while it holds the list of connections")
    }
}

/// A socket that is bound and does not listen: connections to it are refused.
pub(crate) fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)
        .expect("a socket can be made");
    socket
        .set_reuse_address(true)
        .expect("SO_REUSEADDR is known everywhere");
    // A port that was just let go may for a moment be the near end of somebody's connection.
    let mut tried = socket.bind(&address.into());
    for _ in 0..500 {
        if !matches!(&tried, Err(error) if error.kind() == ErrorKind::AddrInUse) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        tried = socket.bind(&address.into());
    }
    tried.unwrap_or_else(|error| panic!("the rig cannot bind {address}: {error}"));
    socket
}

pub(crate) fn address_of(socket: &Socket) -> SocketAddr {
    let address = socket.local_addr().expect("a bound socket has an address");
    address
        .as_socket()
        .expect("an internet socket has an internet address")
}

fn listen(socket: Socket, shared: &Arc<Shared>) -> JoinHandle<()> {
    socket.listen(1024).expect("a bound socket can listen");
    let listener = TcpListener::from(socket);
    let shared = Arc::clone(shared);
    let term = shared.term.load(Ordering::SeqCst);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            if shared.term.load(Ordering::SeqCst) != term {
                break;
            }
            stream.set_nodelay(true).ok();
            let stream = Arc::new(stream);
            {
                let mut live = shared.live();
                live.retain(|stream| stream.strong_count() > 0);
                live.push(Arc::downgrade(&stream));
            }
            let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
            let arrival = Arrival {
                number,
                stream,
                term,
                shared: Arc::clone(&shared),
            };
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || (shared.handler)(arrival));
        }
    })
}
