//! What the process does for itself, as lines and as traces.
//!
//! One `tracing` subscriber serves it all: lines on stderr, spans of our own work through tracing-opentelemetry into the
//! same queue as the spans of exchanges, and an ear for what a collector refuses. Exchanges have no part in it, but for one
//! that somebody [looks through](super::xray): a live span an exchange was measured and costs ten microseconds.
//!
//! Only [`own_span`] and x-ray open spans, each under one target, and only these reach the collector: the exporter's own
//! work (h2, hyper, tonic) can beget no spans, whatever it logs. What is [emitted](super::event::emit) inside such a span
//! becomes an event of it.

use std::io::{self, IsTerminal};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span as SdkSpan, SpanData, SpanProcessor};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing::{Instrument as _, Span, Subscriber, info_span};
use tracing_log::LogTracer;
use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::event::{Event, emit};
use super::happened::{Happened, HappenedLayer};
use super::otlp::{OTLP_TARGET, RejectedLayer};
use super::otlp_logs::{EventLayer, LogSink};
use super::trace::{Sink, scope};
use super::xray::{self, StepsLayer, Through};
use crate::config::{Address, Name};

/// What the process does for itself.
#[derive(Clone, Copy, Debug)]
pub enum OwnWork<'a> {
    /// It starts: from the plan to the ready line.
    Start,
    /// It takes up a new configuration.
    Reload,
    /// It ends: from the signal to the last connection.
    Drain,
    /// It asks an endpoint for its health.
    Probe {
        /// The upstream.
        upstream: &'a Name,
        /// The endpoint.
        endpoint: &'a Address,
    },
    /// It resolves the name of an upstream.
    Discover {
        /// The upstream.
        upstream: &'a Name,
    },
    /// It answers on the admin port.
    AdminCall {
        /// The method, as `http.request.method` has it.
        method: &'static str,
        /// The path pattern, one of ours.
        path: &'static str,
    },
}

/// Hands spans of our own work to the queue.
#[derive(Debug)]
struct IntoSink(Sink);

/// Puts another filter of what is told on stderr in force.
pub(super) type Refilter = Box<dyn Fn(Targets) + Send + Sync>;

/// The most events of a span: an x-ray of a large answer over HTTP/2 has hundreds, where the SDK would keep 128.
const MOST_EVENTS: u32 = 2048;

/// The variable that says what is told on stderr: `target=level,…`.
pub const VARIABLE: &str = "SIGHTGLASS_LOG";

/// A span for a piece of our own work; whoever does it enters it; what waits is done [`around`] one.
#[must_use]
pub fn own_span(work: OwnWork<'_>) -> Span {
    match work {
        OwnWork::Start => info_span!(target: "sightglass::own", "start"),
        OwnWork::Reload => info_span!(target: "sightglass::own", "reload"),
        OwnWork::Drain => info_span!(target: "sightglass::own", "drain"),
        OwnWork::Probe { upstream, endpoint } => info_span!(
            target: "sightglass::own",
            "probe",
            otel.kind = "client",
            sightglass.upstream = upstream.as_str(),
            sightglass.endpoint = %endpoint,
        ),
        OwnWork::Discover { upstream } => info_span!(
            target: "sightglass::own",
            "discover",
            sightglass.upstream = upstream.as_str(),
        ),
        OwnWork::AdminCall { method, path } => info_span!(
            target: "sightglass::own",
            "admin",
            otel.name = format_args!("{method} {path}"),
            otel.kind = "server",
            http.request.method = method,
            http.route = path,
        ),
    }
}

/// Does a piece of our own work that waits, in a span of its own.
pub fn around<F: Future>(work: OwnWork<'_>, doing: F) -> impl Future<Output = F::Output> + use<F> {
    doing.instrument(own_span(work))
}

/// Makes the process tell what it does: on stderr, and to the collector where there is one. `directives` are those of
/// [`VARIABLE`]; what cannot be read of them is said and set aside. The answer is what stderr is told, and what puts
/// something else in force.
///
/// # Errors
///
/// When the process has a subscriber already.
pub(super) fn install(
    directives: Option<&str>,
    sink: Option<Sink>,
    logs: Option<LogSink>,
    happened: Happened,
) -> Result<(Targets, Refilter), SetGlobalDefaultError> {
    let (told, is_understood) = match directives.map(str::parse::<Targets>) {
        None => (standard(), true),
        Some(Ok(asked)) => (with(standard(), asked), true),
        Some(Err(_)) => (standard(), false),
    };
    let is_terminal = io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(io::stderr).with_target(false);
    let lines = if is_terminal {
        lines.boxed()
    } else {
        lines.with_ansi(false).compact().boxed()
    };
    let (filter, handle) = reload::Layer::new(told.clone());
    let all = Registry::default()
        .with(lines.with_filter(filter))
        .with(sink.map(own_layer))
        .with(logs.map(event_layer))
        .with(happened_layer(happened))
        .with(steps_layer())
        .with(rejected_layer());
    tracing::subscriber::set_global_default(all)?;
    // rustls speaks through `log`: heard by an x-ray, and until there is one told to be silent. Where the process has a
    // logger already, it is not heard.
    let _ = log::set_boxed_logger(Box::new(LogTracer::new()));
    log::set_max_level(log::LevelFilter::Off);
    if !is_understood {
        let why = "is no list of target=level";
        emit(Event::VariableIgnored {
            variable: VARIABLE,
            why,
        });
    }
    let refilter: Refilter = Box::new(move |filter| {
        let _turn = xray::turn_of_levels();
        let _ = handle.reload(filter); // it fails only where the subscriber is gone
    });
    Ok((told, refilter))
}

/// What is told on stderr unless somebody asks for something else. A failed export is not among it: the exporter logs
/// each try, [`Event::ExportFailing`] says it once.
fn standard() -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("sightglass", LevelFilter::INFO)
        .with_target("sightglass::ready", LevelFilter::OFF)
        .with_target(OTLP_TARGET, LevelFilter::ERROR)
        .with_target("h2", LevelFilter::OFF)
        .with_target("hyper", LevelFilter::OFF)
        // Heard only while somebody looks through an exchange, and then by that look alone.
        .with_target("rustls", LevelFilter::OFF)
        .with_target("tokio_rustls", LevelFilter::OFF)
        .with_target("tonic", LevelFilter::OFF)
        .with_target("tower", LevelFilter::OFF)
}

fn with(standard: Targets, asked: Targets) -> Targets {
    let default = asked.default_level();
    let targets = standard.with_targets(asked);
    match default {
        Some(level) => targets.with_default(level),
        None => targets,
    }
}

/// Makes spans of our own work and of x-rays, and of what is said in them, and nothing else.
pub(super) fn own_layer<S>(sink: Sink) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let provider = SdkTracerProvider::builder()
        .with_max_events_per_span(MOST_EVENTS)
        .with_span_processor(IntoSink(sink))
        .build();
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer_with_scope(scope()))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(
            Targets::new()
                .with_target("sightglass", LevelFilter::INFO)
                .or(Through),
        )
}

/// Tells whoever looks through an exchange.
pub(super) fn steps_layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    StepsLayer.with_filter(Through)
}

/// Hands what is emitted to the collector of logs.
fn event_layer<S>(sink: LogSink) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    EventLayer::new(sink).with_filter(Targets::new().with_target("sightglass", LevelFilter::INFO))
}

/// Remembers what was emitted of late.
fn happened_layer<S>(happened: Happened) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    HappenedLayer(happened).with_filter(Targets::new().with_target("sightglass", LevelFilter::INFO))
}

/// Hears what a collector refuses.
fn rejected_layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    RejectedLayer.with_filter(Targets::new().with_target(OTLP_TARGET, LevelFilter::WARN))
}

// === impl IntoSink ===

impl SpanProcessor for IntoSink {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.take_own(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry::trace::{SpanKind, Status};

    use super::*;
    use crate::telemetry::ledger::{Ledger, Signal};
    use crate::telemetry::otlp::Batch;

    #[test]
    fn own_work_becomes_spans_in_the_queue_of_all() {
        let ledger = Arc::new(Ledger::default());
        let sink = Sink::new(Batch::default(), Arc::clone(&ledger));
        let all = Registry::default().with(own_layer(sink.clone()));
        tracing::subscriber::with_default(all, || {
            let start = own_span(OwnWork::Start).entered();
            own_span(OwnWork::AdminCall {
                method: "POST",
                path: "/api/v1/reload",
            })
            .in_scope(|| {
                emit(Event::ReloadFailed {
                    why: "no such file".to_owned(),
                });
            });
            tracing::info_span!(target: "h2", "not ours").in_scope(|| {});
            drop(start);
        });
        let spans = sink.drain_own();
        let [call, start] = &spans[..] else {
            panic!("{spans:?}");
        };
        assert_eq!(
            (&*start.name, &start.span_kind),
            ("start", &SpanKind::Internal)
        );
        assert_eq!(
            (&*call.name, &call.span_kind),
            ("POST /api/v1/reload", &SpanKind::Server)
        );
        assert_eq!(call.parent_span_id, start.span_context.span_id());
        assert_eq!(call.instrumentation_scope, scope());
        let pairs: Vec<_> = call
            .attributes
            .iter()
            .map(|pair| pair.key.as_str())
            .collect();
        assert_eq!(pairs, ["http.request.method", "http.route"]);
        assert_eq!(call.events.len(), 1);
        assert_ne!(call.status, Status::Unset, "an error in it is its error");
        assert_eq!(ledger.snapshot()[Signal::Spans as usize].created, 2);
    }

    #[test]
    fn directives_add_to_what_is_told() {
        let asked = "h2=debug,trace".parse().expect("directives");
        let told = with(standard(), asked);
        assert!(told.would_enable("h2", &tracing::Level::DEBUG));
        assert!(!told.would_enable("hyper", &tracing::Level::ERROR));
        assert!(told.would_enable("elsewhere", &tracing::Level::TRACE));
        assert!(told.would_enable("sightglass", &tracing::Level::INFO));
        assert!(!standard().would_enable("opentelemetry-otlp", &tracing::Level::WARN));
        assert!(standard().would_enable("opentelemetry_sdk", &tracing::Level::WARN));
    }
}
