//! What is in an answer's JSON. Another version may have made it: what is missing or of another kind is empty, never an
//! error. Every text is harmless for the terminal.

use serde_json::Value;

use crate::config::harmless;

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text, or a number or flag as text; empty where it is none of them.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => harmless(text),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => String::new(),
    }
}

pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}
