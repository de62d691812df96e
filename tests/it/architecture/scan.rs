//! Paths in Rust source text, as far as the rules of the house need them.
//!
//! Comments, strings and characters are blanked, what is left is cut into words and signs, and every `a::b::c` becomes a
//! [`Mention`]; a group `a::{b, c::d}` becomes one for each path it spells out. It is no parser: it knows nothing of scope,
//! and needs not, because a room is always named from `crate` or by `super`.

use std::iter::Peekable;
use std::slice::Iter;

/// A path as it stands in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
    /// Whether it is called as a macro.
    pub(super) is_macro: bool,
    /// Whether it is part of a `use`.
    pub(super) is_import: bool,
}

/// The text of a file, cut into tokens.
pub(super) struct Source {
    tokens: Vec<Token>,
}

#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
}

type Tokens<'a> = Peekable<Iter<'a, Token>>;

// === impl Source ===

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let mut tokens = Vec::new();
        for (at, line) in blanked(text).lines().enumerate() {
            let mut rest = line.trim_start();
            while !rest.is_empty() {
                let length = token_length(rest);
                tokens.push(Token {
                    text: rest[..length].to_owned(),
                    line: at + 1,
                });
                rest = rest[length..].trim_start();
            }
        }
        Self { tokens }
    }

    /// Every path, in order.
    pub(super) fn mentions(&self) -> Vec<Mention> {
        let mut found = Vec::new();
        let mut tokens = self.tokens.iter().peekable();
        while let Some(token) = tokens.next() {
            if token.text == "use" {
                while tokens.next_if(|token| token.text == "::").is_some() {}
                read_tree(&mut tokens, &[], &mut found);
            } else if is_word(&token.text) {
                let first = found.len();
                read_path(token, &mut tokens, &[], &mut found);
                found[first..]
                    .iter_mut()
                    .for_each(|mention| mention.is_import = false);
            }
        }
        found
    }
}

/// Reads what may follow `use a::` or stand in its braces: a path, a star, or a group.
fn read_tree(tokens: &mut Tokens<'_>, before: &[String], found: &mut Vec<Mention>) {
    let Some(token) = tokens.next() else { return };
    if token.text != "{" {
        read_path(token, tokens, before, found);
        return;
    }
    while let Some(next) = tokens.peek() {
        match next.text.as_str() {
            "}" => {
                tokens.next();
                return;
            }
            "," | "::" => drop(tokens.next()),
            _ => read_tree(tokens, before, found),
        }
    }
}

/// Reads a path whose first word is taken already.
fn read_path(first: &Token, tokens: &mut Tokens<'_>, before: &[String], found: &mut Vec<Mention>) {
    let mut segments = before.to_vec();
    // `{self}` in a group names what stands before it.
    if first.text != "self" || before.is_empty() {
        segments.push(first.text.clone());
    }
    while tokens.next_if(|token| token.text == "::").is_some() {
        match tokens.peek().map(|token| token.text.as_str()) {
            Some("{") => return read_tree(tokens, &segments, found),
            Some(word) if is_word(word) || word == "*" => {
                segments.push(word.to_owned());
                tokens.next();
            }
            // A turbofish or the like: the path ends here as far as rooms are concerned.
            _ => break,
        }
    }
    let mut ahead = tokens.clone();
    let is_macro = ahead.next().is_some_and(|token| token.text == "!")
        && ahead
            .next()
            .is_some_and(|token| matches!(token.text.as_str(), "(" | "[" | "{"));
    found.push(Mention {
        segments,
        line: first.line,
        is_macro,
        is_import: true,
    });
    // A new name for it (`use a as b`) is no path.
    if tokens.next_if(|token| token.text == "as").is_some() {
        tokens.next();
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The length in bytes of the token that a text starts with.
fn token_length(text: &str) -> usize {
    if is_word(text) || text.starts_with(|first: char| first.is_ascii_digit()) {
        return text
            .find(|character: char| !character.is_alphanumeric() && character != '_')
            .unwrap_or(text.len());
    }
    if text.starts_with("::") {
        2
    } else {
        text.chars().next().map_or(0, char::len_utf8)
    }
}

/// The text with comments, strings and characters as spaces; line ends stay where they are.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_in_word = out.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment_length(rest),
            '"' => string_length(rest),
            'r' | 'b' | 'c' if !is_in_word => prefixed_string_length(rest),
            '\'' => character_length(rest),
            _ => 0,
        };
        if skipped == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(
                rest[..skipped]
                    .chars()
                    .map(|character| if character == '\n' { '\n' } else { ' ' }),
            );
            rest = &rest[skipped..];
        }
    }
    out
}

/// Block comments nest.
fn block_comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// A string that starts with its quote.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br#"…"#`, `c"…"`; 0 where it is a word or a raw name (`r#type`).
fn prefixed_string_length(text: &str) -> usize {
    let prefix = text.len() - text.trim_start_matches(['r', 'b', 'c']).len();
    let (letters, rest) = text.split_at(prefix);
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    if prefix > 2 || !rest[hashes..].starts_with('"') {
        return 0;
    }
    if !letters.contains('r') {
        return if hashes == 0 {
            prefix + string_length(rest)
        } else {
            0
        };
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let body = &rest[hashes + 1..];
    body.find(&end)
        .map_or(text.len(), |at| prefix + hashes + 1 + at + end.len())
}

/// A character in its quotes; 0 where the quote begins a lifetime.
fn character_length(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            // The escaped character itself may be a quote.
            let end = characters.skip(1).find(|(_, character)| *character == '\'');
            end.map_or(0, |(at, _)| at + 1)
        }
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}
