//! Which calls are made again.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::rig::{Config, Http2Client, Http2Upstream, Proxy, Upstream};
use super::{CALL, answer, call, config, message, refusal, status};

const RETRY: &str = "retry: {attempts: 3, when: [connect_failure, reset, 503, grpc_unavailable], backoff: 1ms..1ms}";

/// Refuses so many calls with this status, and takes those after them.
fn refusing(times: usize, code: &'static str) -> Http2Upstream {
    let seen = AtomicUsize::new(0);
    Http2Upstream::answering(move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) < times {
            refusal(code)
        } else {
            answer("yes", "0")
        }
    })
}

#[test]
fn a_status_that_is_named_is_tried_again_with_its_message_and_what_is_left_of_its_time() {
    let upstream = refusing(2, "14");
    let proxy = Proxy::start(config(&upstream).route(RETRY));
    let done = call(&proxy, "/a.A/M", &[("grpc-timeout", "10S")]);
    assert_eq!(
        (status(&done), done.body.to_vec()),
        ("0".to_owned(), message("yes"))
    );
    let seen = upstream.all_requests();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|it| it.body == message("hello")));
    let times: Vec<u64> = seen
        .iter()
        .map(|it| {
            it.headers["grpc-timeout"]
                .to_str()
                .expect("text")
                .trim_end_matches('u')
        })
        .map(|micros| micros.parse().expect("a number"))
        .collect();
    assert!(times[0] > times[1] && times[1] > times[2], "{times:?}");
    let labels = [("route", "web"), ("reason", "grpc_unavailable")];
    assert_eq!(
        proxy.metrics().sum("sightglass_retries_total", &labels),
        2.0
    );
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["grpc_status"], 0);
    assert_eq!(line["attempts"].as_array().map(Vec::len), Some(3));
    let failures = proxy
        .metrics()
        .sum("sightglass_endpoint_failures_total", &[]);
    assert_eq!(
        failures, 2.0,
        "an unavailable service speaks against its endpoint"
    );
    proxy.finish();
}

#[test]
fn the_last_answer_is_given_when_trying_ends() {
    let upstream = refusing(9, "14");
    let proxy = Proxy::start(config(&upstream).route(RETRY));
    let refused = call(&proxy, "/a.A/M", &[]);
    assert_eq!(refused.header("grpc-status"), Some("14"));
    assert_eq!(
        refused.header("grpc-message"),
        Some("no%20more"),
        "as it came"
    );
    assert_eq!(upstream.request_count(), 3);
    proxy.finish();
}

#[test]
fn a_status_that_is_not_named_or_comes_in_trailers_is_given_on() {
    for upstream in [
        refusing(1, "8"),
        Http2Upstream::answering(|_| answer("half", "14")),
    ] {
        let proxy = Proxy::start(config(&upstream).route(RETRY));
        assert_ne!(status(&call(&proxy, "/a.A/M", &[])), "0");
        assert_eq!(upstream.request_count(), 1);
        proxy.finish();
    }
}

#[test]
fn naming_a_status_of_grpc_opens_no_other_post_and_repeats_no_call_that_may_have_been_done() {
    // 503 and a lost connection are named, and hold for idempotent methods alone.
    let upstream = Http2Upstream::answering(|_| super::Http2Answer::new(503, &[], "no"));
    let proxy = Proxy::start(config(&upstream).route(RETRY));
    assert_eq!(call(&proxy, "/a.A/M", &[]).status.as_u16(), 503);
    let client = Http2Client::connect(proxy.public());
    let post = client.request("POST", "/", &[("grpc-status", "14")], "x", &[]);
    assert_eq!(post.expect("an answer").status.as_u16(), 503);
    assert_eq!(upstream.request_count(), 2);
    assert_eq!(client.get("/").status.as_u16(), 503);
    assert_eq!(upstream.request_count(), 5, "a GET is tried three times");
    proxy.finish();

    let lost = Http2Upstream::answering(|_| {
        answer("", "0").ending(super::Http2Ending::ResetBeforeHead(h2::Reason::CANCEL))
    });
    let proxy = Proxy::start(config(&lost).route(RETRY));
    assert_eq!(
        call(&proxy, "/a.A/M", &[]).header("grpc-status"),
        Some("14")
    );
    assert_eq!(lost.request_count(), 1);
    proxy.finish();
}

#[test]
fn a_call_that_reached_nobody_is_tried_elsewhere() {
    let (dead, alive) = (Upstream::refuse(), super::service());
    let config = Config::new(dead.address())
        .endpoint(alive.address())
        .upstream("protocol: http2")
        .upstream("balance: round_robin")
        .route(RETRY);
    let proxy = Proxy::start(config);
    for _ in 0..6 {
        assert_eq!(status(&call(&proxy, "/a.A/M", &[])), "0");
    }
    assert!(
        proxy
            .metrics()
            .sum("sightglass_retries_total", &[("reason", "connect_failure")])
            > 0.0
    );
    // Not so without a status of gRPC: a POST is not repeated.
    proxy.finish();
}

#[test]
fn a_call_whose_messages_outgrow_what_is_kept_is_not_repeated() {
    let upstream = refusing(1, "14");
    let route = RETRY.replace("attempts", "max_replay: 4KiB, attempts");
    let proxy = Proxy::start(config(&upstream).route(&route));
    let client = Http2Client::connect(proxy.public());
    let refused = client
        .request("POST", "/a.A/M", CALL, vec![0; 9000], &[])
        .expect("an answer");
    assert_eq!(status(&refused), "14");
    assert_eq!(upstream.request_count(), 1);
    proxy.finish();
}
