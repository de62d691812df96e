//! The whole thing with nothing else installed: `sightglass demo`.
//!
//! ```text
//! load, visits          the proxy: this very program           services, answers
//! a gentle crowd  --->  run --config FILE, a child      --->   checkout (two endpoints), search, inventory
//! of clients            child, configuration                   script: when which of them is in trouble
//! ```
//!
//! Owns the services, the crowd and their timing, a private directory and the life of the child. Refuses to know the
//! proxy: it is started as a user would start it, from a file, and all that is known of it is its ready line. So the demo
//! shows what a user will get, and a fault of the proxy cannot hide in it. The rejected way, the proxy as threads of this
//! process, would have shown figures of one process that is proxy, clients and services at once.
//!
//! What happens when is a `Script`, pure data made from a seed: a viewer who looks for half a minute sees a slow
//! endpoint, failures and refusals, and a test can say when.

mod answers;
mod certificate;
mod child;
mod configuration;
mod hello;
mod incident;
mod load;
mod place;
mod read_through;
mod script;
mod services;
mod signals;
mod visits;

use std::future::pending;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{interval, sleep, timeout};

use crate::config::{ArgumentError, wants_colours};

use child::Child;
use configuration::Wiring;
use hello::Hello;
use load::Load;
use place::Place;
use script::Script;
use services::Services;
use signals::Signals;

pub use child::ChildError;
pub use incident::{INCIDENTS, Incident};

/// How the demo is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoOptions {
    /// The collector that spans go to, `http://host:port` (default none: then what `OTEL_EXPORTER_OTLP_ENDPOINT` says,
    /// which the proxy inherits).
    pub otlp: Option<String>,
    /// How many requests a second the crowd sends, on average (default 40; 0 sends none, more than 5,000 are not sent).
    pub requests_per_second: u32,
    /// When it ends by itself (default: when it is told to).
    pub duration: Option<Duration>,
    /// One thing that goes wrong and stays so, to practise on (default: what goes wrong in a shop, and comes and goes).
    pub incident: Option<Incident>,
    /// When it begins (default: after 20 s).
    pub incident_after: Duration,
}

/// Why the demo does not run, or no longer does.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The collector's URL is none.
    #[error(transparent)]
    Otlp(ArgumentError),
    /// The process gives no threads, timers or signals.
    #[error("the demo cannot start: {0}")]
    Start(#[source] io::Error),
    /// The directory for the configuration and the log.
    #[error("{}: cannot write there: {cause}", path.display())]
    Place {
        /// The directory, or the file in it.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A service or the proxy needs a port.
    #[error("no free port on 127.0.0.1: {0}")]
    Port(#[source] io::Error),
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] ChildError),
    /// Nobody can be told what to open.
    #[error("cannot write to the standard output: {0}")]
    Hello(#[source] io::Error),
}

/// How long the proxy may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How long the crowd may finish what it has begun.
const LAST_ANSWERS: Duration = Duration::from_millis(250);
/// How long the proxy may drain before it is killed; longer than the deadline in its file.
const DRAIN_WITHIN: Duration = Duration::from_millis(1500);
/// How often the size of the log is looked at.
const LOG_LOOK: Duration = Duration::from_secs(10);
/// The same in every run, so that what one person saw another can see.
const SEED: u64 = 20_260_101;

// === impl DemoOptions ===

impl Default for DemoOptions {
    fn default() -> Self {
        Self {
            otlp: None,
            requests_per_second: 40,
            duration: None,
            incident: None,
            incident_after: Duration::from_secs(20),
        }
    }
}

/// Runs the demo until SIGINT, SIGTERM or SIGHUP, or until its time is up. Blocks; owns its runtime, one thread.
///
/// Nothing of it is left then, whichever way it ended: not the proxy, and not its directory.
///
/// # Errors
/// What could not be started, or that the proxy has ended by itself.
pub fn run(options: DemoOptions) -> Result<(), DemoError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DemoError::Start)?;
    runtime.block_on(Box::pin(show(options)))
}

/// The demo from start to end. Whatever it starts is ended by the drop of its owner, in the reverse order of the lines.
async fn show(options: DemoOptions) -> Result<(), DemoError> {
    let mut signals = Signals::listen().map_err(DemoError::Start)?;
    let otlp = options.otlp.as_deref().map(configuration::collector);
    let otlp = otlp.transpose().map_err(DemoError::Otlp)?;
    let program = std::env::current_exe().map_err(DemoError::Start)?;

    let script = match options.incident {
        Some(incident) => incident.script(SEED, options.incident_after),
        None => Script::everyday(SEED),
    };
    let place = Place::create()?;
    let services = Services::start(&script).map_err(DemoError::Port)?;
    let wiring = Wiring {
        public: place::free_address(8080).map_err(DemoError::Port)?,
        admin: place::free_address(9901).map_err(DemoError::Port)?,
        services: services.addresses(),
        otlp,
        access_log: place.access_log(),
        requests_per_second: options.requests_per_second,
        incident: options.incident,
        authorities: place.authorities(),
    };
    place.write_authorities(services.authorities())?;
    let file = place.write_configuration(&wiring.file())?;

    let arguments = ["run".as_ref(), "--config".as_ref(), file.as_os_str()];
    let mut child = Child::spawn(&program, &arguments)?;
    let ready = tokio::select! {
        ready = timeout(READY_WITHIN, child.ready()) => ready.map_err(|_| ChildError::Late(READY_WITHIN))??,
        () = signals.next() => return Ok(()),
    };

    let hello = Hello {
        ready: &ready,
        access_log: &place.access_log(),
        otlp: wiring.otlp.as_deref(),
        otlp_variable: hello::otlp_variable(),
        requests_per_second: options.requests_per_second,
        incident: options.incident.map(|it| (it, options.incident_after)),
    };
    let is_terminal = wants_colours(&io::stdout());
    hello
        .write(&mut io::stdout().lock(), is_terminal)
        .map_err(DemoError::Hello)?;

    let load = Load::start(ready.public, options.requests_per_second, &script);
    tokio::select! {
        () = signals.next() => {}
        () = time_up(options.duration) => {}
        ended = child.ended() => return Err(ended.into()),
        () = keep_log_small(&place) => {}
    }

    let leaving = async {
        load.stop(LAST_ANSWERS).await;
        child.stop(DRAIN_WITHIN).await;
    };
    // A second signal does not wait: the drop of the child kills it.
    tokio::select! {
        () = leaving => {}
        () = signals.next() => {}
    }
    if let Some(incident) = options.incident {
        // Who has gone by now does not want to know.
        let _ = writeln!(
            io::stdout(),
            "\n  {} was: {}.",
            incident.name(),
            incident.cause()
        );
    }
    Ok(())
}

/// Waits for the end that was asked for; for ever where none was.
async fn time_up(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => pending().await,
    }
}

/// A demo left running over night does not fill the disk.
async fn keep_log_small(place: &Place) {
    let mut looks = interval(LOG_LOOK);
    loop {
        looks.tick().await;
        place.keep_log_small();
    }
}
