//! What a sentence is made of: clauses, each with where the figures behind it are; and how figures are written in it.

/// A part of the sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Its words, with the space or comma before them.
    pub text: String,
    /// Where the figures behind it are.
    pub behind: Behind,
}

/// Where figures are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// The exchanges that this filter takes.
    Exchanges(String),
    /// The last hour of this route.
    Hour(String),
    /// Who holds connections now.
    Connections,
    /// The configuration in force, and what became of those before it.
    Configuration,
    /// The books of telemetry.
    Telemetry,
}

/// A sentence as it is made.
#[derive(Default)]
pub(super) struct Clauses(pub(super) Vec<Clause>);

// === impl Clauses ===

impl Clauses {
    /// One more; nothing where it has no words.
    pub(super) fn add(&mut self, text: String, behind: Behind) {
        if !text.is_empty() {
            self.0.push(Clause { text, behind });
        }
    }

    pub(super) fn add_fine(&mut self, names: Vec<(String, String)>) {
        let last = names.len().saturating_sub(1);
        let is = if last == 0 { "is" } else { "are" };
        for (at, (name, filter)) in names.into_iter().enumerate() {
            let before = if at == 0 { "; " } else { ", " };
            let after = if at == last {
                format!(" {is} fine")
            } else {
                String::new()
            };
            let text = format!("{before}{name}{after}");
            self.add(text, Behind::Exchanges(filter));
        }
    }

    pub(super) fn sentence(&self) -> String {
        self.0.iter().map(|it| it.text.as_str()).collect()
    }
}

/// Two digits, and no decimals where there are two before the point.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        ..0.1 => format!("{percent:.2} %"),
        ..10.0 => format!("{percent:.1} %"),
        _ => format!("{percent:.0} %"),
    }
}

/// The time of day, in UTC.
pub(super) fn clock(unix: u64) -> String {
    let (hours, minutes, seconds) = (unix / 3600 % 24, unix / 60 % 60, unix % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02} UTC")
}
