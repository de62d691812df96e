//! The command line: what a person types, and what is said back.
//!
//! One of the two places where people see errors; the other is `proxy::respond`. Every error is one plain sentence on
//! stderr, and the exit code is 1.

mod clients;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use clients::{Endpoint, Tail, Top, Trace, Why, Xray};

use crate::app::{self, App, StartError};
use crate::config::{self, ArgumentError, LoadError, Question, QuestionError};
use crate::demo::{self, DemoError, DemoOptions};
use crate::explain;
use crate::generate;
use crate::telemetry::metrics_prediction as predict;
use crate::top::{self, TopError};

/// An observability-first reverse proxy: every request seen, for little more than a bare proxy costs.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Try it, with nothing else installed:
  sightglass demo

Put it in front of a service on port 3000, and look at http://127.0.0.1:9901/ :
  sightglass run --to 127.0.0.1:3000

The same, with every request as a trace in Jaeger:
  sightglass run --to 127.0.0.1:3000 --otlp http://127.0.0.1:4317

Grow from there: print the file that says the same, check it, run it:
  sightglass run --to 127.0.0.1:3000 --print-config > sightglass.yaml
  sightglass check sightglass.yaml
  sightglass run --config sightglass.yaml";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy, from a file or in front of a single service
    Run(Run),
    /// Check a configuration: every problem at once, with its place and a hint
    ///
    /// Prints each problem as FILE:LINE:COLUMN: KEY: what is wrong (a hint). Opens no port. Exits with 0 where the file
    /// can be run, warnings or not, and with 1 where it cannot.
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Say what would become of a request: which listener, route, limits, rewrite and upstream, and why each other route lost
    ///
    /// Runs the request through the layers that serve traffic, up to where an endpoint would be picked: no port is opened
    /// and nothing is sent. Exits with 0 where a route serves it, and with 1 where it is refused or redirected.
    Explain(Explain),
    /// Show one recorded exchange: its waterfall and what was decided
    ///
    /// Asks the admin port of a running proxy, or reads a file that its flight recorder has written.
    Trace(Trace),
    /// Send one request through a running proxy, and see what every layer did with it
    ///
    /// It is a request like any other, with you as its client: routed, limited and counted. Asks the admin port, which
    /// lets it in at a listener; prints the steps of each layer, of h2 and of rustls, then the waterfall and the decisions.
    Xray(Xray),
    /// See the whole proxy in the terminal: what is wrong, routes, upstreams, endpoints, what is in flight
    ///
    /// A round a second, with htop's keys; F1 tells them.
    Top(Top),
    /// Watch exchanges as they finish, all or those that match
    ///
    /// A line each: time (UTC), status, duration, what was asked, route and endpoint, outcome where it is not served, and
    /// the trace id for `sightglass trace`. Ctrl-C ends it.
    Tail(Tail),
    /// Find what sets the failing exchanges apart: one endpoint, one client network, new connections, …
    ///
    /// Compares the exchanges that match with the others of the same minutes, over the facts of each: the most telling
    /// first, with its share in both groups; nothing where nothing does.
    Why(Why),
    /// Take an endpoint out of a running proxy for a while, or put it back
    ///
    /// It gets no new attempts, what runs there ends by itself, and it comes back when the time is up. Refused where no
    /// other endpoint of the upstream would be left.
    Endpoint(Endpoint),
    /// Print what other software needs to fit a configuration
    #[command(subcommand)]
    Generate(Generate),
    /// Print the JSON Schema of the configuration, for editors: keys, what they mean, what fits them
    Schema,
    /// See it work: small services with real faults, a load, the proxy, the dashboard
    Demo(Demo),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["config", "to"]))]
struct Run {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The service to stand in front of: host:port, or a port of this machine; more than one to balance among them
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    to: Vec<String>,
    /// Where clients come in
    #[arg(
        long,
        value_name = "ADDRESS",
        conflicts_with = "config",
        default_value = "127.0.0.1:8080"
    )]
    listen: String,
    /// The side port: metrics, health, dashboard
    #[arg(
        long,
        value_name = "ADDRESS",
        conflicts_with = "config",
        default_value = "127.0.0.1:9901"
    )]
    admin: String,
    /// The OpenTelemetry collector that gets a trace of every request, such as Jaeger: http://127.0.0.1:4317
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    otlp: Option<String>,
    /// Print the file that says the same, and run nothing
    #[arg(long, conflicts_with = "config")]
    print_config: bool,
}

#[derive(Debug, Args)]
struct Demo {
    /// Send the traces to this OpenTelemetry collector, such as Jaeger: http://127.0.0.1:4317
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Practise on one thing that goes wrong and stays so
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(demo::INCIDENTS))]
    incident: Option<String>,
    /// When the incident begins, in seconds after the start
    #[arg(long, value_name = "SECONDS", default_value_t = 20, requires = "incident", value_parser = clap::value_parser!(u64).range(..=3600))]
    incident_after: u64,
    /// Requests a second (default: 40, with an incident 120)
    #[arg(long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: Option<u32>,
    /// End by itself after so many seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

#[derive(Debug, Args)]
struct Explain {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The method, such as GET
    #[arg(value_name = "METHOD")]
    method: String,
    /// The URL, such as https://shop.test/cart?id=7
    #[arg(value_name = "URL")]
    url: String,
    /// A header field, 'name: value'; as often as there are fields
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// Who connects (default: a stranger, 192.0.2.1, whom access rules are not asked about)
    #[arg(long, value_name = "ADDRESS")]
    client: Option<String>,
    /// The listener (default: the one with the URL's port, else the first for its scheme)
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Generate {
    /// A dashboard for Grafana: these routes, upstreams and objectives by name
    Grafana {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Recording and alerting rules for Prometheus: objectives, and the proxy itself
    Rules {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error(transparent)]
    Top(#[from] TopError),
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

// === impl CliError ===

impl CliError {
    /// Whether nobody reads the output any more.
    fn is_reader_gone(&self) -> bool {
        let (Self::Write(error) | Self::Top(TopError::Write(error))) = self else {
            return false;
        };
        error.kind() == io::ErrorKind::BrokenPipe
    }
}

// === impl Cli ===

impl Cli {
    /// Does what was asked; the answer is the exit code.
    #[must_use]
    pub fn run(self) -> u8 {
        let done = match self.command {
            Command::Run(run) => run.run(),
            Command::Check { file } => return check(&file),
            Command::Explain(explain) => match explain.run() {
                Ok(is_served) => return u8::from(!is_served),
                Err(error) => Err(error),
            },
            Command::Trace(trace) => top::trace(&trace.options()).map_err(CliError::from),
            Command::Xray(xray) => top::xray(&xray.options()).map_err(CliError::from),
            Command::Top(top) => top::screen(top.options()).map_err(CliError::from),
            Command::Tail(tail) => top::tail(&tail.options()).map_err(CliError::from),
            Command::Why(why) => top::why(&why.options()).map_err(CliError::from),
            Command::Endpoint(it) => top::endpoint(&it.options()).map_err(CliError::from),
            Command::Generate(generate) => generate.run(),
            Command::Schema => print_schema(),
            Command::Demo(demo) => demo::run(demo.options()).map_err(CliError::from),
        };
        match done {
            Ok(()) => 0,
            Err(error) if error.is_reader_gone() => 0, // `sightglass trace ID | head` has seen enough
            Err(error) => {
                say(&error);
                1
            }
        }
    }
}

fn print_schema() -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    Ok(writeln!(out, "{:#}", config::schema())?)
}

// === impl Run ===

impl Run {
    fn run(self) -> Result<(), CliError> {
        let app = match self.config {
            Some(file) => {
                let loaded = app::load(&file)?;
                for warning in &loaded.warnings {
                    let _ = writeln!(io::stderr(), "{warning}");
                }
                App {
                    plan: loaded.plan,
                    file: Some(file),
                }
            }
            None => {
                let (plan, text) = config::from_arguments(
                    &self.to,
                    Some(&self.listen),
                    Some(&self.admin),
                    self.otlp.as_deref(),
                )?;
                if self.print_config {
                    return Ok(io::stdout().lock().write_all(text.as_bytes())?);
                }
                App { plan, file: None }
            }
        };
        Ok(app::run(app)?)
    }
}

// === impl Explain ===

impl Explain {
    /// Says whether a route serves it.
    fn run(self) -> Result<bool, CliError> {
        // Read by the configuration alone: certificates need not be where the question is asked.
        let plan = config::load(&self.config)?.plan;
        let client = self.client.as_deref();
        let mut question = Question::read(&self.method, &self.url, &self.headers, client)?;
        question.listener = self.listener;
        let explained = explain::explain(&plan, &question)?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{:#}", explained.json())?;
        } else {
            let is_coloured = config::wants_colours(&out);
            out.write_all(explain::draw(&explained, is_coloured).as_bytes())?;
        }
        Ok(explained.is_served())
    }
}

// === impl Generate ===

impl Generate {
    fn run(self) -> Result<(), CliError> {
        let text = match self {
            Self::Grafana { config } => generate::grafana::dashboard(&config::load(&config)?.plan),
            Self::Rules { config } => {
                // Read by the configuration alone: certificates need not be where the rules are made.
                let plan = config::load(&config)?.plan;
                let name = config.file_name().unwrap_or_default();
                generate::rules::rules(&plan, &name.to_string_lossy())
            }
        };
        Ok(io::stdout().lock().write_all(text.as_bytes())?)
    }
}

// === impl Demo ===

impl Demo {
    fn options(self) -> DemoOptions {
        let incident = self.incident.as_deref().and_then(demo::Incident::named);
        let usual = if incident.is_some() { 120 } else { 40 };
        DemoOptions {
            otlp: self.otlp,
            incident,
            incident_after: Duration::from_secs(self.incident_after),
            requests_per_second: self.rate.unwrap_or(usual),
            duration: self.seconds.map(Duration::from_secs),
        }
    }
}

fn check(file: &std::path::Path) -> u8 {
    let (report, code) = match app::load(file) {
        Ok(loaded) => {
            let mut report = String::new();
            for warning in &loaded.warnings {
                report.push_str(&format!("{warning}\n"));
            }
            let plan = &loaded.plan;
            let predicted = predict::series(plan);
            report.push_str(&format!("metrics: {predicted}\n"));
            if predicted.total > predict::MANY {
                report.push_str(&format!(
                    "warning: more than {} series are many for one process (fewer labels, a smaller max_values or max_series)\n",
                    predict::MANY
                ));
            }
            report.push_str(&format!(
                "{}: fine ({} listeners, {} routes, {} upstreams)\n",
                file.display(),
                plan.listeners.len(),
                plan.routes.len(),
                plan.upstreams.len(),
            ));
            (report, 0)
        }
        Err(LoadError::Problems(problems)) => {
            let errors = problems.errors();
            let plural = if errors == 1 { "" } else { "s" };
            (
                format!("{problems}\n{}: {errors} error{plural}\n", file.display()),
                1,
            )
        }
        Err(error) => {
            say(&error);
            return 1;
        }
    };
    match io::stdout().lock().write_all(report.as_bytes()) {
        Ok(()) => code,
        Err(error) => {
            say(&CliError::from(error));
            1
        }
    }
}

fn say(error: &dyn std::error::Error) {
    // Where stderr is gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "sightglass: {error}");
}
