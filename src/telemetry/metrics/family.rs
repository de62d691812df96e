//! The catalogue as a table: every family with its name, type, unit, labels and help. A metric begins here; the page,
//! the docs and the tests of dashboards read it.

use super::histogram::{self, Buckets};
use crate::telemetry::label;

/// A metric family.
#[derive(Debug)]
pub struct Family {
    /// The name; ends in `_total` where it is a counter.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The names of its labels, `le` aside.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

/// The type of a family.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Only ever rises.
    Counter,
    /// What is now.
    Gauge,
    /// A distribution.
    Histogram(&'static Buckets),
}

// === impl Family ===

impl Family {
    /// Whether nothing but configured names tells its series apart.
    #[must_use]
    pub fn is_told_apart_by_names(&self) -> bool {
        const NAMES: [&str; 5] = ["listener", "route", "upstream", "endpoint", "worker"];
        self.labels.iter().all(|label| NAMES.contains(label))
    }

    /// Whether a series of it is on the page before anything was counted. Of objectives it must be: the first failure of
    /// a series that begins with it is none to `increase()`.
    #[must_use]
    pub fn begins_at_zero(&self) -> bool {
        self.is_told_apart_by_names() || self.name == SLO_EVENTS.name
    }

    /// Its labels with these values, in its order, as they are written.
    #[must_use]
    pub fn pairs(&self, values: &[&str]) -> String {
        let pairs = std::iter::zip(self.labels, values).map(|(name, value)| (*name, *value));
        label::pairs(pairs)
    }

    /// The same with further labels behind them, which are written already.
    #[must_use]
    pub(super) fn pairs_with(&self, values: &[&str], further: &str) -> String {
        let mut pairs = self.pairs(values);
        if !further.is_empty() {
            if !pairs.is_empty() {
                pairs.push(',');
            }
            pairs.push_str(further);
        }
        pairs
    }
}

// === impl Kind ===

impl Kind {
    /// Whether it is told in native buckets as well: latencies. Phases are not: there are twelve of them a route, and they
    /// answer "where", not "how much exactly".
    #[must_use]
    pub fn is_native(self) -> bool {
        let of = |buckets: &Buckets| {
            std::ptr::eq(buckets, &histogram::DURATIONS)
                || std::ptr::eq(buckets, &histogram::OVERHEADS)
        };
        matches!(self, Self::Histogram(buckets) if of(buckets))
    }

    /// The word of both exposition formats.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// The unit that a family's name ends in, if it does; what OpenMetrics' `UNIT` line says.
#[must_use]
pub fn unit(name: &str) -> Option<&'static str> {
    let base = name.strip_suffix("_total").unwrap_or(name);
    ["seconds", "bytes"].into_iter().find(|unit| {
        base.strip_suffix(unit)
            .is_some_and(|rest| rest.ends_with('_'))
    })
}

/// The family of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().copied().find(|family| family.name == name)
}

macro_rules! families {
    ($($id:ident: $kind:expr, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub static $id: Family = Family {
                name: $name,
                kind: $kind,
                labels: &[$($label),*],
                help: $help,
            };
        )*
        /// Every family, in the order of the contract.
        pub static FAMILIES: &[&Family] = &[$(&$id),*];
    };
}

families! {
    REQUEST_DURATION: Kind::Histogram(&histogram::DURATIONS), "http_server_request_duration_seconds",
        ["route", "http_route", "http_request_method", "http_response_status_code", "outcome"],
        "Time from a request's first byte until the last byte of its response was handed on; for tunnels and event streams until the response head.";
    GRPC_REQUESTS: Kind::Counter, "sightglass_grpc_requests_total",
        ["route", "http_route", "grpc_status"],
        "Calls of gRPC by the status that the client got; the proxy's own replies included.";
    STREAM_DURATION: Kind::Histogram(&histogram::DURATIONS), "sightglass_stream_duration_seconds",
        ["route", "outcome"],
        "Whole length of tunnels and event streams.";
    ACTIVE_REQUESTS: Kind::Gauge, "http_server_active_requests",
        ["route", "http_route"],
        "Requests that are in the proxy now.";
    REQUEST_BODY_SIZE: Kind::Histogram(&histogram::SIZES), "http_server_request_body_size_bytes",
        ["route", "http_route"],
        "Size of request bodies, as far as they came.";
    RESPONSE_BODY_SIZE: Kind::Histogram(&histogram::SIZES), "http_server_response_body_size_bytes",
        ["route", "http_route"],
        "Size of response bodies, as far as they were handed on.";
    CLIENT_DURATION: Kind::Histogram(&histogram::DURATIONS), "http_client_request_duration_seconds",
        ["upstream", "http_response_status_code", "outcome"],
        "Length of attempts at an endpoint, one sample an attempt.";
    PHASE_DURATION: Kind::Histogram(&histogram::PHASES), "sightglass_phase_duration_seconds",
        ["route", "phase"],
        "Time that a phase took in an exchange; the phases of an exchange add up to its length.";
    PROXY_OVERHEAD: Kind::Histogram(&histogram::OVERHEADS), "sightglass_proxy_overhead_seconds",
        ["route"],
        "What the proxy itself took of an exchange: its length less what client, upstream and pauses between attempts took.";
    RETRIES: Kind::Counter, "sightglass_retries_total",
        ["route", "reason"],
        "Attempts after the first, by what was wrong with the one before.";
    RETRY_BUDGET_EXHAUSTED: Kind::Counter, "sightglass_retry_budget_exhausted_total",
        ["route", "reason"],
        "Retries that the budget did not allow.";
    RATE_LIMITED: Kind::Counter, "sightglass_rate_limited_total",
        ["route", "limiter"],
        "Requests that a rate limit refused.";
    OVERLOADED: Kind::Counter, "sightglass_overloaded_total",
        ["route", "upstream", "limiter"],
        "Requests that a concurrency or circuit limit refused.";
    SLO_EVENTS: Kind::Counter, "sightglass_slo_events_total",
        ["route", "slo", "result"],
        "Exchanges that kept an objective of their route (good) or did not (bad).";
    SLO_OBJECTIVE: Kind::Gauge, "sightglass_slo_objective_ratio",
        ["route", "slo"],
        "The share of good events that a route promises.";
    SLO_BURN_RATE: Kind::Gauge, "sightglass_slo_burn_rate",
        ["route", "slo", "window"],
        "How fast a route's error budget burns, 1 being as fast as is allowed; absent until the process has lived through the window.";
    SLO_BUDGET: Kind::Gauge, "sightglass_slo_error_budget_remaining_ratio",
        ["route", "slo"],
        "The share of a route's error budget that is left, as far as the process has lived through its window.";
    ENDPOINT_HEALTHY: Kind::Gauge, "sightglass_endpoint_healthy",
        ["upstream", "endpoint"],
        "Whether an endpoint takes requests.";
    ENDPOINT_OUT: Kind::Gauge, "sightglass_endpoint_out", ["upstream", "endpoint"], "1 while somebody has taken it out: it takes no new attempts.";
    ENDPOINT_ACTIVE_REQUESTS: Kind::Gauge, "sightglass_endpoint_active_requests",
        ["upstream", "endpoint"],
        "Attempts that are at an endpoint now.";
    ENDPOINT_LATENCY_EWMA: Kind::Gauge, "sightglass_endpoint_latency_ewma_seconds",
        ["upstream", "endpoint"],
        "Recent latency of an endpoint, as the balancer sees it.";
    ENDPOINT_REQUESTS: Kind::Counter, "sightglass_endpoint_requests_total",
        ["upstream", "endpoint", "outcome"],
        "Attempts at an endpoint that have ended.";
    ENDPOINT_FAILURES: Kind::Counter, "sightglass_endpoint_failures_total",
        ["upstream", "endpoint"],
        "Attempts at an endpoint that were not served, the client aside, or were answered with a status of 500 and above.";
    UPSTREAM_CONNECTIONS: Kind::Gauge, "sightglass_upstream_active_connections",
        ["upstream", "state"],
        "Open connections to an upstream: idle ones wait in a pool, active ones carry requests.";
    UPSTREAM_CONNECTIONS_OPENED: Kind::Counter, "sightglass_upstream_connections_opened_total",
        ["upstream"],
        "Connections to an upstream that were made.";
    UPSTREAM_TLS_INSECURE: Kind::Gauge, "sightglass_upstream_tls_insecure",
        ["upstream"],
        "Whether an upstream's certificate is not verified; only where it is so.";
    ACTIVE_CONNECTIONS: Kind::Gauge, "sightglass_active_connections",
        ["listener"],
        "Connections of clients that are open now.";
    CONNECTIONS: Kind::Counter, "sightglass_connections_total",
        ["listener"],
        "Connections of clients that were accepted.";
    CONNECTION_ERRORS: Kind::Counter, "sightglass_connection_errors_total",
        ["listener", "reason"],
        "Connections of clients that were refused or ended by something other than their own will.";
    TLS_HANDSHAKES: Kind::Counter, "sightglass_tls_handshakes_total",
        ["listener", "version", "resumed"],
        "TLS handshakes with clients that succeeded, by version and by whether they went on with an earlier session.";
    TLS_HANDSHAKE_DURATION: Kind::Histogram(&histogram::DURATIONS), "sightglass_tls_handshake_duration_seconds",
        ["listener"],
        "Length of TLS handshakes with clients that succeeded, waiting for the client included.";
    CERTIFICATE_EXPIRY: Kind::Gauge, "sightglass_tls_certificate_expiry_seconds",
        ["listener", "certificate"],
        "When a certificate that clients are shown ends, in seconds since 1970; by its file as it was named.";
    WORKER_CONNECTIONS: Kind::Gauge, "sightglass_worker_connections",
        ["worker"],
        "Connections of clients that a worker holds now.";
    CONFIG_GENERATION: Kind::Gauge, "sightglass_config_generation",
        [],
        "The number of the configuration that is in force, counted from the start of the process.";
    CONFIG_LAST_RELOAD_SUCCESS: Kind::Gauge, "sightglass_config_last_reload_success",
        [],
        "Whether the last attempt to load a configuration succeeded.";
    CONFIG_RELOADS: Kind::Counter, "sightglass_config_reloads_total",
        ["result"],
        "Attempts to load another configuration, by result.";
    CONFIG_INFO: Kind::Gauge, "sightglass_config_info",
        ["hash"],
        "The configuration that is in force, by the hash of its text.";
    TELEMETRY_ITEMS: Kind::Counter, "sightglass_telemetry_items_total",
        ["signal", "state", "reason"],
        "Spans, log lines and records by what became of them; created = exported + dropped + queued.";
    TELEMETRY_QUEUED: Kind::Gauge, "sightglass_telemetry_queued_items",
        ["signal"],
        "Spans, log lines and records that are on their way.";
    TRACES_SHED: Kind::Counter, "sightglass_traces_shed_total",
        ["reason"],
        "Traces that were to be kept and that the rate cap shed, by why they were to be kept; the weights of those that it let through make up for them.";
    LABEL_OVERFLOW: Kind::Counter, "sightglass_metrics_label_overflow_total",
        ["label"],
        "Exchanges whose value of a label that holds what clients say was not told apart, since as many others have their place.";
    SERIES_OVERFLOW: Kind::Counter, "sightglass_metrics_series_overflow_total",
        ["family"],
        "Label sets that a family has not taken, since it has as many series as it may.";
    BUILD_INFO: Kind::Gauge, "sightglass_build_info",
        ["version", "os", "arch"],
        "The build that is running.";
    PROCESS_CPU: Kind::Counter, "process_cpu_seconds_total",
        [],
        "CPU time of the process, user and system.";
    TOKIO_WORKERS: Kind::Gauge, "tokio_workers",
        ["runtime"],
        "Threads that drive a tokio runtime.";
    TOKIO_ALIVE_TASKS: Kind::Gauge, "tokio_alive_tasks",
        ["runtime"],
        "Tasks of a tokio runtime that have not ended.";
    TOKIO_QUEUE_DEPTH: Kind::Gauge, "tokio_global_queue_depth",
        ["runtime"],
        "Tasks that wait in the global queue of a tokio runtime.";
    TOKIO_PARKS: Kind::Counter, "tokio_worker_park_total",
        ["runtime"],
        "How often the threads of a tokio runtime have gone to sleep.";
    TOKIO_BUSY: Kind::Counter, "tokio_worker_busy_seconds_total",
        ["runtime"],
        "Time that the threads of a tokio runtime have been busy.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_say_type_and_unit() {
        let mut names = HashSet::new();
        for family in FAMILIES {
            assert!(names.insert(family.name), "{} is there twice", family.name);
            assert_eq!(
                family.name.ends_with("_total"),
                matches!(family.kind, Kind::Counter),
                "{}",
                family.name
            );
            assert!(family.help.ends_with('.'), "{}", family.name);
        }
        assert_eq!(unit("process_cpu_seconds_total"), Some("seconds"));
        assert_eq!(unit("http_server_active_requests"), None);
    }
}
