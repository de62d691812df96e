//! How long a call may take: as its caller says, or the route, whichever is less.

use std::time::{Duration, Instant};

use super::super::rig::{
    Client, Config, Http2Client, Http2Ending, Http2Upstream, Proxy, Script, Upstream,
};
use super::{CALL, answer, call, config, message, service, status};

/// What the service was told of the time that is left, in microseconds.
fn told_micros(upstream: &Http2Upstream, nth: usize) -> u64 {
    let seen = upstream.all_requests().remove(nth);
    let value = seen
        .headers
        .get("grpc-timeout")
        .expect("a time that is left");
    let text = value.to_str().expect("text");
    let micros = text.strip_suffix('u').expect("in microseconds");
    micros.parse().expect("a number")
}

#[test]
fn the_callers_time_ends_the_call_and_is_told_upstream() {
    let upstream = Http2Upstream::answering(|_| answer("", "0").ending(Http2Ending::Never));
    let proxy = Proxy::start(config(&upstream));
    let began = Instant::now();
    let late = call(&proxy, "/a.A/M", &[("grpc-timeout", "300m")]);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(late.header("grpc-status"), Some("4"));
    assert_eq!(late.status.as_u16(), 200);
    let told = told_micros(&upstream, 0);
    assert!((200_000..300_000).contains(&told), "{told}");
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "http_response_timeout");
    assert_eq!(line["grpc_status"], 4);
    let seen = &upstream.all_requests()[0];
    proxy.wait_until("the service hears of it", || {
        upstream.all_requests()[0].error.is_some()
    });
    assert!(seen.headers.contains_key("te"));
    proxy.finish();
}

#[test]
fn the_shorter_of_the_callers_and_the_routes_time_counts() {
    let upstream = service();
    let proxy = Proxy::start(config(&upstream).route("timeout: {total: 20s}"));
    for (nth, (asked, least, most)) in [
        (Some("10S"), 9_000_000, 10_000_000),
        (Some("1M"), 19_000_000, 20_000_000),
        (None, 19_000_000, 20_000_000),
        (Some("99999999H"), 19_000_000, 20_000_000),
    ]
    .into_iter()
    .enumerate()
    {
        let more: Vec<_> = asked
            .map(|value| ("grpc-timeout", value))
            .into_iter()
            .collect();
        assert_eq!(status(&call(&proxy, "/a.A/M", &more)), "0", "{asked:?}");
        let told = told_micros(&upstream, nth);
        assert!((least..=most).contains(&told), "{asked:?}: {told}");
    }
    proxy.finish();
}

#[test]
fn a_stream_that_outlasts_its_time_ends_with_deadline_exceeded() {
    let upstream =
        Http2Upstream::answering(|_| answer("first", "0").ending(Http2Ending::NeverEnds));
    let proxy = Proxy::start(config(&upstream));
    let late = call(&proxy, "/a.A/M", &[("grpc-timeout", "300m")]);
    assert_eq!(late.body.to_vec(), message("first"));
    assert_eq!(status(&late), "4");
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(
        (&line["outcome"], &line["grpc_status"]),
        (&"http_response_timeout".into(), &4.into())
    );
    proxy.wait_until("the service hears of it", || {
        upstream.all_requests()[0].error.is_some()
    });
    proxy.finish();
}

#[test]
fn a_client_that_streams_too_long_is_ended_as_well() {
    let upstream = service();
    let proxy = Proxy::start(config(&upstream));
    let client = Http2Client::connect(proxy.public());
    let headers = [CALL, &[("grpc-timeout", "300m")]].concat();
    let mut stream = client.open("POST", "/a.A/M", &headers).expect("a stream");
    stream.send(message("one")).expect("a piece");
    let head = stream.read_head().expect("a head");
    assert_eq!(head.headers()["grpc-status"], "4");
    proxy.finish();
}

#[test]
fn a_time_that_cannot_be_read_is_refused_and_one_that_is_up_goes_nowhere() {
    let upstream = service();
    let proxy = Proxy::start(config(&upstream));
    for wrong in ["1", "S", "123456789S", "1s", "-1S", "1.5S", "10 S"] {
        let refused = call(&proxy, "/a.A/M", &[("grpc-timeout", wrong)]);
        assert_eq!(refused.header("grpc-status"), Some("3"), "{wrong}");
    }
    let twice = [("grpc-timeout", "1S"), ("grpc-timeout", "2S")];
    assert_eq!(
        call(&proxy, "/a.A/M", &twice).header("grpc-status"),
        Some("3")
    );
    assert_eq!(
        call(&proxy, "/a.A/M", &[("grpc-timeout", "0n")]).header("grpc-status"),
        Some("4")
    );
    assert_eq!(upstream.request_count(), 0);
    // To what is no call the field means nothing.
    let client = Http2Client::connect(proxy.public());
    let plain = client.request("POST", "/a", &[("grpc-timeout", "1")], "x", &[]);
    assert_eq!(plain.expect("an answer").status.as_u16(), 200);
    assert_eq!(upstream.all_requests()[0].headers["grpc-timeout"], "1");
    proxy.finish();
}

/// The exchange says that its time was up; its connection did nothing wrong.
#[test]
fn a_whole_time_that_is_up_in_the_middle_of_a_body_is_no_connection_error() {
    let length = 64 << 20;
    let upstream = Upstream::script(
        Script::new()
            .read_head()
            .send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
            ))
            .send_repeated([b'x'; 1 << 16], length >> 16),
    );
    let config = Config::new(upstream.address()).route("timeout: {total: 1s}");
    let proxy = Proxy::start(config);
    let mut client = Client::connect(proxy.public());
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    // Nothing is read: the answer waits for a client that takes none of it.
    let line = &proxy.wait_log_lines(1)[0];
    assert_eq!(line["outcome"], "http_response_timeout");
    assert_eq!(line["status"], 200, "its head was out");
    proxy.wait_until("the connection is closed", || {
        proxy.metrics().sum("sightglass_active_connections", &[]) == 0.0
    });
    assert_eq!(
        proxy
            .metrics()
            .sum("sightglass_connection_errors_total", &[]),
        0.0
    );
    drop(client);
    proxy.finish();
}
