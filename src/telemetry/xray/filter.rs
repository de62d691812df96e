//! What is let through to an x-ray: what certain crates say inside its span.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

/// The target of the span, and of nothing else.
pub(super) const TARGET: &str = "sightglass::xray";

/// Who is heard. Their spans are not: h2 has one for each poll.
const HEARD: [&str; 5] = ["sightglass", "h2", "hyper", "rustls", "tokio_rustls"];

static IS_LOOKING: AtomicBool = AtomicBool::new(false);

/// Lets the span of an x-ray through, and what is said inside it; nothing while nobody looks.
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) struct Through;

/// Whether anybody looks.
pub(super) fn is_looking() -> bool {
    IS_LOOKING.load(Ordering::Relaxed)
}

/// From now on somebody looks, or nobody. Whoever calls this has the call sites ask anew.
pub(super) fn turn(is_on: bool) {
    IS_LOOKING.store(is_on, Ordering::Relaxed);
}

fn is_the_span(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

fn is_heard(metadata: &Metadata<'_>) -> bool {
    let krate = metadata.target().split("::").next().unwrap_or_default();
    HEARD.contains(&krate)
}

// === impl Through ===

impl<S> Filter<S> for Through
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        if !is_looking() {
            return false;
        }
        if metadata.is_span() {
            return is_the_span(metadata);
        }
        let is_inside = || {
            let around = context.lookup_current();
            around.is_some_and(|span| is_the_span(span.metadata()))
        };
        is_heard(metadata) && is_inside()
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let may_be = if metadata.is_span() {
            is_the_span(metadata)
        } else {
            is_heard(metadata)
        };
        if may_be && is_looking() {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if is_looking() {
            LevelFilter::TRACE
        } else {
            LevelFilter::OFF
        })
    }
}
