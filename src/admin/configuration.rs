//! `/api/v1/config`: the configuration in force, defaults filled in, secrets masked.
//!
//! It is made from the plan, not from the file: what stands here is what runs. Each key is written by name, so that one
//! that is added shows only once somebody has thought about whether it may; a test holds the page to every key of
//! `config/full.yaml`. What is masked: hashes of passwords, and values of header fields and query parameters whose names
//! look like secrets. Tokens are in files, whose paths are told and whose content is not.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Sources;
use super::reply::{self, Reply};
use crate::config::{
    Access, Admin, DurationWritten, HeaderEdits, HostPattern, LimitKey, Listener, LogFormat,
    LogOutput, Match, Otlp, OtlpProtocol, PathPattern, Plan, ProxyProtocol, RateLimit, Retry,
    Rewrite, Route, Share, Slo, Telemetry, TraceContext, TraceFormat, Upstream,
};
use crate::telemetry::looks_secret;

mod series;
mod tls;

/// What stands in place of a secret.
const MASKED: &str = "(masked)";

/// The configuration.
pub(super) fn page(sources: &Sources) -> Reply {
    let (plan, generation) = sources.running.plan();
    let loaded = sources.running.loaded_at();
    let loaded = loaded.duration_since(UNIX_EPOCH).unwrap_or_default();
    reply::value(&json!({
        "generation": generation,
        "hash": plan.hash,
        "loaded_unix_seconds": loaded.as_secs_f64(),
        "config": config(&plan),
    }))
}

fn config(plan: &Plan) -> Value {
    let names: Vec<&str> = plan.upstreams.iter().map(|it| it.name.as_str()).collect();
    json!({
        "listeners": plan.listeners.iter().map(listener).collect::<Value>(),
        "routes": plan.routes.iter().map(|it| route(it, &names)).collect::<Value>(),
        "upstreams": plan.upstreams.iter().map(upstream).collect::<Value>(),
        "telemetry": telemetry(&plan.telemetry),
        "admin": admin(&plan.admin),
        "runtime": {
            "workers": plan.runtime.workers,
            "drain": {"delay": time(plan.runtime.drain.delay), "deadline": time(plan.runtime.drain.deadline)},
        },
    })
}

fn listener(it: &Listener) -> Value {
    let mut protocols = Vec::new();
    protocols.extend(it.http1.then_some("http1"));
    protocols.extend(it.http2.then_some("http2"));
    json!({
        "name": it.name.as_str(),
        "address": it.address.to_string(),
        "protocols": protocols,
        "trusted_proxies": texts(&it.trusted_proxies),
        "trace_context": match it.trace_context {
            TraceContext::Trusted => "trusted",
            TraceContext::Private => "private",
            TraceContext::All => "all",
            TraceContext::None => "none",
        },
        "request_id": it.request_id,
        "timeout": {"head": time(it.timeout.head), "idle": time(it.timeout.idle), "body": time(it.timeout.body)},
        "limits": {
            "connections": it.limits.connections,
            "connections_per_client": it.limits.connections_per_client,
            "head": it.limits.head.to_string(),
            "headers": it.limits.headers,
            "uri": it.limits.uri.to_string(),
            "streams": it.limits.streams,
        },
        "tls": it.tls.as_ref().map(tls::listener),
        "proxy_protocol": if it.proxy_protocol { "required" } else { "off" },
        "redirect_to_https": it.redirect_to_https,
    })
}

fn route(it: &Route, upstreams: &[&str]) -> Value {
    let name = |place: usize| upstreams.get(place).copied().unwrap_or_default();
    let split =
        |to: &crate::config::Split| json!({"upstream": name(to.upstream), "weight": to.weight});
    let mut shown = json!({
        "name": it.name.as_str(),
        "match": matches(&it.matches),
        "access": access(&it.access),
        "timeout": {
            "head": time(it.timeout.head),
            "idle": time(it.timeout.idle),
            "total": it.timeout.total.map(time),
        },
        "max_body": it.max_body.map(|size| size.to_string()),
        "rewrite": rewrite(&it.rewrite),
        "request_headers": edits(&it.request_headers),
        "response_headers": edits(&it.response_headers),
        "rate_limit": it.rate_limit.as_ref().map(rate_limit),
        "concurrency": it.concurrency,
        "retry": it.retry.as_ref().map(retry),
        "slo": it.slo.as_ref().map(slo),
        "upgrade": if it.tunnels.websocket { json!(["websocket"]) } else { json!([]) },
        "connect": it.tunnels.connect,
        "traces": {
            "sample": it.traces.sample.map(|share| share.to_string()),
            "slower_than": it.traces.slower_than.map(|it| it.to_string()),
        },
    });
    let (key, to) = match it.to.as_slice() {
        [one] => ("upstream", json!(name(one.upstream))),
        more => ("split", more.iter().map(split).collect()),
    };
    shown[key] = to;
    shown
}

fn matches(it: &Match) -> Value {
    let hosts = it.hosts.iter().map(|host| match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Wildcard(suffix) => format!("*.{suffix}"),
    });
    let path = match &it.path {
        PathPattern::Exact(path) => json!({"exact": path}),
        PathPattern::Prefix(path) => json!({"prefix": path}),
        PathPattern::Regex(regex) => json!({"regex": regex.as_str()}),
    };
    let mut shown = json!({
        "hosts": hosts.collect::<Vec<_>>(),
        "methods": texts(&it.methods),
        "headers": fields(&it.headers),
        "query": it.query.iter().map(|(name, value)| (name.clone(), masked(name, value))).collect::<Map<_, _>>(),
    });
    // A match by `grpc` is written as it was: path and method follow from it.
    match (it.is_grpc, &it.path) {
        (true, PathPattern::Exact(path)) => {
            let (service, method) = path
                .trim_start_matches('/')
                .split_once('/')
                .unwrap_or_default();
            shown["grpc"] = json!({"service": service, "method": method});
        }
        (true, _) => {
            let service = it.path.as_str().trim_start_matches('/');
            shown["grpc"] =
                json!({"service": (!service.is_empty()).then_some(service), "method": null});
        }
        (false, _) => shown["path"] = path,
    }
    shown
}

fn access(it: &Access) -> Value {
    let basic = it.basic.as_ref().map(|basic| {
        let users = basic.users.iter();
        let users = users.map(|user| json!({"name": user.name, "hash": MASKED}));
        json!({"realm": basic.realm, "users": users.collect::<Value>()})
    });
    json!({"allow": texts(&it.allow), "deny": texts(&it.deny), "basic": basic})
}

fn rewrite(it: &Rewrite) -> Value {
    json!({
        "strip_prefix": it.strip_prefix,
        "prefix": it.prefix,
        "host": it.host.as_ref().map(text),
    })
}

fn edits(it: &HeaderEdits) -> Value {
    json!({"set": fields(&it.set), "remove": texts(&it.remove)})
}

fn rate_limit(it: &RateLimit) -> Value {
    let key = match &it.key {
        LimitKey::All => "all".to_owned(),
        LimitKey::ClientIp => "client_ip".to_owned(),
        LimitKey::Header(name) => format!("header:{name}"),
    };
    json!({"rate": it.rate.to_string(), "burst": it.burst, "key": key})
}

fn retry(it: &Retry) -> Value {
    let when = &it.when;
    let words = [
        (when.connect_failure, "connect_failure"),
        (when.reset, "reset"),
        (when.timeout, "timeout"),
        (when.grpc.has(1), "grpc_cancelled"),
        (when.grpc.has(4), "grpc_deadline_exceeded"),
        (when.grpc.has(13), "grpc_internal"),
        (when.grpc.has(8), "grpc_resource_exhausted"),
        (when.grpc.has(14), "grpc_unavailable"),
    ];
    let words = words.iter().filter(|(is_named, _)| *is_named);
    let words = words.map(|(_, word)| json!(word));
    json!({
        "attempts": it.attempts,
        "when": words.chain(when.statuses.iter().map(|status| json!(status))).collect::<Value>(),
        "per_try_timeout": it.per_try_timeout.map(time),
        "max_replay": it.max_replay.to_string(),
        "backoff": format!("{}..{}", time(it.backoff_base), time(it.backoff_max)),
        "budget": {"ratio": it.budget.ratio.to_string(), "min_per_second": it.budget.min_per_second},
        "methods": texts(&it.methods),
    })
}

fn slo(it: &Slo) -> Value {
    let latency = it
        .latency
        .map(|latency| json!({"within": time(latency.within), "for": latency.share.to_string()}));
    json!({
        "availability": it.availability.map(|share| share.to_string()),
        "latency": latency,
        "window": time(it.window),
    })
}

fn upstream(it: &Upstream) -> Value {
    let endpoints = it.endpoints.iter();
    let endpoints =
        endpoints.map(|one| json!({"address": one.address.to_string(), "weight": one.weight}));
    json!({
        "name": it.name.as_str(),
        "endpoints": endpoints.collect::<Value>(),
        "protocol": it.protocol.as_str(),
        "tls": it.tls.as_ref().map(tls::upstream),
        "proxy_protocol": it.proxy_protocol.map(|version| match version {
            ProxyProtocol::V1 => "v1",
            ProxyProtocol::V2 => "v2",
        }),
        "balance": it.balance.as_str(),
        "connect_timeout": time(it.connect_timeout),
        "idle_timeout": time(it.idle_timeout),
    })
}

fn telemetry(it: &Telemetry) -> Value {
    let propagation = it.traces.propagation.as_ref().map(|asked| {
        let formats = asked.formats().map(TraceFormat::as_str);
        let baggage = asked.baggage.then_some("baggage");
        formats.chain(baggage).collect::<Vec<_>>()
    });
    let output = match &it.access_log.output {
        LogOutput::Stdout => json!("stdout"),
        LogOutput::Stderr => json!("stderr"),
        LogOutput::Off => json!("off"),
        LogOutput::File(path) => json!({"file": path}),
    };
    let format = it.access_log.format.map(|format| match format {
        LogFormat::Json => "json",
        LogFormat::Text => "text",
    });
    json!({
        // Null where the file is silent: then the environment, or what the terminal is, decides.
        "service_name": it.service_name,
        "traces": {
            "otlp": it.traces.otlp.as_ref().map(collector),
            "sample": it.traces.sample.map(|Share(share)| Share(share).to_string()),
            "keep": {
                "errors": it.traces.keep.errors,
                "slower_than": it.traces.keep.slower_than.to_string(),
                "retried": it.traces.keep.retried,
                "limited": it.traces.keep.limited,
            },
            "max_per_second": it.traces.max_per_second,
            "force": it.traces.force.as_ref().map(|force| json!({
                "header": force.header.as_str(),
                "token": force.token.as_ref().map(|_| MASKED),
            })),
            "propagation": propagation,
            "baggage_attributes": it.traces.baggage_attributes,
        },
        "access_log": {"output": output, "format": format, "sample": it.access_log.sample.to_string(), "filter": it.access_log.filter},
        "logs": {"otlp": it.logs.otlp.as_ref().map(collector)},
        "recorder": {"memory": it.recorder.memory.to_string(), "dump": it.recorder.dump},
        "headers": texts(&it.headers),
        "metrics": series::page(it),
        "server_timing": it.server_timing,
    })
}

fn otlp_protocol(protocol: OtlpProtocol) -> &'static str {
    match protocol {
        OtlpProtocol::Grpc => "grpc",
        OtlpProtocol::Http => "http",
    }
}

fn collector(otlp: &Otlp) -> Value {
    json!({"endpoint": otlp.endpoint, "protocol": otlp_protocol(otlp.protocol)})
}

fn admin(it: &Admin) -> Value {
    json!({
        "address": it.address.to_string(),
        "token_file": it.token_file,
        "allow": texts(&it.allow),
        "hosts": it.hosts,
        "links": {"trace": it.links.trace, "dashboard": it.links.dashboard},
    })
}

/// Header fields, the values of secret-looking ones masked.
fn fields(list: &[(http::HeaderName, http::HeaderValue)]) -> Value {
    let shown = list
        .iter()
        .map(|(name, value)| (name.to_string(), masked(name.as_str(), &text(value))));
    Value::Object(shown.collect())
}

fn masked(name: &str, value: &str) -> Value {
    json!(if looks_secret(name) { MASKED } else { value })
}

fn text(value: &http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn texts<T: ToString>(list: &[T]) -> Value {
    list.iter().map(|it| json!(it.to_string())).collect()
}

fn time(time: Duration) -> String {
    DurationWritten(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = include_str!("../../config/full.yaml");

    /// Every key that is written is shown in the same place, save where the page says it in another way.
    fn assert_shown(written: &Value, shown: &Value, place: &str) {
        match (written, shown) {
            (Value::Object(written), shown) => {
                for (key, value) in written {
                    let place = format!("{place}.{key}");
                    let found = shown.get(key);
                    assert!(found.is_some(), "{place} is not in /api/v1/config");
                    assert_shown(value, found.unwrap_or(&Value::Null), &place);
                }
            }
            (Value::Array(written), Value::Array(shown)) => {
                for (position, (written, shown)) in written.iter().zip(shown).enumerate() {
                    assert_shown(written, shown, &format!("{place}[{position}]"));
                }
            }
            (_, shown) => assert!(!shown.is_null(), "{place} has no value in /api/v1/config"),
        }
    }

    #[test]
    fn every_key_of_the_full_file_is_shown() {
        let written: Value = serde_saphyr::from_str(FULL).expect("YAML");
        let plan = crate::config::parse(FULL, "full.yaml")
            .expect("a configuration")
            .plan;
        assert_shown(&written, &config(&plan), "config");
    }

    #[test]
    fn secrets_are_masked_and_what_is_none_is_not() {
        let hash = "$2y$10$abcdefghijklmnopqrstuuu7Z9m5fUCVgpgGGYlWX2uzJZLgGK3O2";
        let text = format!(
            "listeners: [{{name: l, address: 127.0.0.1:1}}]\nroutes:\n  - name: r\n    match: {{path: {{prefix: /}}, \
             headers: {{x-api-key: topsecret1, x-tier: gold}}, query: {{token: topsecret2, v: '2'}}}}\n    upstream: u\n    \
             request_headers: {{set: {{authorization: topsecret3, x-team: shop, x-service-token: topsecret4, cookie: topsecret5}}}}\n    \
             access: {{basic: {{users: [{{name: ada, hash: {hash}}}]}}}}\n\
             upstreams: [{{name: u, endpoints: [{{address: 127.0.0.1:2}}]}}]\n"
        );
        let plan = crate::config::parse(&text, "secrets.yaml")
            .expect("a configuration")
            .plan;
        let shown = config(&plan).to_string();
        assert!(
            !shown.contains("topsecret") && !shown.contains("$2y"),
            "{shown}"
        );
        assert!(
            shown.contains("gold") && shown.contains("shop") && shown.contains("ada"),
            "{shown}"
        );
        let debug = format!("{plan:?}");
        assert!(!debug.contains("$2y"), "a secret tells nobody what it is");
    }
}
