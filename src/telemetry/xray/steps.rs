//! What was said inside an x-ray, in the order in which it was.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// One thing that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, from the beginning of the look.
    pub at: Duration,
    /// How loud.
    pub level: Level,
    /// By whom: a module's path.
    pub target: String,
    /// What, in words.
    pub message: String,
    /// With which facts.
    pub fields: Vec<(&'static str, String)>,
}

/// All that was said; at most [`MOST`] things of [`LONGEST`] bytes a text.
#[derive(Debug)]
pub struct Steps {
    begun: Instant,
    told: Mutex<(Vec<Step>, u64)>,
}

/// The most things that are kept; the others are counted.
const MOST: usize = 4096;
/// The longest text, in bytes.
const LONGEST: usize = 512;

/// Hands what is said inside an x-ray to its [`Steps`].
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) struct StepsLayer;

/// A text that takes no more than it may, and is one line: rustls tells a handshake's messages over many.
#[derive(Default)]
struct Capped(String);

// === impl Steps ===

impl Default for Steps {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            told: Mutex::default(),
        }
    }
}

impl Steps {
    /// What was said, and how much more of it there was than is kept.
    #[must_use]
    pub fn told(&self) -> (Vec<Step>, u64) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clone()
    }

    fn push(&self, step: Step) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.0.len() < MOST {
            told.0.push(step);
        } else {
            told.1 += 1;
        }
    }
}

// === impl StepsLayer ===

impl<S> Layer<S> for StepsLayer
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else {
            return;
        };
        let steps = span.extensions().get::<Arc<Steps>>().map(Arc::clone);
        let Some(steps) = steps else {
            return;
        };
        // What came through `log` says who it was in fields.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let mut step = Step {
            at: steps.begun.elapsed(),
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut step); // before the lock: a value that is told may say something itself
        steps.push(step);
    }
}

impl Visit for Step {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Capped::default();
        let _ = fmt::write(&mut text, format_args!("{value:?}")); // full: then it is cut
        match field.name() {
            "message" => self.message = text.0,
            name if name.starts_with("log.") => {}
            name => self.fields.push((name, text.0)),
        }
    }
}

impl fmt::Write for Capped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            let is_space = char.is_whitespace();
            if is_space && self.0.ends_with(' ') {
                continue;
            }
            if self.0.len() + char.len_utf8() > LONGEST {
                self.0.push('…');
                return Err(fmt::Error);
            }
            self.0.push(if is_space { ' ' } else { char });
        }
        Ok(())
    }
}
