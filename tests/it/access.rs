//! Who may use a route, and what becomes of secrets: by address, by name and password, and how many connections one
//! client may have.

mod secrets;

use std::time::{Duration, Instant};

use super::rig::{
    Client, Collector, Config, Http2Client, Http2Upstream, Proxy, Upstream, get, get_with,
    wait_until,
};

/// Of `ada` and `grace`: what each one's password is, is in their rows.
const ADA: &str = "$2y$04$Zm9vYmFyYmF6cXV4Zm9vYeGsGnL2mXSIxakEq0lAR1eI5Zv2sC8U.";

/// `ada:secret`, `ada:wrong`, `eve:secret` as a client writes them.
const RIGHT: (&str, &str) = ("authorization", "Basic YWRhOnNlY3JldA==");
const WRONG: (&str, &str) = ("authorization", "Basic YWRhOndyb25n");
const STRANGER: (&str, &str) = ("authorization", "Basic ZXZlOnNlY3JldA==");

fn basic(hash: &str) -> String {
    format!("access: {{basic: {{realm: the shop, users: [{{name: ada, hash: \"{hash}\"}}]}}}}")
}

/// Asks through a trusted proxy that names this client.
fn from(proxy: &Proxy, client: &str) -> u16 {
    get_with(proxy.public(), "/", &[("x-forwarded-for", client)]).status
}

#[test]
fn a_route_takes_the_clients_that_it_allows_and_denies_win() {
    let upstream = Upstream::ok("in");
    let config = Config::new(upstream.address())
        .listener("trusted_proxies: [127.0.0.0/8]")
        .route("access: {allow: [10.0.0.0/8, 2001:db8::/32], deny: [10.0.0.13, 10.1.0.0/16]}");
    let proxy = Proxy::start(config);
    for (client, status) in [
        ("10.0.0.1", 200),
        ("10.0.0.13", 403),
        ("10.1.2.3", 403),
        ("11.0.0.1", 403),
        ("2001:db8::7", 200),
        ("2001:db9::7", 403),
        ("::ffff:10.0.0.1", 200),
        ("::ffff:10.0.0.13", 403),
    ] {
        assert_eq!(from(&proxy, client), status, "{client}");
    }
    // Without a word of a trusted proxy the client is who connects.
    let denied = get(proxy.public(), "/");
    assert_eq!(denied.status, 403);
    assert_eq!(denied.json()["outcome"], "http_request_denied");
    assert_eq!(denied.header("www-authenticate"), None);
    assert_eq!(upstream.request_count(), 3);
    proxy.finish();
}

#[test]
fn nobody_untrusted_says_who_they_are() {
    let upstream = Upstream::ok("in");
    let config = Config::new(upstream.address()).route("access: {allow: [10.0.0.0/8]}");
    let proxy = Proxy::start(config);
    assert_eq!(from(&proxy, "10.0.0.1"), 403);
    assert_eq!(upstream.request_count(), 0);
    proxy.finish();

    let config = Config::new(upstream.address()).route("access: {deny: [10.0.0.0/8]}");
    let proxy = Proxy::start(config);
    assert_eq!(from(&proxy, "10.0.0.1"), 200, "who is not denied is let in");
    proxy.finish();
}

#[test]
fn a_name_and_its_password_open_a_route_and_go_no_further() {
    let upstream = Upstream::ok("in");
    let collector = Collector::start();
    let config = Config::new(upstream.address())
        .traces(collector.address())
        .workers(1)
        .route(&basic(ADA));
    let proxy = Proxy::start(config);
    let asked = get(proxy.public(), "/");
    assert_eq!(asked.status, 401);
    assert_eq!(
        asked.header("www-authenticate"),
        Some("Basic realm=\"the shop\", charset=\"UTF-8\"")
    );
    assert_eq!(asked.json()["outcome"], "http_request_denied");
    for refused in [
        WRONG,
        STRANGER,
        ("authorization", "Bearer x"),
        ("authorization", "Basic !"),
    ] {
        let answer = get_with(proxy.public(), "/", &[refused]);
        assert_eq!(answer.status, 401, "{refused:?}");
        assert!(answer.header("www-authenticate").is_some());
    }
    let twice = get_with(proxy.public(), "/", &[RIGHT, RIGHT]);
    assert_eq!(twice.status, 401, "two fields have no one meaning");
    assert_eq!(upstream.request_count(), 0);
    for _ in 0..3 {
        assert_eq!(get_with(proxy.public(), "/", &[RIGHT]).status, 200);
    }
    for request in upstream.all_requests() {
        assert_eq!(request.headers.get("authorization"), None);
    }
    let lines = proxy.wait_log_lines(9);
    let users: Vec<_> = lines
        .iter()
        .filter_map(|line| line["user"].as_str())
        .collect();
    assert_eq!(
        users, ["ada"; 3],
        "who was not let in is not said to be anybody"
    );
    wait_until("the spans are there", || collector.exchanges().len() == 9);
    let named = collector.exchanges();
    let named = named
        .iter()
        .filter(|span| span.text("sightglass.user") == Some("ada"));
    assert_eq!(named.count(), 3);
    let told = proxy.get_admin("/api/v1/exchanges").text();
    assert!(told.contains("\"user\":\"ada\""), "{told}");
    assert!(
        !proxy.get_admin("/metrics").text().contains("\"ada\""),
        "never a label"
    );
    proxy.finish_traced(&collector);
}

#[test]
fn a_password_that_was_right_is_known_again_and_a_reload_forgets_it() {
    // Cost 12 takes some 200 ms in a release, more here.
    let hash = "$2y$12$Zm9vYmFyYmF6cXV4Zm9vYedw5ohZ8lloCjTmuI.gFeATf6Xxdnyq.";
    let upstream = Upstream::ok("in");
    let config = Config::new(upstream.address()).route(&basic(hash));
    let proxy = Proxy::start(&config);
    let took = |field| {
        let began = Instant::now();
        let status = get_with(proxy.public(), "/", &[field]).status;
        (status, began.elapsed())
    };
    let (status, first) = took(RIGHT);
    assert_eq!(status, 200);
    let (status, again) = took(RIGHT);
    assert!(
        status == 200 && again * 4 < first,
        "{first:?}, then {again:?}"
    );
    let (_, wrong) = took(WRONG);
    let (_, stranger) = took(STRANGER);
    assert!(
        wrong > again * 4,
        "a wrong one is checked each time: {wrong:?}"
    );
    assert!(
        stranger > again * 4,
        "a name that is not known takes as long: {stranger:?}"
    );
    proxy.signal("HUP");
    proxy.wait_until("the reload", || {
        proxy.metrics().sum("sightglass_config_generation", &[]) == 2.0
    });
    let (status, anew) = took(RIGHT);
    assert!(
        status == 200 && anew > again * 4,
        "it is forgotten: {anew:?}"
    );
    proxy.finish();
}

#[test]
fn a_check_holds_up_nobody_else() {
    let hash = "$2y$12$Zm9vYmFyYmF6cXV4Zm9vYedw5ohZ8lloCjTmuI.gFeATf6Xxdnyq.";
    let upstream = Upstream::ok("in");
    let config = Config::new(upstream.address())
        .workers(1)
        .route(&basic(hash))
        .more_routes("- {name: open, match: {path: {prefix: /open}}, upstream: web}\n");
    let proxy = Proxy::start(config);
    let address = proxy.public();
    let guess = std::thread::spawn(move || {
        let began = Instant::now();
        assert_eq!(get_with(address, "/", &[WRONG]).status, 401);
        began.elapsed()
    });
    let mut served = 0;
    let mut slowest = Duration::ZERO;
    while !guess.is_finished() {
        let began = Instant::now();
        assert_eq!(get(address, "/open").status, 200);
        slowest = slowest.max(began.elapsed());
        served += 1;
    }
    let check = guess.join().expect("it was refused");
    assert!(
        served > 3 && slowest * 2 < check,
        "{served} served, {slowest:?} beside {check:?}"
    );
    proxy.finish();
}

#[test]
fn too_many_checks_at_once_are_refused_and_guessing_is_rate_limited() {
    let hash = "$2y$12$Zm9vYmFyYmF6cXV4Zm9vYedw5ohZ8lloCjTmuI.gFeATf6Xxdnyq.";
    let upstream = Http2Upstream::ok("in");
    let config = Config::new(upstream.address())
        .upstream("protocol: http2")
        .route(&basic(hash));
    let proxy = Proxy::start(config);
    let client = Http2Client::connect(proxy.public());
    let mut streams: Vec<_> = (0..90)
        .map(|_| client.open("GET", "/", &[WRONG]).expect("a stream"))
        .collect();
    // Those that found no place are answered at once, before the first check is over.
    let statuses: Vec<u16> = streams[64..]
        .iter_mut()
        .map(|stream| stream.read_head().expect("a head").status().as_u16())
        .collect();
    assert!(statuses.contains(&503), "{statuses:?}");
    drop(streams);
    drop(client);
    drop(proxy);

    let config = Config::new(upstream.address())
        .upstream("protocol: http2")
        .route("rate_limit: {rate: 1/m, burst: 2, key: client_ip}")
        .route(&basic(ADA));
    let proxy = Proxy::start(config);
    let statuses = [WRONG, WRONG, RIGHT].map(|it| get_with(proxy.public(), "/", &[it]).status);
    assert_eq!(statuses, [401, 401, 429]);
    proxy.finish();
}

#[test]
fn a_call_of_grpc_without_a_password_is_unauthenticated() {
    let upstream = Http2Upstream::ok("in");
    let config = Config::new(upstream.address())
        .upstream("protocol: http2")
        .route(&basic(ADA));
    let proxy = Proxy::start(config);
    let client = Http2Client::connect(proxy.public());
    let call = [("content-type", "application/grpc"), ("te", "trailers")];
    let answer = client
        .request("POST", "/a.A/M", &call, "", &[])
        .expect("an answer");
    assert_eq!(answer.header("grpc-status"), Some("16"));
    proxy.finish();
}

#[test]
fn a_client_has_as_many_connections_as_it_may() {
    let upstream = Upstream::ok("in");
    let config = Config::new(upstream.address()).listener("limits: {connections_per_client: 3}");
    let proxy = Proxy::start(config);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(proxy.public())).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(client.read_response().status, 200);
    }
    let refused = [("reason", "client_limit")];
    let count = || {
        proxy
            .metrics()
            .sum("sightglass_connection_errors_total", &refused)
    };
    let _more = Client::connect(proxy.public());
    proxy.wait_until("a fourth is refused", || count() == 1.0);
    // One that leaves makes room.
    clients.pop();
    proxy.wait_until("it has left", || {
        proxy.metrics().sum("sightglass_active_connections", &[]) == 2.0
    });
    assert_eq!(get(proxy.public(), "/").status, 200);
    drop(clients);
    proxy.finish();
}
