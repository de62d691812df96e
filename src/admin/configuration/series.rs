//! `telemetry.metrics` of `/api/v1/config`.

use serde_json::{Map, Value, json};

use crate::config::Telemetry;

/// The section.
pub(super) fn page(it: &Telemetry) -> Value {
    let labels = it.metrics.header_labels.iter();
    let headers: Map<String, Value> = labels
        .map(|(label, header)| (label.clone(), json!(header.as_str())))
        .collect();
    json!({
        "exemplars": it.exemplars,
        "native_histograms": it.metrics.native_histograms,
        "classic_buckets": it.metrics.classic_buckets,
        "labels": {"host": it.metrics.host_label, "headers": headers},
        "max_values": it.metrics.max_values,
        "max_series": it.metrics.max_series,
        "otlp": it.metrics.push.as_ref().map(|push| json!({
            "endpoint": push.otlp.endpoint,
            "protocol": super::otlp_protocol(push.otlp.protocol),
            "interval": super::time(push.interval),
        })),
    })
}
