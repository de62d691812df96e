//! One page of `/metrics`, in one of three exposition formats: Prometheus text 0.0.4, OpenMetrics 1.0 with exemplars, or
//! [messages](super::protobuf) with native histograms.
//!
//! Families are put together by name whoever brings them (the catalogue, the exporter of the facade, somebody who draws),
//! so that none can be there twice, and are written in the order of their names: two pages compare line by line. Both
//! formats write `le` as OpenMetrics wants it, so that a series has one identity whichever was scraped.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::family::{self, Family};
use super::histogram::{Buckets, Snapshot};
use super::protobuf::{self, Metric, MetricFamily, MetricType};

/// Knows something that is asked for at each scrape instead of being counted all the time.
pub trait Draw: Send + Sync {
    /// Puts what it knows on the page.
    fn draw(&self, page: &mut Page);
}

/// An exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Messages of Prometheus, with native histograms.
    Protobuf,
}

/// A page that is being made.
#[derive(Debug)]
pub struct Page {
    format: Format,
    /// Whether histograms that are native ones keep their classic buckets as messages.
    is_classic: bool,
    sections: BTreeMap<String, Section>,
}

/// One family of a page.
#[derive(Debug, Default)]
struct Section {
    kind: &'static str,
    help: String,
    /// Histograms of ours, already in order.
    body: String,
    /// The same as messages.
    messages: Vec<Metric>,
    /// Anything else: all lines of one label set, to be sorted.
    chunks: Vec<String>,
}

// === impl Section ===

impl Section {
    /// Brings the chunks into the order of their labels. Of two with the same labels the later one stays: while
    /// exchanges of an older graph are still there, both graphs draw their endpoints.
    fn sort(&mut self) {
        fn labels(chunk: &str) -> &str {
            let line = chunk.lines().next().unwrap_or_default();
            line.rsplit_once(' ').map_or(line, |(labels, _)| labels)
        }
        self.chunks.sort_by(|one, two| labels(one).cmp(labels(two)));
        self.chunks.dedup_by(|later, earlier| {
            let is_same = labels(later) == labels(earlier);
            if is_same {
                std::mem::swap(later, earlier);
            }
            is_same
        });
    }
}

// === impl Format ===

impl Format {
    /// The format that an `Accept` field asks for (RFC 9110 §12.5.1). Text where it is silent or takes anything:
    /// OpenMetrics is given only to whoever names it.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let (mut text, mut open, mut protobuf) = (0.0_f64, 0.0_f64, 0.0_f64);
        for range in accept.split(',') {
            let mut parameters = range.split(';').map(str::trim);
            let media = parameters.next().unwrap_or_default();
            let weight = parameters
                .clone()
                .find_map(|parameter| parameter.strip_prefix("q=")?.parse::<f64>().ok())
                .unwrap_or(1.0);
            if media.eq_ignore_ascii_case("application/openmetrics-text") {
                open = open.max(weight);
            } else if media.eq_ignore_ascii_case("text/plain") {
                text = text.max(weight);
            } else if media.eq_ignore_ascii_case("application/vnd.google.protobuf")
                && [
                    "proto=io.prometheus.client.MetricFamily",
                    "encoding=delimited",
                ]
                .iter()
                .all(|wanted| parameters.clone().any(|parameter| parameter == *wanted))
            {
                protobuf = protobuf.max(weight);
            }
        }
        if protobuf > 0.0 && protobuf >= open.max(text) {
            Self::Protobuf
        } else if open > 0.0 && open >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The `Content-Type` of a page.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => protobuf::CONTENT_TYPE,
        }
    }
}

// === impl Page ===

impl Page {
    /// An empty one.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            format,
            is_classic: true,
            sections: BTreeMap::new(),
        }
    }

    /// The same, without the classic buckets of histograms that have native ones, where messages are written.
    #[must_use]
    pub fn without_classic(self) -> Self {
        Self {
            is_classic: false,
            ..self
        }
    }

    /// A counter or gauge, with the values of the family's labels in the family's order.
    pub fn sample(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        let mut chunk = line(family.name, &family.pairs(labels));
        number(&mut chunk, value);
        chunk.push('\n');
        self.section(family).chunks.push(chunk);
    }

    /// The same with a whole number.
    pub fn count(&mut self, family: &'static Family, labels: &[&str], count: u64) {
        self.integer(family, &family.pairs(labels), i128::from(count));
    }

    /// A counter or gauge that is a whole number, with its labels as they are written.
    pub(super) fn integer(&mut self, family: &'static Family, labels: &str, value: i128) {
        let mut chunk = line(family.name, labels);
        chunk.push_str(itoa::Buffer::new().format(value));
        chunk.push('\n');
        self.section(family).chunks.push(chunk);
    }

    /// A histogram, with its labels as they are written. Called in the order of the labels.
    pub(super) fn histogram(
        &mut self,
        family: &'static Family,
        labels: &str,
        buckets: &'static Buckets,
        all: &Snapshot,
    ) {
        if self.format == Format::Protobuf {
            let message = protobuf::histogram(labels, buckets, all, self.is_classic);
            self.section(family).messages.push(message);
            return;
        }
        let has_exemplars = self.format == Format::OpenMetrics;
        let out = &mut self.section(family).body;
        let mut digits = itoa::Buffer::new();
        let mut count = 0;
        for (place, (le, added)) in buckets.labels().iter().zip(&all.counts).enumerate() {
            count += added;
            out.push_str(family.name);
            out.push_str("_bucket{");
            out.push_str(labels);
            out.push_str(",le=\"");
            out.push_str(le);
            out.push_str("\"} ");
            out.push_str(digits.format(count));
            if has_exemplars && let Some(Some(exemplar)) = all.exemplars.get(place) {
                let (value, at_ms) = (buckets.base(exemplar.value), exemplar.at_ms);
                let (trace_id, span_id) = (exemplar.trace_id, exemplar.span_id);
                let (seconds, millis) = (at_ms / 1000, at_ms % 1000);
                let _ = write!(
                    out,
                    " # {{trace_id=\"{trace_id}\",span_id=\"{span_id}\"}} {value} {seconds}.{millis:03}"
                );
            }
            out.push('\n');
        }
        for (suffix, is_sum) in [("_sum{", true), ("_count{", false)] {
            out.push_str(family.name);
            out.push_str(suffix);
            out.push_str(labels);
            out.push_str("} ");
            if is_sum {
                number(out, buckets.base(all.sum));
            } else {
                out.push_str(digits.format(count));
            }
            out.push('\n');
        }
    }

    /// Lines of one label set, of a family that somebody else has written.
    pub(super) fn foreign(&mut self, name: &str, kind: &str, help: &str, chunk: String) {
        let section = match family::find(name) {
            Some(family) => self.section(family),
            None => {
                let section = self.sections.entry(name.to_owned()).or_default();
                if section.kind.is_empty() {
                    help.clone_into(&mut section.help);
                    section.kind = ["counter", "gauge", "histogram", "summary"]
                        .into_iter()
                        .find(|known| *known == kind)
                        .unwrap_or("unknown");
                }
                section
            }
        };
        section.chunks.push(chunk);
    }

    /// The page as it is sent.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        match self.format {
            Format::Protobuf => protobuf::page(&self.families()),
            Format::Text | Format::OpenMetrics => self.finish().into_bytes(),
        }
    }

    /// The messages of a page of [`Format::Protobuf`].
    #[must_use]
    pub(super) fn families(self) -> Vec<MetricFamily> {
        let mut families = Vec::with_capacity(self.sections.len());
        for (name, mut section) in self.sections {
            section.sort();
            let kind = match section.kind {
                "counter" => MetricType::Counter,
                "gauge" => MetricType::Gauge,
                "histogram" => MetricType::Histogram,
                _ => MetricType::Untyped,
            };
            let mut metric = section.messages;
            let written = section.chunks.iter();
            metric.extend(written.filter_map(|chunk| protobuf::series(chunk, kind)));
            families.push(MetricFamily {
                name,
                help: section.help,
                kind: kind.into(),
                metric,
            });
        }
        families
    }

    /// The text.
    #[must_use]
    pub fn finish(self) -> String {
        let length: usize = self
            .sections
            .values()
            .map(|section| section.body.len())
            .sum();
        let mut out = String::with_capacity(length + 64 * 1024);
        for (name, mut section) in self.sections {
            section.sort();
            self.format.head(&mut out, &name, &section);
            out.push_str(&section.body);
            section.chunks.iter().for_each(|chunk| out.push_str(chunk));
        }
        if self.format == Format::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }

    fn section(&mut self, family: &'static Family) -> &mut Section {
        // Not `entry`: that would copy the name for each sample.
        if !self.sections.contains_key(family.name) {
            let section = Section {
                kind: family.kind.as_str(),
                help: family.help.to_owned(),
                ..Section::default()
            };
            self.sections.insert(family.name.to_owned(), section);
        }
        self.sections.entry(family.name.to_owned()).or_default()
    }
}

impl Format {
    /// The lines above a family's samples.
    fn head(self, out: &mut String, name: &str, section: &Section) {
        let Section { kind, help, .. } = section;
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        match self {
            Self::Text | Self::Protobuf => {
                let kind = if *kind == "unknown" { "untyped" } else { kind };
                let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            }
            Self::OpenMetrics => {
                let base = match *kind {
                    "counter" => name.strip_suffix("_total").unwrap_or(name),
                    _ => name,
                };
                let _ = writeln!(out, "# TYPE {base} {kind}");
                if let Some(unit) = family::unit(name) {
                    let _ = writeln!(out, "# UNIT {base} {unit}");
                }
                let _ = writeln!(out, "# HELP {base} {}", help.replace('"', "\\\""));
            }
        }
    }
}

/// A sample up to its value.
fn line(name: &str, labels: &str) -> String {
    let mut out = String::with_capacity(name.len() + labels.len() + 24);
    out.push_str(name);
    if !labels.is_empty() {
        out.push('{');
        out.push_str(labels);
        out.push('}');
    }
    out.push(' ');
    out
}

/// A value as both formats write it.
pub(super) fn number(out: &mut String, value: f64) {
    let _ = if value.is_nan() {
        out.write_str("NaN")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        write!(out, "{value}")
    };
}
