//! `/api/v1/exchanges`, `/api/v1/exchanges/{trace_id}` and `…/explain`: the flight recorder.
//!
//! Without a `limit` the newest hundred: a page that polls each second should not carry a thousand records each time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use serde_json::{Value, json};

use super::Sources;
use super::moment;
use super::query::{BadParameter, Parameters};
use super::reply::{self, Reply};
use crate::config::{DurationWritten, Plan};
use crate::exchange::{Outcome, TraceId};
use crate::telemetry::recorder::{MOST_ANSWERS, Query};

/// How many are given where nobody said.
const DEFAULT_LIMIT: usize = 100;

/// The parameters of a list.
const PARAMETERS: [&str; 9] = [
    "route",
    "outcome",
    "min_duration",
    "limit",
    "endpoint",
    "since",
    "until",
    "filter",
    "order",
];

/// The exchanges that match, the newest first or the slowest.
pub(super) fn list(sources: &Sources, query: &str) -> Reply {
    let (plan, _) = sources.running.plan();
    match read(query, &plan) {
        Ok(query) => reply::json(sources.recorder.query(&query)),
        Err(bad) => bad.into(),
    }
}

/// The exchange of one trace.
pub(super) fn one(sources: &Sources, trace_id: &str) -> Reply {
    let unknown = |detail: &str| reply::problem(StatusCode::NOT_FOUND, detail, Value::Null);
    let Some(wanted) = read_trace_id(trace_id) else {
        return unknown("a trace id is 32 hexadecimal digits");
    };
    match sources.recorder.exchange(wanted) {
        Some(exchange) => reply::json(exchange),
        None => unknown("the recorder keeps no exchange of this trace"),
    }
}

/// Why the exchange of one trace went its way.
pub(super) fn explain(sources: &Sources, trace_id: &str) -> Reply {
    let unknown = |detail: &str| reply::problem(StatusCode::NOT_FOUND, detail, Value::Null);
    let Some(wanted) = read_trace_id(trace_id) else {
        return unknown("a trace id is 32 hexadecimal digits");
    };
    let found = sources.recorder.find(&Query {
        trace_id: Some(wanted),
        limit: Some(1),
        ..Query::default()
    });
    let Some(kept) = found.first() else {
        return unknown("the recorder keeps no exchange of this trace");
    };
    let mut answer = (sources.explain)(&kept.plan, &kept.record);
    let (_, in_force) = sources.running.plan();
    answer["trace_id"] = kept.record.trace.trace_id.to_string().into();
    answer["generation_in_force"] = in_force.into();
    reply::value(&answer)
}

/// What the recorder holds.
pub(super) fn figures(sources: &Sources) -> Reply {
    let figures = sources.recorder.figures();
    let rings = figures.rings.map(
        |(name, exchanges, bytes)| json!({"ring": name, "exchanges": exchanges, "bytes": bytes}),
    );
    reply::value(&json!({
        "memory_bytes": figures.memory,
        "held_bytes": figures.bytes,
        "held": figures.exchanges,
        "seen": figures.seen,
        "rings": rings,
    }))
}

fn read_trace_id(text: &str) -> Option<TraceId> {
    let is_hex = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let id = u128::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    Some(TraceId(id.to_be_bytes()))
}

fn read(query: &str, plan: &Plan) -> Result<Query, BadParameter> {
    let read = Parameters::read(query, &PARAMETERS)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Query {
        filter: read.filter(plan)?,
        ..plain(&read, now)?
    })
}

/// All but the filter.
fn plain(read: &Parameters<'_>, now: Duration) -> Result<Query, BadParameter> {
    let outcome = read.value("outcome", |text| {
        let found = Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text);
        found.ok_or_else(|| {
            let all = Outcome::ALL.map(Outcome::as_str).join(", ");
            format!("is no outcome; there are {all}")
        })
    })?;
    Ok(Query {
        route: read.text("route").map(str::to_owned),
        outcome,
        min_duration: read
            .parsed("min_duration")?
            .map(|DurationWritten(least)| least),
        trace_id: None,
        endpoint: read.text("endpoint").map(str::to_owned),
        since: read.value("since", |text| moment::read(text, now))?,
        until: read.value("until", |text| moment::read(text, now))?,
        filter: None,
        slowest: read
            .value("order", |text| match text {
                "newest" => Ok(false),
                "slowest" => Ok(true),
                _ => Err("is newest or slowest".to_owned()),
            })?
            .unwrap_or_default(),
        limit: Some(limit(read, DEFAULT_LIMIT, MOST_ANSWERS)?),
    })
}

/// The parameter `limit`.
pub(super) fn limit(
    read: &Parameters<'_>,
    default: usize,
    most: usize,
) -> Result<usize, BadParameter> {
    let limit = read.value("limit", |text| {
        let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
        limit.ok_or_else(|| format!("is not a whole number from 1 to {most}"))
    })?;
    Ok(limit.unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::filter::Filter;

    const TEXT: &str = "listeners: [{name: l, address: 127.0.0.1:1}]\n\
        routes: [{name: r, match: {path: {prefix: /}}, upstream: u}]\n\
        upstreams: [{name: u, endpoints: [{address: 127.0.0.1:2}]}]\n\
        telemetry: {headers: [x-tenant]}\n";

    fn query(text: &str) -> Result<Query, BadParameter> {
        let loaded = crate::config::parse(TEXT, "test").expect("a configuration");
        read(text, &loaded.plan)
    }

    #[test]
    fn a_query_is_what_the_address_says() {
        let read = query(
            "route=checkout&outcome=connection_refused&min_duration=1.5s&limit=7&endpoint=127.0.0.1:2&since=1000\
             &order=slowest&until=1970-01-01T01:00:00Z&filter=header[%22x-tenant%22]==%22a%22",
        );
        let wanted = Query {
            route: Some("checkout".to_owned()),
            outcome: Some(Outcome::ConnectionRefused),
            min_duration: Some(Duration::from_millis(1500)),
            trace_id: None,
            endpoint: Some("127.0.0.1:2".to_owned()),
            since: Some(Duration::from_secs(1000)),
            until: Some(Duration::from_secs(3600)),
            filter: Some(Filter::read("header[\"x-tenant\"]==\"a\"").expect("a filter")),
            slowest: true,
            limit: Some(7),
        };
        assert_eq!(read.ok(), Some(wanted));
        assert_eq!(query("").ok().and_then(|query| query.limit), Some(100));
    }

    #[test]
    fn a_query_that_means_nothing_is_refused() {
        for text in [
            "outcome=bad",
            "outcome=Served",
            "min_duration=5",
            "min_duration=x",
            "limit=0",
            "limit=1001",
            "limit=1e2",
            "order=oldest",
            "trace=1",
            "since=yesterday",
            "filter=statu>1",
            "filter=header[%22x-other%22]",
        ] {
            let refused = Reply::from(query(text).expect_err(text));
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{text}");
        }
    }
}
