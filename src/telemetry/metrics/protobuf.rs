//! A page as messages: `io.prometheus.client.MetricFamily`, the one format that can carry native histograms.
//!
//! The messages are written by hand from Prometheus' `metrics.proto` (client_model), as far as we use them: a dozen
//! fields need no compiler of protocols at build. Histograms come from their figures; everything else is written as text
//! first, by whoever draws it, and taken apart here, so that there is one way to draw. Pushing the metrics ([`super::push`])
//! begins from the same messages.

use prost::Message;

use super::exemplar::Exemplar as Ours;
use super::histogram::{Buckets, Snapshot};
use super::native::ZERO_THRESHOLD;

/// The `Content-Type` of the format.
pub(super) const CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A family with its series.
#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricFamily {
    /// The name, `_total` included.
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// One sentence.
    #[prost(string, tag = "2")]
    pub(super) help: String,
    /// The type.
    #[prost(enumeration = "MetricType", tag = "3")]
    pub(super) kind: i32,
    /// The series, in the order of their labels.
    #[prost(message, repeated, tag = "4")]
    pub(super) metric: Vec<Metric>,
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum MetricType {
    /// Only ever rises.
    Counter = 0,
    /// What is now.
    Gauge = 1,
    /// Quantiles.
    Summary = 2,
    /// Not known.
    Untyped = 3,
    /// A distribution.
    Histogram = 4,
}

/// A series; one of its values is there.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Metric {
    /// The labels.
    #[prost(message, repeated, tag = "1")]
    pub(super) label: Vec<LabelPair>,
    /// Where it is a gauge.
    #[prost(message, optional, tag = "2")]
    pub(super) gauge: Option<Number>,
    /// Where it is a counter.
    #[prost(message, optional, tag = "3")]
    pub(super) counter: Option<Number>,
    /// Where nobody says what it is.
    #[prost(message, optional, tag = "5")]
    pub(super) untyped: Option<Number>,
    /// Where it is a histogram.
    #[prost(message, optional, boxed, tag = "7")]
    pub(super) histogram: Option<Box<Histogram>>,
}

/// A label.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Message)]
pub(super) struct LabelPair {
    /// Its name.
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

/// The value of a gauge, a counter, or what is neither: their messages are the same.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Number {
    /// The value.
    #[prost(double, tag = "1")]
    pub(super) value: f64,
}

/// A histogram: classic buckets, native ones, or both.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Histogram {
    /// How many samples there are.
    #[prost(uint64, tag = "1")]
    pub(super) sample_count: u64,
    /// Their sum.
    #[prost(double, tag = "2")]
    pub(super) sample_sum: f64,
    /// The classic buckets.
    #[prost(message, repeated, tag = "3")]
    pub(super) bucket: Vec<Bucket>,
    /// The resolution of the native ones: 2^schema buckets a doubling.
    #[prost(sint32, optional, tag = "5")]
    pub(super) schema: Option<i32>,
    /// What is taken for nothing.
    #[prost(double, optional, tag = "6")]
    pub(super) zero_threshold: Option<f64>,
    /// The samples of at most that.
    #[prost(uint64, optional, tag = "7")]
    pub(super) zero_count: Option<u64>,
    /// Where there are native buckets.
    #[prost(message, repeated, tag = "12")]
    pub(super) positive_span: Vec<BucketSpan>,
    /// The samples of each, as the difference to the one before.
    #[prost(sint64, repeated, tag = "13")]
    pub(super) positive_delta: Vec<i64>,
    /// The exemplars of the native buckets.
    #[prost(message, repeated, tag = "16")]
    pub(super) exemplars: Vec<Exemplar>,
}

/// A classic bucket.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Bucket {
    /// The samples up to its bound.
    #[prost(uint64, tag = "1")]
    pub(super) cumulative_count: u64,
    /// The bound, inclusive.
    #[prost(double, tag = "2")]
    pub(super) upper_bound: f64,
    /// Its exemplar.
    #[prost(message, optional, tag = "3")]
    pub(super) exemplar: Option<Exemplar>,
}

/// Native buckets without a gap.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub(super) struct BucketSpan {
    /// The gap before it; of the first the index of its first bucket.
    #[prost(sint32, tag = "1")]
    pub(super) offset: i32,
    /// How many buckets there are.
    #[prost(uint32, tag = "2")]
    pub(super) length: u32,
}

/// A sample that a trace tells more about.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Exemplar {
    /// The trace and the span.
    #[prost(message, repeated, tag = "1")]
    pub(super) label: Vec<LabelPair>,
    /// The sample.
    #[prost(double, tag = "2")]
    pub(super) value: f64,
    /// When it was.
    #[prost(message, optional, tag = "3")]
    pub(super) timestamp: Option<Timestamp>,
}

/// A moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub(super) struct Timestamp {
    /// Seconds since 1970.
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    /// And nanoseconds.
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// The families one after the other, each behind its length.
pub(super) fn page(families: &[MetricFamily]) -> Vec<u8> {
    let mut out = Vec::with_capacity(families.iter().map(|it| it.encoded_len() + 8).sum());
    for family in families {
        if family.encode_length_delimited(&mut out).is_err() {
            break; // a vector has room
        }
    }
    out
}

/// A series of one of our histograms. Its classic buckets are left out where `is_classic` does not want them and there
/// are native ones.
pub(super) fn histogram(
    labels: &str,
    buckets: &'static Buckets,
    all: &Snapshot,
    is_classic: bool,
) -> Metric {
    // Workers count while we read: what must agree is read from one place.
    let native = all.native.as_ref();
    let sample_count = native.map_or_else(|| all.count(), |native| native.count());
    let mut histogram = Histogram {
        sample_count,
        sample_sum: buckets.base(all.sum),
        ..Histogram::default()
    };
    if is_classic || native.is_none() {
        let mut cumulative = 0;
        let bounds = buckets.bounds().into_iter();
        for (place, (upper_bound, count)) in std::iter::zip(bounds, &all.counts).enumerate() {
            cumulative += count;
            histogram.bucket.push(Bucket {
                cumulative_count: cumulative.min(sample_count),
                upper_bound,
                exemplar: exemplar(buckets, all, place),
            });
        }
        // Without an exemplar the unbounded bucket need not be told: it is the count.
        if let Some(exemplar) = exemplar(buckets, all, buckets.labels().len() - 1) {
            histogram.bucket.push(Bucket {
                cumulative_count: sample_count,
                upper_bound: f64::INFINITY,
                exemplar: Some(exemplar),
            });
        }
    }
    if let Some(native) = native {
        let (schema, runs) = native.runs();
        histogram.schema = Some(schema);
        histogram.zero_threshold = Some(ZERO_THRESHOLD);
        histogram.zero_count = Some(native.zeros);
        let (mut end, mut before) = (0, 0);
        for run in runs {
            histogram.positive_span.push(BucketSpan {
                offset: run.first - end,
                length: u32::try_from(run.counts.len()).unwrap_or(u32::MAX),
            });
            end = run.end();
            for count in run.counts {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                histogram.positive_delta.push(count - before);
                before = count;
            }
        }
        let exemplars = (0..all.exemplars.len()).filter_map(|at| exemplar(buckets, all, at));
        histogram.exemplars = exemplars.collect();
    }
    Metric {
        label: pairs(labels),
        histogram: Some(Box::new(histogram)),
        ..Metric::default()
    }
}

fn exemplar(buckets: &Buckets, all: &Snapshot, place: usize) -> Option<Exemplar> {
    let Ours {
        trace_id,
        span_id,
        value,
        at_ms,
    } = (*all.exemplars.get(place)?)?;
    let label = |name: &str, value: String| LabelPair {
        name: name.to_owned(),
        value,
    };
    Some(Exemplar {
        label: vec![
            label("trace_id", trace_id.to_string()),
            label("span_id", span_id.to_string()),
        ],
        value: buckets.base(value),
        timestamp: Some(Timestamp {
            seconds: i64::try_from(at_ms / 1_000).unwrap_or(i64::MAX),
            nanos: i32::try_from(at_ms % 1_000 * 1_000_000).unwrap_or(0),
        }),
    })
}

/// A series that was written as text: one line, or all lines of a histogram.
pub(super) fn series(chunk: &str, kind: MetricType) -> Option<Metric> {
    if kind == MetricType::Histogram {
        return written_histogram(chunk);
    }
    let (_, labels, value) = line(chunk.lines().next()?)?;
    let number = Some(Number { value });
    let mut metric = Metric {
        label: pairs(labels),
        ..Metric::default()
    };
    match kind {
        MetricType::Counter => metric.counter = number,
        MetricType::Gauge => metric.gauge = number,
        MetricType::Untyped | MetricType::Summary | MetricType::Histogram => {
            metric.untyped = number
        }
    }
    Some(metric)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts, which were written from whole numbers"
)]
fn written_histogram(chunk: &str) -> Option<Metric> {
    let mut metric = Metric::default();
    let mut histogram = Histogram::default();
    for text in chunk.lines() {
        let (name, labels, value) = line(text)?;
        if name.ends_with("_sum") {
            histogram.sample_sum = value;
        } else if name.ends_with("_count") {
            histogram.sample_count = value as u64;
            metric.label = pairs(labels);
        } else {
            let le = pairs(labels).pop().filter(|it| it.name == "le")?.value;
            let upper_bound: f64 = le.trim_start_matches('+').parse().ok()?;
            if upper_bound.is_finite() {
                histogram.bucket.push(Bucket {
                    cumulative_count: value as u64,
                    upper_bound,
                    exemplar: None,
                });
            }
        }
    }
    metric.histogram = Some(Box::new(histogram));
    Some(metric)
}

/// A line's name, its labels as they are written, and its value.
fn line(text: &str) -> Option<(&str, &str, f64)> {
    let (series, value) = text.rsplit_once(' ')?;
    let value = value.trim_start_matches('+').parse().ok()?;
    Some(match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?, value),
        None => (series, "", value),
    })
}

/// Labels as they are written, taken apart.
fn pairs(mut text: &str) -> Vec<LabelPair> {
    let mut pairs = Vec::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let mut value = String::with_capacity(16);
        let mut end = rest.len();
        let mut characters = rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => {}
                },
                other => value.push(other),
            }
        }
        pairs.push(LabelPair {
            name: name.trim_start_matches(',').to_owned(),
            value,
        });
        text = &rest[end..];
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::label;

    #[test]
    fn labels_come_back_as_they_were() {
        let nasty = [
            ("a", "x=\"1\",b=\"2\""),
            ("b", "\\\n\\n\"}"),
            ("c", ""),
            ("d", "ü{"),
        ];
        let found = pairs(&label::pairs(nasty));
        let found: Vec<_> = found.iter().map(|it| (&*it.name, &*it.value)).collect();
        assert_eq!(found, nasty);
    }

    #[test]
    fn written_lines_come_back_as_series() {
        let gauge = series("up{a=\"b c\"} -1.5\n", MetricType::Gauge).expect("a line");
        assert_eq!(gauge.gauge.map(|it| it.value), Some(-1.5));
        assert_eq!(gauge.label[0].value, "b c");
        let bare = series("x_total 7", MetricType::Counter).expect("a line");
        assert_eq!(
            (bare.counter.map(|it| it.value), bare.label.len()),
            (Some(7.0), 0)
        );
        let text = "h_bucket{a=\"b\",le=\"0.5\"} 3\nh_bucket{a=\"b\",le=\"+Inf\"} 4\nh_sum{a=\"b\"} 2.5\nh_count{a=\"b\"} 4\n";
        let metric = series(text, MetricType::Histogram).expect("lines");
        let histogram = metric.histogram.expect("a histogram");
        assert_eq!((histogram.sample_count, histogram.sample_sum), (4, 2.5));
        assert_eq!((histogram.bucket.len(), metric.label.len()), (1, 1));
    }
}
