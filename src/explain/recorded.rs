//! Why a recorded exchange went the way it did: its route and why each other one lost, its endpoints and what they were
//! picked among, and what each limit said at the time.
//!
//! A record carries the plan under which it ran, whichever has been in force since, so that nothing is judged by a later
//! configuration. It does not carry the whole request: of header fields only those that `telemetry.headers` names, of
//! long words only the beginning. What cannot be told for that is said to be unknown, and never guessed.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Value, json};

use super::reasons;
use crate::config::{Balance, DurationWritten, PathPattern, Plan, Route};
use crate::exchange::{Attempt, CutWords, KnownMethod, Outcome, Record, Words};
use crate::proxy::route::matcher::{Asked, Mismatch};
use crate::proxy::route::ruling::recalled;
use crate::proxy::sanitize::host;

/// The most other routes that an answer names, the nearest first; how many are left out is told.
const MOST_OTHERS: usize = 100;
/// From this length on a kept value may have been cut: its cap less what a cut character leaves.
const MAYBE_CUT: usize = 253;

/// Why the exchange of this record went its way, under the plan that it ran under; for programs. Takes a look at every
/// route of the plan.
#[must_use]
pub fn recorded(plan: &Plan, record: &Record) -> Value {
    let route = record.route.map(usize::from);
    let route = route.and_then(|at| Some((at, plan.routes.get(at)?)));
    let (decided, because) = decided(record, route.map(|(_, it)| it));
    let words = record.text.words();
    let method = method(record, &words);
    let facts = Facts::of(plan, record);
    let mut lower = [0; host::LONGEST];
    let asked = Asked {
        host: host::lower(host::name(words.host), &mut lower).filter(|it| !it.is_empty()),
        path: words.path,
        query: Some(words.query),
        method: &method,
        headers: &facts.headers,
    };
    let kept = &plan.telemetry.headers;
    let others = match decided {
        "route" | "no_route" => {
            let is_open = |route: &Route, why: &Mismatch| facts.is_open(route, why);
            let winner = route.map(|(at, _)| at);
            let ruled = recalled(&plan.routes, &asked, winner, &is_open);
            reasons::lost(&plan.routes, ruled, &asked, kept)
        }
        _ => Vec::new(),
    };
    let told = others.iter().take(MOST_OTHERS).map(
        |it| json!({"route": it.route, "match": it.route_match, "reason": it.reason, "detail": it.detail}),
    );
    let listener = plan.listeners.get(usize::from(record.listener));
    json!({
        "generation": record.generation,
        "listener": listener.map(|it| it.name.as_str()),
        "decided": decided,
        "because": because,
        "route": route.map(|(_, it)| it.name.as_str()),
        "route_match": route.map(|(_, it)| it.matches.to_string()),
        "others": told.collect::<Value>(),
        "others_left_out": others.len().saturating_sub(MOST_OTHERS),
        "attempts": attempts(plan, record),
        "limits": limits(record, route.map(|(_, it)| it)),
    })
}

/// Where it was decided, and in a sentence.
fn decided(record: &Record, route: Option<&Route>) -> (&'static str, String) {
    match (route, record.outcome) {
        (Some(route), _) => {
            let text = format!("route {} took it: {}", route.name, route.matches);
            ("route", text)
        }
        (None, Outcome::DestinationNotFound) => ("no_route", "no route took it".to_owned()),
        (None, Outcome::Served) => (
            "listener",
            "its listener answered it, before routes were looked at".to_owned(),
        ),
        (None, outcome) => {
            let why = match record.detail {
                "" => outcome.as_str(),
                detail => detail,
            };
            let text = format!("it ended before routes were looked at: {why}");
            ("before_routes", text)
        }
    }
}

fn method(record: &Record, words: &Words<'_>) -> Method {
    let word = match record.method {
        KnownMethod::Other => words.method,
        known => known.as_str(),
    };
    Method::from_bytes(word.as_bytes()).unwrap_or_default()
}

/// What of the request's head is known, and what is not.
struct Facts<'a> {
    headers: HeaderMap,
    /// The fields of which it is known whether they were there, and with which one value.
    known: Vec<&'a HeaderName>,
    cut: CutWords,
    is_post: bool,
}

// === impl Facts ===

impl<'a> Facts<'a> {
    fn of(plan: &'a Plan, record: &Record) -> Self {
        let (mut headers, mut known) = (HeaderMap::new(), Vec::new());
        for (place, name) in plan.telemetry.headers.iter().enumerate() {
            let value = record.headers.as_ref().and_then(|it| it.get(place));
            let Some(value) = value else {
                known.push(name); // it was not there
                continue;
            };
            // Several lines are joined, long ones cut, and bytes that are no text written out: then it is not the value.
            let is_whole =
                value.len() < MAYBE_CUT && !value.contains(", ") && !value.contains("\\x");
            if is_whole && let Ok(value) = HeaderValue::from_str(value.trim()) {
                headers.insert(name.clone(), value);
                known.push(name);
            }
        }
        // What makes a gRPC call is its content-type, which only such a call has.
        if record.grpc_status.is_some() {
            let value = HeaderValue::from_static("application/grpc");
            headers.entry(header::CONTENT_TYPE).or_insert(value);
        }
        Self {
            headers,
            known,
            cut: record.text.cut(),
            is_post: record.method == KnownMethod::Post,
        }
    }

    /// Whether nobody can tell whether this condition was met, where it does not seem to be.
    fn is_open(&self, route: &Route, why: &Mismatch) -> bool {
        match why {
            Mismatch::Host => false,
            // Of a POST the record says whether it was a call; of others nobody has asked.
            Mismatch::Grpc => !self.is_post && !self.known.contains(&&header::CONTENT_TYPE),
            // What a cut path begins with tells of every prefix that is shorter.
            Mismatch::Path => {
                self.cut.path && !matches!(route.matches.path, PathPattern::Prefix(_))
            }
            Mismatch::Method => self.cut.method,
            Mismatch::Header(name) => !self.known.contains(&name),
            Mismatch::Query(_) => self.cut.query,
        }
    }
}

/// Each attempt's endpoint, and what it was picked among.
fn attempts(plan: &Plan, record: &Record) -> Value {
    let told = record.attempts().enumerate().map(|(nth, attempt)| {
        let upstream = plan.upstreams.get(usize::from(attempt.upstream));
        let address = |place: u16| {
            let endpoint = upstream.and_then(|it| it.endpoints.get(usize::from(place)));
            endpoint.map(|it| it.address.to_string())
        };
        let candidates = attempt.considered.candidates();
        let candidates = candidates.map(|(place, load)| {
            json!({"endpoint": address(place), "load": load, "is_picked": place == attempt.endpoint})
        });
        json!({
            "attempt": nth + 1,
            "upstream": upstream.map(|it| it.name.as_str()),
            "endpoint": address(attempt.endpoint),
            "ready": attempt.considered.ready,
            "endpoints": upstream.map(|it| it.endpoints.len()),
            "candidates": candidates.collect::<Value>(),
            "because": picked(attempt, upstream),
        })
    });
    told.collect()
}

fn picked(attempt: &Attempt, upstream: Option<&crate::config::Upstream>) -> String {
    let (ready, of) = (
        attempt.considered.ready,
        upstream.map_or(0, |it| it.endpoints.len()),
    );
    let how: Cow<'_, str> = match (ready, upstream.map(|it| it.balance)) {
        (0, _) => return "what it was picked among was not recorded".to_owned(),
        (1, _) => "the only one".into(),
        (_, Some(Balance::RoundRobin)) => "the next in turn".into(),
        (_, Some(Balance::Random)) => "drawn at random by weight".into(),
        (_, _) => match attempt.considered.candidates().count() {
            0 | 1 => "picked without a comparison".into(),
            count => format!("the less loaded of {count} drawn").into(),
        },
    };
    let rest = match of.saturating_sub(usize::from(ready)) {
        0 => "",
        _ => "; the others were taken out, or had been tried by this exchange",
    };
    let again = match attempt.is_resend {
        true => "; sent again, since a connection gave it back unsent",
        false => "",
    };
    format!("{how}, of {ready} of {of} that could be picked{rest}{again}")
}

/// What each limit said at the time.
fn limits(record: &Record, route: Option<&Route>) -> Value {
    let Some(route) = route else { return json!([]) };
    let states = record.limits.as_deref();
    let mut all = Vec::new();
    if route.rate_limit.is_some() {
        let rate = states.and_then(|it| it.rate);
        let text = rate.map(|it| {
            let reset = DurationWritten(it.reset);
            match record.outcome {
                Outcome::RateLimited => {
                    format!(
                        "refused it: none of {} left, the next after {reset}",
                        it.limit
                    )
                }
                _ => format!(
                    "let it in: {} of {} left after it, whole again after {reset}",
                    it.remaining, it.limit
                ),
            }
        });
        all.push(("rate_limit", text));
    }
    if route.concurrency.is_some() {
        let live = states.and_then(|it| it.concurrency);
        let text = live.map(|(live, most)| match record.outcome {
            Outcome::Overloaded if live >= most => {
                format!("refused it: {live} of {most} were at work")
            }
            _ => format!("let it in: {live} of {most} at work with it"),
        });
        all.push(("concurrency", text));
    }
    let told = all.into_iter().map(|(limit, text)| {
        let text = text.unwrap_or_else(|| "was not asked: it ended before".to_owned());
        json!({"limit": limit, "state": text})
    });
    told.collect()
}
