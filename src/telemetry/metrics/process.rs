//! What lives as long as the process: the build, the process itself and the tokio runtimes. Said through the `metrics`
//! facade at each scrape.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Handle, RuntimeMetrics};

use super::family;

/// The runtimes of the process, by name.
#[derive(Debug, Default)]
pub struct Runtimes(Mutex<Vec<(String, RuntimeMetrics)>>);

/// The figures of the process: CPU, memory, descriptors. Linux's alone, since elsewhere they need a library that only
/// clang can build.
#[derive(Debug, Default)]
pub(super) struct ProcessFigures {
    #[cfg(target_os = "linux")]
    collector: metrics_process::Collector,
}

// === impl ProcessFigures ===

impl ProcessFigures {
    /// Says what they mean.
    pub(super) fn describe(&self) {
        #[cfg(target_os = "linux")]
        self.collector.describe();
    }

    /// Says through the facade what they are.
    pub(super) fn collect(&self) {
        #[cfg(target_os = "linux")]
        self.collector.collect();
    }
}

// === impl Runtimes ===

impl Runtimes {
    /// From now on the page tells of this runtime; `name` is `control` or `worker-0` and so on.
    pub fn register(&self, name: &str, runtime: &Handle) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((name.to_owned(), runtime.metrics()));
    }

    /// Says through the facade how they are.
    pub(super) fn collect(&self) {
        for (name, runtime) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let workers = runtime.num_workers();
            let gauge = |family: &'static family::Family, value: f64| {
                metrics::gauge!(family.name, "runtime" => name.clone()).set(value);
            };
            gauge(&family::TOKIO_WORKERS, count(workers));
            gauge(&family::TOKIO_ALIVE_TASKS, count(runtime.num_alive_tasks()));
            gauge(
                &family::TOKIO_QUEUE_DEPTH,
                count(runtime.global_queue_depth()),
            );
            #[cfg(target_has_atomic = "64")]
            {
                let parks = (0..workers).map(|worker| runtime.worker_park_count(worker));
                metrics::counter!(family::TOKIO_PARKS.name, "runtime" => name.clone())
                    .absolute(parks.sum());
                let busy = (0..workers)
                    .map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64());
                gauge(&family::TOKIO_BUSY, busy.sum());
            }
        }
    }
}

/// Says through the facade which build this is.
pub(super) fn say_build() {
    metrics::gauge!(
        family::BUILD_INFO.name,
        "version" => env!("CARGO_PKG_VERSION"),
        "os" => std::env::consts::OS,
        "arch" => std::env::consts::ARCH,
    )
    .set(1.0);
}

#[expect(clippy::cast_precision_loss, reason = "counts of threads and tasks")]
fn count(count: usize) -> f64 {
    count as f64
}
