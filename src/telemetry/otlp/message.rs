//! Protobuf, as far as OTLP's messages need it (protobuf's encoding guide; `opentelemetry/proto/common/v1`).
//!
//! A message is written front to back into one buffer. What is nested is written into a buffer of its own first, since
//! its length stands before it; attributes, nearly all there is, know their length beforehand and need none.

/// The number of a field within its message.
pub(in crate::telemetry) type Field = u32;

/// The value of an attribute: OTLP's `AnyValue`.
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// A whole number.
    Number(i64),
    /// A number.
    Double(f64),
    /// Yes or no.
    Flag(bool),
}

/// A message that is being written.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct Message(Vec<u8>);

/// How a field's value is laid out: protobuf's wire types.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

/// `KeyValue`'s fields.
const KEY: Field = 1;
const VALUE: Field = 2;

// === impl Message ===

impl Message {
    /// An empty one with room for so many bytes.
    pub(in crate::telemetry) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// What was written.
    pub(in crate::telemetry) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Empties it; the memory stays.
    pub(in crate::telemetry) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether nothing was written.
    pub(in crate::telemetry) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was written, to be sent.
    pub(in crate::telemetry) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A whole number, an enum or a truth.
    pub(in crate::telemetry) fn varint(&mut self, field: Field, value: u64) {
        self.tag(field, Wire::Varint);
        self.length(value);
    }

    /// Eight bytes.
    pub(in crate::telemetry) fn fixed64(&mut self, field: Field, value: u64) {
        self.tag(field, Wire::Fixed64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Four bytes.
    pub(in crate::telemetry) fn fixed32(&mut self, field: Field, value: u32) {
        self.tag(field, Wire::Fixed32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Text, bytes, or a message that is encoded already.
    pub(in crate::telemetry) fn field(&mut self, field: Field, bytes: &[u8]) {
        self.head(field, bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// The beginning of a field of so many bytes, which are then to be added with [`Message::raw`].
    pub(in crate::telemetry) fn head(&mut self, field: Field, bytes: usize) {
        self.tag(field, Wire::Bytes);
        self.length(as_u64(bytes));
    }

    /// Bytes that are fields already.
    pub(in crate::telemetry) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// An attribute: a `KeyValue` in this field.
    pub(in crate::telemetry) fn attribute(&mut self, field: Field, key: &str, value: Value<'_>) {
        let value_length = value.length();
        let length = framed(key.len()) + framed(value_length);
        self.0.reserve(length + 8);
        self.head(field, length);
        self.field(KEY, key.as_bytes());
        self.head(VALUE, value_length);
        match value {
            Value::Text(text) => self.field(1, text.as_bytes()),
            Value::Flag(flag) => self.varint(2, u64::from(flag)),
            Value::Number(number) => self.varint(3, number.cast_unsigned()),
            Value::Double(double) => self.fixed64(4, double.to_bits()),
        }
    }

    fn tag(&mut self, field: Field, wire: Wire) {
        self.length(u64::from(field) << 3 | wire as u64);
    }

    /// A varint alone: seven bits a byte, the lowest first.
    fn length(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

// === impl Value ===

impl Value<'_> {
    /// How long its `AnyValue` is.
    fn length(self) -> usize {
        match self {
            Self::Text(text) => framed(text.len()),
            Self::Flag(_) => 2,
            Self::Number(number) => 1 + varint_length(number.cast_unsigned()),
            Self::Double(_) => 9,
        }
    }
}

/// The length of a field of so many bytes, its tag (below 16) and its length included.
pub(super) fn framed(bytes: usize) -> usize {
    1 + varint_length(as_u64(bytes)) + bytes
}

/// How many bytes a varint takes.
fn varint_length(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros();
    usize::try_from(bits.div_ceil(7)).unwrap_or(10)
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
    use opentelemetry_proto::tonic::trace::v1::Span;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    /// A span's attributes.
    const ATTRIBUTES: Field = 9;

    fn decoded(message: &Message) -> Span {
        Span::decode(message.bytes()).expect("protobuf")
    }

    fn value(pair: &KeyValue) -> any_value::Value {
        let value = pair.value.clone().and_then(|it| it.value);
        value.expect("a value")
    }

    #[test]
    fn fields_are_what_others_read() {
        let mut message = Message::default();
        message.field(1, &[7; 16]);
        message.field(5, b"GET /");
        message.varint(6, 2);
        message.fixed64(7, 1 << 60);
        message.fixed32(16, 0x301);
        let span = decoded(&message);
        assert_eq!(span.trace_id, [7; 16]);
        assert_eq!((&*span.name, span.kind), ("GET /", 2));
        assert_eq!((span.start_time_unix_nano, span.flags), (1 << 60, 0x301));
    }

    proptest! {
        #[test]
        fn attributes_are_what_others_read(
            key in ".{0,300}", text in ".{0,20000}", number: i64, double in -1e300..1e300_f64, flag: bool,
        ) {
            let mut message = Message::default();
            message.attribute(ATTRIBUTES, &key, Value::Text(&text));
            message.attribute(ATTRIBUTES, &key, Value::Number(number));
            message.attribute(ATTRIBUTES, &key, Value::Double(double));
            message.attribute(ATTRIBUTES, &key, Value::Flag(flag));
            let pairs = decoded(&message).attributes;
            prop_assert!(pairs.iter().all(|pair| pair.key == key));
            let values: Vec<_> = pairs.iter().map(value).collect();
            prop_assert_eq!(values, vec![
                any_value::Value::StringValue(text),
                any_value::Value::IntValue(number),
                any_value::Value::DoubleValue(double),
                any_value::Value::BoolValue(flag),
            ]);
        }

        #[test]
        fn a_length_is_what_it_takes(value: u64) {
            let mut message = Message::default();
            message.length(value);
            prop_assert_eq!(message.bytes().len(), varint_length(value));
        }
    }
}
