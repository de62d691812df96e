//! What would become of a request: which listener, route, limits, rewrite and upstream would serve it, and why each other
//! route lost.
//!
//! ```text
//! way       its way through the layers that serve traffic, up to where an endpoint would be picked
//! reasons   why each other route lost, in sentences
//! settings  what the route's configuration says: limits, times, retries, upstreams
//! page      the answer as people read it
//! recorded  the same of an exchange that has ended, from its record alone
//! ```
//!
//! No port is opened and nothing is sent. The decisions are made by the layers themselves ([`way`]): a second matcher
//! would be right until it is needed. What only a running proxy knows (what is left of a limit, which endpoint is
//! quickest, which connections are up) is not guessed: its configuration is told instead.

mod page;
mod reasons;
mod recorded;
mod settings;
mod way;

use http::{StatusCode, header};
use serde_json::{Value, json};

pub use page::draw;
pub use reasons::Lost;
pub use recorded::recorded;

use self::way::Way;
use crate::config::{Listener, Plan, Question};
use crate::exchange::{Fault, Outcome};

/// What would become of a request.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Each listener, and whether the request would come in there.
    pub listeners: Vec<Door>,
    /// What the client gets.
    pub answer: Answer,
    /// What would have to hold beside it, such as a client's address that nobody said.
    pub provided: Vec<String>,
    /// What was made of the request before it was routed; `None` where it was refused before.
    pub request: Option<Routed>,
    /// The route that takes it, by name.
    pub route: Option<String>,
    /// What that route asks for, in words.
    pub route_match: Option<String>,
    /// Why each other route lost, the nearest first.
    pub others: Vec<Lost>,
    /// What the route's configuration says, in the order in which it applies: name and text.
    pub settings: Vec<(&'static str, String)>,
    /// What goes upstream; `None` where nothing does.
    pub upstream_request: Option<Sent>,
}

/// A listener, and whether the request would come in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// Whether this is the one whose rules were applied.
    pub is_taken: bool,
    /// Why it is, or why it is not.
    pub why: String,
}

/// What the client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A route takes it: the answer is the upstream's.
    Served,
    /// The listener sends all its clients to `https`.
    Redirected {
        /// Where to.
        location: String,
    },
    /// The proxy refuses it.
    Refused {
        /// The outcome word.
        outcome: Outcome,
        /// The status.
        status: u16,
        /// Why.
        detail: String,
    },
    /// No listener of the file takes such a connection.
    Unreachable {
        /// Why not.
        detail: String,
    },
}

/// What was made of a request before it was routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The method.
    pub method: String,
    /// The host by which it is routed.
    pub host: Option<String>,
    /// The canonical path.
    pub path: String,
    /// The path as it was asked for, where that is another.
    pub path_asked: Option<String>,
    /// The query.
    pub query: Option<String>,
    /// Who the client is taken for.
    pub client: String,
}

/// What goes upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The fields that the proxy has put in or changed, with their values; what looks like a secret is `…`.
    pub set: Vec<(String, String)>,
    /// The client's fields that are gone.
    pub removed: Vec<String>,
}

/// Says what would become of a request.
///
/// Blocks for as long as the hash of a password takes, where a route asks for one and one is shown.
///
/// # Errors
/// Where the system gives no runtime to run the layers in.
pub fn explain(plan: &Plan, question: &Question) -> std::io::Result<Explanation> {
    let (listeners, door) = doors(&plan.listeners, question);
    let Some(door) = door else {
        let nothing = Answer::Unreachable {
            detail: unreachable(&listeners, question),
        };
        return Ok(Explanation::of(listeners, nothing));
    };
    let way = way::walk(plan, door, question)?;
    let answer = answer(&way);
    let route = way.route.and_then(|place| plan.routes.get(place));
    let mut explanation = Explanation::of(listeners, answer);
    if let (Some(routed), Answer::Served | Answer::Refused { .. }) =
        (&way.routed, &explanation.answer)
    {
        explanation.others = reasons::others(&plan.routes, routed);
    }
    explanation.request = way.routed.as_ref().map(|it| Routed::of(&way, it));
    if let Some(route) = route {
        explanation.route = Some(route.name.to_string());
        explanation.route_match = Some(route.matches.to_string());
        explanation.settings = settings::of(plan, door, route, &way);
        explanation.provided = settings::provided(route, question);
    }
    explanation.upstream_request = way.upstream.as_ref().map(|it| Sent::of(&way, it));
    Ok(explanation)
}

/// Each listener, and the one whose rules apply ([`Question::door`]).
fn doors(all: &[Listener], question: &Question) -> (Vec<Door>, Option<usize>) {
    let (port, is_tls) = (question.port(), question.is_tls());
    let scheme = if is_tls { "https" } else { "http" };
    let speaks = |it: &Listener| it.tls.is_some() == is_tls;
    let is_named = |it: &Listener| question.listener.as_deref() == Some(it.name.as_str());
    let has_port = |it: &Listener| it.address.port() == port;
    let place = question.door(all, |_, it| it.address.port());
    let doors = all.iter().enumerate().map(|(at, it)| {
        let is_taken = place == Some(at);
        let why = match (speaks(it), has_port(it)) {
            (true, _) if is_taken && is_named(it) => "it was named".to_owned(),
            (true, true) if is_taken => format!("it has port {port}"),
            (true, false) if is_taken => {
                format!("no listener has port {port}, and this is the first for {scheme}")
            }
            (true, _) => format!("it speaks {scheme}, on port {}", it.address.port()),
            (false, _) if is_tls => "it speaks clear text, the URL is https".to_owned(),
            (false, _) => "it speaks TLS, the URL is http".to_owned(),
        };
        Door {
            name: it.name.to_string(),
            address: it.address.to_string(),
            is_taken,
            why,
        }
    });
    (doors.collect(), place)
}

fn unreachable(doors: &[Door], question: &Question) -> String {
    match &question.listener {
        Some(name) if !doors.iter().any(|it| it.name == *name) => {
            format!("there is no listener {name}")
        }
        Some(name) => format!("listener {name} speaks no {}", scheme(question)),
        None => format!("no listener speaks {} there", scheme(question)),
    }
}

fn scheme(question: &Question) -> &str {
    question.url.scheme_str().unwrap_or("http")
}

fn answer(way: &Way) -> Answer {
    match &way.answer {
        Ok(response) if response.status() == StatusCode::PERMANENT_REDIRECT => {
            let location = response.headers().get(header::LOCATION);
            let location = location.and_then(|it| it.to_str().ok());
            Answer::Redirected {
                location: location.unwrap_or_default().to_owned(),
            }
        }
        Ok(_) => Answer::Served,
        Err(fault) => Answer::refused(fault),
    }
}

// === impl Explanation ===

impl Explanation {
    fn of(listeners: Vec<Door>, answer: Answer) -> Self {
        Self {
            listeners,
            answer,
            provided: Vec::new(),
            request: None,
            route: None,
            route_match: None,
            others: Vec::new(),
            settings: Vec::new(),
            upstream_request: None,
        }
    }

    /// Whether a route serves it.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.answer == Answer::Served
    }

    /// All of it, for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let listeners = self.listeners.iter().map(|it| {
            json!({"name": it.name, "address": it.address, "is_taken": it.is_taken, "why": it.why})
        });
        let others = self.others.iter().map(
            |it| json!({"route": it.route, "match": it.route_match, "reason": it.reason, "detail": it.detail}),
        );
        let settings = self.settings.iter();
        let settings = settings.map(|(name, text)| json!({"name": name, "value": text}));
        let request = self.request.as_ref().map(|it| {
            json!({
                "method": it.method, "host": it.host, "path": it.path, "path_asked": it.path_asked, "query": it.query,
                "client": it.client,
            })
        });
        let sent = self.upstream_request.as_ref().map(|it| {
            let set = it.set.iter();
            let set = set.map(|(name, value)| json!({"name": name, "value": value}));
            json!({"method": it.method, "target": it.target, "set": set.collect::<Value>(), "removed": it.removed})
        });
        json!({
            "answer": self.answer.json(),
            "provided": self.provided,
            "listeners": listeners.collect::<Value>(),
            "request": request,
            "route": self.route,
            "route_match": self.route_match,
            "settings": settings.collect::<Value>(),
            "upstream_request": sent,
            "others": others.collect::<Value>(),
        })
    }
}

// === impl Answer ===

impl Answer {
    fn refused(fault: &Fault) -> Self {
        Self::Refused {
            outcome: fault.outcome(),
            status: fault.status(),
            detail: fault.detail().to_owned(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Served => json!({"verdict": "served"}),
            Self::Redirected { location } => {
                json!({"verdict": "redirected", "status": 308, "location": location})
            }
            Self::Refused {
                outcome,
                status,
                detail,
            } => {
                json!({"verdict": "refused", "status": status, "outcome": outcome.as_str(), "detail": detail})
            }
            Self::Unreachable { detail } => json!({"verdict": "unreachable", "detail": detail}),
        }
    }
}

// === impl Routed ===

impl Routed {
    fn of(way: &Way, head: &http::request::Parts) -> Self {
        let (asked, path) = (way.sent.uri.path(), head.uri.path());
        Self {
            method: head.method.to_string(),
            host: reasons::host(head),
            path: path.to_owned(),
            path_asked: (asked != path).then(|| asked.to_owned()),
            query: head.uri.query().map(str::to_owned),
            client: way.client.to_string(),
        }
    }
}

// === impl Sent ===

impl Sent {
    fn of(way: &Way, head: &http::request::Parts) -> Self {
        let (before, after) = (way::lines(&way.sent.headers), way::lines(&head.headers));
        let set = after.iter().filter(|line| !before.contains(line));
        let set = set.map(|(name, value)| {
            let value = if crate::telemetry::looks_secret(name) {
                "…".to_owned()
            } else if *value == way.trace_id {
                "(the trace id)".to_owned()
            } else {
                value.clone()
            };
            (name.clone(), value)
        });
        let set = set.collect();
        let mut removed: Vec<String> = before.into_iter().map(|(name, _)| name).collect();
        removed.retain(|name| !head.headers.contains_key(name));
        removed.dedup();
        let target = head.uri.path_and_query();
        Self {
            method: head.method.to_string(),
            target: target.map_or_else(String::new, ToString::to_string),
            set,
            removed,
        }
    }
}
