//! Certificate files that change are taken up by themselves.
//!
//! The directories of the files are watched, not the files: who replaces one (certbot, cert-manager, a Kubernetes volume,
//! which swaps a symlink) puts another in its place, and a watch on the old one would see nothing more. A change is acted
//! on when it has been quiet for a moment, since a certificate and its key are two files. Once a minute the files are
//! looked at in any case: for file systems that tell nothing (NFS), and for symlinks to directories elsewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::server::Certificates;
use crate::telemetry::{Event, emit};

/// A change is acted on when nothing has changed for so long.
const QUIET: Duration = Duration::from_millis(200);
/// And at the latest after so long.
const LATEST: Duration = Duration::from_secs(2);
/// The files are looked at so often in any case.
const ANYWAY: Duration = Duration::from_secs(60);

/// The watch over certificate files; ends when dropped.
#[derive(Debug)]
pub struct Watch {
    task: Option<JoinHandle<()>>,
}

// === impl Watch ===

impl Watch {
    /// Watches the files of these certificates, on this runtime, whose threads it blocks while it reads them.
    #[must_use]
    pub fn start(runtime: &Handle, certificates: Arc<Certificates>) -> Self {
        let directories = directories(&certificates);
        let task =
            (!directories.is_empty()).then(|| runtime.spawn(watch(certificates, directories)));
        Self { task }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn watch(certificates: Arc<Certificates>, directories: BTreeSet<PathBuf>) {
    // One place is enough: it says that something has changed, not what.
    let (changed, mut changes) = mpsc::channel(1);
    let told = move |event: notify::Result<notify::Event>| {
        let is_reading = event.is_ok_and(|event| event.kind.is_access());
        if !is_reading {
            let _ = changed.try_send(()); // full: it is known already
        }
    };
    let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
        for directory in &directories {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    if let Err(error) = &watcher {
        emit(Event::WatchFailed {
            why: error.to_string(),
        });
    }
    // Between the first reading and the watch there was a moment.
    look(&certificates).await;
    loop {
        let next = tokio::time::timeout(ANYWAY, changes.recv());
        match next.await {
            Ok(Some(())) => settle(&mut changes).await,
            Ok(None) => tokio::time::sleep(ANYWAY).await, // no watch: only the minute
            Err(_) => {}
        }
        look(&certificates).await;
    }
}

/// Waits until nothing changes any more.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    let latest = Instant::now() + LATEST;
    while Instant::now() < latest {
        match tokio::time::timeout(QUIET, changes.recv()).await {
            Ok(Some(())) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

async fn look(certificates: &Arc<Certificates>) {
    let certificates = Arc::clone(certificates);
    // A panic there has said so itself; the next look is another try.
    let _ = tokio::task::spawn_blocking(move || {
        certificates.read_again();
        certificates.warn();
    })
    .await;
}

/// The directories of all files.
fn directories(certificates: &Certificates) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    for tls in certificates.all() {
        let plan = tls.plan();
        let pairs = plan.certificates.iter();
        let files = pairs.flat_map(|pair| [&pair.cert, &pair.key]);
        for file in files.chain(plan.client_auth.iter().map(|auth| &auth.ca)) {
            let parent = file.parent().filter(|it| !it.as_os_str().is_empty());
            directories.insert(parent.unwrap_or(Path::new(".")).to_owned());
        }
    }
    directories
}
