//! X-ray: one exchange looked through while it runs, by the real binary: what is told, in which trace, and what it leaves
//! alone; [`doors`] has where it comes in, and what is refused.

mod doors;

use std::time::Duration;

use serde_json::{Value, json};

use super::command_line::{stderr, stdout};
use super::rig::partner::Jaeger;
use super::rig::{
    Authority, Client, Collector, Config, Gate, Http2Client, Http2Upstream, Kind, Proxy, Script,
    TlsServer, Upstream, get, reply,
};

const XRAY: (&str, &str) = ("POST", "/api/v1/xray");
const JSON: (&str, &str) = ("content-type", "application/json");

/// Looks through a request to this path of the first listener, with more said.
fn look(proxy: &Proxy, path: &str, more: Value) -> Value {
    let mut asked = json!({ "url": format!("http://{}{path}", proxy.public()) });
    for (key, value) in more.as_object().expect("an object") {
        asked[key] = value.clone();
    }
    let answer = proxy.call_admin(XRAY, &[JSON], &asked.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The steps as `target: message`, of our own layers or of others.
fn steps(told: &Value, is_own: bool) -> Vec<String> {
    let all = told["steps"].as_array().expect("steps");
    let lines = all.iter().filter_map(|step| {
        let target = step["target"].as_str().expect("a target");
        let own = target.strip_prefix("sightglass::");
        let message = step["message"].as_str().expect("a message");
        (own.is_some() == is_own).then(|| format!("{}: {message}", own.unwrap_or(target)))
    });
    lines.collect()
}

/// The facts of the first step that says this.
fn facts<'a>(told: &'a Value, message: &str) -> &'a Value {
    let all = told["steps"].as_array().expect("steps");
    let found = all.iter().find(|step| step["message"] == message);
    &found.unwrap_or_else(|| panic!("{message}: {told:#}"))["fields"]
}

#[test]
fn every_layer_says_what_it_did_in_the_order_of_the_stack() {
    let (gone, upstream) = (Upstream::refuse(), Upstream::ok("hello"));
    let config = Config::new(upstream.address())
        .route("rate_limit: {rate: 100/s, burst: 200, key: client_ip}")
        .route("concurrency: 5")
        .route("timeout: {total: 5s}")
        .route("access: {allow: [127.0.0.0/8]}")
        .route("retry: {attempts: 2}")
        .route("rewrite: {strip_prefix: /api}")
        .upstream("balance: round_robin")
        .endpoint(gone.address())
        .to_string()
        .replace("{path: {prefix: /}}", "{path: {prefix: /api}}");
    let proxy = Proxy::start(config);
    // In turn: one of the two begins with the endpoint that refuses.
    let looks = [0, 1].map(|_| look(&proxy, "/api/cart?token=secret", json!({})));
    let told = looks
        .iter()
        .find(|it| it["exchange"]["attempts"].as_array().map(Vec::len) == Some(2))
        .expect("a retried one");
    let own = steps(told, true);
    let mut rest = own.iter();
    for expected in [
        "server::connection: a connection of the look's own",
        "proxy::sanitize: who asks, and in which trace",
        "proxy::sanitize: the request has one meaning",
        "proxy::route: the most specific that matches",
        "proxy::access::allow: asked by address",
        "proxy::limit::rate: within the rate limit",
        "proxy::limit::concurrency: exchanges on the route",
        "proxy::deadline: the time for all of it, from its first byte",
        "proxy::forwarded: told upstream who the client is and what it asked for",
        "proxy::rewrite: as the route rewrites it",
        "upstream::balance::layer: an endpoint for the attempt",
        "telemetry::observe_attempt: an attempt begins",
        "upstream::pool: a connection of its own, whatever the pool has",
        "upstream::connect: connecting",
        "telemetry::observe_attempt: the attempt failed",
        "proxy::retry::layer: will be tried again",
        "upstream::balance::layer: an endpoint for the attempt",
        "upstream::connect: connected",
        "upstream::http1: the head goes out over HTTP/1.1",
        "telemetry::observe_attempt: the upstream's head is there",
        "proxy::respond: the head goes to the client",
        "telemetry::observe_exchange: the exchange is over",
    ] {
        assert!(
            rest.any(|it| it == expected),
            "{expected} is missing, or not in its place: {own:#?}"
        );
    }
    assert_eq!(
        facts(told, "the most specific that matches")["route"],
        "web"
    );
    assert_eq!(facts(told, "as the route rewrites it")["path"], "/cart");
    let picked = facts(told, "an endpoint for the attempt");
    let candidates = picked["candidates"].as_str().expect("candidates");
    for address in [gone.address(), upstream.address()] {
        assert!(candidates.contains(&address.to_string()), "{candidates}");
    }
    assert_eq!(picked["picked"], gone.address().to_string());
    assert_eq!((&told["status"], &told["bytes"]), (&json!(200), &json!(5)));
    assert_eq!(
        (&told["ended"], &told["client"]),
        (&json!("whole"), &json!("127.0.0.1"))
    );
    assert_eq!(told["exchange"]["trace_id"], told["trace_id"]);
    assert!(
        !told["steps"].to_string().contains("secret"),
        "no query is told: {told:#}"
    );
    // It is an exchange like any other.
    assert_eq!(
        proxy.wait_log_lines(2)[0]["user_agent"]
            .as_str()
            .map(|it| &it[..15]),
        Some("sightglass-xray")
    );
    proxy.wait_stderr("path=\"/api/v1/xray\" status=200");
    proxy.finish();
}

#[test]
fn its_spans_are_one_trace_with_the_steps_as_events() {
    let (collector, upstream) = (Collector::start(), Upstream::ok("hello"));
    let traces = format!(
        "traces: {{otlp: {{endpoint: \"{}\"}}, sample: 0%}}",
        collector.url()
    );
    // Nobody is followed here: whoever looks is, all the same.
    let config = Config::new(upstream.address())
        .listener("trace_context: none")
        .telemetry("metrics: {exemplars: false}")
        .telemetry(&traces);
    let proxy = Proxy::start_with(config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    });
    assert_eq!(get(proxy.public(), "/").status, 200); // of this one nothing is kept
    let told = look(
        &proxy,
        "/",
        json!({"headers": ["traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]}),
    );
    let trace_id = told["trace_id"].as_str().expect("a trace id");
    assert_ne!(trace_id, "0af7651916cd43dd8448eb211c80319c");
    proxy.wait_until("three spans", || collector.trace(trace_id).len() == 3);
    let spans = collector.trace(trace_id);
    let of = |kind| spans.iter().find(|it| it.kind == kind).expect("a span");
    let (live, server, client) = (of(Kind::Internal), of(Kind::Server), of(Kind::Client));
    assert_eq!(
        (live.name.as_str(), live.parent_span_id.as_str()),
        ("xray GET", "")
    );
    assert_eq!(server.parent_span_id, live.span_id);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(server.text("sightglass.sampling.reason"), Some("forced"));
    assert!(live.start <= server.start && live.end >= server.end);
    let events = live.event_names();
    for name in [
        "the most specific that matches",
        "connecting",
        "the exchange is over",
    ] {
        assert!(events.contains(&name), "{name}: {events:?}");
    }
    let sent = upstream.all_requests().pop().expect("a request");
    let sent = sent.headers.get("traceparent").map(str::to_owned);
    let expected = format!("00-{trace_id}-{}-01", client.span_id);
    assert!(
        sent.as_deref().is_some_and(|it| it[..52] == expected[..52]),
        "{sent:?}"
    );
    assert_eq!(collector.exchanges().len(), 1, "nothing else was kept");
    proxy.finish();
}

#[test]
fn jaeger_shows_the_steps_in_the_trace_of_the_exchange() {
    let Some(jaeger) = Jaeger::start() else {
        return;
    };
    let upstream = Upstream::ok("hello");
    let config = Config::new(upstream.address()).traces(jaeger.grpc());
    let proxy = Proxy::start_with(config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
    });
    let told = look(&proxy, "/", json!({}));
    let trace_id = told["trace_id"].as_str().expect("a trace id");
    let spans = jaeger.wait_for_spans(trace_id, 3);
    let named = |name: &str| spans.iter().find(|it| it["operationName"] == name);
    let (live, server) = (named("xray GET"), named("GET /"));
    let (live, server) = (live.expect("the look"), server.expect("the exchange"));
    assert_eq!(server["references"][0]["spanID"], live["spanID"]);
    let said = live["logs"].to_string();
    for step in [
        "the most specific that matches",
        "candidates",
        "the head goes out",
    ] {
        assert!(said.contains(step), "{step}: {said}");
    }
    proxy.finish();
}

#[test]
fn tls_and_http2_say_what_they_do() {
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    let (one, two) = (Upstream::ok("one"), Http2Upstream::ok("two"));
    let door = TlsServer::new(&identity)
        .alpn(&["h2"])
        .before_each(one.address(), two.address());
    let tls = format!("tls: {{ca: \"{}\"}}", authority.ca().display());
    let proxy = Proxy::start(
        Config::new(door.address())
            .upstream("protocol: auto")
            .upstream(&tls)
            .workers(1),
    );
    assert_eq!(get(proxy.public(), "/").text(), "two");
    let told = look(
        &proxy,
        "/?token=hush",
        json!({"method": "POST", "body": "hush", "headers": ["authorization: Bearer hush", "cookie: id=hush"]}),
    );
    assert_eq!(told["bytes"], 3);
    let said = told["steps"].to_string();
    assert!(
        !said.contains("hush"),
        "no secret is among the steps: {said}"
    );
    let others = steps(&told, false).join("\n");
    for part in [
        "rustls::",
        "Using ciphersuite",
        "h2::codec::framed_write: send",
        "h2::codec::framed_read: received",
    ] {
        assert!(others.contains(part), "{part}: {others}");
    }
    assert_eq!(facts(&told, "TLS is up")["alpn"], "Some(\"h2\")");
    assert_eq!(
        door.handshakes().len(),
        2,
        "the connection that is there is left to others"
    );
    assert_eq!(get(proxy.public(), "/").text(), "two");
    assert_eq!(
        door.handshakes().len(),
        2,
        "and the look's own is nobody else's"
    );
    proxy.wait_until("the look's own is closed", || {
        proxy
            .metrics()
            .sum("sightglass_upstream_active_connections", &[])
            == 1.0
    });
    proxy.wait_log_lines(3);
    proxy.finish();
}

#[test]
fn others_go_on_unseen_and_over_their_own_connections() {
    let gate = Gate::new();
    let upstream = Upstream::answering({
        let gate = gate.clone();
        move |request| {
            if request.target.starts_with("/slow") {
                gate.pass(|| false);
            }
            reply(200, &[], "hello")
        }
    });
    let proxy = Proxy::start(Config::new(upstream.address()).workers(1));
    assert_eq!(get(proxy.public(), "/").status, 200);
    let told = std::thread::scope(|scope| {
        let looking = scope.spawn(|| look(&proxy, "/slow", json!({})));
        proxy.wait_until("it waits", || gate.waiting() == 1);
        for _ in 0..20 {
            assert_eq!(get(proxy.public(), "/others").status, 200);
        }
        gate.open();
        looking.join().expect("it was looked through")
    });
    assert!(!told["steps"].to_string().contains("/others"), "{told:#}");
    let begun = steps(&told, true);
    let begun = begun.iter().filter(|it| it.ends_with("an attempt begins"));
    assert_eq!(begun.count(), 1);
    assert_eq!(
        upstream.connection_count(),
        2,
        "one of the look's, one of all others"
    );
    proxy.wait_log_lines(22);
    proxy.finish();
}

#[test]
fn two_look_at_once_and_one_who_goes_away_leaves_nothing_behind() {
    let gate = Gate::new();
    let stalled = || {
        Script::new()
            .read_head()
            .wait(&gate)
            .send(reply(200, &[], "late"))
    };
    let upstream = Upstream::connections([stalled(), stalled(), stalled(), stalled()]);
    let proxy = Proxy::start(Config::new(upstream.address()));
    let asked = json!({"url": format!("http://{}/", proxy.public())}).to_string();
    let host = proxy.admin().to_string();
    let looking = [0, 1].map(|_| {
        let mut client = Client::connect(proxy.admin());
        client.request(XRAY.0, XRAY.1, &[("host", &host), JSON], asked.as_bytes());
        client
    });
    proxy.wait_until("both wait", || upstream.request_count() == 2);
    let third = proxy.call_admin(XRAY, &[JSON], &asked);
    assert_eq!(third.status, 503, "{}", third.text());
    assert!(third.text().contains("as may be: two"), "{}", third.text());
    let [gone, mut stays] = looking;
    drop(gone);
    let left = &proxy.wait_log_lines(1)[0];
    assert_eq!(left["outcome"], "client_closed");
    proxy.wait_stderr("path=\"/api/v1/xray\" status=499");
    gate.open();
    assert_eq!(stays.read_response().json()["status"], 200);
    // Both places are free again, and both looks see something.
    std::thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| look(&proxy, "/", json!({}))));
        for it in both {
            let told = it.join().expect("it was looked through");
            assert_eq!(told["status"], 200, "{told:#}");
            assert!(!steps(&told, true).is_empty(), "{told:#}");
        }
    });
    // What takes too long is given up.
    let slow = Upstream::script(Script::new().read_head().pause(Duration::from_secs(30)));
    let patient = Proxy::start(Config::new(slow.address()));
    let told = look(&patient, "/", json!({"timeout": "100ms"}));
    assert_eq!(
        (&told["status"], &told["ended"]),
        (&Value::Null, &json!("given up after 100ms"))
    );
    assert_eq!(told["exchange"]["outcome"], "client_closed");
    patient.finish();
    proxy.wait_log_lines(4);
    proxy.finish();
}

#[test]
fn a_look_does_not_count_as_the_slowness_of_its_endpoint() {
    let pause = Duration::from_millis(300);
    let slow = Script::new()
        .read_head()
        .pause(pause)
        .send(reply(200, &[], "late"));
    let quick = Script::new().read_head().send(reply(200, &[], "soon"));
    let upstream = Upstream::connections([quick, slow]);
    let proxy = Proxy::start(Config::new(upstream.address()).workers(1));
    assert_eq!(get(proxy.public(), "/").text(), "soon");
    assert_eq!(look(&proxy, "/", json!({}))["bytes"], 4);
    let latency = proxy
        .metrics()
        .sum("sightglass_endpoint_latency_ewma_seconds", &[]);
    assert!(latency > 0.0 && latency < 0.2, "{latency}");
    proxy.wait_log_lines(2);
    proxy.finish();
}

#[test]
fn http2_clients_are_served_while_somebody_looks() {
    let upstream = Http2Upstream::ok("hello");
    let proxy = Proxy::start(
        Config::new(upstream.address())
            .upstream("protocol: http2")
            .workers(1),
    );
    let client = Http2Client::connect(proxy.public());
    assert_eq!(client.get("/").status, 200);
    assert_eq!(look(&proxy, "/", json!({}))["status"], 200);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(upstream.connection_count(), 2);
    proxy.wait_log_lines(3);
    proxy.finish();
}

#[test]
fn the_command_prints_steps_waterfall_and_decisions() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let admin = format!("http://{}", proxy.admin());
    let url = format!("http://{}/cart", proxy.public());
    let output = Proxy::output(&[
        "xray",
        &url,
        "-H",
        "x-tier: gold",
        "-X",
        "POST",
        "--data",
        "{}",
        "--admin",
        &admin,
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let page = stdout(&output);
    for part in [
        "status 200, 5 bytes, whole; came in at public as 127.0.0.1",
        "proxy::route                  the most specific that matches  because=",
        "POST ",
        "where the time went",
        "why this route",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let request = upstream.only_request();
    assert_eq!(
        (request.method.as_str(), request.headers.get("x-tier")),
        ("POST", Some("gold"))
    );
    assert_eq!(request.body, b"{}");
    let output = Proxy::output(&["xray", "shop.test", "--admin", &admin]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is no URL"), "{}", stderr(&output));
    proxy.finish();
}
