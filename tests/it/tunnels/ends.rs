//! How tunnels end, and what is said of it.

use std::time::{Duration, Instant};

use super::super::rig::{Client, Http2Client, Proxy};
use super::{Ahead, End, agreed, agreed_http2, config, http2_peer, listener};

/// The only line of the log.
fn line(proxy: &Proxy) -> serde_json::Value {
    proxy.wait_log_lines(1).remove(0)
}

#[test]
fn the_upstream_may_end_its_half_first() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    let (mut client, mut peer) = agreed(proxy.public(), &socket);
    peer.end();
    client.hear_end();
    client.say(b"still here");
    assert_eq!(peer.hear(10), b"still here");
    client.end();
    peer.hear_end();
    let line = line(&proxy);
    assert_eq!(
        (&line["outcome"], &line["bytes_in"]),
        (&"served".into(), &10.into())
    );
    proxy.finish();
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_ended_after_the_routes_idle_time() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket).route("timeout: {idle: 300ms, total: 100ms}"));
    let (mut client, mut peer) = agreed(proxy.public(), &socket);
    let since = Instant::now();
    // Either direction counts, and the route's total does not.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(200));
        client.say(b"x");
        peer.hear(1);
        std::thread::sleep(Duration::from_millis(200));
        peer.say(b"x");
        client.hear(1);
    }
    client.expect_close();
    peer.expect_close();
    assert!(since.elapsed() >= Duration::from_millis(1500));
    let line = line(&proxy);
    assert_eq!(line["outcome"], "connection_read_timeout", "{line}");
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&3.into(), &3.into())
    );
    proxy.finish();
}

#[test]
fn an_idle_tunnel_over_http2_is_reset_and_its_neighbours_are_not() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket).route("timeout: {idle: 300ms}"));
    let client = Http2Client::connect(proxy.public());
    let (mut stream, _peer) = agreed_http2(&client, &socket);
    let error = stream.stream.read_piece().expect_err("a reset");
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    let (mut stream, mut peer) = agreed_http2(&client, &socket);
    stream.say(b"x");
    assert_eq!(peer.hear(1), b"x");
    drop((stream, peer));
    drop(client);
    proxy.finish();
}

#[test]
fn a_client_that_takes_nothing_is_given_up_and_holds_little() {
    for is_http2 in [false, true] {
        let socket = listener();
        let proxy = Proxy::start(config(&socket).route("timeout: {idle: 500ms}"));
        let http2 = is_http2.then(|| Http2Client::connect(proxy.public()));
        // Held and never read.
        let (_client, _stream, mut peer) = match &http2 {
            None => {
                let (client, peer) = agreed(proxy.public(), &socket);
                (Some(client), None, peer)
            }
            Some(client) => {
                let (stream, peer) = agreed_http2(client, &socket);
                (None, Some(stream), peer)
            }
        };
        let mut sent = 0_u64;
        while sent < 64 << 20 && peer.try_send(vec![7; 64 << 10]).is_ok() {
            sent += 64 << 10;
        }
        assert!(sent < 32 << 20, "somebody took {sent} bytes");
        let line = line(&proxy);
        assert_eq!(line["outcome"], "connection_write_timeout", "{line}");
        assert_eq!(line["side"], "client");
        if let Some(mut stream) = _stream {
            let mut pieces = std::iter::from_fn(|| stream.stream.read_piece().transpose());
            assert!(pieces.any(|piece| piece.is_err()), "a reset");
        }
        drop(http2);
        proxy.finish();
    }
}

#[test]
fn an_upstream_that_resets_breaks_it_off() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    let (mut client, mut peer) = agreed(proxy.public(), &socket);
    peer.say(b"half a sen");
    assert_eq!(client.hear(10), b"half a sen");
    peer.reset();
    client.expect_close();
    let line = line(&proxy);
    assert_eq!(line["outcome"], "connection_terminated", "{line}");
    assert_eq!(
        (&line["side"], &line["status"]),
        (&"upstream".into(), &101.into())
    );
    proxy.finish();
}

#[test]
fn a_stream_that_the_upstream_resets_is_no_orderly_end() {
    for reason in [h2::Reason::CANCEL, h2::Reason::INTERNAL_ERROR] {
        let (peer, config) = http2_peer();
        let proxy = Proxy::start(config);
        let client = Http2Client::connect(proxy.public());
        let mut stream = client.upgrade("websocket", "/", &[]).expect("a stream");
        let mut up = peer.accept();
        up.respond(200, &[]);
        stream.read_head().expect("a head");
        up.reset(reason);
        assert!(stream.read_piece().is_err(), "a reset is passed on");
        assert_eq!(line(&proxy)["outcome"], "connection_terminated", "{reason}");
        drop(stream);
        drop(client);
        proxy.finish();
    }
}

#[test]
fn a_client_that_resets_is_told_as_gone() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    let (client, mut peer) = agreed(proxy.public(), &socket);
    client.reset();
    peer.expect_close();
    let told = line(&proxy);
    assert_eq!(
        (&told["outcome"], &told["status"]),
        (&"client_closed".into(), &101.into())
    );
    proxy.finish();

    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    let client = Http2Client::connect(proxy.public());
    let (mut stream, mut peer) = agreed_http2(&client, &socket);
    stream.stream.reset(h2::Reason::CANCEL);
    peer.expect_close();
    assert_eq!(line(&proxy)["outcome"], "client_closed");
    // The connection carries on.
    let (mut stream, mut peer) = agreed_http2(&client, &socket);
    super::talk(&mut stream, &mut peer);
    drop(stream);
    drop(client);
    proxy.finish();
}

#[test]
fn a_client_that_goes_before_the_answer_leaves_nothing() {
    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    let mut client = Client::connect(proxy.public());
    super::ask(&mut client, "/");
    let mut peer = Client::accept(&socket);
    peer.read_head();
    client.reset();
    peer.expect_close();
    assert_eq!(line(&proxy)["outcome"], "client_closed");
    proxy.finish();
}

#[test]
fn a_drain_waits_for_tunnels_until_its_deadline_and_tells_those_that_it_cuts() {
    let socket = listener();
    let mut proxy = Proxy::start(config(&socket).runtime("drain: {deadline: 700ms}"));
    let http2 = Http2Client::connect(proxy.public());
    let (mut stream, mut other) = agreed_http2(&http2, &socket);
    let (mut ends, mut end) = agreed(proxy.public(), &socket);
    let (mut stays, mut stay) = agreed(proxy.public(), &socket);
    proxy.signal("TERM");
    proxy.wait_until("it is not ready", || {
        proxy.get_admin("/readyz").status == 503
    });
    // Open tunnels go on as if nothing had happened.
    stays.say(b"x");
    stay.hear(1);
    stream.say(b"x");
    other.hear(1);
    ends.end();
    end.hear_end();
    end.end();
    ends.hear_end();
    assert!(proxy.wait_exit().success());
    stays.expect_close();
    stay.expect_close();
    let mut outcomes: Vec<_> = proxy
        .log_lines()
        .iter()
        .map(|line| line["outcome"].as_str().unwrap_or_default().to_owned())
        .collect();
    outcomes.sort();
    assert_eq!(
        outcomes,
        ["proxy_internal_error", "proxy_internal_error", "served"]
    );
}

#[test]
fn memory_stays_bounded_while_much_goes_both_ways_and_one_side_is_slow() {
    const PIECE: usize = 64 << 10;
    const PIECES: usize = 1024; // 64 MiB
    let socket = listener();
    let proxy = Proxy::start(config(&socket));
    let (mut client, mut peer) = agreed(proxy.public(), &socket);
    let before = memory(&proxy);
    let (mut most, mut heard) = (before, 0);
    std::thread::scope(|scope| {
        // The upstream sends as fast as it is let, and sends back what it hears.
        scope.spawn(|| {
            for _ in 0..PIECES {
                peer.say(&[1; PIECE]);
                assert_eq!(peer.hear(PIECE).len(), PIECE);
            }
        });
        for at in 0..PIECES {
            client.say(&[2; PIECE]);
            if at % 128 == 0 {
                std::thread::sleep(Duration::from_millis(20));
                most = most.max(memory(&proxy));
            }
            heard += client.hear(PIECE).len();
        }
    });
    assert_eq!(heard, PIECE * PIECES);
    assert!(most < before + (8 << 20), "{before} grew to {most}");
    client.end();
    peer.end();
    let line = line(&proxy);
    assert_eq!(line["bytes_out"], (PIECE * PIECES) as u64);
    proxy.finish();
}

/// The proxy's resident memory, in bytes.
fn memory(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid()));
    let status = status.expect("a running process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.expect("a resident set") << 10
}

/// An idle tunnel holds no buffer: what a thousand cost is what their sockets cost.
#[test]
fn idle_tunnels_cost_little_memory() {
    const TUNNELS: u64 = 200;
    let socket = listener();
    let proxy = Proxy::start(config(&socket).workers(1));
    let mut open: Vec<_> = (0..20).map(|_| agreed(proxy.public(), &socket)).collect();
    let before = memory(&proxy);
    open.extend((0..TUNNELS).map(|_| agreed(proxy.public(), &socket)));
    for (client, peer) in &mut open {
        client.say(b"ping");
        peer.hear(4);
    }
    let each = (memory(&proxy).saturating_sub(before)) / TUNNELS;
    println!("{each} bytes an idle tunnel");
    assert!(each < 32 << 10, "{each} bytes an idle tunnel");
    drop(open);
    proxy.finish();
}

#[test]
fn an_upstream_over_http2_keeps_its_other_streams() {
    let (peer, config) = http2_peer();
    let proxy = Proxy::start(config.workers(1));
    let client = Http2Client::connect(proxy.public());
    let mut first = client.upgrade("websocket", "/1", &[]).expect("a stream");
    let mut up = peer.accept();
    up.respond(200, &[]);
    first.read_head().expect("a head");
    let mut second = client.upgrade("websocket", "/2", &[]).expect("a stream");
    let mut other = peer.accept();
    other.respond(200, &[]);
    second.read_head().expect("a head");
    first.reset(h2::Reason::CANCEL);
    proxy.wait_log_lines(1);
    super::talk(&mut Ahead::new(second), &mut Ahead::new(other));
    drop((first, up));
    drop(client);
    proxy.finish();
}
