//! The one canonical form of a request's path: what is matched, logged and forwarded.
//!
//! Two readers of one path who understand it differently are how a rule at the front is walked around. So there is one
//! form, made before anything is decided, and it is what the upstream gets:
//!
//! | in the path | becomes |
//! |---|---|
//! | nothing before the query | `/` |
//! | `%` without two hex digits | refused, 400 |
//! | NUL and control bytes, `%00` to `%1F` and `%7F` | refused, 400 |
//! | an escape of an unreserved character (RFC 3986 §2.3), `%7E` | the character, `~` |
//! | any other escape, `%c3` | kept, in upper case, `%C3` |
//! | a raw byte outside the grammar: UTF-8, `"` `<` `>` `\` `^` `` ` `` `{` `\|` `}` `[` `]` | its escape |
//! | `//` | `/`, before dot segments are looked at, as file systems do |
//! | `.` and `..`, also as `%2e` | removed (RFC 3986 §5.2.4) |
//! | `..` above the root | refused, 400 |
//! | `%2F`, `%5C`, `\` | `%2F`, `%5C`, `%5C`: data of a segment, they separate nothing |
//! | a dot segment for whoever decodes these, or drops parameters: `..%2F`, `%5C..`, `..;x` | refused, 400 |
//! | other `;` parameters | kept |
//! | `*` (of OPTIONS) | kept |
//!
//! The query is the upstream's: nothing in it is decoded, reordered or judged. Raw bytes outside the grammar are
//! escaped, save `[` and `]`, which browsers and frameworks write everywhere; `%` may stand alone.
//!
//! Refusing every path that is not canonical was rejected (browsers send `[` and `|` raw), and so was forwarding the
//! path as it came beside a canonical one for matching: that is two readers again.

use http::uri::PathAndQuery;

use crate::exchange::{Fault, Outcome};

/// What a byte of a path is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stands for itself.
    Plain,
    /// Ends a segment.
    Slash,
    /// Begins an escape.
    Percent,
    /// Is outside the grammar and gets escaped.
    Raw,
    /// Is refused.
    Control,
}

const CLASSES: [Class; 256] = classes();

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// The canonical form of a path with its query; `None` where it is in that form already. Allocates only where it has
/// to look twice.
///
/// # Errors
///
/// Refuses what the table above refuses.
pub fn canonical(target: &PathAndQuery) -> Result<Option<PathAndQuery>, Fault> {
    let text = target.as_str();
    if is_plain(text) || text == "*" {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    write_path(target.path(), &mut out)?;
    if let Some(query) = target.query() {
        out.push(b'?');
        write_query(query, &mut out)?;
    }
    if out == text.as_bytes() {
        return Ok(None);
    }
    PathAndQuery::try_from(out)
        .map(Some)
        .map_err(|_| refuse("the path is too long in its canonical form").with_status(414))
}

/// The canonical form of a configured path, or the path itself where it has none.
#[must_use]
pub fn canonical_path(path: &str) -> String {
    let mut out = Vec::with_capacity(path.len());
    match write_path(path, &mut out) {
        Ok(()) => String::from_utf8(out).unwrap_or_else(|_| path.to_owned()),
        Err(_) => path.to_owned(),
    }
}

/// Whether it is canonical at first sight: one pass that never looks back.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'/') {
        return false;
    }
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match CLASSES[usize::from(byte)] {
            Class::Plain => {}
            Class::Slash => {
                // `/..x` is rare enough to be looked at twice.
                if let Some(b'/' | b'.') = bytes.get(at + 1) {
                    return false;
                }
            }
            _ if byte == b'?' => return bytes[at + 1..].iter().all(|byte| is_query_byte(*byte)),
            _ => return false,
        }
        at += 1;
    }
    true
}

fn write_path(path: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut segments = path.as_bytes().split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let start = out.len();
        out.push(b'/');
        write_segment(segment, out)?;
        match &out[start + 1..] {
            b"" if is_last => {}
            b"" => out.truncate(start),
            b"." => out.truncate(start + usize::from(is_last)),
            b".." => {
                let above = out[..start].iter().rposition(|byte| *byte == b'/');
                let above = above.ok_or_else(|| refuse("the path leads above its root"))?;
                out.truncate(above + usize::from(is_last));
            }
            written if hides_dots(written) => {
                return Err(refuse(
                    "the path hides a dot segment behind an encoded slash or a parameter",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_segment(segment: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut at = 0;
    while let Some(&byte) = segment.get(at) {
        match CLASSES[usize::from(byte)] {
            Class::Plain => out.push(byte),
            Class::Percent => {
                let digit = |at: usize| char::from(*segment.get(at)?).to_digit(16);
                let byte = digit(at + 1).zip(digit(at + 2));
                let byte = byte.and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
                let byte = byte.ok_or_else(|| refuse("the path has a broken percent escape"))?;
                if byte.is_ascii_control() {
                    return Err(refuse("the path has an encoded control byte"));
                }
                if is_unreserved(byte) {
                    out.push(byte);
                } else {
                    write_escape(byte, out);
                }
                at += 2;
            }
            Class::Control => return Err(refuse("the path has a control byte")),
            Class::Slash | Class::Raw => write_escape(byte, out),
        }
        at += 1;
    }
    Ok(())
}

fn write_query(query: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    for byte in query.bytes() {
        if byte.is_ascii_control() {
            return Err(refuse("the query has a control byte"));
        }
        if is_query_byte(byte) {
            out.push(byte);
        } else {
            write_escape(byte, out);
        }
    }
    Ok(())
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[
        b'%',
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]);
}

/// Whether a canonical segment has a dot segment in it for a reader that decodes `%2F` and `%5C`, or cuts `;x` off.
fn hides_dots(segment: &[u8]) -> bool {
    if !segment.contains(&b'.') {
        return false;
    }
    let mut piece = 0;
    for at in 0..=segment.len() {
        let rest = &segment[at..];
        let is_separator = rest.starts_with(b"%2F") || rest.starts_with(b"%5C");
        if !is_separator && !rest.is_empty() {
            continue;
        }
        let name = segment.get(piece..at).unwrap_or_default();
        let parameters =
            (0..name.len()).find(|at| name[*at] == b';' || name[*at..].starts_with(b"%3B"));
        if matches!(&name[..parameters.unwrap_or(name.len())], b"." | b"..") {
            return true;
        }
        piece = at + 3;
    }
    false
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether it may stand in a query as it is.
const fn is_query_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
        )
}

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Raw; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let byte = at as u8;
        classes[at] = match byte {
            b'/' => Class::Slash,
            b'%' => Class::Percent,
            // pchar of RFC 3986 §3.3: unreserved, sub-delims, ":" and "@".
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':'
            | b'@' => Class::Plain,
            byte if is_unreserved(byte) => Class::Plain,
            byte if byte.is_ascii_control() => Class::Control,
            _ => Class::Raw,
        };
        at += 1;
    }
    classes
}

fn refuse(detail: &'static str) -> Fault {
    Fault::new(Outcome::HttpRequestError, detail)
}

#[cfg(test)]
mod tests;
