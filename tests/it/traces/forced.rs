//! Traces that are asked for by a header field: by a signed token, or by a client whose context is followed.

use std::process::Command;

use super::super::rig::partner::partner;
use super::super::rig::{Collector, Config, Proxy, Upstream, get_with};
use super::{NO_EXEMPLARS, PARENT, TRACE, only_exchange, parts, start_with, traces};

const SECRET: &str = "a secret that nobody else has";
const FIELD: &str = "x-sightglass-trace";

/// Keeps nothing unless it is asked for, and follows nobody.
fn start(upstream: &Upstream, collector: &Collector, context: &str) -> Proxy {
    let force = ", sample: 0%, force: {token: {env: TRACE_SECRET}}";
    let config = Config::new(upstream.address())
        .listener(&format!("trace_context: {context}"))
        .telemetry(&traces(collector, "grpc", force))
        .telemetry(NO_EXEMPLARS);
    start_with(config, &[("TRACE_SECRET", SECRET)])
}

/// Runs the command line of the docs that makes a token, where there is an openssl; `shift` is added to its hour.
fn token(shift: i64) -> Option<String> {
    partner("openssl")?;
    let docs = include_str!("../../../docs/observability.md");
    let script = docs
        .split("```sh\n")
        .filter_map(|block| block.split_once("```"))
        .map(|(script, _)| script)
        .find(|script| script.contains("openssl dgst"))
        .expect("the docs say how a token is made");
    assert!(script.contains("+ 3600"), "{script}");
    let script = script.replace("+ 3600", &format!("+ {}", 3600 + shift));
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("SECRET", SECRET)
        .output()
        .expect("there is a shell");
    assert!(output.status.success(), "{output:?}");
    Some(
        String::from_utf8(output.stdout)
            .expect("text")
            .trim()
            .to_owned(),
    )
}

#[test]
fn a_signed_token_keeps_the_trace_that_its_sender_knows() {
    let Some(token) = token(0) else { return };
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let proxy = start(&upstream, &collector, "none");
    let traceparent = format!("00-{TRACE}-{PARENT}-00");
    let headers = [
        ("traceparent", traceparent.as_str()),
        ("baggage", "user=7"),
        (FIELD, &token),
    ];
    assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
    let (server, clients) = only_exchange(&collector, &proxy);
    assert_eq!(
        (server.trace_id.as_str(), server.parent_span_id.as_str()),
        (TRACE, PARENT)
    );
    assert_eq!(server.text("sightglass.sampling.reason"), Some("forced"));
    assert_eq!(server.attributes["sightglass.sampling.weight"], 1.0);
    let request = upstream.only_request();
    let (trace, parent, flags) = parts(request.headers.get("traceparent").unwrap_or_default());
    assert_eq!(
        (trace.as_str(), flags.as_str()),
        (TRACE, "01"),
        "the services behind us record it"
    );
    assert_eq!(parent, clients[0].span_id);
    assert_eq!(request.headers.get(FIELD), None);
    assert_eq!(
        request.headers.get("baggage"),
        None,
        "nobody follows its sender"
    );
    assert_eq!(proxy.wait_log_lines(1)[0]["sampled"], true);
    proxy.finish();
}

#[test]
fn a_token_that_is_wrong_or_has_expired_changes_nothing() {
    let (Some(good), Some(expired)) = (token(0), token(-3600)) else {
        return;
    };
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let proxy = start(&upstream, &collector, "none");
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let forged = good.replacen("v1.1", "v1.2", 1).replacen("v1.2", "v1.9", 1);
    for value in ["1", "", &expired, &good[1..], &forged, "v1.99999999999.00"] {
        let headers = [("traceparent", traceparent.as_str()), (FIELD, value)];
        assert_eq!(
            get_with(proxy.public(), "/", &headers).status,
            200,
            "{value}"
        );
    }
    for request in upstream.all_requests() {
        let (trace, _, flags) = parts(request.headers.get("traceparent").unwrap_or_default());
        assert_ne!(trace, TRACE);
        assert_eq!(flags, "02", "not sampled");
        assert_eq!(request.headers.get(FIELD), None);
    }
    let lines = proxy.wait_log_lines(6);
    assert!(
        lines.iter().all(|line| line["sampled"] == false),
        "{lines:?}"
    );
    proxy.finish();
    assert!(collector.exchanges().is_empty());
}

#[test]
fn who_is_followed_may_ask_without_a_token() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let proxy = start(&upstream, &collector, "private");
    assert_eq!(get_with(proxy.public(), "/", &[(FIELD, "1")]).status, 200);
    let (server, _) = only_exchange(&collector, &proxy);
    assert_eq!(server.text("sightglass.sampling.reason"), Some("forced"));
    let request = upstream.only_request();
    let (_, _, flags) = parts(request.headers.get("traceparent").unwrap_or_default());
    assert_eq!(flags, "03");
    assert_eq!(request.headers.get(FIELD), None);
    proxy.finish();
}

#[test]
fn without_the_section_the_field_is_nobodys() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let config = Config::new(upstream.address())
        .telemetry(&traces(&collector, "grpc", ", sample: 0%"))
        .telemetry(NO_EXEMPLARS);
    let proxy = start_with(config, &[]);
    assert_eq!(get_with(proxy.public(), "/", &[(FIELD, "1")]).status, 200);
    assert_eq!(upstream.only_request().headers.get(FIELD), Some("1"));
    assert_eq!(proxy.wait_log_lines(1)[0]["sampled"], false);
    proxy.finish();
}
