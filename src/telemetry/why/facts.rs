//! What may set exchanges apart: facts of the record, as name and value.
//!
//! Left out are what every exchange has for itself (trace, connection, path with its numbers) and what the filter names:
//! it would only be told back. What follows from a failure is a symptom: it is shown and never ranked, since a status
//! explains nothing.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::exchange::{Outcome, Phase, Record};
use crate::telemetry::label;
use crate::telemetry::log::{method, place, protocol};
use crate::telemetry::recorder::Kept;

/// A fact of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fact {
    /// What it is about; a name of a filter's field where there is one for it.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// All facts that were met, numbered in the order in which they were met.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    numbers: HashMap<Fact, u32>,
    facts: Vec<(Fact, bool)>,
}

/// What only restates that an exchange failed, or how it was told.
const SYMPTOMS: [&str; 6] = [
    "status",
    "outcome",
    "grpc_status",
    "attempts",
    "longest_phase",
    "detail",
];

// === impl Vocabulary ===

impl Vocabulary {
    /// The facts of one exchange; those that `named` has are left out.
    pub(super) fn facts(&mut self, kept: &Kept, named: &[String]) -> Vec<u32> {
        let mut facts = Vec::with_capacity(18);
        let mut note = |name: &str, value: String| {
            if !named.iter().any(|it| restates(it, name)) {
                facts.push(self.number(name, value));
            }
        };
        each(kept, &mut note);
        facts
    }

    pub(super) fn fact(&self, number: u32) -> Fact {
        let known = usize::try_from(number)
            .ok()
            .and_then(|at| self.facts.get(at));
        known.map_or_else(
            || Fact {
                name: String::new(),
                value: String::new(),
            },
            |(fact, _)| fact.clone(),
        )
    }

    pub(super) fn is_symptom(&self, number: u32) -> bool {
        let known = usize::try_from(number)
            .ok()
            .and_then(|at| self.facts.get(at));
        known.is_none_or(|(_, is_symptom)| *is_symptom)
    }

    pub(super) fn len(&self) -> usize {
        self.facts.len()
    }

    fn number(&mut self, name: &str, value: String) -> u32 {
        let fact = Fact {
            name: name.to_owned(),
            value,
        };
        if let Some(number) = self.numbers.get(&fact) {
            return *number;
        }
        let number = u32::try_from(self.facts.len()).unwrap_or(u32::MAX);
        // That no route took it is how it failed.
        let is_unmatched = name == "route" && fact.value == label::UNMATCHED;
        let is_symptom = is_unmatched || SYMPTOMS.contains(&name);
        self.facts.push((fact.clone(), is_symptom));
        self.numbers.insert(fact, number);
        number
    }
}

/// Whether a filter that names this field speaks of this fact.
fn restates(field: &str, fact: &str) -> bool {
    match field {
        "attempt.endpoint" => fact == "endpoint",
        "reused" => fact == "connection",
        "client" | "peer" => fact == "client_network",
        "bytes_in" => fact == "request_size",
        "tls" | "scheme" => fact == "tls",
        field => field == fact,
    }
}

/// Every fact of an exchange; of equals the first is told, so the most useful come first.
fn each(kept: &Kept, note: &mut dyn FnMut(&str, String)) {
    let (plan, record) = (&*kept.plan, &kept.record);
    let last = record.attempts().last();
    if let Some((upstream, endpoint)) = place(plan, last) {
        note("endpoint", endpoint.to_string());
        note("route", kept.route().to_owned());
        note("upstream", upstream.to_owned());
    } else {
        note("route", kept.route().to_owned());
    }
    note("config_generation", record.generation.to_string());
    note("method", method(record).to_owned());
    note("client_network", network(record.client));
    note("request_size", size(record.bytes_in).to_owned());
    if let Some(kept) = &record.headers {
        for (at, value) in kept.iter() {
            if let Some(name) = plan.telemetry.headers.get(at) {
                note(&format!("header[\"{name}\"]"), value.to_owned());
            }
        }
    }
    let user_agent = record.text.words().user_agent;
    if !user_agent.is_empty() {
        note("user_agent", family(user_agent).to_owned());
    }
    if let Some(attempt) = last {
        let connection = if attempt.is_reused { "reused" } else { "new" };
        note("connection", connection.to_owned());
    }
    note("protocol", protocol(record.protocol).to_owned());
    let listener = plan.listeners.get(usize::from(record.listener));
    if let Some(listener) = listener {
        note("listener", listener.name.as_str().to_owned());
    }
    let tls = record
        .tls
        .as_ref()
        .map_or("none", |tls| tls.version.as_str());
    note("tls", tls.to_owned());
    symptoms(record, note);
}

fn symptoms(record: &Record, note: &mut dyn FnMut(&str, String)) {
    note("status", record.status.to_string());
    if record.outcome != Outcome::Served {
        note("outcome", record.outcome.as_str().to_owned());
    }
    if !record.detail.is_empty() {
        note("detail", record.detail.to_owned());
    }
    if let Some(status) = record.grpc_status {
        note("grpc_status", status.to_string());
    }
    note("attempts", record.attempts().count().to_string());
    let longest = Phase::ALL
        .into_iter()
        .max_by_key(|phase| record.phases.get(*phase));
    if let Some(longest) = longest {
        note("longest_phase", longest.as_str().to_owned());
    }
}

/// The network of a client: 256 addresses of IPv4, a site's of IPv6.
fn network(client: IpAddr) -> String {
    let length = if client.is_ipv4() { 24 } else { 48 };
    match IpNet::new(client, length) {
        Ok(net) => net.trunc().to_string(),
        Err(_) => client.to_string(),
    }
}

/// The class of a size.
fn size(bytes: u64) -> &'static str {
    match bytes {
        0 => "none",
        1..1_024 => "below 1KiB",
        1_024..65_536 => "1KiB to 64KiB",
        65_536..1_048_576 => "64KiB to 1MiB",
        _ => "1MiB and more",
    }
}

/// Which program it was, without its version.
fn family(user_agent: &str) -> &str {
    // Browsers all begin with Mozilla, and name those whom they imitate as well.
    const BROWSERS: [(&str, &str); 5] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    if user_agent.starts_with("Mozilla/") {
        let known = BROWSERS.iter().find(|(mark, _)| user_agent.contains(mark));
        return known.map_or("Mozilla", |(_, name)| name);
    }
    let end = user_agent
        .find(['/', ' ', '(', ';'])
        .unwrap_or(user_agent.len());
    user_agent.get(..end).unwrap_or(user_agent)
}
