//! Labels that hold what clients say: at most so many values each, first come first kept, all others are `_OTHER`.
//!
//! A value that wandered in and out would break every rate, so one that has its place keeps it until nobody has used it
//! for an hour and another wants it; then its series go. Values are shared, so that all workers tell the same ones apart:
//! a worker looks here only for those that it does not know yet, and where all places are taken it asks for one of them
//! at most once a second. So a client that makes values up costs a look into a map that others may read meanwhile.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::Counter;
use crate::config::{FREE_LABELS, HOST_LABEL, Metrics, Plan};
use crate::exchange::Record;
use crate::telemetry::label;

/// The labels that hold what clients say, and their values.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct Governor {
    labels: Vec<Label>,
    max_values: usize,
    ids: AtomicU64,
    /// Whether values have gone whose series are still there.
    has_gone: AtomicBool,
}

#[derive(Debug)]
struct Label {
    name: String,
    values: RwLock<HashMap<Box<str>, Arc<Value>>>,
    overflow: Counter,
}

/// A value that is told apart.
#[derive(Debug)]
pub(in crate::telemetry) struct Value {
    /// As it is shown.
    pub(in crate::telemetry) text: Box<str>,
    id: u64,
    used_ms: AtomicU64,
    is_gone: AtomicBool,
}

/// One worker's view of the values.
pub(in crate::telemetry) struct Known {
    governor: Arc<Governor>,
    /// Where the labels' values stand among the kept headers; the host's is none.
    places: Vec<Option<usize>>,
    labels: Vec<KnownLabel>,
    /// Has no label's value.
    none: Arc<Value>,
    other: Arc<Value>,
}

#[derive(Default)]
struct KnownLabel {
    values: HashMap<Box<str>, Arc<Value>, foldhash::fast::RandomState>,
    /// All places are taken: it is not asked again before.
    full_until_ms: u64,
}

/// What tells the series of some values apart.
pub(in crate::telemetry) type Ids = [u64; FREE_LABELS];

/// The values of one exchange, by label.
pub(in crate::telemetry) type Values = Vec<Arc<Value>>;

/// A value keeps its place for so long after its last use.
const STAYS_MS: u64 = 3_600_000;

/// How precisely the last use is known.
const USED_MS: u64 = 10_000;

/// How often a worker asks again where all places are taken.
const ASK_MS: u64 = 1_000;

/// The longest value, in bytes.
const LONGEST: usize = 128;

/// How many spellings of values a worker remembers for each place.
const SPELLINGS: usize = 4;

// === impl Governor ===

impl Governor {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let label = |name: &str| Label {
            name: name.to_owned(),
            values: RwLock::default(),
            overflow: Counter::default(),
        };
        Self {
            labels: metrics.free_labels().map(label).collect(),
            max_values: usize::from(metrics.max_values),
            ids: AtomicU64::new(2),
            has_gone: AtomicBool::new(false),
        }
    }

    /// The names of the labels.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(|label| &*label.name)
    }

    /// How often each label was `_OTHER`.
    pub(super) fn overflows(&self) -> impl Iterator<Item = (&str, u64)> {
        let of = |label: &Label| label.overflow.get();
        self.labels.iter().map(move |it| (&*it.name, of(it)))
    }

    /// Whether values have gone since it was last asked.
    pub(super) fn has_gone(&self) -> bool {
        self.has_gone.swap(false, Ordering::AcqRel)
    }

    /// The value, where it has a place.
    fn known(&self, label: usize, text: &str, now_ms: u64) -> Option<Arc<Value>> {
        let values = self.labels[label].values.read();
        let values = values.unwrap_or_else(PoisonError::into_inner);
        let known = values.get(text)?;
        known.note_use(now_ms);
        Some(Arc::clone(known))
    }

    /// The value, where it has a place or can have one.
    fn value(&self, label: usize, text: &str, now_ms: u64) -> Option<Arc<Value>> {
        let values = self.labels[label].values.write();
        let mut values = values.unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = values.get(text) {
            return Some(Arc::clone(known)); // another worker was faster
        }
        if values.len() >= self.max_values {
            values.retain(|_, value| {
                let stays = now_ms < value.used_ms.load(Ordering::Relaxed) + STAYS_MS;
                if !stays {
                    value.is_gone.store(true, Ordering::Release);
                    self.has_gone.store(true, Ordering::Release);
                }
                stays
            });
        }
        if values.len() >= self.max_values {
            return None;
        }
        let value = Arc::new(Value {
            text: text.into(),
            id: self.ids.fetch_add(1, Ordering::Relaxed),
            used_ms: AtomicU64::new(now_ms),
            is_gone: AtomicBool::new(false),
        });
        values.insert(text.into(), Arc::clone(&value));
        Some(value)
    }
}

// === impl Value ===

impl Value {
    fn fixed(text: &str, id: u64) -> Arc<Self> {
        Arc::new(Self {
            text: text.into(),
            id,
            used_ms: AtomicU64::new(0),
            is_gone: AtomicBool::new(false),
        })
    }

    /// Whether its place was given to another; its series are no more.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// Writes seldom: the word is shared by all workers.
    fn note_use(&self, now_ms: u64) {
        if now_ms >= self.used_ms.load(Ordering::Relaxed) + USED_MS {
            self.used_ms.store(now_ms, Ordering::Relaxed);
        }
    }
}

// === impl Known ===

impl Known {
    /// A worker's view; `None` where no label holds what clients say.
    pub(super) fn new(governor: &Arc<Governor>, plan: &Plan) -> Option<Self> {
        if governor.labels.is_empty() {
            return None;
        }
        let telemetry = &plan.telemetry;
        let place = |label: &Label| {
            let mut labels = telemetry.metrics.header_labels.iter();
            let (_, header) = labels.find(|(name, _)| *name == label.name)?;
            telemetry.headers.iter().position(|kept| kept == header)
        };
        Some(Self {
            governor: Arc::clone(governor),
            places: governor.labels.iter().map(place).collect(),
            labels: governor
                .labels
                .iter()
                .map(|_| KnownLabel::default())
                .collect(),
            none: Value::fixed("", 0),
            other: Value::fixed(label::OTHER, 1),
        })
    }

    /// What tells the series of a record apart.
    pub(super) fn ids(&mut self, record: &Record, now_ms: u64) -> (Ids, Values) {
        let mut ids = [0; FREE_LABELS];
        let mut values = Values::with_capacity(self.labels.len());
        for (at, id) in ids.iter_mut().enumerate().take(self.labels.len()) {
            let text = match (self.places[at], &record.headers) {
                (Some(place), Some(headers)) => headers.get(place).unwrap_or_default(),
                (Some(_), None) => "",
                (None, _) if self.governor.labels[at].name == HOST_LABEL => {
                    without_port(record.text.words().host)
                }
                (None, _) => "", // its header is not kept: a plan that contradicts itself
            };
            let value = self.value(at, text, now_ms);
            *id = value.id;
            values.push(value);
        }
        (ids, values)
    }

    /// All labels `_OTHER`.
    pub(super) fn others(&self) -> (Ids, Values) {
        let mut ids = [0; FREE_LABELS];
        ids[..self.labels.len()].fill(1);
        (ids, vec![Arc::clone(&self.other); self.labels.len()])
    }

    fn value(&mut self, at: usize, text: &str, now_ms: u64) -> Arc<Value> {
        if text.is_empty() {
            return Arc::clone(&self.none);
        }
        let label = &mut self.labels[at];
        if let Some(value) = label.values.get(text) {
            if !value.is_gone() {
                value.note_use(now_ms);
                return Arc::clone(value);
            }
            label.values.retain(|_, value| !value.is_gone());
        }
        let governor = &self.governor;
        let is_host = governor.labels[at].name == HOST_LABEL;
        let shown = shown(text, is_host);
        let mut found = governor.known(at, &shown, now_ms);
        if found.is_none() && now_ms >= label.full_until_ms {
            found = governor.value(at, &shown, now_ms);
            if found.is_none() {
                label.full_until_ms = now_ms + ASK_MS;
            }
        }
        if let Some(value) = found {
            if label.values.len() >= governor.max_values * SPELLINGS {
                label.values.clear();
            }
            label.values.insert(text.into(), Arc::clone(&value));
            return value;
        }
        self.governor.labels[at].overflow.count();
        Arc::clone(&self.other)
    }
}

/// A value as it is shown: at most 128 bytes, nothing that a terminal would obey; hosts in lower case.
fn shown(text: &str, is_host: bool) -> Box<str> {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    let inert = |character: char| {
        let is_bidi = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || is_bidi {
            '\u{fffd}'
        } else {
            character
        }
    };
    let mut shown: String = text.chars().map(inert).collect();
    if is_host {
        shown.make_ascii_lowercase();
    }
    shown.truncate(shown.floor_char_boundary(LONGEST)); // what is inert is longer
    shown.into_boxed_str()
}

/// A host without its port.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(end) => &host[..end + 2],
        None => host.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::fixture::{plan, record_of};

    fn governor(max_values: u16) -> Arc<Governor> {
        Arc::new(Governor::new(&Metrics {
            host_label: true,
            max_values,
            ..Metrics::default()
        }))
    }

    fn host(known: &mut Known, host: &str, now_ms: u64) -> String {
        let words = crate::exchange::Words {
            host,
            ..Default::default()
        };
        let (_, values) = known.ids(&record_of(None, &words), now_ms);
        values[0].text.to_string()
    }

    #[test]
    fn the_first_values_are_kept_and_the_others_are_one() {
        let governor = governor(2);
        let plan = plan(&["web"]);
        let [mut one, mut two] = [(); 2].map(|()| Known::new(&governor, &plan).expect("a label"));
        assert_eq!(host(&mut one, "a.test:8080", 1), "a.test");
        assert_eq!(host(&mut two, "b.test", 2), "b.test");
        assert_eq!(host(&mut two, "c.test", 3), "_OTHER");
        assert_eq!(host(&mut one, "[::1]:80", 3), "_OTHER");
        assert_eq!(
            host(&mut one, "B.test", 4),
            "b.test",
            "it is known to another"
        );
        assert_eq!(host(&mut one, "", 5), "");
        assert_eq!(
            governor.overflows().collect::<Vec<_>>(),
            [("server_address", 2)]
        );
    }

    #[test]
    fn a_place_is_given_on_after_an_hour_without_use() {
        let governor = governor(1);
        let plan = plan(&["web"]);
        let [mut one, mut two] = [(); 2].map(|()| Known::new(&governor, &plan).expect("a label"));
        assert_eq!(host(&mut one, "a.test", 0), "a.test");
        assert_eq!(host(&mut one, "a.test", STAYS_MS), "a.test");
        assert_eq!(
            host(&mut two, "b.test", STAYS_MS + 10_000),
            "_OTHER",
            "it was used"
        );
        let later = 2 * STAYS_MS + 10_000;
        assert_eq!(host(&mut two, "b.test", later), "b.test");
        assert!(governor.has_gone() && !governor.has_gone());
        assert_eq!(
            host(&mut one, "a.test", later + 1),
            "_OTHER",
            "it knows that it has gone"
        );
    }

    #[test]
    fn values_are_cut_and_inert() {
        assert_eq!(&*shown("a\nB\u{202e}c", false), "a\u{fffd}B\u{fffd}c");
        assert!(shown(&"ü".repeat(200), true).len() <= LONGEST);
        for (host, bare) in [
            ("a:80", "a"),
            ("a", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), bare);
        }
    }
}
