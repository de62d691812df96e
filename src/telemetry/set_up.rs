//! Telemetry as a whole: what there is of it, how it starts, and how it ends.

use std::io;
use std::rc::Rc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::subscriber::SetGlobalDefaultError;

use super::desk::Desk;
use super::happened::Happened;
use super::ledger::Ledger;
use super::live_figures::LiveFigures;
use super::log::{AccessLog, LogError, Reopen};
use super::log_levels::LogLevels;
use super::metrics::push::{self, PushError, Pusher};
use super::metrics::{Catalogue, Runtimes, Scraper, SetUpError as MetricsError};
use super::otlp_logs::{self, LogExporter, LogSink};
use super::own_work;
use super::reader::{Letter, ReadRecords, Reader};
use super::recorder::Recorder;
use super::slo::{Burning, OnBurn, Slos};
use super::tail::Tail;
use super::trace::export::{self, ExportError, Exporter};
use super::trace::pace::WatchPaces;
use super::trace::{Environment, Intake, Sink, Traces};
use super::verdict::Verdict;
use crate::config::{LogOutput, Plan};

/// What telemetry starts from.
#[derive(Debug)]
pub struct SetUp<'a> {
    /// What was asked for.
    pub plan: &'a Arc<Plan>,
    /// Where spans are exported.
    pub control: &'a Handle,
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The access log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The export of spans.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The push of metrics.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The process tells already what it does.
    #[error("cannot set up logging: {0}")]
    Own(#[from] SetGlobalDefaultError),
    /// The thread of the readers.
    #[error("cannot start the telemetry thread: {0}")]
    Thread(#[from] io::Error),
}

/// Telemetry, running.
pub struct Telemetry {
    catalogue: Arc<Catalogue>,
    runtimes: Arc<Runtimes>,
    scraper: Arc<Scraper>,
    ledger: Arc<Ledger>,
    recorder: Arc<Recorder>,
    figures: LiveFigures,
    verdict: Verdict,
    tail: Tail,
    happened: Happened,
    slos: Slos,
    traces: Traces,
    reopen: Option<Reopen>,
    log_levels: Arc<LogLevels>,
    outlet: SyncSender<Letter>,
    /// `None` once it has ended.
    running: Mutex<Option<Running>>,
}

/// What has to be ended.
struct Running {
    reader: Reader,
    exporter: Option<Exporter>,
    log_exporter: Option<LogExporter>,
    pusher: Option<Pusher>,
    upkeep: JoinHandle<()>,
}

/// What goes to collectors, and what is told on stderr.
struct Exports {
    sink: Option<Sink>,
    log_sink: Option<LogSink>,
    exporter: Option<Exporter>,
    log_exporter: Option<LogExporter>,
    pusher: Option<Pusher>,
    log_levels: Arc<LogLevels>,
    happened: Happened,
}

/// How often the metrics' exporter is given its turn.
const UPKEEP: Duration = Duration::from_secs(5);

// === impl Telemetry ===

impl Telemetry {
    /// Starts all of it.
    ///
    /// # Errors
    /// Where the access log's file cannot be opened, the collector's address cannot be used, or the process has such
    /// things already.
    pub fn start(set_up: SetUp<'_>) -> Result<Self, SetUpError> {
        let SetUp { plan, control } = set_up;
        let telemetry = &plan.telemetry;
        let environment = Arc::new(Environment::of_process());
        let ledger = Arc::new(Ledger::default());
        let catalogue = Catalogue::of(&telemetry.metrics);
        let runtimes = Arc::new(Runtimes::default());
        runtimes.register("control", control);
        let scraper = Arc::new(Scraper::install(&catalogue, &runtimes, &telemetry.metrics)?);
        super::event::describe();

        let traces = Traces::new(&telemetry.traces, &environment);
        let Exports {
            sink,
            log_sink,
            exporter,
            log_exporter,
            pusher,
            log_levels,
            happened,
        } = Exports::start(plan, control, &environment, (&ledger, &scraper))?;

        let recorder = Recorder::new(&telemetry.recorder);
        let figures = LiveFigures::default();
        let verdict = Verdict::default();
        let tail = Tail::default();
        let log = match telemetry.access_log.output {
            LogOutput::Off => None,
            _ => Some(AccessLog::open(&telemetry.access_log, &ledger)?),
        };
        let reopen = log.as_ref().map(AccessLog::reopen);
        let slos = Slos::new(&catalogue, dump_at_burn(&recorder));
        let mut readers: Vec<Box<dyn ReadRecords>> = vec![
            Box::new(figures.clone()),
            Box::new(slos.clone()),
            Box::new(verdict.judge(&ledger, &catalogue, &plan.listeners)),
            Box::new(tail.clone()),
        ];
        if let Some(log) = log {
            readers.push(Box::new(log));
        }
        if let Some(sink) = sink {
            readers.push(Box::new(WatchPaces::new(traces.paces().clone())));
            let cap = telemetry.traces.max_per_second;
            readers.push(Box::new(Intake::new(sink, &environment, cap)));
        }
        if let Some(sink) = log_sink {
            readers.push(Box::new(sink));
        }
        let kept_up = Arc::clone(&scraper);
        let upkeep = async move {
            let mut turns = tokio::time::interval(UPKEEP);
            loop {
                turns.tick().await;
                kept_up.upkeep();
            }
        };
        let reader = Reader::start(readers, &recorder, &ledger, Duration::from_secs(5))?;
        Ok(Self {
            catalogue,
            runtimes,
            scraper,
            ledger,
            recorder,
            figures,
            verdict,
            tail,
            happened,
            slos,
            traces,
            reopen,
            log_levels,
            outlet: reader.outlet(),
            running: Mutex::new(Some(Running {
                reader,
                exporter,
                log_exporter,
                pusher,
                upkeep: control.spawn(upkeep),
            })),
        })
    }

    /// A worker's desk.
    #[must_use]
    pub fn desk(&self, worker: u16) -> Rc<Desk> {
        Rc::new(Desk::new(
            worker,
            &self.catalogue,
            &self.ledger,
            self.outlet.clone(),
        ))
    }

    /// What layers and drawers count on.
    #[must_use]
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// The runtimes that `/metrics` tells of.
    #[must_use]
    pub fn runtimes(&self) -> &Arc<Runtimes> {
        &self.runtimes
    }

    /// What makes `/metrics`.
    #[must_use]
    pub fn scraper(&self) -> &Arc<Scraper> {
        &self.scraper
    }

    /// The books.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The last exchanges.
    #[must_use]
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// What stderr tells.
    #[must_use]
    pub fn log_levels(&self) -> &Arc<LogLevels> {
        &self.log_levels
    }

    /// The live figures.
    #[must_use]
    pub fn figures(&self) -> &LiveFigures {
        &self.figures
    }

    /// What is wrong.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Who looks at exchanges as they finish.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// What happened of late.
    #[must_use]
    pub fn happened(&self) -> &Happened {
        &self.happened
    }

    /// The objectives.
    #[must_use]
    pub fn slos(&self) -> &Slos {
        &self.slos
    }

    /// What is said about traces.
    #[must_use]
    pub fn traces(&self) -> Traces {
        self.traces.clone()
    }

    /// Opens the access log's file anew, at once: whoever has moved it waits to see the new one.
    pub fn reopen_log(&self) {
        if let Some(reopen) = &self.reopen {
            reopen.reopen();
            if let Some(running) = &*self.running() {
                running.reader.nudge();
            }
        }
    }

    /// A configuration is in force. Call it after the graph was swapped.
    pub fn adopt(&self, plan: &Plan, generation: u32) {
        self.catalogue.adopt(plan, generation);
        self.slos.adopt(plan);
        self.verdict.adopt(plan, generation);
    }

    /// Lets the last records and spans out, within about `limit` each. Desks must have been flushed. Blocks; not on the
    /// control runtime. Only the first call does anything.
    pub fn end(&self, control: &Handle, limit: Duration) {
        let Some(running) = self.running().take() else {
            return;
        };
        let Running {
            reader,
            exporter,
            log_exporter,
            pusher,
            upkeep,
        } = running;
        upkeep.abort();
        reader.end();
        let (ended, end) = sync_channel(1);
        control.spawn(async move {
            let spans = async {
                if let Some(exporter) = exporter {
                    exporter.shutdown(limit).await;
                }
            };
            let logs = async {
                if let Some(exporter) = log_exporter {
                    exporter.shutdown(limit).await;
                }
            };
            tokio::join!(spans, logs);
            // The last: it tells what became of the others as well.
            if let Some(pusher) = pusher {
                pusher.shutdown(limit).await;
            }
            let _ = ended.send(()); // nobody waits any more: then the process ends anyway
        });
        let _ = end.recv_timeout(limit * 2);
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

// === impl Exports ===

impl Exports {
    fn start(
        plan: &Plan,
        control: &Handle,
        environment: &Arc<Environment>,
        (ledger, scraper): (&Arc<Ledger>, &Arc<Scraper>),
    ) -> Result<Self, SetUpError> {
        let telemetry = &plan.telemetry;
        let collector = environment.collector(&telemetry.traces);
        let log_collector = environment.log_collector(&telemetry.logs);
        let books = || Arc::clone(ledger);
        let sink = collector.as_ref();
        let sink = sink.map(|_| Sink::new(environment.batch(), books()));
        let log_sink = log_collector.as_ref();
        let log_sink = log_sink.map(|_| LogSink::new(environment.log_batch(), books()));
        let directives = std::env::var(own_work::VARIABLE).ok();
        let happened = Happened::default();
        let (told, refilter) = own_work::install(
            directives.as_deref(),
            sink.clone(),
            log_sink.clone(),
            happened.clone(),
        )?;
        for ignored in environment.ignored() {
            super::emit(super::Event::VariableIgnored {
                variable: ignored.variable,
                why: ignored.why,
            });
        }
        let resource = environment.resource(telemetry); // once: all signals come from one instance
        let spawn = |(sink, to): (&Sink, _)| export::spawn(control, sink.clone(), to, &resource);
        let spawn_logs =
            |(sink, to): (&LogSink, _)| otlp_logs::spawn(control, sink.clone(), to, &resource);
        let exporter = sink.as_ref().zip(collector.as_ref()).map(spawn);
        let log_exporter = log_sink
            .as_ref()
            .zip(log_collector.as_ref())
            .map(spawn_logs);
        let pusher = telemetry.metrics.push.as_ref().map(|push| {
            let collector = environment.metrics_collector(&push.otlp);
            let to = (&collector, push.interval);
            push::spawn(control, to, &resource, scraper, ledger)
        });
        Ok(Self {
            exporter: exporter.transpose()?,
            pusher: pusher.transpose()?,
            log_exporter: log_exporter.transpose()?,
            log_levels: LogLevels::new(told, refilter, control),
            happened,
            sink,
            log_sink,
        })
    }
}

/// What led to a fast burn is in the recorder when it begins, and will not be there for ever: it is written to a file.
pub(in crate::telemetry) fn dump_at_burn(recorder: &Arc<Recorder>) -> OnBurn {
    let recorder = Arc::clone(recorder);
    Box::new(move |burning: &Burning| {
        let Burning { route, slo, .. } = burning;
        recorder.dump(format!("the {slo} budget of {route} burns fast"));
    })
}
