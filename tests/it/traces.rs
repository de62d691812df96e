//! Traces: spans as the contract has them ([`spans`]), the context in and out by W3C ([`context`]) and in other families
//! ([`families`]), what is kept ([`kept`]), what is asked for ([`forced`]), for how many it stands ([`weights`]), and what
//! the standard variables and our own work have to do with it ([`around`]).

mod around;
mod context;
mod families;
mod forced;
mod kept;
mod spans;
mod weights;

use std::collections::BTreeSet;

use super::rig::{Collector, Proxy, Span};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Being an exemplar is a reason to keep a trace: off where a test is about the others.
const NO_EXEMPLARS: &str = "metrics: {exemplars: false}";

/// Runs it with short batches, so that tests need not wait for them.
fn start(config: impl ToString) -> Proxy {
    start_with(config, &[])
}

fn start_with(config: impl ToString, variables: &[(&str, &str)]) -> Proxy {
    Proxy::start_with(config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
        command.envs(variables.iter().copied());
    })
}

/// Every trace to this collector, with more keys of `traces`.
fn traces(collector: &Collector, protocol: &str, more: &str) -> String {
    format!(
        "traces: {{otlp: {{endpoint: \"{}\", protocol: {protocol}}}{more}}}",
        collector.url()
    )
}

/// The only exchange that has come so far, with its attempts.
fn only_exchange(collector: &Collector, proxy: &Proxy) -> (Span, Vec<Span>) {
    proxy.wait_until("the exchange's span", || !collector.exchanges().is_empty());
    let exchanges = collector.exchanges();
    assert_eq!(exchanges.len(), 1, "{exchanges:#?}");
    (exchanges[0].clone(), collector.attempts())
}

fn keys(span: &Span) -> BTreeSet<&str> {
    span.attributes.keys().map(String::as_str).collect()
}

fn with<'a>(keys: &[&'a str], more: &[&'a str]) -> BTreeSet<&'a str> {
    keys.iter().chain(more).copied().collect()
}

/// Trace id, span id and flags of a valid `traceparent`.
fn parts(traceparent: &str) -> (String, String, String) {
    let parts: Vec<&str> = traceparent.split('-').collect();
    let [version, trace, span, flags] = parts[..] else {
        panic!("not a traceparent: {traceparent:?}");
    };
    assert_eq!((version, trace.len(), span.len()), ("00", 32, 16));
    (trace.to_owned(), span.to_owned(), flags.to_owned())
}
