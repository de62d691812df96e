//! Header fields of a request that somebody wants to see later: copied, with caps, where the configuration names them.

use http::{HeaderMap, HeaderName};

use super::record::block;

/// The header fields of a request that are kept, each by its place among the configured names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(u8, Box<str>)>);

/// The longest that a kept value may be, in bytes.
const LONGEST: usize = 256;

// === impl Headers ===

impl Headers {
    /// Copies those of `names` that are there; `None`, and nothing is allocated, where none is. Lines of one name are
    /// joined by a comma (RFC 9110 §5.3), a value is cut at 256 bytes, and bytes that are no UTF-8 are written `\xNN`.
    #[must_use]
    pub fn of(names: &[HeaderName], fields: &HeaderMap) -> Option<Box<Self>> {
        let mut kept = Vec::new();
        for (place, name) in (0..).zip(names) {
            let mut text = String::new();
            for (nth, value) in fields.get_all(name).iter().enumerate() {
                if nth > 0 {
                    text.push_str(", ");
                }
                push(&mut text, value.as_bytes());
                if text.len() > LONGEST {
                    break;
                }
            }
            if !text.is_empty() {
                text.truncate(text.floor_char_boundary(LONGEST));
                kept.push((place, text.into_boxed_str()));
            }
        }
        (!kept.is_empty()).then(|| Box::new(Self(kept)))
    }

    /// The value of the name at this place; `None` where the request had none.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&str> {
        let (_, value) = self
            .0
            .iter()
            .find(|(known, _)| usize::from(*known) == place)?;
        Some(value)
    }

    /// What they take, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let values: usize = self.0.iter().map(|(_, value)| block(value.len())).sum();
        block(size_of::<Self>()) + block(self.0.capacity() * size_of::<(u8, Box<str>)>()) + values
    }

    /// The values with the places of their names, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &str)> + '_ {
        self.0
            .iter()
            .map(|(place, value)| (usize::from(*place), &**value))
    }
}

/// Appends at most about the longest value.
fn push(text: &mut String, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(LONGEST + 4)];
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn names() -> [HeaderName; 2] {
        ["x-tenant", "x-plan"].map(HeaderName::from_static)
    }

    #[test]
    fn keeps_what_is_named_and_nothing_where_nothing_is_there() {
        let mut fields = HeaderMap::new();
        fields.insert("x-other", HeaderValue::from_static("secret"));
        assert_eq!(Headers::of(&names(), &fields), None);
        fields.append("x-plan", HeaderValue::from_static("gold"));
        fields.append("x-plan", HeaderValue::from_static("old"));
        let kept = Headers::of(&names(), &fields).expect("one is there");
        assert_eq!((kept.get(0), kept.get(1)), (None, Some("gold, old")));
        assert_eq!(kept.iter().collect::<Vec<_>>(), [(1, "gold, old")]);
        assert_eq!(Headers::of(&[], &fields), None);
    }

    #[test]
    fn hostile_values_are_cut_and_text() {
        let mut fields = HeaderMap::new();
        let long = [b'a'; 255]
            .iter()
            .chain("€€".as_bytes())
            .copied()
            .collect::<Vec<u8>>();
        fields.insert("x-tenant", HeaderValue::from_bytes(&long).expect("a value"));
        fields.insert(
            "x-plan",
            HeaderValue::from_bytes(b"a\xff\x80b\t").expect("a value"),
        );
        let kept = Headers::of(&names(), &fields).expect("they are there");
        assert_eq!(
            kept.get(0).map(str::len),
            Some(255),
            "no character is cut in two"
        );
        assert_eq!(kept.get(1), Some("a\\xff\\x80b\t"));
    }
}
