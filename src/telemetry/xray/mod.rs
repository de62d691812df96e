//! X-ray: one exchange that somebody looks through while it runs.
//!
//! It runs inside a live span, and what the layers, h2, rustls (and hyper, where it was built for that) say at any level
//! inside that span is told twice: as events of the span, through tracing-opentelemetry, in the trace of the exchange; and
//! as [`Step`]s, for whoever asked. Every other exchange is seen by its record alone: a live span costs ten microseconds.
//!
//! While nobody looks, the filters here want nothing, `tracing` has cached that at each call site, and a `trace!` is one
//! relaxed load; so is a line of a crate that speaks through `log`. While somebody does, each such line of every exchange
//! asks the filter whether it is inside the span: that is some microseconds a request, for as long as it lasts, and why
//! only two may look at once.
//!
//! What is told may be a word of the client or the upstream; no body, cookie, credential or query is among it as far as
//! our own lines go, and nobody reads it who may not read the admin port or the collector.

mod filter;
mod steps;

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::trace::TraceContextExt as _;
use tracing::{Instrument as _, Span, callsite, trace_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan as _;

use crate::exchange::{KnownMethod, RANDOM, SAMPLED, SpanId, SpanRef, TraceId};

pub(super) use filter::Through;
pub(super) use steps::StepsLayer;
pub use steps::{Step, Steps};

/// How many may look at once.
const MOST: usize = 2;

/// How many look. As global as the subscriber that it belongs to.
static LOOKING: Mutex<usize> = Mutex::new(0);

/// A look through one exchange. Dropping it ends it.
#[derive(Debug)]
pub struct Xray {
    span: Span,
    place: SpanRef,
    steps: Arc<Steps>,
    _looking: Looking,
}

/// What carries an exchange's span into the tasks that work for it. Mostly there is none, and then this is nothing.
#[derive(Clone, Debug)]
pub struct Beam(Span);

/// One who looks.
#[derive(Debug)]
struct Looking;

// === impl Xray ===

impl Xray {
    /// Begins to look through an exchange of this method; `None` where as many look as may.
    #[must_use]
    pub fn begin(method: KnownMethod) -> Option<Self> {
        let looking = Looking::begin()?;
        let name = match method {
            KnownMethod::Other => "HTTP",
            known => known.as_str(),
        };
        let method = method.as_str();
        let span = trace_span!(
            target: filter::TARGET,
            parent: None,
            "xray",
            otel.name = format_args!("xray {name}"),
            http.request.method = method,
        );
        let steps = Arc::<Steps>::default();
        span.with_subscriber(|(id, subscriber)| {
            let registry = subscriber.downcast_ref::<Registry>();
            if let Some(it) = registry.and_then(|it| it.span(id)) {
                it.extensions_mut().insert(Arc::clone(&steps));
            }
        });
        let place = place_of(&span);
        Some(Self {
            span,
            place,
            steps,
            _looking: looking,
        })
    }

    /// The span: the parent of the exchange that is looked through.
    #[must_use]
    pub fn place(&self) -> SpanRef {
        self.place
    }

    /// What carries it to where the exchange runs.
    #[must_use]
    pub fn beam(&self) -> Beam {
        Beam(self.span.clone())
    }

    /// What was told until now.
    #[must_use]
    pub fn steps(&self) -> &Steps {
        &self.steps
    }
}

/// The span's place in a trace. Without a collector nobody has given it one, and it is made up here.
fn place_of(span: &Span) -> SpanRef {
    let context = span.context();
    let known = context.span().span_context().clone();
    if known.is_valid() {
        SpanRef {
            trace_id: TraceId(known.trace_id().to_bytes()),
            span_id: SpanId(known.span_id().to_bytes()),
            flags: SAMPLED | RANDOM,
        }
    } else {
        SpanRef {
            trace_id: TraceId::random(),
            span_id: SpanId::random(),
            flags: SAMPLED | RANDOM,
        }
    }
}

// === impl Beam ===

impl Beam {
    /// The one that this task is under.
    #[must_use]
    pub fn here() -> Self {
        if filter::is_looking() {
            Self(Span::current())
        } else {
            Self(Span::none())
        }
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.0.is_disabled()
    }

    /// Takes it along wherever this runs.
    pub fn carry<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.instrument(self.0.clone())
    }
}

// === impl Looking ===

impl Looking {
    fn begin() -> Option<Self> {
        let mut looking = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
        if *looking == MOST {
            return None;
        }
        *looking += 1;
        if *looking == 1 {
            turn(true);
        }
        Some(Self)
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        let mut looking = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
        *looking -= 1;
        if *looking == 0 {
            turn(false);
        }
    }
}

/// Waits until nobody begins or ends a look: two who have the call sites ask anew at once may leave the level of one.
pub(super) fn turn_of_levels() -> impl Drop {
    LOOKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes every call site ask the filters anew.
fn turn(is_on: bool) {
    filter::turn(is_on);
    callsite::rebuild_interest_cache();
    log::set_max_level(if is_on {
        log::LevelFilter::Trace
    } else {
        log::LevelFilter::Off
    });
}

#[cfg(test)]
mod tests;
