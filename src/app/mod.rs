//! Wiring: everything is put together here, started in this order, and ended in the other.
//!
//! ```text
//! plan ─ certificates ─ sockets ─ control runtime ─ telemetry ─ graph ─ workers ─ admin ─ ready ─ … ─ drain ─ last records ─ last spans
//! ```
//!
//! Sockets come first, since a taken port is what goes wrong most; telemetry before anything that could say something.
//! At the end telemetry goes last, so that the records of the last exchange still reach their readers.

mod holds;
mod reload;
mod signals;
mod sources;
mod threads;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::admin;
use crate::config::{self, LoadError, Loaded, Plan, Problems, Severity};
use crate::graph::{self, Graph};
use crate::proxy::stack::FrontParts;
use crate::server::{self, BindError, Bound};
use crate::telemetry::metrics::Draw;
use crate::telemetry::own_work::{OwnWork, own_span};
use crate::telemetry::{self, Event, SetUp, SetUpError, Telemetry, emit};
use crate::tls::{self, Certificates, Found, Watch};

use self::reload::Reload;
use self::signals::{Signal, Signals};
use self::threads::Threads;

/// How long the last records and spans may take after the drain.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What is to be run.
#[derive(Debug)]
pub struct App {
    /// The configuration.
    pub plan: Plan,
    /// Its file, which SIGHUP reads anew; `None` where it came from arguments.
    pub file: Option<PathBuf>,
}

/// Why it cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error("{what}: {source}")]
    Bind {
        /// What was to be bound there.
        what: String,
        /// Why it cannot be.
        source: BindError,
    },
    /// The side port cannot be served.
    #[error("admin: {0}")]
    Admin(#[from] admin::StartError),
    /// Telemetry cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] SetUpError),
    /// A file for TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] Found),
    /// Certificates cannot be read any more.
    #[error("{0}")]
    Certificates(String),
    /// The system gives no threads or no descriptors.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Runs until it is told to stop, and drains.
///
/// # Errors
/// When it cannot start. Once it serves, nothing ends it but a signal.
pub fn run(app: App) -> Result<(), StartError> {
    let plan = Arc::new(app.plan);
    let certificates = read_certificates(&plan)?;
    let bound = bind_listeners(&plan)?;
    let listening = addresses(&plan, &bound);
    let mut admin_bound =
        server::bind(plan.admin.address, 1).map_err(|source| StartError::Bind {
            what: "admin".to_owned(),
            source,
        })?;

    // Admin, export, discovery and signals: off the workers, so that a scrape is never somebody's tail latency.
    let control = control_runtime()?;
    let mut signals = control.block_on(Signals::listen())?;
    let telemetry = Arc::new(Telemetry::start(SetUp {
        plan: &plan,
        control: control.handle(),
    })?);
    let starting = own_span(OwnWork::Start);

    let stop = Arc::new(Notify::new());
    let handle = control.handle();
    let (reload, threads, admin, drawn) = starting.in_scope(|| -> Result<_, StartError> {
        let front = FrontParts {
            pseudonym: pseudonym(),
            traces: telemetry.traces(),
        };
        let graph = Graph::build(Arc::clone(&plan), None, front, telemetry.catalogue())?;
        let graph = Arc::new(ArcSwap::from_pointee(graph));
        telemetry.adopt(&plan, 1);
        reload::tell_unverified(&plan);
        let drawn = drawn(&telemetry, &graph, &certificates);
        let threads = Threads::start(&plan, bound, &graph, &telemetry, &certificates)?;
        let team = threads.team();
        let reload = Reload::new(app.file, &graph, &telemetry, &certificates, team, &stop);
        let reload = Arc::new(reload);
        let control = Arc::clone(&reload) as Arc<dyn admin::Control>;
        let sources = sources::of(&telemetry, &graph, team, listening.clone(), control);
        let socket = admin_bound.sockets.swap_remove(0);
        let admin = admin::serve(handle, socket, &plan.admin, sources)?;
        emit(Event::Started {
            listeners: listening.clone(),
            admin: Some(admin.address()),
        });
        Ok((reload, threads, admin, drawn))
    })?;
    drop(starting);
    let readiness = admin.readiness().clone();
    control.spawn(threads.when_one_is_lost(move || readiness.lose_worker()));
    // The ready line: scripts wait for it, so it is written as it is, whatever the log level.
    let ready = ready_line(&listening, admin.address());
    writeln!(io::stderr(), "{ready}")?;

    let watch = Watch::start(control.handle(), Arc::clone(&certificates));
    let by = control.block_on(signals.until_stop(&stop, |signal| {
        if signal == Signal::Reload {
            let _ = reload.run(); // it has said so itself
        }
    }));

    let drain = plan.runtime.drain;
    own_span(OwnWork::Drain).in_scope(|| {
        emit(Event::Stopping {
            by,
            deadline: drain.deadline,
        });
        admin.readiness().drain();
        let cut = control.block_on(signals.unless_stopped_again(async {
            tokio::time::sleep(drain.delay).await;
            threads.drain(drain.deadline).await
        }));
        emit(Event::Drained { cut });
    });
    let (ending, handle) = (Arc::clone(&telemetry), control.handle().clone());
    control.block_on(signals.unless_stopped_again(async {
        // Where it fails it has panicked, and the process ends anyway.
        let _ = tokio::task::spawn_blocking(move || ending.end(&handle, LAST_WORDS)).await;
        admin.end().await;
    }));
    drop((drawn, watch));
    control.shutdown_timeout(Duration::from_millis(500));
    Ok(())
}

/// Reads a configuration and the files that it names.
///
/// # Errors
/// Why it cannot be run: everything that is wrong with it, or with the files.
pub fn load(file: &Path) -> Result<Loaded, LoadError> {
    let mut loaded = config::load(file)?;
    loaded.warnings.extend(tls::look_at_files(&loaded));
    loaded.warnings.extend(telemetry::look_at(&loaded));
    let warnings = &mut loaded.warnings;
    warnings.sort_by(|a, b| (a.line, a.column, &a.key).cmp(&(b.line, b.column, &b.key)));
    if warnings.iter().any(|it| it.severity == Severity::Error) {
        return Err(Problems(loaded.warnings).into());
    }
    Ok(loaded)
}

/// What is drawn at each scrape. The catalogue holds it weakly; it is drawn as long as the answer is kept.
fn drawn(
    telemetry: &Telemetry,
    graph: &Arc<ArcSwap<Graph>>,
    certificates: &Arc<Certificates>,
) -> Vec<Arc<dyn Draw>> {
    let drawn: Vec<Arc<dyn Draw>> = vec![
        graph::draw(graph),
        Arc::clone(telemetry.ledger()) as _,
        telemetry.slos().drawn(),
        Arc::clone(certificates) as _,
    ];
    drawn
        .iter()
        .for_each(|draw| telemetry.catalogue().draw_with(Arc::downgrade(draw)));
    drawn
}

/// Admin, export, discovery and signals run on it.
fn control_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
}

/// They were looked at when the plan was loaded, and are read once more to be served by.
fn read_certificates(plan: &Plan) -> Result<Arc<Certificates>, StartError> {
    Certificates::read(plan).map_err(|found| {
        let all = found
            .into_iter()
            .map(|it| format!("{}: {}", it.key, it.what));
        StartError::Certificates(all.collect::<Vec<_>>().join("; "))
    })
}

fn bind_listeners(plan: &Plan) -> Result<Vec<Bound>, StartError> {
    plan.listeners
        .iter()
        .map(|listener| {
            server::bind(listener.address, plan.runtime.workers).map_err(|source| {
                StartError::Bind {
                    what: format!("listener {}", listener.name),
                    source,
                }
            })
        })
        .collect()
}

/// The name by which this process knows itself in `Via`: told apart from every other one, so that a chain of proxies is
/// no loop.
fn pseudonym() -> Arc<str> {
    format!("sightglass-{:08x}", fastrand::u32(..)).into()
}

fn addresses(plan: &Plan, bound: &[Bound]) -> Vec<(crate::config::Name, SocketAddr)> {
    let names = plan.listeners.iter().map(|listener| listener.name.clone());
    names.zip(bound.iter().map(|bound| bound.address)).collect()
}

/// `sightglass ready: public=127.0.0.1:8080 admin=127.0.0.1:9901`
fn ready_line(listeners: &[(crate::config::Name, SocketAddr)], admin: SocketAddr) -> String {
    let mut line = String::from("sightglass ready:");
    for (name, address) in listeners {
        line.push_str(&format!(" {name}={address}"));
    }
    line.push_str(&format!(" admin={admin}"));
    line
}
