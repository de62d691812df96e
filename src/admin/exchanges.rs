//! `/api/v1/exchanges` and `/api/v1/exchanges/{trace_id}`: the flight recorder.
//!
//! Without a `limit` the newest hundred: a page that polls each second should not carry a thousand records each time.

use http::StatusCode;
use serde_json::Value;

use super::Sources;
use super::query::{BadParameter, Parameters};
use super::reply::{self, Reply};
use crate::config::DurationWritten;
use crate::exchange::{Outcome, TraceId};
use crate::telemetry::recorder::{CAPACITY, Filter};

/// How many are given where nobody said.
const DEFAULT_LIMIT: usize = 100;

/// The exchanges that match, the newest first.
pub(super) fn list(sources: &Sources, query: &str) -> Reply {
    match filter(query) {
        Ok(filter) => reply::json(sources.recorder.query(&filter)),
        Err(bad) => bad.into(),
    }
}

/// The exchange of one trace.
pub(super) fn one(sources: &Sources, trace_id: &str) -> Reply {
    let unknown = |detail| reply::problem(StatusCode::NOT_FOUND, detail, Value::Null);
    let Some(wanted) = read_trace_id(trace_id) else {
        return unknown("a trace id is 32 hexadecimal digits".to_owned());
    };
    match sources.recorder.exchange(wanted) {
        Some(exchange) => reply::json(exchange),
        None => unknown(format!(
            "no exchange of this trace is among the last {CAPACITY}"
        )),
    }
}

fn read_trace_id(text: &str) -> Option<TraceId> {
    let is_hex = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let id = u128::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    Some(TraceId(id.to_be_bytes()))
}

fn filter(query: &str) -> Result<Filter, BadParameter> {
    let read = Parameters::read(query, &["route", "outcome", "min_duration", "limit"])?;
    let outcome = read.value("outcome", |text| {
        let found = Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text);
        found.ok_or_else(|| {
            let all = Outcome::ALL.map(Outcome::as_str).join(", ");
            format!("is no outcome; there are {all}")
        })
    })?;
    let limit = read.value("limit", |text| {
        let limit = text
            .parse()
            .ok()
            .filter(|limit| (1..=CAPACITY).contains(limit));
        limit.ok_or_else(|| format!("is not a whole number from 1 to {CAPACITY}"))
    })?;
    Ok(Filter {
        route: read.text("route").map(str::to_owned),
        outcome,
        min_duration: read
            .parsed("min_duration")?
            .map(|DurationWritten(least)| least),
        trace_id: None,
        limit: Some(limit.unwrap_or(DEFAULT_LIMIT)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_filter_is_what_the_query_says() {
        let read = filter("route=checkout&outcome=connection_refused&min_duration=1.5s&limit=7");
        let wanted = Filter {
            route: Some("checkout".to_owned()),
            outcome: Some(Outcome::ConnectionRefused),
            min_duration: Some(Duration::from_millis(1500)),
            trace_id: None,
            limit: Some(7),
        };
        assert_eq!(read, Ok(wanted));
        assert_eq!(filter("").map(|filter| filter.limit), Ok(Some(100)));
    }

    #[test]
    fn a_filter_that_means_nothing_is_refused() {
        for query in [
            "outcome=bad",
            "outcome=Served",
            "min_duration=5",
            "min_duration=x",
            "limit=0",
            "limit=1001",
            "limit=1e2",
            "trace=1",
        ] {
            assert!(filter(query).is_err(), "{query}");
        }
    }
}
