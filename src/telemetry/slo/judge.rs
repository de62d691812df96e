//! What counts as good and what as bad: stated once, here, for the counters, for the API and for every alert.
//!
//! An objective is about what a route did to clients that wanted something of it. So what the service or the proxy got
//! wrong is bad, whatever the client asked; an answer is good, a 404 too; and what never was the service's to answer (a
//! refusal by a limit, a request that cannot be taken, a client that left before it had waited long) is no event at all.
//! Counting refusals as good was rejected: a flood of them would hide the failures of those who still get through.

use std::time::Duration;

use crate::exchange::{Outcome, Record, Side, grpc};

/// What an exchange is to an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It kept the promise.
    Good,
    /// It did not.
    Bad,
    /// It says nothing about the promise.
    NoEvent,
}

/// What an exchange is to its route's availability. `within` is what the route's latency objective calls fast: a client
/// that leaves after that had reason to.
#[must_use]
pub fn availability(record: &Record, within: Option<Duration>) -> Verdict {
    match record.outcome {
        Outcome::Served => of_answer(record),
        // How a stream or a tunnel usually ends, once its head is out.
        Outcome::ClientClosed if is_open_stream(record) => of_answer(record),
        Outcome::ClientClosed if within.is_some_and(|within| record.duration() > within) => {
            Verdict::Bad
        }
        outcome if outcome.side() == Some(Side::Client) => {
            if is_answered_with_5xx(record) {
                Verdict::Bad
            } else {
                Verdict::NoEvent
            }
        }
        _ => Verdict::Bad,
    }
}

/// What an exchange is to its route's latency: only good ones are asked how long they took.
#[must_use]
pub fn latency(record: &Record, within: Duration) -> Verdict {
    if availability(record, Some(within)) != Verdict::Good {
        return Verdict::NoEvent;
    }
    let took = match record.head_after {
        Some(head) if record.is_stream => head,
        _ => record.duration(),
    };
    if took > within {
        Verdict::Bad
    } else {
        Verdict::Good
    }
}

fn of_answer(record: &Record) -> Verdict {
    if record.status >= 500 || record.grpc_status.is_some_and(grpc::is_failure) {
        Verdict::Bad
    } else {
        Verdict::Good
    }
}

fn is_open_stream(record: &Record) -> bool {
    record.is_stream && record.head_after.is_some()
}

/// Whether a head with such a status had gone out before the client left. A refusal of the proxy's own never has one.
fn is_answered_with_5xx(record: &Record) -> bool {
    record.status >= 500 && record.head_after.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Phase;
    use crate::telemetry::fixture::record;

    const WITHIN: Duration = Duration::from_millis(300);

    fn ended(outcome: Outcome, status: u16, millis: u64) -> Record {
        let mut record = record(Some(0));
        record.outcome = outcome;
        record.status = status;
        record.phases = [(Phase::Wait, Duration::from_millis(millis))]
            .into_iter()
            .collect();
        record.head_after = Some(Duration::from_millis(millis / 2));
        record
    }

    fn verdicts(record: &Record) -> (Verdict, Verdict) {
        (availability(record, Some(WITHIN)), latency(record, WITHIN))
    }

    #[test]
    fn an_answer_is_good_unless_it_is_5xx_and_then_asked_how_long_it_took() {
        use Verdict::{Bad, Good, NoEvent};
        for status in [200, 204, 304, 400, 404, 429, 499] {
            let fast = verdicts(&ended(Outcome::Served, status, 300));
            assert_eq!(fast, (Good, Good), "{status}");
            let slow = verdicts(&ended(Outcome::Served, status, 301));
            assert_eq!(slow, (Good, Bad), "{status}");
        }
        for status in [500, 501, 503, 599] {
            let failed = verdicts(&ended(Outcome::Served, status, 1));
            assert_eq!(failed, (Bad, NoEvent), "{status}");
        }
    }

    #[test]
    fn each_outcome_counts_as_the_documentation_says() {
        use Verdict::{Bad, NoEvent};
        for outcome in Outcome::ALL {
            let wanted = match outcome {
                Outcome::Served => continue,
                Outcome::ClientClosed
                | Outcome::HttpRequestError
                | Outcome::HttpRequestDenied
                | Outcome::RateLimited
                | Outcome::ConnectionWriteTimeout => NoEvent,
                _ => Bad,
            };
            // Cut off after a head of 200, too: the outcome says it, not the status.
            let record = ended(outcome, 200, 100);
            assert_eq!(verdicts(&record), (wanted, NoEvent), "{outcome}");
        }
    }

    #[test]
    fn an_abort_is_bad_only_after_the_objective_had_passed() {
        let early = ended(Outcome::ClientClosed, 499, 300);
        let late = ended(Outcome::ClientClosed, 499, 301);
        assert_eq!(availability(&early, Some(WITHIN)), Verdict::NoEvent);
        assert_eq!(availability(&late, Some(WITHIN)), Verdict::Bad);
        assert_eq!(availability(&late, None), Verdict::NoEvent);
        assert_eq!(latency(&late, WITHIN), Verdict::NoEvent);
        let of_a_failure = ended(Outcome::ClientClosed, 503, 10);
        assert_eq!(availability(&of_a_failure, None), Verdict::Bad);
    }

    #[test]
    fn a_stream_is_judged_by_its_head_however_the_client_ends_it() {
        for outcome in [Outcome::Served, Outcome::ClientClosed] {
            let mut stream = ended(outcome, 200, 3_600_000);
            stream.is_stream = true;
            stream.head_after = Some(Duration::from_millis(5));
            assert_eq!(verdicts(&stream), (Verdict::Good, Verdict::Good));
            stream.head_after = Some(Duration::from_millis(301));
            assert_eq!(verdicts(&stream), (Verdict::Good, Verdict::Bad));
        }
        let mut cut = ended(Outcome::ConnectionTerminated, 200, 3_600_000);
        cut.is_stream = true;
        assert_eq!(verdicts(&cut), (Verdict::Bad, Verdict::NoEvent));
    }

    #[test]
    fn a_call_is_bad_where_its_status_says_that_the_service_failed() {
        for status in 0..=16 {
            let mut call = ended(Outcome::Served, 200, 10);
            call.grpc_status = Some(status);
            let is_bad = availability(&call, None) == Verdict::Bad;
            assert_eq!(is_bad, matches!(status, 2 | 4 | 12..=15), "{status}");
        }
    }
}
