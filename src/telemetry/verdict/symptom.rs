//! The ways in which a route can be wrong, each with what it is counted of.

use crate::exchange::{Outcome, Phase, Record};
use crate::telemetry::failure::Failure;
use crate::telemetry::slo::judge::{self, Verdict};

/// A way in which a route can be wrong. What is worst for clients comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Symptom {
    /// Exchanges fail, as the objectives count it.
    Failing,
    /// They are served, and slower than is usual for the route, or than its objective.
    Slow,
    /// Clients leave before the end of the answer.
    Left,
    /// A limit refuses them.
    Refused,
    /// They are served, but only since a retry has hidden a failed attempt.
    Rescued,
}

/// How it shows in one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// By this failure.
    Failure(Failure),
    /// In this phase most of the time went.
    Phase(Phase),
    /// In more ways than are told apart.
    Other,
}

/// How many there are.
pub(super) const SYMPTOMS: usize = 5;

// === impl Symptom ===

impl Symptom {
    /// All of them.
    pub const ALL: [Self; SYMPTOMS] = [
        Self::Failing,
        Self::Slow,
        Self::Left,
        Self::Refused,
        Self::Rescued,
    ];

    /// Its word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Slow => "slow",
            Self::Left => "left",
            Self::Refused => "refused",
            Self::Rescued => "rescued",
        }
    }

    /// Whether it is counted of exchanges that say something about the service, or of all.
    pub(super) fn is_of_answered(self) -> bool {
        matches!(self, Self::Failing | Self::Slow)
    }
}

/// What a record says: whether it was the service's to answer, and the symptom that it has, with how it shows. It has
/// one at most.
pub(super) fn of(
    record: &Record,
    slow_over: Option<std::time::Duration>,
) -> (bool, Option<(Symptom, How)>) {
    let verdict = judge::availability(record, None);
    let is_answered = verdict != Verdict::NoEvent;
    let is_left = record.outcome == Outcome::ClientClosed && verdict != Verdict::Good;
    let symptom = if is_left {
        Some((Symptom::Left, How::Phase(longest(record))))
    } else if verdict == Verdict::Bad {
        Some((Symptom::Failing, How::Failure(Failure::of(record))))
    } else if record.is_limited() {
        Some((Symptom::Refused, How::Failure(Failure::of(record))))
    } else if verdict == Verdict::Good && slow_over.is_some_and(|most| record.pace() > most) {
        Some((Symptom::Slow, How::Phase(longest(record))))
    } else if verdict == Verdict::Good
        && let Some(failure) = rescued(record)
    {
        Some((Symptom::Rescued, How::Failure(failure)))
    } else {
        None
    };
    (is_answered, symptom)
}

/// Where the clue points: the endpoint of the attempt that failed before a retry, else of the last one.
pub(super) fn endpoint(record: &Record, symptom: Symptom) -> Option<(u16, u16)> {
    let attempt = match symptom {
        Symptom::Rescued => record
            .attempts()
            .find(|attempt| Failure::of_attempt(attempt).is_some()),
        _ => record.attempts().last(),
    };
    attempt.map(|it| (it.upstream, it.endpoint))
}

/// How the attempt failed that a retry has hidden. What a dead connection gave back unsent is no failure.
fn rescued(record: &Record) -> Option<Failure> {
    if record.more.iter().all(|it| it.is_resend) {
        return None;
    }
    record.attempts().find_map(Failure::of_attempt)
}

fn longest(record: &Record) -> Phase {
    let longest = record.phases.iter().max_by_key(|(_, time)| *time);
    longest.map_or(Phase::Receive, |(phase, _)| phase)
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failure(failure) => failure.fmt(f),
            Self::Phase(phase) => f.write_str(phase.as_str()),
            Self::Other => f.write_str("others"),
        }
    }
}
