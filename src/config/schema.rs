//! The JSON Schema of the configuration, for editors: which keys there are, what each means, what fits it.
//!
//! It is made of the sections as they are written (`XWritten`), so that it cannot miss a key, and their docs are what an
//! editor shows. What only a check knows (that a route's upstream exists, that one of two keys is there) it does not say:
//! `sightglass check` does. Here stand the schemas of what is written as text and read by hand.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::keep::SlowerThanWritten;
use super::plan::FileWritten;
use super::retry::WhenWritten;
use super::secret::{PlaceWritten, SecretWritten};
use super::{ByteSize, DurationRange, DurationWritten, Rate, Share};

/// The schema, in the dialect of 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(FileWritten).to_value();
    tidy(&mut schema);
    schema["title"] = "sightglass".into();
    schema["description"] =
        "The configuration of sightglass, as `sightglass check` reads it.".into();
    schema
}

/// Takes out what tells a reader nothing: that a key which may be left out is null by default.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("default").is_some_and(Value::is_null) {
                members.remove("default");
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(all) => all.iter_mut().for_each(tidy),
        _ => {}
    }
}

macro_rules! written_as_text {
    ($written:ty, $name:literal, $pattern:literal, $examples:tt) => {
        impl JsonSchema for $written {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "examples": $examples})
            }
        }
    };
}

written_as_text!(
    DurationWritten,
    "Duration",
    r"^\s*[0-9]+(\.[0-9]+)?(ms|s|m|h|d)\s*$",
    ["250ms", "5s", "1m"]
);
written_as_text!(
    DurationRange,
    "DurationRange",
    r"^\s*[0-9]+(\.[0-9]+)?(ms|s|m|h|d)\s*\.\.\s*[0-9]+(\.[0-9]+)?(ms|s|m|h|d)\s*$",
    ["25ms..250ms"]
);
written_as_text!(
    ByteSize,
    "ByteSize",
    r"^\s*[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB)\s*$",
    ["64KiB", "10MiB"]
);
written_as_text!(
    Rate,
    "Rate",
    r"^\s*[0-9]+\s*/\s*(s|m|h)\s*$",
    ["100/s", "6000/m"]
);
written_as_text!(
    Share,
    "Share",
    r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$",
    ["20%", "99.9%"]
);
written_as_text!(
    SlowerThanWritten,
    "SlowerThan",
    r"^\s*(objective|p99|off|[0-9]+(\.[0-9]+)?(ms|s|m|h|d))\s*$",
    ["500ms", "objective", "p99", "off"]
);

impl JsonSchema for WhenWritten {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "When".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"enum": super::retry::WORDS},
            {"type": "integer", "minimum": 100, "maximum": 599},
        ]})
    }
}

impl JsonSchema for SecretWritten {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let there = generator.subschema_for::<PlaceWritten>();
        json_schema!({
            "description": "A secret: itself, or where it is.",
            "anyOf": [{"type": "string"}, there],
        })
    }
}
