//! `telemetry.metrics`: what the metrics carry, how many series they may be, and to whom they are pushed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationWritten;
use super::notes::At;
use super::ranges::{check_time, check_whole};
use super::route_match::check_header_name;
use super::traces::{Otlp, OtlpProtocolWritten, check_otlp};

/// What the metrics carry, how many series they may be, and to whom they are pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Whether latency histograms are native ones as well, for whoever asks for protobuf (default true).
    pub native_histograms: bool,
    /// Whether those keep their classic buckets in protobuf (default true); text always has them.
    pub classic_buckets: bool,
    /// Whether the host that was asked for is the label `server_address` of request durations (default false).
    pub host_label: bool,
    /// Labels of request durations and the request headers that they hold, in the order of the labels (default none).
    pub header_labels: Vec<(String, HeaderName)>,
    /// How many values such a label may have; all others are `_OTHER` (1 to 10000, default 100).
    pub max_values: u16,
    /// How many series a family may have, each bucket counted (1000 to 10000000, default 100000).
    pub max_series: u32,
    /// The collector that the metrics are pushed to, and how often (default none).
    pub push: Option<Push>,
}

/// A collector that metrics are pushed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The collector.
    pub otlp: Otlp,
    /// From one push to the next (1 s to 1 h, default 60 s).
    pub interval: Duration,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            native_histograms: true,
            classic_buckets: true,
            host_label: false,
            header_labels: Vec::new(),
            max_values: 100,
            max_series: 100_000,
            push: None,
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// The labels that hold what clients say, in their order.
    pub fn free_labels(&self) -> impl Iterator<Item = &str> {
        let host = self.host_label.then_some(HOST_LABEL);
        let headers = self.header_labels.iter().map(|(label, _)| label.as_str());
        host.into_iter().chain(headers)
    }
}

/// The label of the host that was asked for; OpenTelemetry's `server.address`.
pub const HOST_LABEL: &str = "server_address";

/// The most labels that hold what clients say.
pub const FREE_LABELS: usize = 4;

/// Labels that request durations have already, or that histograms need.
const TAKEN: [&str; 8] = [
    "route",
    "http_route",
    "http_request_method",
    "http_response_status_code",
    "outcome",
    "le",
    "quantile",
    HOST_LABEL,
];

/// Headers that nobody may show.
const SECRET: [&str; 5] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
];

// === As written ===

/// What the metrics carry, how many series they may be, and to whom they are pushed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricsWritten {
    /// Whether latency histograms carry exemplars (default true).
    #[serde(default)]
    pub(super) exemplars: Option<bool>,
    /// Whether latency histograms are native ones as well, in protobuf (default true).
    #[serde(default)]
    native_histograms: Option<bool>,
    /// Whether those keep their classic buckets in protobuf (default true).
    #[serde(default)]
    classic_buckets: Option<bool>,
    /// Labels of request durations that hold what clients say.
    #[serde(default)]
    labels: LabelsWritten,
    /// How many values such a label may have (default 100).
    #[serde(default)]
    max_values: Option<u64>,
    /// How many series a family may have (default 100000).
    #[serde(default)]
    max_series: Option<u64>,
    /// The collector that the metrics are pushed to.
    #[serde(default)]
    otlp: Option<PushWritten>,
}

/// The collector that the metrics are pushed to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PushWritten {
    /// Its URL, `http://host:port`.
    endpoint: String,
    /// The flavour of OTLP (default: http on port 4318, else grpc).
    #[serde(default)]
    protocol: Option<OtlpProtocolWritten>,
    /// From one push to the next (default 60s).
    #[serde(default)]
    interval: Option<DurationWritten>,
}

/// Labels of request durations that hold what clients say.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LabelsWritten {
    /// Whether the host that was asked for is the label `server_address` (default false).
    #[serde(default)]
    host: Option<bool>,
    /// Labels, and the request headers that they hold.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

// === Checks ===

impl MetricsWritten {
    /// Checks the section. What cannot be used is noted and has its default here.
    pub(super) fn check(&self, at: &At<'_>) -> Metrics {
        let default = Metrics::default();
        let native_histograms = self.native_histograms.unwrap_or(default.native_histograms);
        let classic_buckets = self.classic_buckets.unwrap_or(default.classic_buckets);
        if !native_histograms && !classic_buckets {
            at.key("classic_buckets").error_hint(
                "without native histograms nothing would be left",
                "native_histograms: true",
            );
        }
        let labels = at.key("labels");
        Metrics {
            native_histograms,
            classic_buckets,
            host_label: self.labels.host.unwrap_or(default.host_label),
            header_labels: self.labels.check(&labels),
            max_values: check_whole(self.max_values, 1..=10_000, &at.key("max_values"))
                .unwrap_or(default.max_values),
            max_series: check_whole(self.max_series, 1_000..=10_000_000, &at.key("max_series"))
                .unwrap_or(default.max_series),
            push: self
                .otlp
                .as_ref()
                .and_then(|push| push.check(&at.key("otlp"))),
        }
    }
}

impl PushWritten {
    fn check(&self, at: &At<'_>) -> Option<Push> {
        let interval_at = at.key("interval");
        let interval = check_time(self.interval, &interval_at).unwrap_or(Duration::from_secs(60));
        if !(INTERVALS.0..=INTERVALS.1).contains(&interval) {
            interval_at.error("must be 1s to 1h");
        }
        let otlp = check_otlp(&self.endpoint, self.protocol, at)?;
        Some(Push { otlp, interval })
    }
}

const INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

impl LabelsWritten {
    fn check(&self, at: &At<'_>) -> Vec<(String, HeaderName)> {
        let at = at.key("headers");
        let mut fields = BTreeSet::new();
        let mut labels = Vec::new();
        for (label, field) in &self.headers {
            let at = at.key(label);
            if !is_label(label) {
                at.error_hint(
                    "is no name of a label",
                    "letters, digits and _, not first a digit or __",
                );
                continue;
            }
            if TAKEN.contains(&label.as_str()) {
                at.error("is a label already");
                continue;
            }
            let Some(field) = check_header_name(field, &at) else {
                continue;
            };
            if SECRET.contains(&field.as_str()) {
                at.error("holds a secret, and a label is for everybody to see");
            } else if !fields.insert(field.as_str().to_owned()) {
                at.error("is the header of another label already");
            } else {
                labels.push((label.clone(), field));
            }
        }
        let most = FREE_LABELS - usize::from(self.host.unwrap_or_default());
        if labels.len() > most {
            at.error(format!("must be at most {most}, are {}", labels.len()));
            labels.truncate(most);
        }
        labels
    }
}

/// Whether Prometheus takes it as the name of a label.
fn is_label(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.starts_with("__")
        && name.bytes().all(is_word)
        && name
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit())
}
