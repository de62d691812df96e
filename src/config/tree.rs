//! The text as a tree that remembers where each part of it was written.
//!
//! serde keeps no places and stops at its first error, so the text becomes this tree first: a problem can then be told
//! with its line and column, and what is wrong can be cut out so that the rest is still read. `Spanned` in the section
//! structs would keep places too, but not survive the first error, and would stand in the way of deriving their schema.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter};

use super::problem::Place;

/// One value and where it was written.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) at: Place,
    /// What was written.
    pub(super) kind: Kind,
    /// Nothing is told about it or anything in it: that has been done.
    pub(super) quiet: bool,
    /// Something was cut out of it, however deep: conclusions from what is missing would be wrong.
    pub(super) damaged: bool,
    /// The keys that were cut out of it; the indices, of a list.
    pub(super) cut: Vec<String>,
}

/// What was written.
#[derive(Clone, Debug, Default)]
pub(super) enum Kind {
    /// Stands for a required value that is missing: reads as empty.
    #[default]
    Absent,
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number from 0.
    Unsigned(u64),
    /// A whole number below 0.
    Signed(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text, quoted or not.
    Text(String),
    /// A list.
    List(Vec<Item>),
    /// Keys and values.
    Map(Vec<Entry>),
}

/// One value of a list.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Its place in the list as written, from 0; others may have been cut out before it.
    pub(super) index: usize,
    /// The value.
    pub(super) node: Node,
}

/// One key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// Where the key begins.
    pub(super) key_at: Place,
    /// The value.
    pub(super) node: Node,
}

/// The text is no YAML.
#[derive(Debug)]
pub(super) struct SyntaxError {
    /// Where that shows.
    pub(super) at: Place,
    /// What the YAML reader says.
    pub(super) what: String,
    /// What is likely meant.
    pub(super) hint: Option<String>,
}

impl Node {
    /// Reads the text; only YAML's own syntax can be wrong here.
    pub(super) fn read(text: &str) -> Result<Self, SyntaxError> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                // Ours goes six deep; a level costs kilobytes of stack.
                max_depth: 16,
                // Ten thousand routes and more.
                max_nodes: 4_000_000,
                max_events: 10_000_000,
                // One anchor may serve every route; what aliases unfold to is limited by itself.
                max_recorded_anchor_events: 100_000,
                enforce_alias_anchor_ratio: false,
            },
            // Both are wanted, to say where the first one is.
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            // `off` is a word of ours, and `no` a country.
            strict_booleans: true,
            underscored_numbers_as_strings: true,
            leading_zero_numbers_as_strings: true,
        };
        serde_saphyr::from_str_with_options::<Spanned<Kind>>(text, options)
            .map(Self::from)
            .map_err(|error| SyntaxError::new(&error))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// A key and its value.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The values of a list.
    pub(super) fn items(&self) -> &[Item] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The value at this position of a list or a map.
    pub(super) fn child(&self, position: usize) -> Option<&Self> {
        match &self.kind {
            Kind::List(items) => items.get(position).map(|item| &item.node),
            Kind::Map(entries) => entries.get(position).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// The value at this position of a list or a map.
    pub(super) fn child_mut(&mut self, position: usize) -> Option<&mut Self> {
        match &mut self.kind {
            Kind::List(items) => items.get_mut(position).map(|item| &mut item.node),
            Kind::Map(entries) => entries.get_mut(position).map(|entry| &mut entry.node),
            _ => None,
        }
    }

    /// Takes the value at this position out.
    pub(super) fn cut(&mut self, position: usize) {
        match &mut self.kind {
            Kind::List(items) if position < items.len() => {
                let index = items.remove(position).index;
                self.cut.push(index.to_string());
            }
            Kind::Map(entries) if position < entries.len() => {
                self.cut.push(entries.remove(position).key);
            }
            _ => {}
        }
    }

    /// What was written, in words: `the text "GET"`.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Absent | Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => format!("the word {value}"),
            Kind::Unsigned(value) => format!("the number {value}"),
            Kind::Signed(value) => format!("the number {value}"),
            Kind::Float(value) => format!("the number {value}"),
            Kind::Text(text) => format!("the text {}", quoted(text)),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map of keys".to_owned(),
        }
    }
}

impl SyntaxError {
    fn new(error: &serde_saphyr::Error) -> Self {
        let error = error.without_snippet();
        let (what, hint) = match error {
            serde_saphyr::Error::UnknownAnchor { .. } => (
                "an unquoted * refers to an anchor, and there is none of this name".into(),
                Some("a wildcard host is written in quotes: \"*.example.org\"".to_owned()),
            ),
            serde_saphyr::Error::Budget { .. } => {
                ("it is too large or nested too deep".into(), None)
            }
            _ => (UserMessageFormatter.format_message(error), None),
        };
        Self {
            at: error.location().map(Place::from).unwrap_or_default(),
            what: format!("this is not YAML: {what}"),
            hint,
        }
    }
}

/// Text as it is quoted in messages: in quotes, on one line, and not endless.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start:?}…")
}

impl From<serde_saphyr::Location> for Place {
    fn from(location: serde_saphyr::Location) -> Self {
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            line: narrow(location.line()),
            column: narrow(location.column()),
        }
    }
}

impl From<Spanned<Kind>> for Node {
    fn from(spanned: Spanned<Kind>) -> Self {
        Self {
            at: spanned.defined.into(),
            kind: spanned.value,
            ..Self::default()
        }
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

/// Takes whatever was written.
struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(u64::try_from(value).map_or(Kind::Signed(value), Kind::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(value) = access.next_element::<Spanned<Kind>>()? {
            items.push(Item {
                index: items.len(),
                node: value.into(),
            });
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let key_at = Place::from(key.defined);
            let mut node = Node::from(access.next_value::<Spanned<Kind>>()?);
            // A value that was left out has no place of its own.
            if matches!(node.kind, Kind::Null) {
                node.at = key_at;
            }
            entries.push(Entry {
                key: key.value,
                key_at,
                node,
            });
        }
        Ok(Kind::Map(entries))
    }
}
