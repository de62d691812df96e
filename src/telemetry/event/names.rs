//! The names of events, as the collector of logs gets them (`event.name`).
//!
//! An event becomes a line through `tracing`, which knows no name for it. So the name stands in the thread while the line is
//! made, and whoever listens asks for it.

use std::cell::Cell;

use super::Event;

thread_local! {
    static BEING_SAID: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Runs this with a name in the thread.
pub(super) fn saying(name: &'static str, tell: impl FnOnce()) {
    let before = BEING_SAID.replace(Some(name));
    tell();
    BEING_SAID.set(before);
}

/// The name of the event that is being said on this thread.
pub(in crate::telemetry) fn being_said() -> Option<&'static str> {
    BEING_SAID.get()
}

// === impl Event ===

impl Event {
    /// Its name: `sightglass.` and what it is, in snake case.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "sightglass.started",
            Self::Stopping { .. } => "sightglass.stopping",
            Self::Drained { .. } => "sightglass.drained",
            Self::Reloaded { .. } => "sightglass.reloaded",
            Self::ReloadFailed { .. } => "sightglass.reload_failed",
            Self::UpstreamUnverified { .. } => "sightglass.upstream_unverified",
            Self::ConnectionFailed { .. } => "sightglass.connection_failed",
            Self::CertificatesChanged { .. } => "sightglass.certificates_changed",
            Self::CertificatesRefused { .. } => "sightglass.certificates_refused",
            Self::CertificateEnds { .. } => "sightglass.certificate_ends",
            Self::WatchFailed { .. } => "sightglass.watch_failed",
            Self::AcceptFailed { .. } => "sightglass.accept_failed",
            Self::RecorderDumped { .. } => "sightglass.recorder_dumped",
            Self::RecorderDumpFailed { .. } => "sightglass.recorder_dump_failed",
            Self::SloBurning { .. } => "sightglass.slo_burning",
            Self::SloBurnEnded { .. } => "sightglass.slo_burn_ended",
            Self::ExportFailing { .. } => "sightglass.export_failing",
            Self::ExportRejected { .. } => "sightglass.export_rejected",
            Self::ExportRecovered { .. } => "sightglass.export_recovered",
            Self::LogFailing { .. } => "sightglass.log_failing",
            Self::LogRecovered { .. } => "sightglass.log_recovered",
            Self::AdminCalled { .. } => "sightglass.admin_called",
            Self::EndpointTakenOut { .. } => "sightglass.endpoint_taken_out",
            Self::EndpointReturned { .. } => "sightglass.endpoint_returned",
            Self::LogLevelChanged { .. } => "sightglass.log_level_changed",
            Self::LogLevelReturned { .. } => "sightglass.log_level_returned",
            Self::ExchangePanicked { .. } => "sightglass.exchange_panicked",
            Self::WorkerPanicked { .. } => "sightglass.worker_panicked",
            Self::WorkerFailed { .. } => "sightglass.worker_failed",
            Self::VariableIgnored { .. } => "sightglass.variable_ignored",
        }
    }
}
