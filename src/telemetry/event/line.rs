//! How each event is told: its level, its fields and its words.

use tracing::{debug, error, info, warn};

use super::Event;
use crate::config::Name;

/// Makes the line of an event.
pub(super) fn tell(event: Event) {
    match event {
        Event::Started { listeners, admin } => {
            let listeners = listeners.iter().map(|(name, at)| format!("{name}={at}"));
            let listeners = listeners.collect::<Vec<_>>().join(" ");
            let admin = admin.map(tracing::field::display);
            // Told to the collector alone: on stderr the ready line says the same.
            info!(target: "sightglass::ready", listeners, admin, "ready");
        }
        Event::Stopping { by, deadline } => {
            info!(target: "sightglass", by, ?deadline, "stopping");
        }
        Event::Drained { cut: 0 } => info!(target: "sightglass", "drained"),
        Event::Drained { cut } => {
            warn!(target: "sightglass", cut, "drained, with what was left cut")
        }
        Event::WorkerPanicked { worker } => {
            error!(target: "sightglass", worker, "a worker is gone");
        }
        Event::WorkerFailed { worker, why } => {
            error!(target: "sightglass", worker, why, "a worker cannot begin");
        }
        Event::VariableIgnored { variable, why } => {
            warn!(target: "sightglass", variable, why, "environment variable set aside");
        }
        Event::Reloaded { generation, hash } => {
            info!(target: "sightglass", generation, hash, "configuration in force");
        }
        Event::ReloadFailed { why } => {
            error!(target: "sightglass", why, "configuration refused, the old one stays");
        }
        Event::UpstreamUnverified { upstream } => {
            warn!(target: "sightglass", %upstream, "the upstream's certificate is not verified: insecure_skip_verify");
        }
        Event::AdminCalled {
            who,
            method,
            path,
            status,
        } => info!(target: "sightglass", %who, method, path, status, "admin call"),
        event @ (Event::EndpointTakenOut { .. } | Event::EndpointReturned { .. }) => {
            tell_of_endpoints(event);
        }
        event @ (Event::LogLevelChanged { .. } | Event::LogLevelReturned { .. }) => {
            tell_of_levels(event)
        }
        Event::ConnectionFailed {
            listener,
            peer,
            reason,
            why,
        } => {
            let why = (!why.is_empty()).then_some(why);
            debug!(target: "sightglass", %listener, %peer, reason, why, "connection failed");
        }
        event @ (Event::CertificatesChanged { .. }
        | Event::CertificatesRefused { .. }
        | Event::CertificateEnds { .. }
        | Event::WatchFailed { .. }) => tell_of_certificates(event),
        event @ (Event::RecorderDumped { .. } | Event::RecorderDumpFailed { .. }) => {
            tell_of_dumps(event);
        }
        Event::AcceptFailed { listener, why } => {
            warn!(target: "sightglass", %listener, why, "cannot take connections");
        }
        Event::ExchangePanicked { route } => {
            let route = route.as_ref().map(Name::as_str);
            error!(target: "sightglass", route, "a panic in an exchange");
        }
        event @ (Event::ExportFailing { .. }
        | Event::ExportRejected { .. }
        | Event::ExportRecovered { .. }) => tell_of_exports(event),
        event @ (Event::SloBurning { .. } | Event::SloBurnEnded { .. }) => {
            tell_of_objectives(event)
        }
        Event::LogFailing { why } => {
            warn!(target: "sightglass", why, "the access log loses lines");
        }
        Event::LogRecovered { lost } => {
            info!(target: "sightglass", lost, "the access log is written again");
        }
    }
}

/// The lines about endpoints.
#[rustfmt::skip]
fn tell_of_endpoints(event: Event) {
    match event {
        Event::EndpointTakenOut { upstream, endpoint, state, lasts, who } => {
            warn!(target: "sightglass", %upstream, endpoint, state, ?lasts, %who, "endpoint taken out");
        }
        Event::EndpointReturned { upstream, endpoint, by } => {
            info!(target: "sightglass", %upstream, endpoint, by, "endpoint takes attempts again");
        }
        _ => {}
    }
}

/// The lines about log levels.
fn tell_of_levels(event: Event) {
    match event {
        Event::LogLevelChanged {
            target: of,
            level,
            lasts,
            who,
        } => info!(target: "sightglass", of, level, ?lasts, %who, "log level changed"),
        Event::LogLevelReturned { target: of } => {
            info!(target: "sightglass", of, "log level as before");
        }
        _ => {}
    }
}

/// The lines about collectors.
fn tell_of_exports(event: Event) {
    match event {
        Event::ExportFailing { signal, why, lost } => {
            let signal = signal.items();
            warn!(target: "sightglass", why, lost, "the collector takes no {signal}");
        }
        Event::ExportRejected { signal, count, why } => {
            let signal = signal.items();
            warn!(target: "sightglass", count, why, "the collector refused {signal}");
        }
        Event::ExportRecovered {
            signal,
            lost,
            after,
        } => {
            let signal = signal.items();
            info!(target: "sightglass", lost, ?after, "the collector takes {signal} again");
        }
        _ => {}
    }
}

/// The lines about the recorder's dumps.
fn tell_of_dumps(event: Event) {
    match event {
        Event::RecorderDumped {
            why,
            file,
            exchanges,
        } => {
            let file = file.display();
            info!(target: "sightglass", why, %file, exchanges, "recorder dumped");
        }
        Event::RecorderDumpFailed { why, error } => {
            warn!(target: "sightglass", why, error, "recorder not dumped");
        }
        _ => {}
    }
}

/// The lines about objectives.
fn tell_of_objectives(event: Event) {
    match event {
        Event::SloBurning {
            route,
            slo,
            over_5m,
            over_1h,
        } => {
            warn!(target: "sightglass", %route, slo, over_5m, over_1h, "an error budget burns fast");
        }
        Event::SloBurnEnded { route, slo } => {
            info!(target: "sightglass", %route, slo, "an error budget burns fast no more");
        }
        _ => {}
    }
}

/// The lines about certificates.
fn tell_of_certificates(event: Event) {
    match event {
        Event::CertificatesChanged {
            listener,
            days_left,
        } => info!(target: "sightglass", %listener, days_left, "certificates changed"),
        Event::CertificatesRefused { listener, why } => {
            error!(target: "sightglass", %listener, why, "certificates refused, the old ones stay");
        }
        Event::CertificateEnds {
            listener,
            certificate,
            days_left: days_left @ 0..,
        } => {
            warn!(target: "sightglass", %listener, certificate, days_left, "a certificate ends soon");
        }
        Event::CertificateEnds {
            listener,
            certificate,
            days_left,
        } => {
            error!(target: "sightglass", %listener, certificate, days_left, "a certificate has expired");
        }
        Event::WatchFailed { why } => {
            warn!(target: "sightglass", why, "certificate files are looked at once a minute only");
        }
        _ => {}
    }
}
