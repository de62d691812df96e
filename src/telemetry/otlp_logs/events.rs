//! Events on their way to the collector of logs: a `tracing` layer that copies what is emitted.

use std::fmt;
use std::time::SystemTime;

use opentelemetry::logs::AnyValue;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::LogSink;
use crate::telemetry::event::being_said;

/// The layer that copies what is emitted into the queue.
#[derive(Debug)]
pub(in crate::telemetry) struct EventLayer(LogSink);

/// What was emitted.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) at: SystemTime,
    /// Its name; `None` for what is no [`Event`](crate::telemetry::Event).
    pub(super) name: Option<&'static str>,
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, AnyValue)>,
    /// The length of its texts.
    texts: usize,
}

// === impl EventLayer ===

impl EventLayer {
    pub(in crate::telemetry) fn new(sink: LogSink) -> Self {
        Self(sink)
    }
}

impl<S: Subscriber> Layer<S> for EventLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut told = Told {
            at: SystemTime::now(),
            name: being_said(),
            level: *event.metadata().level(),
            message: String::new(),
            fields: Vec::new(),
            texts: 0,
        };
        event.record(&mut told);
        self.0.take_event(told);
    }
}

// === impl Told ===

impl Told {
    /// What it takes of memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.fields.len() * size_of::<(&str, AnyValue)>() + self.texts
    }

    fn text(&mut self, field: &Field, text: String) {
        self.texts += text.len();
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, text.into())),
        }
    }
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.fields.push((field.name(), value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }
}
