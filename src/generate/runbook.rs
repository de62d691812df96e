//! What an alert tells whoever it wakes: where to look, in which order, with what.

use crate::config::Plan;
use crate::telemetry::slo::Objective;

/// Where the process is asked.
pub(super) struct Place {
    /// The admin port as somebody beside the process reaches it.
    admin: String,
}

// === impl Place ===

impl Place {
    pub(super) fn of(plan: &Plan) -> Self {
        let address = plan.admin.address;
        let admin = match address.ip().is_unspecified() {
            true => format!("http://HOST:{}", address.port()),
            false => format!("http://{address}"),
        };
        Self { admin }
    }
}

/// A budget burns.
pub(super) fn of_burn(objective: &Objective, place: &Place) -> String {
    let Place { admin } = place;
    let Objective { route, within, .. } = objective;
    let asked = match within {
        Some(within) => format!("min_duration={}ms", within.as_millis()),
        None => "limit=100".to_owned(),
    };
    let first = match within {
        Some(_) => {
            "which phase grew: row \"Phases\" of the dashboard \"sightglass: one route\" (wait: the upstream; pick, connect: the way to it; body_client: slow clients)"
        }
        None => {
            "which outcome and which status: row \"Outcomes\" of the dashboard \"sightglass: one route\"; docs/errors.md has cause and cure of each word"
        }
    };
    format!(
        "1. How bad, and is it still so: the dashboard \"sightglass: objectives\", or curl {admin}/api/v1/slo (this process alone).\n\
         2. See {first}.\n\
         3. Which endpoint: the dashboard \"sightglass: one upstream\", or curl {admin}/api/v1/upstreams.\n\
         4. Single exchanges: curl '{admin}/api/v1/exchanges?route={route}&{asked}', then /api/v1/exchanges/TRACE_ID, or the trace in Jaeger.\n\
         5. What changed: the annotations of the dashboard mark reloads; curl {admin}/api/v1/config says what is in force."
    )
}

/// Nothing is scraped.
pub(super) fn of_gone(place: &Place) -> String {
    let Place { admin } = place;
    format!(
        "1. Does it live: curl {admin}/livez where it runs; its last words are on its stderr.\n\
         2. If it does, Prometheus cannot reach the admin port: see the targets page of Prometheus."
    )
}

/// A configuration was refused.
pub(super) fn of_reload() -> String {
    "1. Why: `sightglass check FILE` where the file is, or the line \"configuration refused\" on stderr.\n\
     2. Correct the file and send SIGHUP; row \"Configuration\" of the dashboard \"sightglass\" shows when it took."
        .to_owned()
}

/// Spans, lines or records are lost, or wait.
pub(super) fn of_telemetry() -> String {
    "1. What and why: curl http://{{ $labels.instance }}/api/v1/telemetry has the books and the last error of each signal.\n\
     2. Since when: the dashboard \"sightglass: telemetry health\".\n\
     3. export_failed: the collector is down or refuses; queue_full: it is slow, or the telemetry thread is; write_failed: the disk of the access log."
        .to_owned()
}

/// A certificate ends.
pub(super) fn of_certificate() -> String {
    "1. Put the new certificate and key in place of the files: they are taken up by themselves, no reload is needed.\n\
     2. Files that cannot be used are refused and the old ones stay: the line \"certificates refused\" on stderr says why."
        .to_owned()
}

/// An endpoint is out.
pub(super) fn of_endpoint() -> String {
    "1. What its attempts come to: the dashboard \"sightglass: one upstream\", or /api/v1/upstreams on the admin port.\n\
     2. Whether the service is there: ask it past the proxy."
        .to_owned()
}
