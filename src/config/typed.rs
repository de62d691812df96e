//! The tree as a source for serde: `&Node` is a `Deserializer`.
//!
//! Its errors carry the way to the node they are about, as positions, so that the reader can tell and cut it. That is
//! why `serde_path_to_error` is not used: its path ends at the parent of an unknown key and cannot tell one of two
//! equal keys from the other.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::tree::{Entry, Item, Kind, Node};

/// How the expectation of a section begins; its keys follow.
pub(super) const SECTION: &str = "a map of keys: ";

/// Why the tree does not read as a section, and at which node.
#[derive(Debug)]
pub(super) struct ReadError {
    /// The positions from the node outwards; the root's is last.
    steps: Vec<usize>,
    /// What is wrong there.
    pub(super) fault: Fault,
}

/// What is wrong with a node.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is of another kind than what is expected.
    WrongKind {
        /// What is expected, in serde's words.
        expected: String,
    },
    /// It is of the right kind but out of range.
    OutOfRange {
        /// What is expected, in serde's words.
        expected: String,
    },
    /// It is none of the words that may stand here.
    UnknownWord {
        /// The word.
        word: String,
        /// The words that may.
        expected: &'static [&'static str],
    },
    /// Its key is none of the section's. The steps lead to the entry.
    UnknownKey {
        /// The keys of the section.
        expected: &'static [&'static str],
    },
    /// It lacks this key.
    MissingKey(&'static str),
    /// A map that must have exactly one of these keys has not.
    NotOne(&'static [&'static str]),
    /// A word of an enum that must be a key with a value.
    NeedsValue(String),
    /// What the type itself says.
    Said(String),
}

impl ReadError {
    fn new(fault: Fault) -> Self {
        Self {
            steps: Vec::new(),
            fault,
        }
    }

    /// The same error, seen from the parent.
    fn under(mut self, position: usize) -> Self {
        self.steps.push(position);
        self
    }

    /// The positions from the root to the node.
    pub(super) fn way(&self) -> Vec<usize> {
        self.steps.iter().rev().copied().collect()
    }
}

impl std::error::Error for ReadError {}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.fault)
    }
}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(said: T) -> Self {
        Self::new(Fault::Said(said.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        Self::new(Fault::WrongKind { expected })
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        Self::new(Fault::OutOfRange { expected })
    }

    fn unknown_variant(word: &str, expected: &'static [&'static str]) -> Self {
        let word = word.to_owned();
        Self::new(Fault::UnknownWord { word, expected })
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Fault::UnknownKey { expected })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Fault::MissingKey(key))
    }
}

// === impl Deserializer for &Node ===

impl<'de> Deserializer<'de> for &'de Node {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.kind {
            Kind::Absent => visitor.visit_str(""),
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Unsigned(value) => visitor.visit_u64(*value),
            Kind::Signed(value) => visitor.visit_i64(*value),
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Text(text) => visitor.visit_borrowed_str(text),
            Kind::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Kind::Map(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        }
    }

    /// A key with nothing after it is a mistake, not the default: it would silently undo what the reader of the file
    /// sees.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.kind {
            Kind::Absent => visitor.visit_seq(Items {
                items: &[],
                next: 0,
            }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.kind {
            Kind::Absent => visitor.visit_map(Entries {
                entries: &[],
                next: 0,
            }),
            _ => self.deserialize_any(visitor),
        }
    }

    /// serde would read a struct from a list too, by the order of its fields: nobody means that.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.kind {
            Kind::Absent | Kind::Map(_) => self.deserialize_map(visitor),
            _ => Err(ReadError::new(Fault::WrongKind {
                expected: format!("{SECTION}{}", fields.join(", ")),
            })),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.kind {
            Kind::Text(word) => visitor.visit_enum(Choice { word, value: None }),
            Kind::Map(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Choice {
                    word: &entry.key,
                    value: Some(&entry.node),
                }),
                _ => Err(ReadError::new(Fault::NotOne(variants))),
            },
            _ => Err(ReadError::new(Fault::WrongKind {
                expected: format!("one of {}", variants.join(", ")),
            })),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct identifier
    }
}

impl<'de> IntoDeserializer<'de, ReadError> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The values of a list, one after the other.
struct Items<'de> {
    items: &'de [Item],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadError> {
        let position = self.next;
        let Some(item) = self.items.get(position) else {
            return Ok(None);
        };
        self.next += 1;
        seed.deserialize(&item.node)
            .map(Some)
            .map_err(|error| error.under(position))
    }
}

/// The entries of a map, one after the other.
struct Entries<'de> {
    entries: &'de [Entry],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadError> {
        let Some(entry) = self.entries.get(self.next) else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, ReadError> = entry.key.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.under(self.next))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ReadError> {
        let position = self.next;
        self.next += 1;
        match self.entries.get(position) {
            Some(entry) => seed
                .deserialize(&entry.node)
                .map_err(|error| error.under(position)),
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}

/// A word, or one key with a value: an externally tagged enum.
struct Choice<'de> {
    word: &'de str,
    value: Option<&'de Node>,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), ReadError> {
        let word: StrDeserializer<'_, ReadError> = self.word.into_deserializer();
        let variant = seed.deserialize(word).map_err(|error| match error.fault {
            // As a key it is an unknown key, which is told at the key.
            Fault::UnknownWord { expected, .. } if self.value.is_some() => {
                ReadError::new(Fault::UnknownKey { expected }).under(0)
            }
            _ => error,
        })?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        match self.value {
            None => Ok(()),
            Some(_) => Err(ReadError::new(Fault::Said(format!(
                "{} takes no value: write the word alone",
                self.word
            )))),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, ReadError> {
        match self.value {
            Some(node) => seed.deserialize(node).map_err(|error| error.under(0)),
            None => Err(ReadError::new(Fault::NeedsValue(self.word.to_owned()))),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ReadError> {
        Err(ReadError::new(Fault::NeedsValue(self.word.to_owned())))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.value {
            Some(node) => node
                .deserialize_struct("", fields, visitor)
                .map_err(|error| error.under(0)),
            None => Err(ReadError::new(Fault::NeedsValue(self.word.to_owned()))),
        }
    }
}
