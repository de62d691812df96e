//! Everything that is told and belongs to no exchange: what the process does, and what happens to it.
//!
//! The other rooms [`emit`] an [`Event`]; only here it becomes a line (`line`), under a name (`names`). The enum is closed,
//! so that the list of all that the process may say is one page, each with its level and its fields, and no text is made
//! where nobody listens. Counters with configured names are not kept here but in the catalogue; the few that live as long
//! as the process (reloads) are.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::ledger::Signal;
use crate::config::Name;

mod line;
mod names;

pub(super) use names::being_said;

/// Something that happened outside an exchange.
#[derive(Clone, Debug)]
pub enum Event {
    /// The process serves: every bound address.
    Started {
        /// The listeners.
        listeners: Vec<(Name, SocketAddr)>,
        /// The admin port.
        admin: Option<SocketAddr>,
    },
    /// The process was told to end.
    Stopping {
        /// By what: a signal, an admin call.
        by: &'static str,
        /// When what is left is cut.
        deadline: Duration,
    },
    /// Nothing is left to serve, or the deadline has passed.
    Drained {
        /// Workers of which connections were cut.
        cut: u64,
    },
    /// A new configuration is in force.
    Reloaded {
        /// Its generation.
        generation: u32,
        /// Its hash.
        hash: String,
    },
    /// A new configuration was refused; the old one stays.
    ReloadFailed {
        /// Why.
        why: String,
    },
    /// An upstream's certificate is not verified, as the configuration asks.
    UpstreamUnverified {
        /// The upstream.
        upstream: Name,
    },
    /// A connection came to grief before or between exchanges.
    ConnectionFailed {
        /// Where it came in.
        listener: Name,
        /// Who connected.
        peer: SocketAddr,
        /// The reason, as `sightglass_connection_errors_total` has it.
        reason: &'static str,
        /// What exactly it was; empty where the reason says it all.
        why: String,
    },
    /// Certificate files have changed and are in force.
    CertificatesChanged {
        /// The listener.
        listener: Name,
        /// Days until the first of its certificates ends.
        days_left: i64,
    },
    /// Certificate files have changed and cannot be used; the old ones stay.
    CertificatesRefused {
        /// The listener.
        listener: Name,
        /// Why.
        why: String,
    },
    /// A certificate ends soon, or has ended.
    CertificateEnds {
        /// The listener.
        listener: Name,
        /// Its file.
        certificate: String,
        /// Days until then; negative when it has.
        days_left: i64,
    },
    /// Changes of certificate files are not told by the system.
    WatchFailed {
        /// Why.
        why: String,
    },
    /// A listener could not take a connection.
    AcceptFailed {
        /// The listener.
        listener: Name,
        /// Why.
        why: String,
    },
    /// The collector takes nothing of a signal.
    ExportFailing {
        /// The signal.
        signal: Signal,
        /// Why.
        why: String,
        /// Items lost since it last took some.
        lost: u64,
    },
    /// The collector took a batch but refused some of it.
    ExportRejected {
        /// The signal.
        signal: Signal,
        /// How many.
        count: u64,
        /// Why, in the collector's words.
        why: String,
    },
    /// The collector takes a signal again.
    ExportRecovered {
        /// The signal.
        signal: Signal,
        /// Items lost meanwhile.
        lost: u64,
        /// How long it took none.
        after: Duration,
    },
    /// A route's error budget burns at least 14.4 times as fast as it may, over five minutes and over an hour.
    SloBurning {
        /// The route.
        route: Name,
        /// Which objective.
        slo: &'static str,
        /// The burn rate over five minutes.
        over_5m: f64,
        /// The burn rate over an hour.
        over_1h: f64,
    },
    /// A route's error budget does not burn that fast any more.
    SloBurnEnded {
        /// The route.
        route: Name,
        /// Which objective.
        slo: &'static str,
    },
    /// The access log cannot be written.
    LogFailing {
        /// Why.
        why: String,
    },
    /// The access log can be written again.
    LogRecovered {
        /// Lines lost meanwhile.
        lost: u64,
    },
    /// Somebody used the admin port to change something.
    AdminCalled {
        /// Who.
        who: IpAddr,
        /// The method.
        method: &'static str,
        /// The path, one of ours.
        path: &'static str,
        /// The answer.
        status: u16,
    },
    /// Somebody has taken an endpoint out.
    EndpointTakenOut {
        /// The upstream.
        upstream: Name,
        /// The endpoint's address.
        endpoint: String,
        /// `drain` or `off`.
        state: &'static str,
        /// For how long.
        lasts: Duration,
        /// Who.
        who: IpAddr,
    },
    /// An endpoint that was taken out takes attempts again.
    EndpointReturned {
        /// The upstream.
        upstream: Name,
        /// The endpoint's address.
        endpoint: String,
        /// Who put it back, or that its time was up.
        by: String,
    },
    /// The flight recorder was written to a file.
    RecorderDumped {
        /// Why, or who asked.
        why: String,
        /// The file.
        file: PathBuf,
        /// How many exchanges are in it.
        exchanges: u64,
    },
    /// The flight recorder could not be written to a file.
    RecorderDumpFailed {
        /// Why it was to be, or who asked.
        why: String,
        /// Why it could not.
        error: String,
    },
    /// What stderr tells of a target is changed for a while.
    LogLevelChanged {
        /// The target.
        target: String,
        /// The level.
        level: &'static str,
        /// For how long.
        lasts: Duration,
        /// Who asked.
        who: IpAddr,
    },
    /// What stderr tells of a target is again what it was.
    LogLevelReturned {
        /// The target.
        target: String,
    },
    /// A layer panicked; the exchange got a 500.
    ExchangePanicked {
        /// The route, where it was known.
        route: Option<Name>,
    },
    /// A thread of the data plane is gone.
    WorkerPanicked {
        /// Which.
        worker: usize,
    },
    /// A thread of the data plane could not begin.
    WorkerFailed {
        /// Which.
        worker: usize,
        /// Why.
        why: String,
    },
    /// A variable of the environment was set aside.
    VariableIgnored {
        /// The variable.
        variable: &'static str,
        /// Why.
        why: &'static str,
    },
}

/// Describes the process-lived families that events move; called once, when the recorder is installed.
pub fn describe() {
    metrics::describe_counter!(
        "sightglass_config_reloads_total",
        "Configurations that were put in force or refused."
    );
    metrics::describe_gauge!(
        "sightglass_config_last_reload_success",
        "Whether the last configuration that was asked for is in force."
    );
    metrics::describe_gauge!(
        "sightglass_config_generation",
        "The generation of the configuration in force."
    );
}

/// Tells an event.
pub fn emit(event: Event) {
    count(&event);
    names::saying(event.name(), || line::tell(event));
}

fn count(event: &Event) {
    match event {
        Event::Started { .. } => reloaded(1, None),
        Event::Reloaded { generation, .. } => reloaded(*generation, Some("success")),
        Event::ReloadFailed { .. } => {
            metrics::counter!("sightglass_config_reloads_total", "result" => "failure")
                .increment(1);
            metrics::gauge!("sightglass_config_last_reload_success").set(0.0);
        }
        _ => {}
    }
}

fn reloaded(generation: u32, result: Option<&'static str>) {
    metrics::gauge!("sightglass_config_generation").set(f64::from(generation));
    metrics::gauge!("sightglass_config_last_reload_success").set(1.0);
    if let Some(result) = result {
        metrics::counter!("sightglass_config_reloads_total", "result" => result).increment(1);
    }
}
