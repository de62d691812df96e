//! A page of metrics, read back: Prometheus text 0.0.4, and OpenMetrics with its exemplars.
//!
//! It owns reading and adding up. It does not validate: `promtool` and prometheus-client do that better.

use std::collections::BTreeMap;

/// Every sample of one scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// The full name, `_count`, `_bucket` and the like included.
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
    /// Labels and value of the exemplar, where OpenMetrics gave one.
    pub(crate) exemplar: Option<(BTreeMap<String, String>, f64)>,
}

// === impl Metrics ===

impl Metrics {
    /// # Panics
    /// At a line that is neither a comment nor a sample.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let parse = |line| parse_sample(line).unwrap_or_else(|| panic!("not a sample: {line:?}"));
        Self {
            samples: lines.map(parse).collect(),
        }
    }

    /// The samples of a name whose labels contain all of these.
    pub(crate) fn samples(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        let fits = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|known| known == value))
        };
        self.samples.iter().filter(fits).collect()
    }

    /// Their sum; 0 where there are none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples(name, labels)
            .iter()
            .map(|sample| sample.value)
            .sum()
    }

    /// The value of the only such sample; none where there is none.
    ///
    /// # Panics
    /// Where there are several.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let samples = self.samples(name, labels);
        assert!(
            samples.len() < 2,
            "{name} {labels:?} fits several series: {samples:#?}"
        );
        samples.first().map(|sample| sample.value)
    }

    /// Every value that a label has in a family.
    pub(crate) fn label_values(&self, name: &str, label: &str) -> Vec<String> {
        let mut values: Vec<String> = self
            .samples(name, &[])
            .iter()
            .filter_map(|sample| sample.labels.get(label).cloned())
            .collect();
        values.sort();
        values.dedup();
        values
    }

    /// Every sample of the page.
    pub(crate) fn all(&self) -> &[Sample] {
        &self.samples
    }
}

fn parse_sample(line: &str) -> Option<Sample> {
    let (series, exemplar) = match line.split_once(" # ") {
        Some((series, exemplar)) => (series, Some(exemplar)),
        None => (line, None),
    };
    let (name, labels, value) = parse_series(series)?;
    let exemplar = match exemplar {
        Some(text) => parse_series(text).map(|(_, labels, value)| Some((labels, value)))?,
        None => None,
    };
    Some(Sample {
        name,
        labels,
        value,
        exemplar,
    })
}

/// `name{label="value"} value [time]`; an exemplar has no name.
fn parse_series(text: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let mut labels = BTreeMap::new();
    let (name, rest) = match text.find('{') {
        None => text.split_once(' ')?,
        Some(open) => {
            let mut rest = &text[open + 1..];
            while !rest.starts_with('}') {
                let (label, after) = rest.split_once("=\"")?;
                let (value, after) = parse_label_value(after)?;
                labels.insert(label.trim_start_matches([',', ' ']).to_owned(), value);
                rest = after;
            }
            (&text[..open], &rest[1..])
        }
    };
    let value = match rest.split_whitespace().next()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        value => value.parse().ok()?,
    };
    Some((name.to_owned(), labels, value))
}

/// A value with its escapes, up to the closing quote, and what follows.
fn parse_label_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}
