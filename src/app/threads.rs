//! The workers' threads.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Plan;
use crate::exchange::Gauge;
use crate::graph::Graph;
use crate::server::{Bound, Inbox, Team, Worker};
use crate::telemetry::{Event, Telemetry, emit};
use crate::tls::Certificates;

/// The workers' threads.
#[derive(Debug)]
pub(super) struct Threads {
    threads: Vec<JoinHandle<()>>,
    /// How many connections each has.
    connections: Vec<Gauge>,
    team: Team,
    stage: watch::Sender<Stage>,
    lost: watch::Receiver<usize>,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Serving.
    Serving,
    /// Nothing new is taken in.
    Draining,
    /// What is left is cut.
    Cutting,
}

// === impl Threads ===

impl Threads {
    /// Starts one thread a worker.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn start(
        plan: &Plan,
        bound: Vec<Bound>,
        graph: &Arc<ArcSwap<Graph>>,
        telemetry: &Arc<Telemetry>,
        certificates: &Arc<Certificates>,
    ) -> io::Result<Self> {
        let workers = 0..plan.runtime.workers;
        let connections: Vec<_> = workers.map(|it| telemetry.catalogue().worker(it)).collect();
        let (team, inboxes) = Team::new(connections.clone());
        let (stage, seen) = watch::channel(Stage::Serving);
        let (losing, lost) = watch::channel(0);
        let mut threads = Vec::with_capacity(inboxes.len());
        // The workers own the sockets: what they close at the drain is closed.
        let mut sockets: Vec<_> = bound
            .into_iter()
            .map(|bound| bound.sockets.into_iter())
            .collect();
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let work = Work {
                index,
                team: team.clone(),
                inbox,
                sockets: sockets.iter_mut().filter_map(Iterator::next).collect(),
                graph: Arc::clone(graph),
                telemetry: Arc::clone(telemetry),
                certificates: Arc::clone(certificates),
                stage: seen.clone(),
                losing: losing.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            threads.push(thread.spawn(move || work.run())?);
        }
        Ok(Self {
            threads,
            connections,
            team,
            stage,
            lost,
        })
    }

    /// The workers, to be asked what they carry.
    pub(super) fn team(&self) -> &Team {
        &self.team
    }

    /// Calls `tell` whenever a worker is lost. Ends with the last worker; cancel safe.
    pub(super) fn when_one_is_lost<F: Fn()>(&self, tell: F) -> impl Future<Output = ()> + use<F> {
        let mut lost = self.lost.clone();
        async move {
            while lost.changed().await.is_ok() {
                tell();
            }
        }
    }

    /// Lets the workers finish what they have; after `deadline` what is left is cut. Returns how many workers had
    /// something left.
    pub(super) async fn drain(self, deadline: Duration) -> u64 {
        let _ = self.stage.send(Stage::Draining);
        let until = Instant::now() + deadline;
        let is_over = || self.threads.iter().all(JoinHandle::is_finished);
        while !is_over() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let left: i64 = self.connections.iter().map(Gauge::get).sum();
        let _ = self.stage.send(Stage::Cutting);
        while !is_over() {
            tokio::time::sleep(Duration::from_millis(5)).await; // a second signal is still heard
        }
        for thread in self.threads {
            let _ = thread.join(); // a panic there has said so itself
        }
        u64::try_from(left).unwrap_or(0)
    }
}

/// What a thread takes along.
struct Work {
    index: usize,
    team: Team,
    inbox: Inbox,
    sockets: Vec<std::net::TcpListener>,
    graph: Arc<ArcSwap<Graph>>,
    telemetry: Arc<Telemetry>,
    certificates: Arc<Certificates>,
    stage: watch::Receiver<Stage>,
    losing: watch::Sender<usize>,
}

// === impl Work ===

impl Work {
    fn run(self) {
        let _watch = Watch(self.index, self.losing);
        let runtime = match Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
        {
            Ok(runtime) => runtime,
            Err(error) => {
                emit(Event::WorkerFailed {
                    worker: self.index,
                    why: error.to_string(),
                });
                return;
            }
        };
        self.telemetry
            .runtimes()
            .register(&format!("worker-{}", self.index), runtime.handle());
        runtime.block_on(async {
            let desk = self
                .telemetry
                .desk(u16::try_from(self.index).unwrap_or(u16::MAX));
            let worker = Worker::new(self.index, self.team, self.graph, &self.certificates, desk);
            let until = |stage: Stage| {
                let mut seen = self.stage.clone();
                async move {
                    // The sender lives as long as the process serves; should it be gone, that is the end too.
                    let _ = seen.wait_for(|now| *now >= stage).await;
                }
            };
            worker
                .run(
                    self.sockets,
                    self.inbox,
                    until(Stage::Draining),
                    until(Stage::Cutting),
                )
                .await;
        });
        // A name that is being looked up can neither be cancelled nor waited for.
        runtime.shutdown_background();
    }
}

/// Says it when a worker panics: a bug, which takes this worker's connections with it and nobody else's.
struct Watch(usize, watch::Sender<usize>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            emit(Event::WorkerPanicked { worker: self.0 });
            self.1.send_modify(|lost| *lost += 1);
        }
    }
}
