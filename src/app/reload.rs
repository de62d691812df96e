//! A new configuration while the process serves: build first, then one swap.
//!
//! What is bound or started once (listeners, admin, telemetry, workers) cannot change this way; a file that changes it is
//! refused by name and the old configuration stays, whole.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::holds::Holds;
use crate::admin::{Control, HoldAsked, HoldRefused, LookedThrough};
use crate::config::{LoadError, Plan};
use crate::graph::Graph;
use crate::server::{Looked, Team, Under};
use crate::telemetry::own_work::{OwnWork, own_span};
use crate::telemetry::{Event, Telemetry, emit};
use crate::tls::{Certificates, Found};

/// What a reload needs.
pub(super) struct Reload {
    file: Option<PathBuf>,
    graph: Arc<ArcSwap<Graph>>,
    telemetry: Arc<Telemetry>,
    certificates: Arc<Certificates>,
    holds: Holds,
    team: Team,
    /// One at a time: a signal and a call may come together.
    turn: Mutex<()>,
    /// Tells that the process is to drain and end.
    stop: Arc<Notify>,
}

/// Why the old configuration stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    #[error("there is no file: the configuration came from arguments")]
    NoFile,
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Tls(#[from] Found),
    #[error("changing {0} needs a restart")]
    NeedsRestart(String),
}

// === impl Reload ===

impl Reload {
    /// Reloads of this file; `stop` tells that the process is to drain and end.
    pub(super) fn new(
        file: Option<PathBuf>,
        graph: &Arc<ArcSwap<Graph>>,
        telemetry: &Arc<Telemetry>,
        certificates: &Arc<Certificates>,
        team: &Team,
        stop: &Arc<Notify>,
    ) -> Self {
        Self {
            file,
            graph: Arc::clone(graph),
            telemetry: Arc::clone(telemetry),
            certificates: Arc::clone(certificates),
            holds: Holds::new(graph),
            team: team.clone(),
            turn: Mutex::default(),
            stop: Arc::clone(stop),
        }
    }

    /// Opens the access log anew, and takes up certificates and the file as they are now.
    pub(super) fn run(&self) -> Result<(u32, String), ReloadError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.telemetry.reopen_log();
        self.certificates.read_again();
        let file = self.file.as_ref().ok_or(ReloadError::NoFile)?;
        own_span(OwnWork::Reload).in_scope(|| {
            let taken_up = self.take_up(file);
            emit(match &taken_up {
                Ok((generation, hash)) => Event::Reloaded {
                    generation: *generation,
                    hash: hash.clone(),
                },
                Err(error) => Event::ReloadFailed {
                    why: error.to_string(),
                },
            });
            taken_up
        })
    }

    fn take_up(&self, file: &std::path::Path) -> Result<(u32, String), ReloadError> {
        let plan = Arc::new(super::load(file)?.plan);
        let before = self.graph.load_full();
        let fixed = what_is_fixed(&before.plan, &plan);
        if !fixed.is_empty() {
            return Err(ReloadError::NeedsRestart(fixed.join(", ")));
        }
        let catalogue = self.telemetry.catalogue();
        let graph = Graph::build(plan, Some(&before), before.front().clone(), catalogue)?;
        let (generation, plan) = (graph.generation, Arc::clone(&graph.plan));
        self.graph.store(Arc::new(graph));
        self.telemetry.adopt(&plan, generation);
        tell_unverified(&plan);
        Ok((generation, plan.hash.clone()))
    }
}

impl Control for Reload {
    fn reload(&self) -> Result<(u32, String), String> {
        self.run().map_err(|error| error.to_string())
    }

    fn drain(&self) {
        self.stop.notify_one();
    }

    fn hold(&self, asked: &HoldAsked<'_>, who: IpAddr) -> Result<(), HoldRefused> {
        // Not while a reload decides which endpoints there are: the last one that takes attempts must stay.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.holds.hold(asked, who)
    }

    fn look_through(&self, looked: LookedThrough) -> bool {
        let (listener, local) = looked.listener;
        self.team.look_through(Looked {
            stream: looked.stream,
            peer: looked.client,
            listener,
            under: Under {
                parent: looked.parent,
                local,
                beam: looked.beam,
            },
        })
    }
}

/// Tells of every upstream whose certificate nobody looks at: each time it comes into force, so that it is not forgotten.
pub(super) fn tell_unverified(plan: &Plan) {
    for upstream in &plan.upstreams {
        if upstream
            .tls
            .as_ref()
            .is_some_and(|tls| tls.insecure_skip_verify)
        {
            emit(Event::UpstreamUnverified {
                upstream: upstream.name.clone(),
            });
        }
    }
}

/// The sections that differ although they cannot change while the process serves.
fn what_is_fixed(before: &Plan, after: &Plan) -> Vec<&'static str> {
    [
        ("listeners", before.listeners != after.listeners),
        ("telemetry", before.telemetry != after.telemetry),
        ("admin", before.admin != after.admin),
        (
            "runtime.workers",
            before.runtime.workers != after.runtime.workers,
        ),
    ]
    .into_iter()
    .filter_map(|(name, is_changed)| is_changed.then_some(name))
    .collect()
}
