//! The facts of an exchange as attributes, for whoever tells them in another form than a span's.

use std::sync::Arc;

use opentelemetry::KeyValue;

use super::attributes::{Attributes, Tell};
use super::{Names, words};
use crate::config::Plan;
use crate::exchange::Record;

/// Makes them from records.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct Facts {
    names: Option<Names>,
    attributes: Attributes,
}

// === impl Facts ===

impl Facts {
    /// What the exchange's span would say, kept or not, without what is said of sampling.
    pub(in crate::telemetry) fn of(&mut self, record: &Record, plan: &Arc<Plan>) -> Vec<KeyValue> {
        if !self.names.as_ref().is_some_and(|names| names.are_of(plan)) {
            self.names = Some(Names::new(plan));
        }
        let Some(names) = &self.names else {
            return Vec::new();
        };
        let mut all = Vec::with_capacity(24);
        self.attributes.begin(record);
        self.attributes.server(&mut all, record, names, 1.0);
        all.retain(|fact| ![words::REASON, words::WEIGHT].contains(&fact.key.as_str()));
        all
    }
}

impl Tell for Vec<KeyValue> {
    fn text(&mut self, key: &str, value: &str) {
        self.push(KeyValue::new(key.to_owned(), value.to_owned()));
    }

    fn number(&mut self, key: &str, value: i64) {
        self.push(KeyValue::new(key.to_owned(), value));
    }

    fn double(&mut self, key: &str, value: f64) {
        self.push(KeyValue::new(key.to_owned(), value));
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.push(KeyValue::new(key.to_owned(), value));
    }
}
