//! Parameters of a query, `application/x-www-form-urlencoded` (URL Standard §5.1): read strictly, so that a misspelt
//! filter is an error and not an answer to another question.

use std::borrow::Cow;
use std::str::FromStr;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::reply::{self, Reply};
use crate::config::Plan;
use crate::telemetry::filter::Filter;

/// The parameters of one query.
#[derive(Debug)]
pub(super) struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// A parameter that cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadParameter {
    name: String,
    why: String,
    /// What the answer says besides.
    more: Map<String, Value>,
}

// === impl Parameters ===

impl<'a> Parameters<'a> {
    /// Reads them; each must be among `known`, and be there once.
    pub(super) fn read(query: &'a str, known: &[&str]) -> Result<Self, BadParameter> {
        let mut read: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let bad = |why: String| BadParameter {
                name: name.to_owned(),
                why,
                more: Map::new(),
            };
            let not_text = || bad("is not UTF-8, percent-encoded".to_owned());
            let name = decoded(name).ok_or_else(not_text)?;
            if !known.contains(&&*name) {
                let known = known.join(", ");
                return Err(bad(match &*known {
                    "" => "is not known here; there are none".to_owned(),
                    _ => format!("is not known here; there are {known}"),
                }));
            }
            if read.iter().any(|(other, _)| *other == name) {
                return Err(bad("is there twice".to_owned()));
            }
            read.push((name, decoded(value).ok_or_else(not_text)?));
        }
        Ok(Self(read))
    }

    /// The text of one; `None` where it is not there or empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(&**value).filter(|value| !value.is_empty())
    }

    /// The value of one, as `read` makes it of its text.
    pub(super) fn value<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, BadParameter> {
        let read = self.text(name).map(read).transpose();
        read.map_err(|why| BadParameter {
            name: name.to_owned(),
            why,
            more: Map::new(),
        })
    }

    /// The filter, where there is one.
    pub(super) fn filter(&self, plan: &Plan) -> Result<Option<Filter>, BadParameter> {
        let Some(text) = self.text("filter") else {
            return Ok(None);
        };
        Filter::read_for(text, plan).map(Some).map_err(|error| {
            let members = [
                ("column", json!(error.column)),
                ("hint", json!(error.hint)),
                ("caret", json!(error.caret(text))),
            ];
            BadParameter {
                name: "filter".to_owned(),
                why: error.to_string(),
                more: members
                    .map(|(name, it)| (name.to_owned(), it))
                    .into_iter()
                    .collect(),
            }
        })
    }

    /// The value of one that reads itself.
    pub(super) fn parsed<T: FromStr<Err: ToString>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, BadParameter> {
        self.value(name, |text| {
            text.parse().map_err(|error: T::Err| error.to_string())
        })
    }
}

// === impl BadParameter ===

impl From<BadParameter> for Reply {
    fn from(bad: BadParameter) -> Self {
        let detail = format!("{}: {}", bad.name, bad.why);
        let mut more = bad.more;
        more.insert("parameter".to_owned(), Value::String(bad.name));
        reply::problem(StatusCode::BAD_REQUEST, detail, Value::Object(more))
    }
}

/// The text that a part of a query stands for; `None` where that is no UTF-8.
pub(super) fn decoded(part: &str) -> Option<Cow<'_, str>> {
    if !part.contains(['%', '+']) {
        return Some(Cow::Borrowed(part));
    }
    let bytes = part.as_bytes();
    let digit = |at: usize| {
        char::from(*bytes.get(at)?)
            .to_digit(16)
            .and_then(|it| u8::try_from(it).ok())
    };
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let (byte, length) = match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => (high << 4 | low, 3),
            (b'+', ..) => (b' ', 1),
            _ => (*byte, 1),
        };
        out.push(byte);
        at += length;
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_known_and_decodes_it() {
        let read = Parameters::read("route=a%2Fb+c%25&limit=&", &["route", "limit"]).expect("fine");
        assert_eq!(read.text("route"), Some("a/b c%"));
        assert_eq!(read.text("limit"), None);
        assert_eq!(read.parsed::<u32>("limit"), Ok(None));
    }

    #[test]
    fn a_parameter_that_cannot_be_taken_is_named() {
        for (query, name) in [
            ("rout=x", "rout"),
            ("route=a&route=b", "route"),
            ("route=%ff", "route"),
            ("%ff=a", "%ff"),
            ("route", "limit"),
            ("limit=x", "limit"),
            ("limit=-1", "limit"),
        ] {
            let read = Parameters::read(query, &["route", "limit"]);
            let error = match read {
                Ok(read) => match read.parsed::<u32>("limit") {
                    Err(error) => error,
                    Ok(_) => continue, // an empty one is none
                },
                Err(error) => error,
            };
            assert_eq!(error.name, name, "{query}");
            assert_eq!(Reply::from(error).status(), 400);
        }
    }

    #[test]
    fn what_is_no_encoding_stands_for_itself() {
        assert_eq!(decoded("100%").as_deref(), Some("100%"));
        assert_eq!(decoded("%zz%4").as_deref(), Some("%zz%4"));
        assert_eq!(decoded("%e2%82%ac").as_deref(), Some("€"));
    }
}
