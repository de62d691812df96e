//! `/api/v1/verdict`: what is wrong now, where and since when; an empty list when nothing is.

use serde_json::{Value, json};

use super::Sources;
use super::reply::{self, Reply};
use crate::telemetry::verdict::{Behind, Clause, Evidence, Finding};

/// Every finding, the worst first.
pub(super) fn page(sources: &Sources) -> Reply {
    let findings = sources.verdict.findings();
    reply::value(&json!({ "findings": findings.iter().map(finding).collect::<Value>() }))
}

fn finding(it: &Finding) -> Value {
    json!({
        "kind": it.kind,
        "sentence": it.sentence,
        "clauses": it.clauses.iter().map(clause).collect::<Value>(),
        "route": it.route,
        "outcome": it.outcome,
        "since": it.since,
        "filter": it.filter,
        "evidence": evidence(&it.evidence),
    })
}

fn clause(it: &Clause) -> Value {
    let text = &it.text;
    match &it.behind {
        Behind::Exchanges(filter) => json!({"text": text, "filter": filter}),
        Behind::Hour(route) => json!({"text": text, "hour": route}),
        Behind::Connections => json!({"text": text, "path": "/api/v1/inflight"}),
        Behind::Configuration => json!({"text": text, "path": "/api/v1/config"}),
        Behind::Telemetry => json!({"text": text, "path": "/api/v1/telemetry"}),
    }
}

fn evidence(it: &Evidence) -> Value {
    let ways = it.ways.iter();
    let ways = ways.map(|(way, count)| json!({"way": way, "count": count}));
    let endpoints = it.endpoints.iter().map(|it| {
        json!({
            "upstream": it.upstream,
            "endpoint": it.endpoint,
            "bad": it.bad,
            "attempts": it.attempts,
        })
    });
    json!({
        "from": it.from,
        "until": it.until,
        "bad": it.bad,
        "of": it.of,
        "usual_share": it.usual_share,
        "is_thin": it.is_thin,
        "ways": ways.collect::<Value>(),
        "endpoints": endpoints.collect::<Value>(),
        "slow_over_seconds": it.slow_over.map(|it| it.as_secs_f64()),
    })
}
