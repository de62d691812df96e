//! What happened of late: the last events of the process, for the page that tells its story.
//!
//! A `tracing` layer like the one that hands events to a collector, with a short memory: 256 events, each text cut at
//! 1 KiB, so half a megabyte at the very most. What is told does not depend on what stderr is told.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::event::being_said;

/// The last events. A handle: clones share them.
#[derive(Clone, Debug, Default)]
pub struct Happened(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    last: VecDeque<Told>,
    lost: u64,
}

/// An event, as it was told.
#[derive(Clone, Debug)]
pub struct Told {
    /// When.
    pub at: SystemTime,
    /// Its name, such as `sightglass.reloaded`.
    pub name: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What happened.
    pub message: String,
    /// About what.
    pub fields: Vec<(&'static str, String)>,
}

/// The layer that hears of them.
#[derive(Debug)]
pub(super) struct HappenedLayer(pub(super) Happened);

const MOST: usize = 256;
const LONGEST: usize = 1024;

// === impl Happened ===

impl Happened {
    /// The events that are remembered, the newest first, and how many are forgotten.
    #[must_use]
    pub fn told(&self) -> (Vec<Told>, u64) {
        let memory = self.lock();
        (memory.last.iter().rev().cloned().collect(), memory.lost)
    }

    fn remember(&self, told: Told) {
        let mut memory = self.lock();
        if memory.last.len() == MOST {
            memory.last.pop_front();
            memory.lost += 1;
        }
        memory.last.push_back(told);
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl HappenedLayer ===

impl<S: Subscriber> Layer<S> for HappenedLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(name) = being_said() else { return };
        let mut told = Told {
            at: SystemTime::now(),
            name,
            level: *event.metadata().level(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut told);
        self.0.remember(told);
    }
}

// === impl Told ===

impl Told {
    fn text(&mut self, field: &Field, mut text: String) {
        text.truncate(text.floor_char_boundary(LONGEST));
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, text)),
        }
    }
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Event as Ours, emit};
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn the_newest_events_are_remembered_and_the_rest_counted() {
        let happened = Happened::default();
        let subscriber = tracing_subscriber::registry().with(HappenedLayer(happened.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "sightglass", "no event of ours");
            for lost in 0..300 {
                emit(Ours::LogRecovered { lost });
            }
            emit(Ours::LogFailing {
                why: "ä".repeat(LONGEST),
            });
        });
        let (told, lost) = happened.told();
        assert_eq!((told.len(), lost), (MOST, 45));
        assert_eq!(told[0].name, "sightglass.log_failing");
        assert_eq!(told[0].level, Level::WARN);
        assert_eq!(told[0].message, "the access log loses lines");
        assert_eq!(told[0].fields, [("why", "ä".repeat(LONGEST / 2))]);
        assert_eq!(told[1].fields, [("lost", "299".to_owned())]);
    }
}
