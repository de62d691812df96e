//! A finding: what is wrong, since when and where, in one sentence of which each clause is a figure.

use std::fmt::Write;
use std::time::Duration;

use super::books::{Books, Clue, Route};
use super::clauses::{Behind, Clause, Clauses, clock, percent};
use super::doors::{Refusing, Why};
use super::losses::Losing;
use super::strays::Straying;
use super::symptom::{How, Symptom};
use super::watch::Count;
use crate::telemetry::failure::Failure;
use crate::telemetry::label;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What it is: a symptom's word, `connections`, `unrouted` or `telemetry`.
    pub kind: &'static str,
    /// All of it in one sentence: its clauses, one after the other.
    pub sentence: String,
    /// The sentence in parts, each with where the figures behind it are.
    pub clauses: Vec<Clause>,
    /// The route; `None` where it is about the proxy itself.
    pub route: Option<String>,
    /// How it shows, where it is one way above all.
    pub outcome: Option<String>,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// A filter that finds the exchanges behind it.
    pub filter: Option<String>,
    /// The figures behind the sentence.
    pub evidence: Evidence,
}

/// The figures behind a sentence, all of the same seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// From when they are, in seconds since 1970.
    pub from: u64,
    /// Until when.
    pub until: u64,
    /// How many exchanges have the symptom.
    pub bad: u64,
    /// Of how many.
    pub of: u64,
    /// The share that is usual for the route.
    pub usual_share: f64,
    /// Whether these are too few to be sure of a share.
    pub is_thin: bool,
    /// How it shows, the most frequent first.
    pub ways: Vec<(String, u64)>,
    /// Where, the most frequent first.
    pub endpoints: Vec<AtEndpoint>,
    /// What takes longer counts as slow.
    pub slow_over: Option<Duration>,
}

/// The part of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtEndpoint {
    /// The upstream.
    pub upstream: String,
    /// The endpoint's address.
    pub endpoint: String,
    /// How many exchanges with the symptom ended there.
    pub bad: u64,
    /// How many attempts ended there, of all routes.
    pub attempts: u64,
}

/// Figures are of so many seconds at most.
pub(super) const WINDOW: u64 = 60;
/// Below so many exchanges, or so many with the symptom, a share is thin.
const THIN_OF: u64 = 50;
const THIN_BAD: u64 = 10;
/// Of so few attempts nothing is said.
const FEW: u64 = 10;
/// So many names are told.
const NAMES: usize = 3;

/// What the books say is wrong with a route by this symptom.
pub(super) fn of(books: &Books, route: &Route, symptom: Symptom, now: u64) -> Option<Finding> {
    let since = route.watches[symptom as usize].since()?;
    let from = since
        .max(now.saturating_sub(WINDOW))
        .min(now.saturating_sub(1));
    let count = route.sum(symptom, from, now);
    let clues = route.clues(symptom, from, now);
    let endpoints = endpoints(books, &clues, (from, now));
    let ways = ways(&clues);
    let evidence = Evidence {
        from,
        until: now,
        bad: count.bad,
        of: count.of,
        usual_share: route.watches[symptom as usize].usual(),
        is_thin: count.of < THIN_OF || count.bad < THIN_BAD,
        ways: ways.iter().map(|(how, n)| (how.to_string(), *n)).collect(),
        endpoints,
        slow_over: (symptom == Symptom::Slow)
            .then(|| route.slow_over())
            .flatten(),
    };
    let guilty = guilty(books, &evidence.endpoints);
    let main = main_way(&ways);
    let exchanges = |main, guilty| Behind::Exchanges(filter(route, symptom, main, guilty));
    let mut clauses = Clauses::default();
    let what = format!("{}: {}", route.name, what(symptom, count, &evidence));
    clauses.add(what, exchanges(None, None));
    let hour = Behind::Hour(route.name.to_string());
    clauses.add(format!(" since {}", clock(since)), hour);
    if let Some((guilty, is_all)) = &guilty {
        let all = if *is_all { "all" } else { "nearly all" };
        let at = format!(", {all} on {}", guilty.endpoint);
        clauses.add(at, exchanges(None, Some(guilty)));
    } else if let Some(upstream) = is_everywhere(books, &evidence.endpoints) {
        let at = format!(", on every endpoint of {upstream}");
        clauses.add(at, exchanges(None, None));
    }
    clauses.add(by(symptom, &ways), exchanges(main, None));
    if symptom == Symptom::Rescued {
        let hid = "; retries hid it from clients".to_owned();
        clauses.add(hid, exchanges(None, None));
    }
    if symptom == Symptom::Failing {
        let saved = route.sum(Symptom::Rescued, from, now).bad;
        if saved > 0 {
            let those = filter(route, Symptom::Rescued, None, None);
            let told = format!("; retries saved {saved} more");
            clauses.add(told, Behind::Exchanges(those));
        }
    }
    clauses.add_fine(fine(books, route, &evidence, (from, now)));
    if evidence.is_thin {
        let thin = format!(" (thin: {} of {})", count.bad, count.of);
        clauses.add(thin, exchanges(None, None));
    }
    Some(Finding {
        kind: symptom.as_str(),
        sentence: clauses.sentence(),
        clauses: clauses.0,
        route: Some(route.name.to_string()),
        outcome: main.map(|how| how.to_string()),
        since,
        filter: Some(filter(route, symptom, main, guilty.map(|(it, _)| it))),
        evidence,
    })
}

/// That a listener refuses connections.
pub(super) fn refusing(it: &Refusing, now: u64) -> Finding {
    let why = match it.why {
        Why::Limit => format!("its limit was reached ({} open now)", it.open),
        Why::ClientLimit => "of clients that have as many as each may".to_owned(),
    };
    let mut clauses = Clauses::default();
    let (listener, count, since) = (&it.listener, it.count, clock(it.since));
    let what = format!("{listener}: {count} connections refused since {since}");
    clauses.add(what, Behind::Connections);
    clauses.add(format!(", {why}"), Behind::Connections);
    Finding {
        kind: "connections",
        sentence: clauses.sentence(),
        clauses: clauses.0,
        route: None,
        outcome: Some(it.why.as_str().to_owned()),
        since: it.since,
        filter: None,
        evidence: Evidence {
            from: it.since,
            until: now,
            bad: it.count,
            ways: vec![(it.why.as_str().to_owned(), it.count)],
            ..Evidence::default()
        },
    }
}

/// That a configuration leaves requests without a route.
pub(super) fn straying(it: &Straying) -> Finding {
    let filter = "outcome==\"destination_not_found\"";
    let exchanges = || Behind::Exchanges(filter.to_owned());
    let is_thin = it.count.of < THIN_OF || it.count.bad < THIN_BAD;
    let mut clauses = Clauses::default();
    let share = percent(it.count.share());
    clauses.add(format!("{share} of requests find no route"), exchanges());
    let hour = Behind::Hour(label::UNMATCHED.to_owned());
    clauses.add(format!(" since {}", clock(it.since)), hour);
    let with = format!(", with configuration {}", it.generation);
    clauses.add(with, Behind::Configuration);
    if is_thin {
        let thin = format!(" (thin: {} of {})", it.count.bad, it.count.of);
        clauses.add(thin, exchanges());
    }
    Finding {
        kind: "unrouted",
        sentence: clauses.sentence(),
        clauses: clauses.0,
        route: None,
        outcome: Some("destination_not_found".to_owned()),
        since: it.since,
        filter: Some(filter.to_owned()),
        evidence: Evidence {
            from: it.from,
            until: it.until,
            bad: it.count.bad,
            of: it.count.of,
            usual_share: it.usual,
            is_thin,
            ways: vec![("destination_not_found".to_owned(), it.count.bad)],
            ..Evidence::default()
        },
    }
}

/// That telemetry loses something.
pub(super) fn losing(it: &Losing, now: u64) -> Finding {
    let (signal, reason) = (it.signal.as_str(), it.reason.as_str());
    let mut clauses = Clauses::default();
    let (lost, since) = (it.lost, clock(it.since));
    let what = format!("telemetry: {lost} {signal} lost since {since}, {reason}");
    clauses.add(what, Behind::Telemetry);
    let otherwise = "; the traffic is not touched".to_owned();
    clauses.add(otherwise, Behind::Telemetry);
    Finding {
        kind: "telemetry",
        sentence: clauses.sentence(),
        clauses: clauses.0,
        route: None,
        outcome: Some(reason.to_owned()),
        since: it.since,
        filter: None,
        evidence: Evidence {
            from: it.since,
            until: now,
            bad: it.lost,
            ways: vec![(reason.to_owned(), it.lost)],
            ..Evidence::default()
        },
    }
}

fn what(symptom: Symptom, count: Count, evidence: &Evidence) -> String {
    let share = percent(count.share());
    match symptom {
        Symptom::Failing => format!("{share} failing"),
        Symptom::Slow => {
            let over = evidence.slow_over.unwrap_or_default();
            format!("{share} slower than {over:?}")
        }
        Symptom::Left => format!("{share} given up by their clients"),
        Symptom::Refused => format!("{share} refused"),
        Symptom::Rescued => format!("{share} needed a retry"),
    }
}

/// `, connection_refused`, `, mostly in wait`.
fn by(symptom: Symptom, ways: &[(How, u64)]) -> String {
    let preposition = match symptom {
        Symptom::Slow | Symptom::Left => "in ",
        _ => "",
    };
    let all: u64 = ways.iter().map(|(_, count)| count).sum();
    match ways {
        [] => String::new(),
        [(way, count), ..] if count * 10 >= all * 9 => format!(", {preposition}{way}"),
        [(way, count), ..] if count * 2 >= all => format!(", mostly {preposition}{way}"),
        _ => {
            let names: Vec<String> = ways
                .iter()
                .take(NAMES)
                .map(|(way, _)| way.to_string())
                .collect();
            format!(", {preposition}{} among others", names.join(", "))
        }
    }
}

/// The way in which it shows above all, where there is one.
fn main_way(ways: &[(How, u64)]) -> Option<How> {
    let all: u64 = ways.iter().map(|(_, count)| count).sum();
    let (way, count) = ways.first()?;
    (*way != How::Other && count * 2 >= all).then_some(*way)
}

fn ways(clues: &[(Clue, u64)]) -> Vec<(How, u64)> {
    let mut ways: Vec<(How, u64)> = Vec::new();
    for (clue, count) in clues {
        match ways.iter_mut().find(|(how, _)| *how == clue.how) {
            Some((_, sum)) => *sum += count,
            None => ways.push((clue.how, *count)),
        }
    }
    ways.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    ways
}

/// The endpoints that clues point to, and the others of the same upstreams that were tried in that time.
fn endpoints(books: &Books, clues: &[(Clue, u64)], (from, now): (u64, u64)) -> Vec<AtEndpoint> {
    let bad = |place: usize| {
        let at = clues
            .iter()
            .filter(|(clue, _)| clue.endpoint.map(usize::from) == Some(place));
        at.map(|(_, count)| count).sum::<u64>()
    };
    let mut found: Vec<AtEndpoint> = books
        .endpoints
        .iter()
        .enumerate()
        .map(|(place, it)| AtEndpoint {
            upstream: it.upstream.to_string(),
            endpoint: it.address.to_string(),
            bad: bad(place),
            attempts: it.attempts(from, now),
        })
        .collect();
    let upstreams: Vec<String> = found
        .iter()
        .filter(|it| it.bad > 0)
        .map(|it| it.upstream.clone())
        .collect();
    found.retain(|it| upstreams.contains(&it.upstream) && it.bad + it.attempts > 0);
    found.sort_by_key(|it| std::cmp::Reverse((it.bad, it.attempts)));
    found
}

/// The one endpoint of several where it happens, if the others are fine; and whether it is there alone.
fn guilty<'a>(books: &Books, endpoints: &'a [AtEndpoint]) -> Option<(&'a AtEndpoint, bool)> {
    let (first, rest) = endpoints.split_first()?;
    let elsewhere: u64 = rest.iter().map(|it| it.bad).sum();
    let others = rest.iter().filter(|it| it.upstream == first.upstream);
    let tried: u64 = others.map(|it| it.attempts).sum();
    let is_one_of_several = books.size_of(&first.upstream) > 1 && tried >= FEW;
    (is_one_of_several && first.bad > 0 && elsewhere * 9 <= first.bad)
        .then_some((first, elsewhere == 0))
}

/// The upstream all of whose endpoints have it alike.
fn is_everywhere<'a>(books: &Books, endpoints: &'a [AtEndpoint]) -> Option<&'a str> {
    let upstream = &endpoints.first()?.upstream;
    let all = endpoints
        .iter()
        .all(|it| it.upstream == *upstream && it.attempts >= FEW && it.bad * 5 >= it.attempts);
    let size = books.size_of(upstream);
    (all && size > 1 && endpoints.len() == size).then_some(upstream)
}

/// What has to do with the route and is fine: other upstreams of it, other routes to the same; each with a filter that
/// finds what went there.
fn fine(
    books: &Books,
    route: &Route,
    evidence: &Evidence,
    (from, now): (u64, u64),
) -> Vec<(String, String)> {
    let (upstreams, routes) = books.relatives(&route.name);
    let is_touched = |name: &str| {
        let mut bad = evidence.endpoints.iter().filter(|it| it.bad > 0);
        bad.any(|it| it.upstream == name)
    };
    let is_busy = |name: &str| {
        let endpoints = books.endpoints.iter().filter(|it| &*it.upstream == name);
        endpoints.map(|it| it.attempts(from, now)).sum::<u64>() >= 2 * FEW
    };
    let upstreams = upstreams
        .into_iter()
        .filter(|name| !evidence.endpoints.is_empty() && !is_touched(name) && is_busy(name));
    let routes = routes.into_iter().filter(|name| {
        let known = books.routes.iter().find(|it| &*it.name == *name);
        known.is_some_and(|it| {
            let count = it.sum(Symptom::Failing, from, now);
            let is_well = it.watches.iter().all(|watch| watch.since().is_none());
            is_well && count.of >= 2 * FEW && count.share() <= 0.01
        })
    });
    let told =
        |kind: &'static str| move |name: &str| (name.to_owned(), format!("{kind}==\"{name}\""));
    upstreams
        .map(told("upstream"))
        .chain(routes.map(told("route")))
        .take(NAMES)
        .collect()
}

fn filter(
    route: &Route,
    symptom: Symptom,
    main: Option<How>,
    guilty: Option<&AtEndpoint>,
) -> String {
    let mut filter = format!("route==\"{}\"", route.name);
    let _ = match symptom {
        Symptom::Failing => write!(filter, " && error"),
        Symptom::Slow => {
            let millis = route.slow_over().unwrap_or_default().as_secs_f64() * 1e3;
            write!(filter, " && duration>{millis}ms")
        }
        Symptom::Left => write!(filter, " && outcome==\"client_closed\""),
        Symptom::Refused => write!(
            filter,
            " && (outcome==\"rate_limited\" || outcome==\"overloaded\")"
        ),
        Symptom::Rescued => write!(filter, " && retried && !error"),
    };
    let of = if symptom == Symptom::Rescued {
        "attempt."
    } else {
        ""
    };
    let _ = match main {
        Some(How::Failure(Failure::Outcome(outcome))) if symptom != Symptom::Refused => {
            write!(filter, " && {of}outcome==\"{}\"", outcome.as_str())
        }
        Some(How::Failure(Failure::Status(status))) => write!(filter, " && {of}status=={status}"),
        Some(How::Failure(Failure::Grpc(code))) if of.is_empty() => {
            write!(filter, " && grpc_status=={code}")
        }
        _ => Ok(()),
    };
    if let Some(guilty) = guilty {
        let _ = write!(filter, " && {of}endpoint==\"{}\"", guilty.endpoint);
    }
    filter
}
