//! Learns of items that a collector refused although it answered well.
//!
//! On OTLP's partial success opentelemetry-otlp says `Ok` and logs the number. So a `tracing` layer listens to that one
//! event and leaves the number in the thread, and [`watched`] collects it around each poll of the export that said it:
//! whatever thread that runs on, and whatever else runs there, the number goes to the right batch.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// What a collector refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::telemetry) struct Rejected {
    /// How many items.
    pub(in crate::telemetry) items: u64,
    /// Why, in the collector's words.
    pub(in crate::telemetry) why: String,
}

/// The layer that listens.
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) struct RejectedLayer;

/// The target of opentelemetry-otlp's own events.
pub(in crate::telemetry) const OTLP_TARGET: &str = "opentelemetry-otlp";
/// How the names of the events end, one for each signal and flavour of OTLP.
const EVENT: &str = ".PartialSuccess";
/// The fields that say how many.
const ITEMS: [&str; 3] = [
    "rejected_spans",
    "rejected_log_records",
    "rejected_data_points",
];

thread_local! {
    static HEARD: RefCell<Rejected> = RefCell::default();
}

/// The output of an export, with what the collector refused of it.
pub(in crate::telemetry) async fn watched<T>(export: impl Future<Output = T>) -> (T, Rejected) {
    let mut export = pin!(export);
    let mut rejected = Rejected::default();
    let output = poll_fn(|cx| {
        HEARD.take();
        let polled = export.as_mut().poll(cx);
        let heard = HEARD.take();
        if heard != Rejected::default() {
            rejected = heard;
        }
        polled
    })
    .await;
    (output, rejected)
}

// === impl RejectedLayer ===

impl<S: Subscriber> Layer<S> for RejectedLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == OTLP_TARGET && metadata.name().ends_with(EVENT) {
            let mut rejected = Rejected::default();
            event.record(&mut rejected);
            HEARD.set(rejected);
        }
    }
}

// === impl Rejected ===

impl Visit for Rejected {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if ITEMS.contains(&field.name()) {
            self.items = u64::try_from(value).unwrap_or(0);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "error_message" {
            value.clone_into(&mut self.why);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
