//! `/api/v1/why`: what sets the exchanges that match apart from the others of the same minutes.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Sources;
use super::query::{BadParameter, Parameters};
use super::reply::{self, Reply};
use crate::config::Plan;
use crate::telemetry::why::{self, Difference, Question, Symptom};

/// How many minutes are looked at where nobody said, and at most.
const DEFAULT_MINUTES: u64 = 10;
const MOST_MINUTES: u64 = 30;

/// The answer to a question.
pub(super) fn page(sources: &Sources, query: &str) -> Reply {
    let (plan, _) = sources.running.plan();
    let question = match read(query, &plan) {
        Ok(question) => question,
        Err(bad) => return bad.into(),
    };
    let answer = why::why(&sources.recorder, &question);
    let (from, until) = answer.window;
    reply::value(&json!({
        "matched": answer.matched,
        "rest": answer.rest,
        "place": answer.place.as_ref().map(ToString::to_string),
        "window": {"from": from, "until": until, "minutes": question.minutes},
        "differences": answer.differences.iter().map(difference).collect::<Value>(),
        "symptoms": answer.symptoms.iter().map(symptom).collect::<Value>(),
        "note": answer.note,
    }))
}

fn read(query: &str, plan: &Plan) -> Result<Question, BadParameter> {
    let read = Parameters::read(query, &["filter", "minutes"])?;
    let minutes = read.value("minutes", |text| {
        let minutes = text
            .parse()
            .ok()
            .filter(|it| (1..=MOST_MINUTES).contains(it));
        minutes.ok_or_else(|| format!("is no number from 1 to {MOST_MINUTES}"))
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(Question {
        filter: read.filter(plan)?,
        minutes: minutes.unwrap_or(DEFAULT_MINUTES),
        now: now.unwrap_or_default(),
    })
}

fn difference(it: &Difference) -> Value {
    json!({
        "fact": it.fact.name,
        "value": it.fact.value,
        "support": it.support,
        "matched_share": it.matched_share,
        "rest_share": it.rest_share,
        "risk": it.risk,
        "risk_difference_low": it.risk_difference,
        "confidence": 1.0 - it.p,
        "within": it.within.iter().map(difference).collect::<Value>(),
    })
}

fn symptom(it: &Symptom) -> Value {
    json!({
        "fact": it.fact.name,
        "value": it.fact.value,
        "matched_share": it.matched_share,
        "rest_share": it.rest_share,
    })
}
