//! `/metrics`: one page of both homes, the exporter of the facade and the catalogue.

use std::sync::Arc;
use std::time::Instant;

use metrics_exporter_prometheus::{
    BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use super::facade;
use super::page::{Format, Page};
use super::process::{self, ProcessFigures, Runtimes};
use super::protobuf::MetricFamily;
use super::{Catalogue, histogram};
use crate::config::Metrics;

/// Makes the page.
#[derive(Debug)]
pub struct Scraper {
    exporter: PrometheusHandle,
    process: ProcessFigures,
    catalogue: Arc<Catalogue>,
    runtimes: Arc<Runtimes>,
    /// Whether native histograms keep their classic buckets as messages.
    is_classic: bool,
}

/// Why the metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The exporter refuses its buckets.
    #[error("cannot build the metrics exporter: {0}")]
    Build(#[from] BuildError),
    /// Another recorder is there already.
    #[error("cannot install the metrics recorder: another is installed")]
    Taken,
}

// === impl Scraper ===

impl Scraper {
    /// Makes the exporter the process's recorder. Once a process.
    ///
    /// # Errors
    /// Where another recorder is there already.
    pub fn install(
        catalogue: &Arc<Catalogue>,
        runtimes: &Arc<Runtimes>,
        metrics: &Metrics,
    ) -> Result<Self, SetUpError> {
        let recorder = recorder()?;
        let scraper = Self {
            is_classic: metrics.classic_buckets,
            ..Self::new(recorder.handle(), catalogue, runtimes)
        };
        metrics::set_global_recorder(recorder).map_err(|_| SetUpError::Taken)?;
        scraper.say_constants();
        Ok(scraper)
    }

    pub(super) fn new(
        exporter: PrometheusHandle,
        catalogue: &Arc<Catalogue>,
        runtimes: &Arc<Runtimes>,
    ) -> Self {
        Self {
            exporter,
            process: ProcessFigures::default(),
            catalogue: Arc::clone(catalogue),
            runtimes: Arc::clone(runtimes),
            is_classic: true,
        }
    }

    /// One that nobody writes to through the facade, for tests of whoever serves the page.
    #[cfg(test)]
    pub(crate) fn detached(catalogue: &Arc<Catalogue>) -> Self {
        let exporter = recorder().expect("buckets that it takes").handle();
        Self::new(exporter, catalogue, &Arc::default())
    }

    /// Says what stays as it is.
    pub(super) fn say_constants(&self) {
        self.process.describe();
        process::say_build();
    }

    /// The page in the format that `Accept` asks for, and its `Content-Type`. Blocks for a few milliseconds where there
    /// are many series; never a worker.
    #[must_use]
    pub fn page(&self, accept: &str) -> (&'static str, Vec<u8>) {
        let format = Format::accepted(accept);
        (format.content_type(), self.draw(format).bytes())
    }

    /// The same as messages.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        self.draw(Format::Protobuf).families()
    }

    /// Everything that there is to tell, drawn.
    fn draw(&self, format: Format) -> Page {
        let mut page = Page::new(format);
        if !self.is_classic {
            page = page.without_classic();
        }
        self.process.collect();
        self.runtimes.collect();
        facade::draw(&self.exporter.render(), &mut page);
        self.catalogue.draw(&mut page);
        page
    }

    /// What both homes want done every few seconds, or samples of the exporter's histograms pile up, and series of names
    /// that have long gone.
    pub fn upkeep(&self) {
        self.exporter.run_upkeep();
        self.catalogue.part(Instant::now());
    }
}

/// The exporter. Without buckets its histograms would become summaries; with an idle timeout a held handle would go
/// silent for ever.
pub(super) fn recorder() -> Result<PrometheusRecorder, SetUpError> {
    Ok(PrometheusBuilder::new()
        .set_buckets(&histogram::DURATIONS.bounds())?
        .build_recorder())
}
