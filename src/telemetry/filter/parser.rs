//! From words to a tree, by recursive descent; types are checked here.
//!
//! ```text
//! or    = and ("||" and)*
//! and   = not ("&&" not)*
//! not   = "!" not | "(" or ")" | test
//! test  = field [("==" | "!=" | "<" | "<=" | ">" | ">=") literal | "=~" text | "in" "[" literal ("," literal)* "]"]
//! field = name | "header" "[" text "]"
//! ```

use std::net::{IpAddr, SocketAddr};

use http::HeaderName;
use ipnet::IpNet;
use regex::RegexBuilder;

use super::field::{Field, Kind, Plain};
use super::lexer::{Placed, Token, words};
use super::tree::{Literal, Node, Operator, Pattern};
use super::{FilterError, MOST_BYTES};
use crate::config::{ByteSize, DurationWritten};

/// How deep brackets and `!` may nest.
const DEEPEST: usize = 32;
/// How many tests and values there may be.
const MOST_PARTS: usize = 256;
/// How many regular expressions there may be, and how large each may become, in bytes.
const MOST_PATTERNS: usize = 8;
const LARGEST_PATTERN: usize = 256 << 10;

/// Reads the text of a filter that may name any header field.
pub(super) fn read(text: &str) -> Result<Node, FilterError> {
    read_for(text, None)
}

/// Reads the text of a filter. Where `headers` is known, it may name these header fields alone.
pub(super) fn read_for(text: &str, headers: Option<&[HeaderName]>) -> Result<Node, FilterError> {
    if text.len() > MOST_BYTES {
        let what = format!("a filter has at most {MOST_BYTES} bytes");
        return Err(FilterError::at(text, MOST_BYTES, what));
    }
    let mut parser = Parser {
        text,
        words: words(text)?,
        next: 0,
        depth: 0,
        parts: 0,
        patterns: 0,
        headers,
    };
    if parser.peek() == &Token::End {
        let error = FilterError::at(text, text.len(), "there is no filter here");
        return Err(error.hint("such as status>=500 && route==\"checkout\""));
    }
    let node = parser.or()?;
    match parser.peek() {
        Token::End => Ok(node),
        _ => Err(parser.unexpected("nothing can follow here", "join tests with && or ||")),
    }
}

struct Parser<'a> {
    text: &'a str,
    words: Vec<Placed<'a>>,
    next: usize,
    depth: usize,
    parts: usize,
    patterns: usize,
    headers: Option<&'a [HeaderName]>,
}

// === impl Parser ===

impl<'a> Parser<'a> {
    fn peek(&self) -> &Token<'a> {
        self.words
            .get(self.next)
            .map_or(&Token::End, |(token, _)| token)
    }

    fn place(&self) -> usize {
        self.words
            .get(self.next)
            .map_or(self.text.len(), |(_, at)| *at)
    }

    /// Takes the next word; past the end there is always another end.
    fn take(&mut self) -> Placed<'a> {
        let word = self.words.get(self.next).cloned();
        self.next += 1;
        word.unwrap_or((Token::End, self.text.len()))
    }

    /// Takes this sign if it is next.
    fn takes(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek(), Token::Sign(it) if *it == sign);
        self.next += usize::from(is_next);
        is_next
    }

    fn need(&mut self, sign: &str, what: &str) -> Result<(), FilterError> {
        match self.takes(sign) {
            true => Ok(()),
            false => Err(FilterError::at(self.text, self.place(), what)),
        }
    }

    fn unexpected(&self, what: &str, hint: &str) -> FilterError {
        let error = FilterError::at(self.text, self.place(), what);
        match self.peek() {
            Token::Name("and" | "AND") => error.hint("&& means and"),
            Token::Name("or" | "OR") => error.hint("|| means or"),
            Token::Sign(")") => error.hint("there is no ( for it"),
            _ => error.hint(hint),
        }
    }

    /// One more test or value.
    fn part(&mut self, at: usize) -> Result<(), FilterError> {
        self.parts += 1;
        match self.parts {
            0..=MOST_PARTS => Ok(()),
            _ => {
                let what = format!("a filter has at most {MOST_PARTS} tests and values");
                Err(FilterError::at(self.text, at, what))
            }
        }
    }

    fn or(&mut self) -> Result<Node, FilterError> {
        let mut parts = vec![self.and()?];
        while self.takes("||") {
            parts.push(self.and()?);
        }
        Ok(one_or(parts, Node::Or))
    }

    fn and(&mut self) -> Result<Node, FilterError> {
        let mut parts = vec![self.not()?];
        while self.takes("&&") {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Node::And))
    }

    fn not(&mut self) -> Result<Node, FilterError> {
        let at = self.place();
        self.depth += 1;
        if self.depth > DEEPEST {
            let what = format!("brackets and ! nest at most {DEEPEST} deep");
            return Err(FilterError::at(self.text, at, what));
        }
        let node = if self.takes("!") {
            Node::Not(Box::new(self.not()?))
        } else if self.takes("(") {
            let inside = self.or()?;
            if !self.takes(")") {
                return Err(self.unexpected("a ) is missing here", "join tests with && or ||"));
            }
            inside
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn test(&mut self) -> Result<Node, FilterError> {
        let (field, at) = self.field()?;
        self.part(at)?;
        let place = self.place();
        match self.peek().clone() {
            Token::Sign("=~") => {
                self.next += 1;
                self.pattern(field, place)
            }
            Token::Sign(sign) if Operator::of(sign).is_some() => {
                self.next += 1;
                let operator = Operator::of(sign).unwrap_or(Operator::Equal);
                self.compare(field, operator, place)
            }
            Token::Name("in") => {
                self.next += 1;
                self.list(field)
            }
            _ if field.kind() == Kind::Flag || !field.is_always() => Ok(Node::Is(field)),
            _ => {
                let hint = format!(
                    "{field} is {}, {}",
                    field.kind().what(),
                    field.kind().example()
                );
                let what = format!("{field} is compared with nothing");
                Err(FilterError::at(self.text, place, what).hint(hint))
            }
        }
    }

    fn field(&mut self) -> Result<(Field, usize), FilterError> {
        let (token, at) = self.take();
        let error = |what: String| FilterError::at(self.text, at, what);
        match token {
            Token::Name("header") => Ok((self.header()?, at)),
            Token::Name(name) => match Field::named(name) {
                Some(field) => Ok((field, at)),
                None => {
                    let error = error(format!("there is no field {name}"));
                    let names: Vec<String> = Field::names().collect();
                    Err(match nearest(name, names.iter().map(String::as_str)) {
                        Some(near) => error.hint(format!("did you mean {near}?")),
                        None => error.hint(format!("there are {}", names.join(", "))),
                    })
                }
            },
            Token::End => Err(error("a test is missing here".to_owned())
                .hint("such as status>=500 or route==\"checkout\"")),
            Token::Text(_) | Token::Number(_) => Err(error("a field comes first".to_owned())
                .hint("the value stands on the right: status>=500")),
            Token::Sign(_) => Err(error("a field is missing here".to_owned())
                .hint("such as status, route or duration")),
        }
    }

    /// `header["x-tenant"]`, from the bracket on.
    fn header(&mut self) -> Result<Field, FilterError> {
        let hint = "header[\"x-tenant\"]";
        let missing = |error: FilterError| error.hint(hint);
        self.need("[", "the name of the header field is missing here")
            .map_err(missing)?;
        let (token, at) = self.take();
        let error = |what: String| FilterError::at(self.text, at, what);
        let Token::Text(name) = token else {
            return Err(
                error("the name of the header field is missing here".to_owned()).hint(hint),
            );
        };
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(error("this is no name of a header field".to_owned()).hint(hint));
        };
        if let Some(known) = self.headers
            && !known.contains(&name)
        {
            let error = error(format!("the header field {name} is not kept"));
            let near = nearest(name.as_str(), known.iter().map(HeaderName::as_str));
            return Err(match near {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint("telemetry.headers names those that are"),
            });
        }
        self.need("]", "a ] is missing here").map_err(missing)?;
        Ok(Field::Header(name.as_str().into()))
    }

    fn compare(
        &mut self,
        field: Field,
        operator: Operator,
        at: usize,
    ) -> Result<Node, FilterError> {
        let kind = field.kind();
        let has_order = matches!(kind, Kind::Number | Kind::Size | Kind::Duration);
        if operator.is_order() && !has_order {
            let what = format!("{field} is {} and has no order", kind.what());
            let fits = match kind {
                Kind::Text | Kind::Word(_) => "== != =~ in",
                _ => "== != in",
            };
            return Err(FilterError::at(self.text, at, what).hint(format!("there are {fits}")));
        }
        let literal = self.literal(&field)?;
        Ok(Node::Compare(field, operator, literal))
    }

    fn list(&mut self, field: Field) -> Result<Node, FilterError> {
        let hint = format!("{field} in [{}, …]", "value");
        self.need("[", "a [ is missing here")
            .map_err(|it| it.hint(hint))?;
        let mut literals = vec![self.literal(&field)?];
        while self.takes(",") {
            literals.push(self.literal(&field)?);
        }
        self.need("]", "a , or ] is missing here")?;
        Ok(Node::In(field, literals))
    }

    fn pattern(&mut self, field: Field, operator: usize) -> Result<Node, FilterError> {
        if !matches!(field.kind(), Kind::Text | Kind::Word(_)) {
            let what = format!(
                "{field} is {} and matches no expression",
                field.kind().what()
            );
            return Err(FilterError::at(self.text, operator, what));
        }
        let (token, at) = self.take();
        let error = |what: String| FilterError::at(self.text, at, what);
        let Token::Text(text) = token else {
            let error = error("a regular expression is missing here".to_owned());
            return Err(error.hint("in double quotes: path =~ \"^/v[0-9]+/\""));
        };
        self.patterns += 1;
        if self.patterns > MOST_PATTERNS {
            let what = format!("a filter has at most {MOST_PATTERNS} regular expressions");
            return Err(error(what));
        }
        let built = RegexBuilder::new(&text)
            .size_limit(LARGEST_PATTERN)
            .dfa_size_limit(LARGEST_PATTERN)
            .nest_limit(50)
            .build();
        match built {
            Ok(regex) => Ok(Node::Matches(field, Pattern(regex))),
            Err(regex::Error::CompiledTooBig(_)) => Err(error(
                "this regular expression becomes too large".to_owned(),
            )),
            Err(why) => {
                let why = why.to_string();
                let last = why.lines().last().unwrap_or_default();
                let last = last.trim_start_matches("error: ");
                Err(error(format!("this is no regular expression: {last}")))
            }
        }
    }

    /// A value for this field.
    fn literal(&mut self, field: &Field) -> Result<Literal, FilterError> {
        let (token, at) = self.take();
        self.part(at)?;
        let kind = field.kind();
        let error = |what: String| FilterError::at(self.text, at, what);
        let wrong = || {
            let what = format!("{field} is compared with {}", kind.what());
            FilterError::at(self.text, at, what).hint(kind.example())
        };
        match (kind, token) {
            (Kind::Number, Token::Number(text)) => match text.parse() {
                Ok(number) => Ok(Literal::Number(number)),
                Err(_) => Err(wrong()),
            },
            (Kind::Size, Token::Number(text)) => {
                if let Ok(number) = text.parse() {
                    return Ok(Literal::Number(number));
                }
                let size = text.parse().map(|ByteSize(bytes)| Literal::Size(bytes));
                size.map_err(|why| error(why.to_string()))
            }
            (Kind::Duration, Token::Number(text)) => {
                let time = text
                    .parse()
                    .map(|DurationWritten(time)| Literal::Duration(time));
                time.map_err(|why| error(why.to_string()))
            }
            (Kind::Text, Token::Text(text)) => Ok(Literal::Text(text.into())),
            (Kind::Word(known), Token::Text(text)) => {
                if known.contains(&&*text) {
                    return Ok(Literal::Text(text.into()));
                }
                let error = error(format!("{field} is never {text:?}"));
                Err(match nearest(&text, known.iter().copied()) {
                    Some(near) => error.hint(format!("did you mean \"{near}\"?")),
                    None => error.hint(format!("there are {}", known.join(", "))),
                })
            }
            (Kind::Address, Token::Text(text)) => address(field, &text)
                .ok_or_else(|| error(format!("{text:?} is no address")).hint(kind.example())),
            (Kind::Flag, Token::Name("true")) => Ok(Literal::Flag(true)),
            (Kind::Flag, Token::Name("false")) => Ok(Literal::Flag(false)),
            (Kind::Text | Kind::Word(_) | Kind::Address, Token::Name(text)) => {
                Err(wrong().hint(format!("texts stand in double quotes: \"{text}\"")))
            }
            (Kind::Text | Kind::Word(_), Token::Number(text)) => {
                Err(wrong().hint(format!("texts stand in double quotes: \"{text}\"")))
            }
            _ => Err(wrong()),
        }
    }
}

fn one_or(mut parts: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match parts.len() {
        1 => parts.swap_remove(0),
        _ => many(parts),
    }
}

/// An address, a network, or, for the peer, an address with a port.
fn address(field: &Field, text: &str) -> Option<Literal> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Literal::Net(address.to_canonical().into()));
    }
    if let Ok(net) = text.parse::<IpNet>() {
        return Some(Literal::Net(net));
    }
    let is_peer = *field == Field::Plain(Plain::Peer);
    let address = text.parse::<SocketAddr>().ok().filter(|_| is_peer)?;
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    Some(Literal::Socket(address))
}

/// The name that was probably meant.
fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let word: String = word.chars().take(64).collect::<String>().to_lowercase();
    let near = 1 + word.chars().count() / 4;
    names
        .map(|name| {
            (
                strsim::damerau_levenshtein(&word, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, name)| *distance <= near && *distance < name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
