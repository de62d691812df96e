//! The notation of the corpus: one case after the other, each its bytes and what has to come of them.
//!
//! `tests/it/corpus/README.md` describes it. Bytes are escaped (`\r \n \t \0 \\ \xNN`) and nothing is added to them: a line
//! of a case ends where its `\r\n` stands. `\{c*n}` is `n` times `c`.

use std::path::Path;

/// One case of the corpus.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    /// The file, for messages.
    pub(super) family: String,
    pub(super) name: String,
    pub(super) sent: Sent,
    /// What the upstream answers, byte for byte, where that is what the case is about.
    pub(super) upstream: Option<Vec<u8>>,
    /// The answers in order.
    pub(super) answers: Vec<Answer>,
    /// Whether the connection carries a further request afterwards.
    pub(super) is_kept: bool,
}

/// What the client sends.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    Bytes(Vec<u8>),
    /// Of stream 1, over HTTP/2.
    Frames(Vec<Frame>),
}

/// A frame of stream 1.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    Headers {
        fields: Vec<(Vec<u8>, Vec<u8>)>,
        is_end: bool,
    },
    Data {
        bytes: Vec<u8>,
        is_end: bool,
    },
}

/// One answer and what became of its request.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) said: Said,
    pub(super) forwarded: Option<Forwarded>,
    /// The whole body of the answer, where it matters.
    pub(super) body: Option<Vec<u8>>,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Said {
    Status(u16),
    /// The HTTP/2 stream was reset.
    Reset,
    /// The HTTP/2 connection was ended.
    #[default]
    Goaway,
}

/// What the upstream has to see of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Forwarded {
    pub(super) method: String,
    pub(super) target: String,
    /// Fields with all their lines joined by ` | `; none where the field must not be there.
    pub(super) fields: Vec<(String, Option<String>)>,
    pub(super) body: Option<Vec<u8>>,
    /// The client's body breaks, so the upstream may see the beginning of the request, and never its end.
    pub(super) is_cut: bool,
    /// The answer does not wait for it: it may be seen or not.
    pub(super) is_chance: bool,
}

impl Default for Sent {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

// === impl Case ===

impl Case {
    /// The method that frames the answers.
    pub(super) fn method(&self) -> String {
        match &self.sent {
            Sent::Bytes(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                let first = text.trim_start().split(' ').next();
                first.unwrap_or_default().to_owned()
            }
            Sent::Frames(_) => "GET".to_owned(),
        }
    }
}

/// All cases of the corpus, family by family.
pub(super) fn all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/corpus");
    let entries = std::fs::read_dir(folder).expect("the corpus is there");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|it| it == "txt"))
        .collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<Case> {
    let family = file.file_stem().unwrap_or_default().to_string_lossy();
    let text = std::fs::read_to_string(file).expect("the corpus is text");
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("case ") {
            cases.push(Case {
                family: family.clone().into_owned(),
                name: name.to_owned(),
                ..Case::default()
            });
        } else if !line.is_empty() && !line.starts_with('#') {
            let case = cases.last_mut();
            case.and_then(|case| take(case, line))
                .unwrap_or_else(|| panic!("{family}.txt:{}: {line:?}", number + 1));
        }
    }
    cases
}

/// Takes one line into a case; none where it is of no known form.
fn take(case: &mut Case, line: &str) -> Option<()> {
    let (sign, rest) = line.split_once(' ').unwrap_or((line, ""));
    match sign {
        "" => {
            let (name, value) = line.strip_prefix("  ")?.split_once(' ')?;
            let Sent::Frames(frames) = &mut case.sent else {
                return None;
            };
            let Some(Frame::Headers { fields, .. }) = frames.last_mut() else {
                return None;
            };
            fields.push((unescaped(name)?, unescaped(value)?));
        }
        ">" => match &mut case.sent {
            Sent::Bytes(bytes) => bytes.extend(unescaped(rest)?),
            Sent::Frames(_) => return None,
        },
        "<" => case
            .upstream
            .get_or_insert_default()
            .extend(unescaped(rest)?),
        "HEADERS" => frames(case).push(Frame::Headers {
            fields: Vec::new(),
            is_end: rest == "end",
        }),
        "DATA" => frames(case).push(Frame::Data {
            bytes: unescaped(rest.strip_prefix("end ").unwrap_or(rest))?,
            is_end: rest.starts_with("end "),
        }),
        "=" => case.answers.push(answer(rest)?),
        "+" | "-" => {
            let field = match rest.split_once(": ") {
                Some((name, value)) if sign == "+" => {
                    let value = String::from_utf8(unescaped(value)?).ok()?;
                    (name.to_owned(), Some(value))
                }
                None if sign == "-" => (rest.to_owned(), None),
                _ => return None,
            };
            case.answers
                .last_mut()?
                .forwarded
                .as_mut()?
                .fields
                .push(field);
        }
        "body" => {
            let forwarded = case.answers.last_mut()?.forwarded.as_mut()?;
            forwarded.body = Some(unescaped(rest)?);
        }
        "answer" => case.answers.last_mut()?.body = Some(unescaped(rest)?),
        "kept" => case.is_kept = true,
        "closed" => case.is_kept = false,
        _ => return None,
    }
    Some(())
}

fn frames(case: &mut Case) -> &mut Vec<Frame> {
    if let Sent::Bytes(_) = case.sent {
        case.sent = Sent::Frames(Vec::new());
    }
    match &mut case.sent {
        Sent::Frames(frames) => frames,
        Sent::Bytes(_) => unreachable!("it was just made frames"),
    }
}

/// `STATUS`, `reset` or `goaway`, then `METHOD TARGET` where it is forwarded, then `cut` or `perhaps`.
fn answer(text: &str) -> Option<Answer> {
    let mut words = text.split(' ');
    let said = match words.next()? {
        "reset" => Said::Reset,
        "goaway" => Said::Goaway,
        status => Said::Status(status.parse().ok()?),
    };
    let forwarded = match (words.next(), words.next()) {
        (None, None) => None,
        (Some(method), Some(target)) => {
            let how = words.next();
            Some(Forwarded {
                method: method.to_owned(),
                target: String::from_utf8(unescaped(target)?).ok()?,
                is_cut: how == Some("cut"),
                is_chance: how == Some("perhaps"),
                ..Forwarded::default()
            })
        }
        _ => return None,
    };
    Some(Answer {
        said,
        forwarded,
        body: None,
    })
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&sign, tail) = rest.split_first()?;
        rest = tail;
        match sign {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'0' => out.push(0),
            b's' => out.push(b' '),
            b'\\' => out.push(b'\\'),
            b'x' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                rest = tail;
                out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            }
            b'{' => {
                let end = rest.iter().position(|byte| *byte == b'}')?;
                let (what, count) = std::str::from_utf8(&rest[..end]).ok()?.rsplit_once('*')?;
                out.extend(unescaped(what)?.repeat(count.parse().ok()?));
                rest = &rest[end + 1..];
            }
            _ => return None,
        }
    }
    Some(out)
}
