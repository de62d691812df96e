//! Http2Client against Http2Upstream: bodies, trailers, resets.

use h2::Reason;

use super::super::{Http2Answer, Http2Client, Http2Ending, Http2Upstream, wait_until};

#[test]
fn an_echo_gives_back_head_body_and_trailers() {
    let upstream = Http2Upstream::echo();
    let client = Http2Client::connect(upstream.address());
    let response = client
        .request(
            "POST",
            "/a?b=c",
            &[("host", "shop.test"), ("x-one", "1")],
            "hello",
            &[("sum", "5")],
        )
        .expect("an answer");
    assert_eq!(response.status, 200);
    let told: serde_json::Value = serde_json::from_slice(&response.body).expect("the echo is JSON");
    assert_eq!(
        (&told["path"], &told["authority"], &told["body"]),
        (&"/a?b=c".into(), &"shop.test".into(), &"hello".into())
    );
    assert_eq!(response.trailers.expect("trailers")["sum"], "5");
    let request = &upstream.all_requests()[0];
    assert_eq!(request.headers["x-one"], "1");
    assert!(request.is_complete);
}

#[test]
fn bodies_larger_than_the_windows_pass_on_many_streams_of_one_connection() {
    let body = "x".repeat(1024 * 1024);
    let upstream = Http2Upstream::answering(|request| Http2Answer::new(200, &[], &request.body));
    let client = Http2Client::connect(upstream.address());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let response = client
                    .request("POST", "/", &[], &body, &[])
                    .expect("an answer");
                assert_eq!(response.text(), body);
            });
        }
    });
    assert_eq!(
        (upstream.connection_count(), upstream.request_count()),
        (1, 4)
    );
}

#[test]
fn an_answer_breaks_off_where_it_is_told_to() {
    let upstream = Http2Upstream::answering(|request| {
        let answer = Http2Answer::new(200, &[], "some");
        match request.path.as_str() {
            "/head" => answer.ending(Http2Ending::ResetBeforeHead(Reason::REFUSED_STREAM)),
            "/body" => answer.ending(Http2Ending::ResetAfterBody(Reason::INTERNAL_ERROR)),
            "/trailers" => answer.trailers(&[("grpc-status", "0")]),
            _ => answer.ending(Http2Ending::Disconnect),
        }
    });
    let client = Http2Client::connect(upstream.address());
    let ask = |path| client.request("GET", path, &[], "", &[]);
    assert_eq!(
        ask("/head").expect_err("a reset").reason(),
        Some(Reason::REFUSED_STREAM)
    );
    assert_eq!(
        ask("/body").expect_err("a reset").reason(),
        Some(Reason::INTERNAL_ERROR)
    );
    assert_eq!(
        ask("/trailers")
            .expect("an answer")
            .trailers
            .expect("trailers")["grpc-status"],
        "0"
    );
    assert!(ask("/gone").is_err());
}

#[test]
fn a_stream_is_driven_piece_by_piece_and_its_reset_is_seen() {
    let upstream = Http2Upstream::answering(|_| {
        Http2Answer::new(200, &[], "some").ending(Http2Ending::NeverEnds)
    });
    let client = Http2Client::connect(upstream.address());
    let mut stream = client.open("POST", "/", &[]).expect("a stream");
    stream.send("one").expect("room");
    stream.send_last("two", &[]).expect("room");
    assert_eq!(stream.read_head().expect("a head").status(), 200);
    assert_eq!(
        stream.read_piece().expect("a piece").as_deref(),
        Some(b"some".as_slice())
    );
    stream.reset(Reason::CANCEL);
    wait_until("the reset is seen", || {
        upstream.all_requests()[0].error.is_some()
    });
    assert_eq!(upstream.all_requests()[0].body, "onetwo");
}
