//! What a filter is made of, and how it is printed: so that it reads back as the same.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use regex::Regex;

use super::field::Field;
use crate::config::{ByteSize, DurationWritten};

/// A part of a filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// All of these hold; at least two.
    And(Vec<Node>),
    /// One of these holds; at least two.
    Or(Vec<Node>),
    /// This does not hold.
    Not(Box<Node>),
    /// The field is there, or true.
    Is(Field),
    /// The field compares so.
    Compare(Field, Operator, Literal),
    /// The field is one of these; at least one.
    In(Field, Vec<Literal>),
    /// The field matches this expression somewhere.
    Matches(Field, Pattern),
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

/// What a field is compared with; of the field's kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// A whole number.
    Number(u64),
    /// A size that was written with its unit.
    Size(u64),
    /// A time.
    Duration(Duration),
    /// A text or a word.
    Text(Box<str>),
    /// A network, or a single address.
    Net(IpNet),
    /// An address with its port.
    Socket(SocketAddr),
    /// True or false.
    Flag(bool),
}

/// A regular expression.
#[derive(Clone, Debug)]
pub(super) struct Pattern(pub(super) Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

// === impl Node ===

impl Node {
    /// Adds the fields that it names.
    pub(super) fn fields(&self, into: &mut Vec<String>) {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|it| it.fields(into)),
            Self::Not(part) => part.fields(into),
            Self::Is(field)
            | Self::Compare(field, ..)
            | Self::In(field, _)
            | Self::Matches(field, _) => into.push(field.to_string()),
        }
    }

    /// Whether each field that it names is of a place. That one is there at all tells how it went: what was refused has no
    /// endpoint.
    fn is_place(&self) -> bool {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().all(Self::is_place),
            Self::Not(part) => part.is_place(),
            Self::Is(_) => false,
            Self::Compare(field, ..) | Self::In(field, _) | Self::Matches(field, _) => {
                field.is_place()
            }
        }
    }

    /// Those of its conditions that name a place, where it has others beside them.
    pub(super) fn place(&self) -> Option<Self> {
        let (mut places, mut has_others) = (Vec::new(), false);
        self.conditions(&mut |condition| match condition.is_place() {
            true => places.push(condition.clone()),
            false => has_others = true,
        });
        match places.len() {
            _ if !has_others => None,
            0 | 1 => places.pop(),
            _ => Some(Self::And(places)),
        }
    }

    /// Meets each of the conditions that must hold together.
    fn conditions(&self, meet: &mut dyn FnMut(&Self)) {
        match self {
            Self::And(parts) => parts.iter().for_each(|it| it.conditions(meet)),
            condition => meet(condition),
        }
    }
}

// === impl Operator ===

impl Operator {
    /// The operator that is written so.
    pub(super) fn of(sign: &str) -> Option<Self> {
        Some(match sign {
            "==" => Self::Equal,
            "!=" => Self::Unequal,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::More,
            ">=" => Self::AtLeast,
            _ => return None,
        })
    }

    /// How it is written.
    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }

    /// Whether it asks for an order and not for sameness alone.
    pub(super) fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::Unequal)
    }

    /// Whether it holds between these.
    pub(super) fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

// === Printing ===

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => joined(f, parts, " && "),
            Self::Or(parts) => joined(f, parts, " || "),
            Self::Not(part) if matches!(**part, Self::Is(_) | Self::Not(_)) => write!(f, "!{part}"),
            Self::Not(part) => write!(f, "!({part})"),
            Self::Is(field) => write!(f, "{field}"),
            Self::Compare(field, operator, literal) => {
                write!(f, "{field}{}{literal}", operator.sign())
            }
            Self::In(field, literals) => {
                write!(f, "{field} in [")?;
                for (place, literal) in literals.iter().enumerate() {
                    let comma = if place > 0 { ", " } else { "" };
                    write!(f, "{comma}{literal}")?;
                }
                f.write_str("]")
            }
            Self::Matches(field, pattern) => {
                write!(f, "{field} =~ ")?;
                quote(f, pattern.0.as_str())
            }
        }
    }
}

/// Parts that are joined themselves stand in brackets, whatever binds tighter: nobody has to remember it.
fn joined(f: &mut fmt::Formatter<'_>, parts: &[Node], word: &str) -> fmt::Result {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            f.write_str(word)?;
        }
        match part {
            Node::And(_) | Node::Or(_) => write!(f, "({part})")?,
            _ => write!(f, "{part}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Size(bytes) => write!(f, "{}", ByteSize(*bytes)),
            Self::Duration(time) => write!(f, "{}", DurationWritten(*time)),
            Self::Text(text) => quote(f, text),
            Self::Net(net) => write!(f, "\"{net}\""),
            Self::Socket(address) => write!(f, "\"{address}\""),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

/// A text in quotes, with nothing in it that steers a terminal.
fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                write!(f, "\\u{{{:x}}}", u32::from(character))?;
            }
            it if it.is_control() => write!(f, "\\u{{{:x}}}", u32::from(it))?,
            it => write!(f, "{it}")?,
        }
    }
    f.write_str("\"")
}
