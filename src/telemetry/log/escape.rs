//! Makes foreign text harmless: in a JSON string, and on a terminal.
//!
//! Escaped are all control characters (C0, DEL and C1, with which a terminal can be steered), the line and paragraph
//! separators (which break lines for some readers), and the bidirectional marks, embeddings, overrides and isolates, with
//! which a text looks like another one. All else stays as it came, in UTF-8.

/// Writes text as the inside of a JSON string (RFC 8259 §7).
pub(in crate::telemetry) fn json(out: &mut Vec<u8>, text: &str) {
    write(out, text, |out, character| match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        other => {
            out.extend_from_slice(b"\\u");
            hex(out, u32::from(other)); // all that is escaped lies in the basic plane
        }
    });
}

/// Writes text for a terminal.
pub(super) fn terminal(out: &mut Vec<u8>, text: &str) {
    write(out, text, |out, character| match character {
        '"' | '\\' => out.push(if character == '"' { b'"' } else { b'\\' }),
        other => {
            out.extend_from_slice(b"\\u{");
            hex(out, u32::from(other));
            out.push(b'}');
        }
    });
}

/// Copies what is plain in runs and asks `escape` for the rest.
fn write(out: &mut Vec<u8>, text: &str, mut escape: impl FnMut(&mut Vec<u8>, char)) {
    let bytes = text.as_bytes();
    let mut from = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let length = match CLASS[usize::from(*byte)] {
            Class::Plain => {
                at += 1;
                continue;
            }
            Class::Escaped => 1,
            Class::Suspect => match harmful(&bytes[at..]) {
                Some(length) => length,
                None => {
                    at += 1;
                    continue;
                }
            },
        };
        out.extend_from_slice(&bytes[from..at]);
        if let Some(character) = text[at..].chars().next() {
            escape(out, character);
        }
        at += length;
        from = at;
    }
    out.extend_from_slice(&bytes[from..]);
}

#[derive(Clone, Copy)]
enum Class {
    /// Stays, whatever follows.
    Plain,
    /// A character of one byte that is escaped.
    Escaped,
    /// May begin a longer one that is escaped.
    Suspect,
}

static CLASS: [Class; 256] = {
    let mut table = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = Class::Escaped;
        byte += 1;
    }
    table[0x7f] = Class::Escaped;
    table[b'"' as usize] = Class::Escaped;
    table[b'\\' as usize] = Class::Escaped;
    table[0xc2] = Class::Suspect;
    table[0xd8] = Class::Suspect;
    table[0xe2] = Class::Suspect;
    table
};

/// The length of the character at the front, where it is one that is escaped: U+0080 to U+009F, U+061C, U+200E, U+200F,
/// U+2028 to U+202E, U+2066 to U+2069.
fn harmful(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0xc2, 0x80..=0x9f, ..] => Some(2),
        [0xd8, 0x9c, ..] => Some(2),
        [0xe2, 0x80, 0x8e | 0x8f | 0xa8..=0xae, ..] | [0xe2, 0x81, 0xa6..=0xa9, ..] => Some(3),
        _ => None,
    }
}

/// Four hexadecimal digits.
fn hex(out: &mut Vec<u8>, value: u32) {
    for shift in [12, 8, 4, 0] {
        let digit = usize::try_from(value >> shift & 15).unwrap_or_default();
        out.push(b"0123456789abcdef"[digit]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> String {
        let mut out = vec![b'"'];
        json(&mut out, text);
        out.push(b'"');
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn every_character_comes_back_from_json() {
        let all: String = ('\0'..=char::MAX).collect();
        assert_eq!(
            serde_json::from_str::<String>(&quoted(&all)).expect("JSON"),
            all
        );
    }

    #[test]
    fn nothing_that_steers_a_reader_stays_raw() {
        let nasty: String = ('\0'..='\u{9f}')
            .chain(['\u{61c}', '\u{200e}', '\u{200f}'])
            .chain('\u{2028}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}')
            .collect();
        for out in [quoted(&nasty), {
            let mut out = Vec::new();
            terminal(&mut out, &nasty);
            String::from_utf8(out).expect("UTF-8")
        }] {
            assert!(
                !out.chars().any(|c| c.is_control()
                    || ['\u{61c}', '\u{200e}', '\u{200f}'].contains(&c)
                    || ('\u{2028}'..='\u{202e}').contains(&c)
                    || ('\u{2066}'..='\u{2069}').contains(&c)),
                "{out}"
            );
        }
        assert_eq!(quoted("éح日本\u{a0}"), "\"éح日本\u{a0}\"");
    }
}
