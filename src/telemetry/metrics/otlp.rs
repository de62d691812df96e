//! The metrics as OTLP: the messages of [`super::protobuf`] written anew as `ExportMetricsServiceRequest`.
//!
//! Names are OpenTelemetry's where the family is one of its conventions, else the first word of ours becomes a namespace
//! and unit and `_total` go (`sightglass_retries_total` is `sightglass.retries`): a receiver that makes Prometheus names of
//! them, by OpenTelemetry's rules, comes to ours again. Everything is cumulative, since that is what is counted.
//! (`opentelemetry/proto/metrics/v1/metrics.proto`)

use opentelemetry_sdk::Resource;

use super::family;
use super::protobuf::{Exemplar, Histogram, LabelPair, Metric, MetricFamily, MetricType, Number};
use crate::telemetry::otlp::{Field, Message, Value};

/// Writes requests of one resource.
#[derive(Debug)]
pub(super) struct Writer {
    resource: Message,
    scope: Message,
    /// When counting began, in nanoseconds since 1970.
    started: u64,
}

/// One request, and how many data points it carries.
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    pub(super) points: u64,
}

/// The fields of the messages.
mod field {
    use super::Field;

    pub(super) const RESOURCE_METRICS: Field = 1;
    pub(super) const RESOURCE: Field = 1;
    pub(super) const SCOPE_METRICS: Field = 2;
    pub(super) const SCOPE: Field = 1;
    pub(super) const METRIC: Field = 2;

    pub(super) const NAME: Field = 1;
    pub(super) const DESCRIPTION: Field = 2;
    pub(super) const UNIT: Field = 3;
    pub(super) const GAUGE: Field = 5;
    pub(super) const SUM: Field = 7;
    pub(super) const HISTOGRAM: Field = 9;
    pub(super) const EXPONENTIAL: Field = 10;

    pub(super) const POINT: Field = 1;
    pub(super) const TEMPORALITY: Field = 2;
    pub(super) const IS_MONOTONIC: Field = 3;

    pub(super) const STARTED: Field = 2;
    pub(super) const TIME: Field = 3;
    pub(super) const COUNT: Field = 4;
    pub(super) const DOUBLE: Field = 4;
    pub(super) const HISTOGRAM_SUM: Field = 5;
    pub(super) const COUNTS: Field = 6;
    pub(super) const BOUNDS: Field = 7;
    pub(super) const NUMBER_ATTRIBUTE: Field = 7;
    pub(super) const HISTOGRAM_EXEMPLAR: Field = 8;
    pub(super) const HISTOGRAM_ATTRIBUTE: Field = 9;

    pub(super) const EXPONENTIAL_ATTRIBUTE: Field = 1;
    pub(super) const SCALE: Field = 6;
    pub(super) const ZEROS: Field = 7;
    pub(super) const POSITIVE: Field = 8;
    pub(super) const EXPONENTIAL_EXEMPLAR: Field = 11;
    pub(super) const ZERO_THRESHOLD: Field = 14;
    pub(super) const OFFSET: Field = 1;
    pub(super) const BUCKETS: Field = 2;

    pub(super) const EXEMPLAR_TIME: Field = 2;
    pub(super) const EXEMPLAR_DOUBLE: Field = 3;
    pub(super) const EXEMPLAR_SPAN: Field = 4;
    pub(super) const EXEMPLAR_TRACE: Field = 5;
}

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;

/// How many data points a request carries at most: some 1 MiB, a quarter of what gRPC takes by default.
const POINTS: usize = 2_000;

// === impl Writer ===

impl Writer {
    /// One for what this resource has counted since `started`, in nanoseconds since 1970.
    pub(super) fn new(resource: &Resource, started: u64) -> Self {
        let mut attributes = Message::default();
        for (key, value) in resource {
            attributes.attribute(1, key.as_str(), Value::Text(&value.as_str()));
        }
        let mut scope = Message::default();
        scope.field(1, env!("CARGO_PKG_NAME").as_bytes());
        scope.field(2, env!("CARGO_PKG_VERSION").as_bytes());
        let nested = |number: Field, message: &Message| {
            let mut outer = Message::default();
            outer.field(number, message.bytes());
            outer
        };
        Self {
            resource: nested(field::RESOURCE, &attributes),
            scope: nested(field::SCOPE, &scope),
            started,
        }
    }

    /// Requests that carry all of these, as they were at `now`.
    pub(super) fn write(&self, families: &[MetricFamily], now: u64) -> Vec<Request> {
        let mut requests = Vec::new();
        let (mut metrics, mut points) = (Message::default(), 0);
        for family in families {
            for part in family.metric.chunks(POINTS) {
                if points > 0 && points + part.len() > POINTS {
                    requests.push(self.request(&std::mem::take(&mut metrics), points));
                    points = 0;
                }
                metrics.field(field::METRIC, self.metric(family, part, now).bytes());
                points += part.len();
            }
        }
        if points > 0 {
            requests.push(self.request(&metrics, points));
        }
        requests
    }

    fn request(&self, metrics: &Message, points: usize) -> Request {
        let mut scoped = Message::with_capacity(metrics.bytes().len() + 64);
        scoped.raw(self.scope.bytes());
        scoped.raw(metrics.bytes());
        let mut of_resource = Message::with_capacity(scoped.bytes().len() + 256);
        of_resource.raw(self.resource.bytes());
        of_resource.field(field::SCOPE_METRICS, scoped.bytes());
        let mut request = Message::with_capacity(of_resource.bytes().len() + 16);
        request.field(field::RESOURCE_METRICS, of_resource.bytes());
        Request {
            bytes: request.into_bytes(),
            points: u64::try_from(points).unwrap_or(u64::MAX),
        }
    }

    fn metric(&self, family: &MetricFamily, series: &[Metric], now: u64) -> Message {
        let name = Name::of(&family.name);
        let mut metric = Message::default();
        metric.field(field::NAME, name.text.as_bytes());
        metric.field(field::DESCRIPTION, family.help.as_bytes());
        metric.field(field::UNIT, name.unit.as_bytes());
        let mut data = Message::default();
        let is_exponential = series.iter().any(|it| {
            let histogram = it.histogram.as_ref();
            histogram.is_some_and(|it| it.bucket.is_empty() && it.schema.is_some())
        });
        for one in series {
            let point = match &one.histogram {
                Some(histogram) if is_exponential => self.exponential(one, histogram, now),
                Some(histogram) => self.histogram(one, histogram, now),
                None => self.number(one, one.gauge.or(one.counter).or(one.untyped), now),
            };
            data.field(field::POINT, point.bytes());
        }
        let kind = MetricType::try_from(family.kind).unwrap_or(MetricType::Untyped);
        let number = match kind {
            MetricType::Counter => field::SUM,
            MetricType::Histogram if is_exponential => field::EXPONENTIAL,
            MetricType::Histogram => field::HISTOGRAM,
            MetricType::Gauge | MetricType::Untyped | MetricType::Summary => field::GAUGE,
        };
        if number != field::GAUGE {
            data.varint(field::TEMPORALITY, CUMULATIVE);
        }
        if number == field::SUM {
            data.varint(field::IS_MONOTONIC, 1);
        }
        metric.field(number, data.bytes());
        metric
    }

    fn times(&self, point: &mut Message, now: u64) {
        point.fixed64(field::STARTED, self.started);
        point.fixed64(field::TIME, now);
    }

    fn number(&self, series: &Metric, value: Option<Number>, now: u64) -> Message {
        let mut point = Message::default();
        self.times(&mut point, now);
        let value = value.map_or(f64::NAN, |it| it.value);
        point.fixed64(field::DOUBLE, value.to_bits());
        attributes(&mut point, field::NUMBER_ATTRIBUTE, &series.label);
        point
    }

    fn histogram(&self, series: &Metric, histogram: &Histogram, now: u64) -> Message {
        let mut point = Message::default();
        self.times(&mut point, now);
        point.fixed64(field::COUNT, histogram.sample_count);
        point.fixed64(field::HISTOGRAM_SUM, histogram.sample_sum.to_bits());
        let (mut counts, mut bounds, mut before) = (Vec::new(), Vec::new(), 0);
        for bucket in &histogram.bucket {
            if bucket.upper_bound.is_finite() {
                counts.extend_from_slice(&(bucket.cumulative_count - before).to_le_bytes());
                bounds.extend_from_slice(&bucket.upper_bound.to_le_bytes());
                before = bucket.cumulative_count;
            }
            if let Some(exemplar) = &bucket.exemplar {
                write_exemplar(&mut point, field::HISTOGRAM_EXEMPLAR, exemplar);
            }
        }
        counts.extend_from_slice(&histogram.sample_count.saturating_sub(before).to_le_bytes());
        point.field(field::COUNTS, &counts);
        point.field(field::BOUNDS, &bounds);
        attributes(&mut point, field::HISTOGRAM_ATTRIBUTE, &series.label);
        point
    }

    fn exponential(&self, series: &Metric, histogram: &Histogram, now: u64) -> Message {
        let mut point = Message::default();
        attributes(&mut point, field::EXPONENTIAL_ATTRIBUTE, &series.label);
        self.times(&mut point, now);
        point.fixed64(field::COUNT, histogram.sample_count);
        point.fixed64(field::HISTOGRAM_SUM, histogram.sample_sum.to_bits());
        point.varint(field::SCALE, zigzag(histogram.schema.unwrap_or_default()));
        point.fixed64(field::ZEROS, histogram.zero_count.unwrap_or_default());
        let mut buckets = Message::default();
        let mut counts: Vec<u64> = Vec::new();
        let (mut deltas, mut count) = (histogram.positive_delta.iter(), 0_i64);
        for (nth, span) in histogram.positive_span.iter().enumerate() {
            if nth == 0 {
                // Prometheus numbers a bucket by its upper bound, OTLP by its lower one.
                buckets.varint(field::OFFSET, zigzag(span.offset - 1));
            } else {
                let gap = usize::try_from(span.offset).unwrap_or_default();
                counts.resize(counts.len() + gap, 0);
            }
            for delta in deltas.by_ref().take(span.length as usize) {
                count += delta;
                counts.push(count.unsigned_abs());
            }
        }
        // Not packed: that is as good to every reader (protobuf's encoding guide), and a few bytes longer.
        for count in counts {
            buckets.varint(field::BUCKETS, count);
        }
        point.field(field::POSITIVE, buckets.bytes());
        for exemplar in &histogram.exemplars {
            write_exemplar(&mut point, field::EXPONENTIAL_EXEMPLAR, exemplar);
        }
        let zero_threshold = histogram.zero_threshold.unwrap_or_default();
        point.fixed64(field::ZERO_THRESHOLD, zero_threshold.to_bits());
        point
    }
}

/// A signed number as protobuf's `sint32` has it.
fn zigzag(number: i32) -> u64 {
    u64::from(((number << 1) ^ (number >> 31)).cast_unsigned())
}

fn attributes(point: &mut Message, number: Field, labels: &[LabelPair]) {
    for LabelPair { name, value } in labels {
        let key = match name.as_str() {
            "http_route" => "http.route",
            "http_request_method" => "http.request.method",
            "http_response_status_code" => "http.response.status_code",
            "server_address" => "server.address",
            other => other,
        };
        match value.parse() {
            Ok(status) if key == "http.response.status_code" => {
                point.attribute(number, key, Value::Number(status))
            }
            _ if value.is_empty() => {} // Prometheus' word for a label that is not there
            _ => point.attribute(number, key, Value::Text(value)),
        }
    }
}

fn write_exemplar(point: &mut Message, number: Field, exemplar: &Exemplar) {
    let mut message = Message::default();
    if let Some(at) = exemplar.timestamp {
        let nanos = at.seconds.unsigned_abs() * 1_000_000_000 + u64::from(at.nanos.unsigned_abs());
        message.fixed64(field::EXEMPLAR_TIME, nanos);
    }
    message.fixed64(field::EXEMPLAR_DOUBLE, exemplar.value.to_bits());
    for LabelPair { name, value } in &exemplar.label {
        let number = match name.as_str() {
            "span_id" => field::EXEMPLAR_SPAN,
            "trace_id" => field::EXEMPLAR_TRACE,
            _ => continue,
        };
        let byte = |at: usize| u8::from_str_radix(value.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..value.len()).step_by(2).map(byte).collect();
        message.field(number, &bytes.unwrap_or_default());
    }
    point.field(number, message.bytes());
}

/// A family's name and unit as OpenTelemetry writes them.
struct Name {
    text: String,
    unit: &'static str,
}

impl Name {
    fn of(name: &str) -> Self {
        let bare = name.strip_suffix("_total").unwrap_or(name);
        let (bare, unit) = match family::unit(name) {
            Some("seconds") => (bare.trim_end_matches("_seconds"), "s"),
            Some("bytes") => (bare.trim_end_matches("_bytes"), "By"),
            _ => (bare, ""),
        };
        let text = match bare {
            "http_server_request_duration" => "http.server.request.duration".to_owned(),
            "http_server_active_requests" => "http.server.active_requests".to_owned(),
            "http_server_request_body_size" => "http.server.request.body.size".to_owned(),
            "http_server_response_body_size" => "http.server.response.body.size".to_owned(),
            "http_client_request_duration" => "http.client.request.duration".to_owned(),
            other => other.replacen('_', ".", 1),
        };
        Self { text, unit }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use prost::Message as _;

    use super::*;
    use crate::telemetry::metrics::protobuf::{BucketSpan, series};

    fn written(families: &[MetricFamily]) -> Vec<opentelemetry_proto::tonic::metrics::v1::Metric> {
        let writer = Writer::new(&Resource::builder_empty().build(), 5);
        let requests = writer.write(families, 7);
        assert_eq!(requests.len(), 1);
        let request = ExportMetricsServiceRequest::decode(&*requests[0].bytes).expect("OTLP");
        request.resource_metrics[0].scope_metrics[0].metrics.clone()
    }

    fn family(name: &str, kind: MetricType, metric: Metric) -> MetricFamily {
        MetricFamily {
            name: name.to_owned(),
            help: "Help.".to_owned(),
            kind: kind.into(),
            metric: vec![metric],
        }
    }

    #[test]
    fn names_units_and_numbers_are_what_others_read() {
        let counter = series("x{route=\"a\",reason=\"\"} 7", MetricType::Counter).expect("a line");
        let gauge = series("x 1.5", MetricType::Gauge).expect("a line");
        let found = written(&[
            family("sightglass_retries_total", MetricType::Counter, counter),
            family("process_resident_memory_bytes", MetricType::Gauge, gauge),
        ]);
        assert_eq!(
            (&*found[0].name, &*found[0].unit),
            ("sightglass.retries", "")
        );
        let Some(Data::Sum(sum)) = &found[0].data else {
            panic!("a sum: {found:?}")
        };
        assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
        let point = &sum.data_points[0];
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (5, 7));
        assert_eq!(point.attributes.len(), 1, "an empty label is none");
        assert_eq!(
            (&*found[1].name, &*found[1].unit),
            ("process.resident_memory", "By")
        );
        assert!(matches!(&found[1].data, Some(Data::Gauge(_))));
    }

    #[test]
    fn native_buckets_become_exponential_ones() {
        let histogram = Histogram {
            sample_count: 9,
            sample_sum: 1.5,
            schema: Some(3),
            zero_threshold: Some(0.25),
            zero_count: Some(1),
            positive_span: vec![
                BucketSpan {
                    offset: -5,
                    length: 2,
                },
                BucketSpan {
                    offset: 3,
                    length: 1,
                },
            ],
            positive_delta: vec![2, 1, 0],
            ..Histogram::default()
        };
        let metric = Metric {
            histogram: Some(Box::new(histogram)),
            ..Metric::default()
        };
        let found = written(&[family(
            "http_server_request_duration_seconds",
            MetricType::Histogram,
            metric,
        )]);
        assert_eq!(
            (&*found[0].name, &*found[0].unit),
            ("http.server.request.duration", "s")
        );
        let Some(Data::ExponentialHistogram(all)) = &found[0].data else {
            panic!("an exponential histogram: {found:?}")
        };
        let point = &all.data_points[0];
        assert_eq!(
            (point.count, point.sum, point.scale, point.zero_count),
            (9, Some(1.5), 3, 1)
        );
        let buckets = point.positive.as_ref().expect("buckets");
        assert_eq!(
            (buckets.offset, &*buckets.bucket_counts),
            (-6, &[2, 3, 0, 0, 0, 3][..])
        );
        assert_eq!(point.zero_threshold, 0.25);
    }

    #[test]
    fn a_request_carries_at_most_two_thousand_points() {
        let metric = series("x 1", MetricType::Gauge).expect("a line");
        let mut many = family("x", MetricType::Gauge, metric.clone());
        many.metric = vec![metric; 4_500];
        let writer = Writer::new(&Resource::builder_empty().build(), 5);
        let requests = writer.write(&[many.clone(), many], 7);
        assert_eq!(requests.iter().map(|it| it.points).sum::<u64>(), 9_000);
        assert!(
            requests
                .iter()
                .all(|it| it.points <= 2_000 && it.bytes.len() < 1 << 20)
        );
    }
}
