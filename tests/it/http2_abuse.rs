//! What HTTP/2 lets a client do for nothing and a server pay for: each flood ends its connection, is named, and costs
//! nobody else anything.

use super::rig::{Client, Config, Gate, Http2Client, Proxy, Script, Upstream, reply};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// `GET / HTTP/2`, its fields without an entry in any table but `:method` and `:scheme` and `:path` (RFC 7541 appendix A).
fn get_block() -> Vec<u8> {
    [&[0x82, 0x86, 0x84, 0x01, 6], b"a.test".as_slice()].concat()
}

/// A connection of an attacker, with the preface and settings out.
fn attack(proxy: &Proxy) -> Client {
    let mut client = Client::connect(proxy.public());
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(frame(SETTINGS, 0, 0, &[]));
    client
}

fn errors(proxy: &Proxy, reason: &str) -> f64 {
    let labels = [("listener", "public"), ("reason", reason)];
    proxy
        .metrics()
        .get("sightglass_connection_errors_total", &labels)
        .unwrap_or_default()
}

fn wait_error(proxy: &Proxy, reason: &str) {
    proxy.wait_until(&format!("{reason} is counted"), || {
        errors(proxy, reason) == 1.0
    });
}

#[test]
fn a_flood_of_frames_that_cost_nothing_ends_its_connection_and_is_named() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let bystander = Http2Client::connect(proxy.public());
    assert_eq!(bystander.get("/").text(), "hello");
    for (bytes, reason) in [
        (frame(PING, 0, 0, b"12345678"), "http2_ping_flood"),
        (
            frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]),
            "http2_settings_flood",
        ),
        (
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
            "http2_window_update_flood",
        ),
        (
            frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 9]),
            "http2_ignored_flood",
        ),
        (frame(0x42, 0, 0, b"what is this"), "http2_ignored_flood"),
    ] {
        let before = errors(&proxy, reason);
        let mut attacker = attack(&proxy);
        let _ = attacker.try_send(bytes.repeat(3000));
        attacker.read_to_end();
        proxy.wait_until("it is counted", || errors(&proxy, reason) == before + 1.0);
    }
    // Empty DATA needs a stream that is open.
    let mut attacker = attack(&proxy);
    attacker.send(frame(HEADERS, END_HEADERS, 1, &get_block()));
    let _ = attacker.try_send(frame(DATA, 0, 1, &[]).repeat(3000));
    attacker.read_to_end();
    proxy.wait_until("it is counted, by us or by h2", || {
        errors(&proxy, "http2_empty_data_flood") + errors(&proxy, "http2_abuse") == 1.0
    });
    assert_eq!(bystander.get("/").text(), "hello");
    proxy.finish();
}

#[test]
fn frames_that_an_honest_client_sends_are_no_flood() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let mut client = attack(&proxy);
    for round in 0..1000_u32 {
        let stream = 2 * round + 1;
        client.send(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &get_block(),
        ));
        // As greedy clients do after every answer: both windows, and a ping that measures the way.
        client.send(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 5]));
        client.send(frame(PING, 0, 0, b"12345678"));
        loop {
            let head = client.read_bytes(9);
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            client.read_bytes(length);
            let on = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if on == stream && head[4] & END_STREAM != 0 {
                break;
            }
        }
    }
    proxy.wait_log_lines(1000);
    proxy.finish();
}

#[test]
fn streams_that_are_opened_only_to_be_reset_are_few() {
    let gate = Gate::new();
    let waiting = gate.clone();
    let upstream = Upstream::script(Script::new().read_head().wait(&waiting).send(reply(
        200,
        &[],
        "late",
    )));
    let proxy = Proxy::start(Config::new(upstream.address()));

    // All at once: h2 itself counts those that nobody has looked at yet.
    let mut attacker = attack(&proxy);
    let pairs: Vec<u8> = (0..3000_u32)
        .flat_map(|pair| {
            let stream = 2 * pair + 1;
            let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get_block());
            [open, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        })
        .collect();
    let _ = attacker.try_send(pairs);
    attacker.read_to_end();
    wait_error(&proxy, "http2_abuse");

    // Twenty at a time, and only when they have reached the upstream. One by one a slow machine would stay below the rate
    // that is allowed.
    let before = upstream.request_count();
    let mut attacker = attack(&proxy);
    let mut opened = 0_u32;
    while errors(&proxy, "http2_rapid_reset") == 0.0 {
        assert!(opened < 2000, "nobody ends it");
        let streams: Vec<u32> = (opened..opened + 20).map(|number| 2 * number + 1).collect();
        opened += 20;
        let open = |stream: &u32| frame(HEADERS, END_HEADERS | END_STREAM, *stream, &get_block());
        if attacker
            .try_send(streams.iter().flat_map(open).collect::<Vec<_>>())
            .is_err()
        {
            continue;
        }
        proxy.wait_until("the upstream has them, or it is over", || {
            upstream.request_count() >= before + opened as usize
                || errors(&proxy, "http2_rapid_reset") > 0.0
        });
        let reset = |stream: &u32| frame(RST_STREAM, 0, *stream, &[0, 0, 0, 8]);
        let _ = attacker.try_send(streams.iter().flat_map(reset).collect::<Vec<_>>());
    }
    gate.open();
    proxy.finish();
}

#[test]
fn heads_that_never_end_or_swell_are_bounded_in_memory() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let resident = |proxy: &Proxy| {
        proxy
            .metrics()
            .get("process_resident_memory_bytes", &[])
            .expect("Linux tells it")
    };
    let before = resident(&proxy);

    let mut attacker = attack(&proxy);
    attacker.send(frame(HEADERS, END_STREAM, 1, &get_block()));
    let _ = attacker.try_send(frame(CONTINUATION, 0, 1, &[]).repeat(20_000));
    attacker.read_to_end();
    wait_error(&proxy, "http2_abuse");

    // A field of 4,000 bytes is entered into the table once and named 12,000 times with a byte each: 48 MB a head.
    let mut attacker = attack(&proxy);
    let mut block = get_block();
    block.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]); // 127 + 0x21 + 0x1e * 128 = 4,000
    block.extend([b'y'; 4000]);
    block.extend([0xbe; 12_000]);
    for stream in 0..20 {
        let _ = attacker.try_send(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            2 * stream + 1,
            &block,
        ));
    }
    attacker.half_close();
    attacker.read_to_end();
    let after = resident(&proxy);
    assert!(
        after - before < 32e6,
        "{before} bytes before, {after} after"
    );
    assert_eq!(upstream.request_count(), 0);
    proxy.wait_until("the streams that h2 refused are counted", || {
        errors(&proxy, "http2_refused_stream") + errors(&proxy, "http2_abuse") > 1.0
    });
    proxy.finish();
}

#[test]
fn a_head_that_does_not_go_on_is_late_even_while_other_streams_are_busy() {
    let gate = Gate::new();
    let waiting = gate.clone();
    let upstream = Upstream::script(Script::new().read_head().wait(&waiting).send(reply(
        200,
        &[],
        "late",
    )));
    let proxy = Proxy::start(Config::new(upstream.address()).listener("timeout: {head: 300ms}"));
    let mut attacker = attack(&proxy);
    attacker.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &get_block()));
    proxy.wait_until("it is upstream", || upstream.request_count() == 1);
    attacker.send(frame(HEADERS, END_STREAM, 3, &get_block()));
    attacker.read_to_end();
    wait_error(&proxy, "head_timeout");
    gate.open();
    proxy.finish();
}
