//! A data point of a metric as tests want to read it: flat, attributes as text.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The value; of a histogram how many samples it has.
    pub(crate) value: f64,
    /// Of a histogram the sum of its samples.
    pub(crate) sum: f64,
    /// Of a histogram how many buckets have samples, and how many samples those have together.
    pub(crate) buckets: (usize, u64),
    pub(crate) is_exponential: bool,
    /// The traces of its exemplars, in hex.
    pub(crate) exemplars: Vec<String>,
    pub(crate) service: String,
    pub(crate) started: u64,
    pub(crate) time: u64,
}

/// Every data point of an export.
pub(super) fn flatten(request: ExportMetricsServiceRequest) -> Vec<Point> {
    let mut points = Vec::new();
    for group in request.resource_metrics {
        let resource = attributes(&group.resource.unwrap_or_default().attributes);
        let service = resource.get("service.name").cloned().unwrap_or_default();
        for metric in group.scope_metrics.into_iter().flat_map(|it| it.metrics) {
            let empty = Point {
                name: metric.name,
                unit: metric.unit,
                attributes: BTreeMap::new(),
                value: 0.0,
                sum: 0.0,
                buckets: (0, 0),
                is_exponential: false,
                exemplars: Vec::new(),
                service: service.clone(),
                started: 0,
                time: 0,
            };
            points.extend(of(metric.data.expect("a metric has data"), &empty));
        }
    }
    points
}

fn of(data: metric::Data, empty: &Point) -> Vec<Point> {
    let filled = |counts: &[u64]| {
        let filled = counts.iter().filter(|count| **count > 0);
        (filled.count(), counts.iter().sum())
    };
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect();
    match data {
        metric::Data::Gauge(_) | metric::Data::Sum(_) => {
            let points = match data {
                metric::Data::Gauge(gauge) => gauge.data_points,
                metric::Data::Sum(sum) => sum.data_points,
                _ => Vec::new(),
            };
            let number = |value| match value {
                Some(number_data_point::Value::AsDouble(value)) => value,
                Some(number_data_point::Value::AsInt(value)) => value as f64,
                None => f64::NAN,
            };
            let one = |point: opentelemetry_proto::tonic::metrics::v1::NumberDataPoint| Point {
                attributes: attributes(&point.attributes),
                value: number(point.value),
                started: point.start_time_unix_nano,
                time: point.time_unix_nano,
                ..empty.clone()
            };
            points.into_iter().map(one).collect()
        }
        metric::Data::Histogram(all) => {
            let one = |point: opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint| Point {
                attributes: attributes(&point.attributes),
                value: point.count as f64,
                sum: point.sum.unwrap_or_default(),
                buckets: filled(&point.bucket_counts),
                exemplars: point.exemplars.iter().map(|it| hex(&it.trace_id)).collect(),
                started: point.start_time_unix_nano,
                time: point.time_unix_nano,
                ..empty.clone()
            };
            all.data_points.into_iter().map(one).collect()
        }
        metric::Data::ExponentialHistogram(all) => {
            let one =
                |point: opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint| {
                    let buckets = point.positive.unwrap_or_default().bucket_counts;
                    let (count, sum) = filled(&buckets);
                    Point {
                        attributes: attributes(&point.attributes),
                        value: point.count as f64,
                        sum: point.sum.unwrap_or_default(),
                        buckets: (count, sum + point.zero_count),
                        is_exponential: true,
                        exemplars: point.exemplars.iter().map(|it| hex(&it.trace_id)).collect(),
                        started: point.start_time_unix_nano,
                        time: point.time_unix_nano,
                        ..empty.clone()
                    }
                };
            all.data_points.into_iter().map(one).collect()
        }
        metric::Data::Summary(_) => Vec::new(),
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|it| it.value.clone()) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    pairs
        .iter()
        .map(|pair| (pair.key.clone(), text(pair)))
        .collect()
}
