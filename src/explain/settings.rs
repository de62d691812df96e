//! What the configuration says about requests of a route, in the order in which it applies.

use std::time::Duration;

use super::Question;
use super::way::Way;
use crate::config::{DurationWritten, LimitKey, Plan, Retry, Route, Split, Upstream};

/// Names and texts; what is not configured and has no default is left out.
pub(super) fn of(
    plan: &Plan,
    listener: usize,
    route: &Route,
    way: &Way,
) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let mut add = |name, text: Option<String>| all.extend(text.map(|text| (name, text)));
    add("access", access(route));
    add("rate_limit", rate_limit(route, way));
    add(
        "concurrency",
        route
            .concurrency
            .map(|most| format!("{most} exchanges at once")),
    );
    add(
        "max_body",
        route
            .max_body
            .map(|most| format!("{most}; a larger one is 413")),
    );
    add("timeout", Some(timeout(plan, listener, route)));
    add("retry", route.retry.as_ref().map(retry));
    for split in &route.to {
        add("upstream", upstream(plan, route, split));
    }
    let fields = |names: Vec<&str>| (!names.is_empty()).then(|| names.join(", "));
    let edits = &route.response_headers;
    let set = edits.set.iter().map(|(name, _)| name.as_str());
    add("response_set", fields(set.collect()));
    let removed = edits.remove.iter().map(http::HeaderName::as_str);
    add("response_remove", fields(removed.collect()));
    add("traces", traces(plan, route));
    add("slo", slo(route));
    all
}

/// What must hold for the answer beside what was said.
pub(super) fn provided(route: &Route, question: &Question) -> Vec<String> {
    let access = &route.access;
    let mut all = Vec::new();
    if question.client.is_none() {
        let texts = |list: &[ipnet::IpNet]| {
            let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
            texts.join(" or ")
        };
        if !access.allow.is_empty() {
            let allow = texts(&access.allow);
            all.push(format!(
                "the client is in {allow} (--client ADDRESS says who it is)"
            ));
        }
        if !access.deny.is_empty() {
            let deny = texts(&access.deny);
            all.push(format!(
                "the client is not in {deny} (--client ADDRESS says who it is)"
            ));
        }
    }
    all
}

fn time(duration: Duration) -> DurationWritten {
    DurationWritten(duration)
}

fn access(route: &Route) -> Option<String> {
    let access = &route.access;
    let list = |word: &str, list: &[ipnet::IpNet]| {
        let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
        (!texts.is_empty()).then(|| format!("{word} {}", texts.join(" ")))
    };
    let basic = access.basic.as_ref();
    let basic = basic.map(|it| format!("a name and its password (realm {})", it.realm));
    let all = [
        list("allow", &access.allow),
        list("deny", &access.deny),
        basic,
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn rate_limit(route: &Route, way: &Way) -> Option<String> {
    let limit = route.rate_limit.as_ref()?;
    let whose = match &limit.key {
        LimitKey::All => "shared by everybody".to_owned(),
        LimitKey::ClientIp => format!("of the client {}", way.client),
        LimitKey::Header(name) => {
            let is_there = way.routed.as_ref();
            match is_there.is_some_and(|head| head.headers.contains_key(name)) {
                true => format!("of its value of {name}"),
                false => format!("shared by all without {name}"),
            }
        }
    };
    Some(format!("{}, burst {}, {whose}", limit.rate, limit.burst))
}

fn timeout(plan: &Plan, listener: usize, route: &Route) -> String {
    let it = &route.timeout;
    let mut text = format!("head {}, idle {}", time(it.head), time(it.idle));
    if let Some(total) = it.total {
        text.push_str(&format!(", total {}", time(total)));
    }
    if let Some(listener) = plan.listeners.get(listener) {
        let body = time(listener.timeout.body);
        text.push_str(&format!(", a body's pause on the client's side {body}"));
    }
    text
}

fn retry(it: &Retry) -> String {
    let (when, grpc) = (&it.when, it.when.grpc);
    let words = [
        (when.connect_failure, "connect_failure"),
        (when.reset, "reset"),
        (when.timeout, "timeout"),
        (grpc.has(1), "grpc_cancelled"),
        (grpc.has(4), "grpc_deadline_exceeded"),
        (grpc.has(8), "grpc_resource_exhausted"),
        (grpc.has(13), "grpc_internal"),
        (grpc.has(14), "grpc_unavailable"),
    ];
    let words = words.iter().filter(|(is_named, _)| *is_named);
    let words = words.map(|(_, word)| (*word).to_owned());
    let statuses = when.statuses.iter().map(ToString::to_string);
    let when: Vec<String> = words.chain(statuses).collect();
    let methods: Vec<&str> = it.methods.iter().map(http::Method::as_str).collect();
    let mut text = format!(
        "up to {} attempts after {}; of {}; pauses {}..{}; at most {} of first attempts and {} a second",
        it.attempts,
        when.join(" "),
        methods.join(" "),
        time(it.backoff_base),
        time(it.backoff_max),
        it.budget.ratio,
        it.budget.min_per_second,
    );
    if let Some(one) = it.per_try_timeout {
        text.push_str(&format!("; {} each", time(one)));
    }
    text
}

fn upstream(plan: &Plan, route: &Route, split: &Split) -> Option<String> {
    let Upstream {
        name,
        endpoints,
        balance,
        protocol,
        ..
    } = plan.upstreams.get(split.upstream)?;
    let endpoints = endpoints.iter().map(|it| match it.weight {
        1 => it.address.to_string(),
        weight => format!("{} (weight {weight})", it.address),
    });
    let endpoints: Vec<String> = endpoints.collect();
    let share = match route.to.as_slice() {
        [_] => String::new(),
        all => {
            let whole: u64 = all.iter().map(|it| u64::from(it.weight)).sum();
            format!(" ({} of {whole})", split.weight)
        }
    };
    let (balance, protocol) = (balance.as_str(), protocol.as_str());
    let tls = plan.upstreams.get(split.upstream)?.tls.is_some();
    let tls = if tls { " over TLS" } else { "" };
    let list = endpoints.join(", ");
    Some(format!("{name}{share}: {list}; {balance}, {protocol}{tls}"))
}

fn traces(plan: &Plan, route: &Route) -> Option<String> {
    let traces = &plan.telemetry.traces;
    let sample = route.traces.sample.or(traces.sample)?;
    let slower = route.traces.slower_than.unwrap_or(traces.keep.slower_than);
    Some(format!("head share {sample}, slower than {slower} is kept"))
}

fn slo(route: &Route) -> Option<String> {
    let slo = route.slo.as_ref()?;
    let availability = slo.availability.map(|it| format!("availability {it}"));
    let latency = slo
        .latency
        .map(|it| format!("{} within {}", it.share, time(it.within)));
    let all: Vec<String> = [availability, latency].into_iter().flatten().collect();
    Some(format!("{} over {}", all.join(", "), time(slo.window)))
}
