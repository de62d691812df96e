//! The words of a filter, with their places.

use super::FilterError;

/// A word of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name, dots in it: `phase.wait`.
    Name(&'a str),
    /// What begins with a digit: `500`, `200ms`, `64KiB`.
    Number(&'a str),
    /// A text in double quotes, its escapes undone.
    Text(String),
    /// `== != < <= > >= =~ && || ! ( ) [ ] ,`
    Sign(&'static str),
    /// Nothing follows.
    End,
}

/// The signs, longer ones first.
const SIGNS: [&str; 16] = [
    "==", "!=", "<=", ">=", "=~", "&&", "||", "<", ">", "!", "(", ")", "[", "]", ",", "=",
];

/// A word and the byte at which it begins.
pub(super) type Placed<'a> = (Token<'a>, usize);

/// All words of a text; the last is [`Token::End`].
pub(super) fn words(text: &str) -> Result<Vec<Placed<'_>>, FilterError> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            words.push((Token::End, at));
            return Ok(words);
        };
        let (token, length) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let name = run(rest, |it| {
                    it.is_ascii_alphanumeric() || it == '_' || it == '.'
                });
                (Token::Name(name), name.len())
            }
            '0'..='9' => {
                let number = run(rest, |it| it.is_ascii_alphanumeric() || it == '.');
                (Token::Number(number), number.len())
            }
            '"' => quoted(text, at)?,
            _ => sign(text, at)?,
        };
        words.push((token, at));
        at += length;
    }
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    let end = text.find(|it| !belongs(it)).unwrap_or(text.len());
    &text[..end]
}

fn sign(text: &str, at: usize) -> Result<(Token<'_>, usize), FilterError> {
    let rest = &text[at..];
    let error = |what: &str| FilterError::at(text, at, what);
    if rest.starts_with("!~") {
        return Err(error("!~ is no operator").hint("write !(field =~ \"…\")"));
    }
    match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        Some(&"=") => Err(error("= is no operator").hint("== compares")),
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None => Err(match rest.chars().next() {
            Some('&') => error("& is no operator").hint("&& means and"),
            Some('|') => error("| is no operator").hint("|| means or"),
            Some('\'') => error("a text stands in double quotes"),
            Some('-') => error("numbers are not negative here"),
            _ => error("this character means nothing here").hint("texts stand in double quotes"),
        }),
    }
}

/// A text in double quotes. Its escapes: `\"`, `\\`, `\n`, `\r`, `\t`, `\u{2026}`.
fn quoted(text: &str, at: usize) -> Result<(Token<'_>, usize), FilterError> {
    let mut out = String::new();
    let inside = &text[at + 1..];
    let mut characters = inside.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Ok((Token::Text(out), place + 2)),
            '\\' => {
                let bad = || {
                    FilterError::at(text, at + 1 + place, "this is no escape")
                        .hint("there are \\\" \\\\ \\n \\r \\t \\u{2026}; a backslash is \\\\")
                };
                out.push(match characters.next() {
                    Some((_, same @ ('"' | '\\'))) => same,
                    Some((_, 'n')) => '\n',
                    Some((_, 'r')) => '\r',
                    Some((_, 't')) => '\t',
                    Some((from, 'u')) => {
                        let (length, it) = code(&inside[from + 1..]).ok_or_else(bad)?;
                        characters = inside.char_indices();
                        characters
                            .by_ref()
                            .find(|(place, _)| *place == from + length);
                        it
                    }
                    _ => return Err(bad()),
                });
            }
            other => out.push(other),
        }
    }
    Err(FilterError::at(text, at, "this text has no end").hint("a double quote ends it"))
}

/// The character that `{2026}` names, and how long that is.
fn code(text: &str) -> Option<(usize, char)> {
    let digits = text.strip_prefix('{')?.split_once('}')?.0;
    let is_hex = (1..=6).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_hexdigit());
    let it = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    Some((digits.len() + 2, char::from_u32(it)?))
}
